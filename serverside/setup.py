"""The process `nsu: setup`: sets the addresses of INTERFACE blocks, and hears orders of set-up without IP.

One loop: Ethernet sockets in, `protocol/setup/nsu.py` in the middle, answers out. An order is carried out right here,
by what `nsu/` hands in; meanwhile nothing else is heard, which is what a set-up wants. It is a process of its own, so
that whatever strangers send costs no block its time. An interface that is not there yet, or was replaced, is looked
for every LOOK_EVERY_S.
"""

import secrets
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ipc.child import Life
from ipc.control import ControlServer
from ipc.exits import Exit
from ipc.link_socket import LinkSocket, mac_text
from ipc.loop import Loop
from ipc.say import say, say_held
from protocol.discovery.frame import SETUP_KINDS, Frame, decode, encode
from protocol.setup.messages import Kind, Message
from protocol.setup.nsu import Responder, Todo
from protocol.setup.order import Order, Result
from protocol.setup.states import Nsu
from serverside.addresses import add_address, switch_on
from serverside.claim import KEY_NAME, claim_key, is_claimed
from serverside.interface_address import AddressError

SIGTERM, SIGHUP = 15, 1
LOOK_EVERY_S = 2.0
BEAT_EVERY_S = 1.0
AT_ONCE_MAX = 64
"""Frames of one interface before the loop's other work."""
ANSWERS_A_SECOND = 200
"""More frames are passed over: nobody who sets a machine up sends so many."""
EVERY = "every"
"""SETUP = every: all Ethernet interfaces."""

CarryOut = Callable[[Order, str, bytes], Result]
"""Do an order that came to this interface from this MAC; all of it or nothing."""


@dataclass(frozen=True, slots=True)
class SetupSettings:
    """What the process is told."""

    state_dir: Path
    listen_on: tuple[str, ...]
    """Interfaces on which orders are heard; `every`; none: nothing is heard."""
    addresses: tuple[tuple[str, str], ...]
    """(interface, `10.0.0.5/24`) that are set at the start."""


