"""Sets an NSU up over one Ethernet interface: the thin loop around `protocol/setup/admin.py`."""

import secrets
import select
import time

from ipc.link_socket import LinkSocket
from protocol.discovery.frame import NONCE_BYTES, Frame, decode, encode
from protocol.setup.admin import Talk
from protocol.setup.messages import Reason
from protocol.setup.order import Order, Result
from protocol.setup.states import Admin

AGAIN_S = 0.3
"""A message that is not answered is sent again after that."""
ANSWER_WITHIN_S = 5.0
RESULT_WITHIN_S = 60.0
"""An NSU that has to bring a change into force takes up to half of that."""
TALKS_MAX = 3

REFUSALS = {
    Reason.CLAIMED: "it is claimed already, and takes no more orders this way",
    Reason.WRONG_KEY: "it refuses this claim key; look at it again, on the NSU: STATE/claim.key",
    Reason.STALE: "its offer is always too old; try again",
}


class SetupError(Exception):
    """It was not set up, or nobody knows; the text is a sentence for people."""


def configure(link: LinkSocket, nsu_mac: bytes, claim_key: bytes, order: Order) -> Result:
    """Order it; give what the NSU says, under seal, of it. Raises SetupError, TooLongError, OSError."""
    for _ in range(TALKS_MAX):
        talk = Talk(link.mac, nsu_mac, claim_key, order, secrets.token_bytes)
        _run(link, talk)
        if talk.result is not None:
            return talk.result
        if talk.state is not Admin.REFUSED or talk.refusal is None or talk.refusal[0] is not Reason.STALE:
            break
    raise SetupError(_sentence(talk, nsu_mac))


def _run(link: LinkSocket, talk: Talk) -> None:
    """Send and hear until the talk is over or the time is."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    poll = select.poll()
    poll.register(link.fileno(), select.POLLIN)
    until_s = time.monotonic() + ANSWER_WITHIN_S
    while not talk.over and time.monotonic() < until_s:
        link.send(talk.nsu_mac, encode(Frame(talk.message.kind, nonce, talk.message.body)))
        again_s = time.monotonic() + AGAIN_S
        before = talk.state
        while talk.state is before and (left_s := again_s - time.monotonic()) > 0:
            poll.poll(left_s * 1000)
            _hear(link, talk, nonce)
        if talk.state is not before:
            wait_s = RESULT_WITHIN_S if talk.state is Admin.AWAIT_RESULT else ANSWER_WITHIN_S
            until_s = time.monotonic() + wait_s


def _hear(link: LinkSocket, talk: Talk, nonce: bytes) -> None:
    while (received := link.receive()) is not None:
        mac, payload = received
        frame = decode(payload) if mac == talk.nsu_mac else None
        if frame is not None and frame.nonce == nonce and talk.receive(frame.kind, frame.body):
            return


def _sentence(talk: Talk, nsu_mac: bytes) -> str:
    """Say why there is no result."""
    who = nsu_mac.hex(":")
    reason, seconds = talk.refusal or (None, 0)
    if talk.state is Admin.AWAIT_RESULT:
        return (
            f"the order was sent to {who}, which has not said what became of it: it may be set up or not; look at its"
            f" log, or try again: an NSU that is set up says that it is claimed"
        )
    if talk.state is Admin.REFUSED and reason is Reason.PAUSED:
        return f"{who} has had too many wrong claim keys; it looks at none for {seconds} s"
    if talk.state is Admin.REFUSED and reason is not None:
        return f"{who}: {REFUSALS[reason]}"
    if talk.doubted:
        return f"who answers for {who} does not know this claim key: it is another NSU's, or somebody is in between"
    return (
        f"{who} does not answer: is it the MAC of an NSU on this network, does `nsu run` run there, and has its MACHINE"
        f" block a SETUP for that interface?"
    )