class SetupPort:
    """Both duties of the process."""

    def __init__(self, life: Life, settings: SetupSettings, carry_out: CarryOut) -> None:
        self.life = life
        self.settings = settings
        self.carry_out = carry_out
        self.loop = Loop()
        self.unset = list(settings.addresses)
        self.links: dict[str, LinkSocket] = {}
        self.answers_left = ANSWERS_A_SECOND
        self.limited = 0
        self.told: set[str] = set()
        self.responder = self.make_responder() if settings.listen_on else None
        self.control = ControlServer(self.loop, settings.state_dir / "setup.sock", {"status": lambda _: self.status()})

    def make_responder(self) -> Responder:
        """Make the NSU's end. Raises StateError, OSError."""
        claimed = is_claimed(self.settings.state_dir)
        key = b"" if claimed else claim_key(self.settings.state_dir, secrets.token_bytes)
        if not claimed:
            say(
                f"nsu: setup: nobody has claimed this machine; its claim key is in {self.settings.state_dir / KEY_NAME}"
                f"; set it up with: nsu configure MAC --address ADDRESS/PREFIX"
            )
        return Responder(key, secrets.token_bytes, time.monotonic, claimed=claimed)

    def run(self) -> Exit:
        """Live until SIGTERM."""
        self.loop.on_signal(SIGTERM, self.loop.stop)
        self.loop.on_signal(SIGHUP, lambda: None)
        self.look()
        self.beat()
        self.life.ready()
        if self.life.stop_asked:
            self.loop.stop()
        self.loop.run()
        self.control.close()
        self.loop.close()
        return Exit.OK

    def beat(self) -> None:
        self.life.beat()
        self.answers_left = ANSWERS_A_SECOND
        say_held()
        self.loop.call_later(BEAT_EVERY_S, self.beat)

    # -- interfaces --------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Set what is not set yet, and open what is not open yet."""
        self.unset = [each for each in self.unset if not self.set_address(*each)]
        for name in self.wanted():
            self.look_at(name)
        self.loop.call_later(LOOK_EVERY_S, self.look)

    def wanted(self) -> Sequence[str]:
        if self.settings.listen_on == (EVERY,):
            return [name for _, name in socket.if_nameindex() if name != "lo"]
        return self.settings.listen_on

    def set_address(self, interface: str, address: str) -> bool:
        try:
            if add_address(interface, address):
                say(f"nsu: setup: {interface} has {address}")
        except AddressError as error:
            self.tell_once(f"nsu: setup: {error}; it is tried again")
            return False
        return True

    def look_at(self, interface: str) -> None:
        """Open the interface's socket, if it is not open, or of an interface that is gone."""
        link = self.links.get(interface)
        with suppress(OSError):
            if link is not None and socket.if_nametoindex(interface) == link.index:
                return
        if link is not None:
            self.loop.forget(link)
            self.links.pop(interface).close()
        try:
            fresh = LinkSocket(interface)
        except OSError as error:
            if self.settings.listen_on != (EVERY,) or isinstance(error, PermissionError):
                self.tell_once(f"nsu: setup: {error.strerror or error}")
            return
        try:
            switch_on(interface)
        except AddressError as error:
            self.tell_once(f"nsu: setup: {error}")
        self.links[interface] = fresh
        self.loop.watch(fresh, on_readable=lambda: self.hear(interface, fresh))

    def tell_once(self, sentence: str) -> None:
        if sentence not in self.told:
            self.told.add(sentence)
            say(sentence)

    # -- frames ------------------------------------------------------------------------------------------------------

    def hear(self, interface: str, link: LinkSocket) -> None:
        for _ in range(AT_ONCE_MAX):
            received = link.receive()
            if received is None:
                return
            mac, payload = received
            frame = decode(payload)
            if frame is None or frame.kind not in SETUP_KINDS:
                continue  # discovery's, who counts them
            if self.answers_left == 0:
                self.limited += 1
                continue
            self.answers_left -= 1
            self.answer(interface, link, mac, frame)

    def answer(self, interface: str, link: LinkSocket, mac: bytes, frame: Frame) -> None:
        """Take one message, and send what it is answered by."""
        assert self.responder is not None
        wrong_before = self.responder.counts.wrong_proofs
        said = self.responder.receive(link.mac, mac, frame.kind, frame.body)
        if self.responder.counts.wrong_proofs != wrong_before:
            paused = "; nothing is looked at for a minute" if self.responder.state is Nsu.PAUSED else ""
            say(f"nsu: setup: a wrong claim key, from {mac_text(mac)} on {interface}{paused}", "a wrong claim key")
        if isinstance(said, Todo):
            said = self.do(said, interface, mac)
        if isinstance(said, Message):
            with suppress(OSError):  # full or down: it is asked again
                link.send(mac, encode(Frame(said.kind, frame.nonce, said.body)))

    def do(self, todo: Todo, interface: str, mac: bytes) -> Message:
        """Carry an order out, and say what became of it."""
        assert self.responder is not None
        result = self.carry_out(todo.order, interface, mac)
        what = "is set up" if result.done else "could not be set up, and is as it was"
        say(f"nsu: setup: this machine {what}, by order from {mac_text(mac)} on {interface}: {result.sentence}")
        return self.responder.finish(todo, result)

    def status(self) -> dict[str, Any]:
        """Give what it has heard."""
        heard = {} if self.responder is None else asdict(self.responder.counts)
        return {
            "claimed": is_claimed(self.settings.state_dir),
            "state": None if self.responder is None else self.responder.state.name.lower(),
            "interfaces": {name: mac_text(link.mac) for name, link in self.links.items()},
            "addresses_not_set": [f"{address} on {name}" for name, address in self.unset],
            "counts": {**heard, "limited": self.limited},
        }


def run_setup(life: Life, settings: SetupSettings, carry_out: CarryOut) -> int:
    """Live as `nsu: setup`. Raises StateError, OSError, ControlError."""
    return SetupPort(life, settings, carry_out).run()


assert all(kind in SETUP_KINDS for kind in Kind)
