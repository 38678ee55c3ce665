"""Both roles say the golden messages in their order, however the bytes are cut, and neither can be talked down."""

from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.dialogue import HostDialogue, ServerDialogue
from protocol.errors import (
    LocalProtocolError,
    LoginRefused,
    RemoteProtocolError,
    ServerNotProven,
    VersionMismatch,
)
from protocol.events import Event, Granted, LoginFailed, LoginProven, Notice
from protocol.states import CONFIG_HOST, CONFIG_SERVER, Config
from protocol.status import Detail
from protocol.v1 import codec as v1_codec
from protocol.v2 import codec as v2_codec
from tests.protocol.goldens import (
    CHALLENGE,
    EPOCH,
    HOST_NONCE,
    SECRET,
    SERVER_NONCE,
    SESSION,
    golden,
    pieces,
)


def a_server(offered: int, secrets: dict[str, bytes] | None = None) -> ServerDialogue:
    known = {"host1": SECRET} if secrets is None else secrets
    return ServerDialogue(offered, CHALLENGE, SERVER_NONCE, "box1", known.get)


def a_host(*, secret: bytes | None = SECRET, login: str = "host1") -> HostDialogue:
    return HostDialogue(3, login, secret, HOST_NONCE)


Relay = Callable[[bytes], bytes]


def unchanged(frame: bytes) -> bytes:
    return frame


def meet(server: ServerDialogue, host: HostDialogue, *, down: Relay = unchanged, up: Relay = unchanged) -> list[Event]:
    """Run steps 2 to 5; `down` and `up` are what somebody on the path makes of the messages."""
    host.receive(down(server.data_to_send()))
    events = server.receive(up(host.data_to_send()))
    if isinstance(events[0], LoginProven):
        server.grant(SESSION, EPOCH)
    return events + host.receive(server.data_to_send())


def changed(frame: bytes, **fields: int) -> bytes:
    """Change words of a version 0x02 frame and mend its CRC, as whoever sits on the path can."""
    return v2_codec.encode(v2_codec.decode(frame)._replace(**cast(dict[str, Any], fields)))


# The golden conversations, in test_dialogue_base.py, are fed to both roles too; here is what goes wrong.


@pytest.mark.parametrize(("offered", "secret", "version"), [(1, None, 1), (3, None, 1), (2, SECRET, 2), (3, SECRET, 2)])
def test_version_follows_from_the_secret(offered: int, secret: bytes | None, version: int) -> None:
    server, host = a_server(offered), a_host(secret=secret)
    proven, granted = meet(server, host)
    assert proven == LoginProven(version, "host1" if secret else "")
    expected = Granted(2, SESSION, EPOCH, "box1") if secret else Granted(1, 0, 0, "")
    assert granted == expected
    assert server.version == host.version == version
    assert server.session_key == host.session_key
    assert (server.session_key is not None) == (version == 2)
    assert host.challenge == server.challenge == CHALLENGE


@pytest.mark.parametrize(("offered", "secret"), [(1, SECRET), (2, None), (4, SECRET), (5, SECRET), (0, None)])
def test_host_refuses_an_offer_below_its_floor(offered: int, secret: bytes | None) -> None:
    server, host = a_server(offered), a_host(secret=secret)
    with pytest.raises(VersionMismatch) as caught:
        host.receive(server.data_to_send())
    assert host.state is Config.CLOSED
    assert host.data_to_send() == b"", "not a byte is sent below the floor"
    assert f"speaks version 0x0{2 if secret else 1} only" in caught.value.sentence
    if offered:
        assert f"0x0{offered & -offered}" in caught.value.sentence


def test_the_strong_bit_stripped_on_the_way_down_meets_the_floor() -> None:
    with pytest.raises(VersionMismatch):
        meet(a_server(3), a_host(), down=lambda frame: changed(frame, zn_version=1))


@pytest.mark.parametrize(
    ("offered", "left"), [(0x3, 0x2), (0x6, 0x2), (0x7, 0x3), (0x2, 0x3)], ids=["weak", "strong", "future", "added"]
)
def test_a_bit_changed_on_the_way_down_fails_on_the_transcript(offered: int, left: int) -> None:
    server, host = a_server(offered), a_host()
    with pytest.raises(LoginRefused, match="proof does not fit"):
        meet(server, host, down=lambda frame: changed(frame, zn_version=left))
    assert server.state is host.state is Config.CLOSED
    assert server.session_key is host.session_key is None


@pytest.mark.parametrize("mask", [0x0, 0x1, 0x3, 0x6])
def test_a_bit_changed_on_the_way_up_fails_on_the_transcript(mask: int) -> None:
    with pytest.raises(LoginRefused, match="proof does not fit"):
        meet(a_server(3), a_host(), up=lambda frame: changed(frame, supported=mask))


def test_the_stripped_bit_is_refused_by_the_transcript_and_nothing_else() -> None:
    """The same reply opens the server that really offered what the host saw; only the mask differs."""
    server, host = a_server(0x6), a_host()
    host.receive(changed(server.data_to_send(), zn_version=0x2))
    reply = host.data_to_send()
    honest = a_server(0x2)
    assert isinstance(honest.receive(reply)[0], LoginProven)
    assert isinstance(server.receive(reply)[0], LoginFailed)


@pytest.mark.parametrize("chosen", [1, 3, 4, 0, 0xFFFFFFFF])
def test_server_refuses_a_choice_it_did_not_offer(chosen: int) -> None:
    server = a_server(2)
    server.data_to_send()
    reply = v1_codec.encode(v1_codec.Header(zn_version=chosen, zn_reqsz_lo=CHALLENGE ^ 0xFFFFFFFF))
    (event,) = server.receive(reply)
    assert isinstance(event, LoginFailed)
    assert v1_codec.decode(server.data_to_send()).zn_status == 0xFFFFFFFF
    assert server.state is Config.CLOSED


@pytest.mark.parametrize(("login", "secret"), [("host1", bytes(32)), ("nobody", SECRET), ("nobody", bytes(32))])
def test_unknown_login_and_wrong_secret_get_the_same_answer(login: str, secret: bytes) -> None:
    server = a_server(2)
    with pytest.raises(LoginRefused):
        meet(server, a_host(secret=secret, login=login))
    assert server.session_key is None


def test_a_server_that_does_not_know_the_secret_is_unmasked() -> None:
    impostor = a_server(2, {"host1": bytes(32)})
    host = a_host()
    host.receive(impostor.data_to_send())
    host.data_to_send()
    accepted = v2_codec.Header(zn_op=0x1005, zn_hostid=1, session_epoch=1)
    with pytest.raises(ServerNotProven):
        host.receive(v2_codec.encode(accepted))
    assert host.session_key is None


def test_a_reflected_proof_proves_nothing() -> None:
    server, host = a_server(2), a_host()
    host.receive(server.data_to_send())
    proof = v2_codec.decode(host.data_to_send()).proof
    with pytest.raises(ServerNotProven):
        host.receive(v2_codec.encode(v2_codec.Header(zn_op=0x1005, proof=proof)))


def test_an_old_reply_does_not_open_a_new_greeting() -> None:
    server, host = a_server(2), a_host()
    host.receive(server.data_to_send())
    reply = host.data_to_send()
    assert isinstance(server.receive(reply)[0], LoginProven)
    fresh = ServerDialogue(2, CHALLENGE, bytes(32), "box1", {"host1": SECRET}.get)
    assert isinstance(fresh.receive(reply)[0], LoginFailed)


@pytest.mark.parametrize("offered", [1, 2, 3])
@given(noise=st.binary(min_size=512, max_size=4096))
def test_noise_gets_minus_one_and_the_rest_is_not_read(offered: int, noise: bytes) -> None:
    server = a_server(offered)
    server.data_to_send()
    (event,) = server.receive(noise)
    assert isinstance(event, LoginFailed)
    answer = server.data_to_send()
    assert len(answer) == 512
    assert v1_codec.decode(answer).zn_status == 0xFFFFFFFF
    assert server.receive(noise) == []
    assert server.data_to_send() == b""


@given(st.binary(min_size=512, max_size=2048), st.sampled_from([None, SECRET]))
def test_host_takes_noise_for_an_error_and_sends_nothing(noise: bytes, secret: bytes | None) -> None:
    host = a_host(secret=secret)
    with pytest.raises(RemoteProtocolError):
        host.receive(noise)
    assert host.data_to_send() == b""


@pytest.mark.parametrize("version", [1, 2])
@given(noise=st.binary(min_size=512, max_size=2048))
def test_noise_after_the_login_ends_the_dialogue(version: int, noise: bytes) -> None:
    secret = SECRET if version == 2 else None
    for target in ("server", "host"):
        server, host = a_server(3), a_host(secret=secret)
        meet(server, host)
        if target == "server":
            with pytest.raises(RemoteProtocolError):
                server.receive(noise)
            assert server.state is Config.CLOSED
        else:
            with pytest.raises(RemoteProtocolError):
                host.receive(noise)
            assert host.state is Config.CLOSED


def test_a_host_that_does_not_wait_for_the_verdict_is_refused() -> None:
    server, host = a_server(1), a_host(secret=None)
    host.receive(server.data_to_send())
    server.receive(host.data_to_send())
    with pytest.raises(RemoteProtocolError, match="step 5"):
        server.receive(golden("v1_06_ask_starttime"))


def test_refuse_tells_the_host_why() -> None:
    server, host = a_server(2), a_host()
    host.receive(server.data_to_send())
    server.receive(host.data_to_send())
    server.refuse(Detail.SESSION_LIMIT, "Eight sessions are open, and eight are allowed.")
    with pytest.raises(LoginRefused, match="Eight sessions"):
        host.receive(server.data_to_send())
    assert server.state is Config.CLOSED


def test_calls_out_of_turn_are_our_own_mistake() -> None:
    server, host = a_server(3), a_host(secret=None)
    early_calls: list[Callable[[], None]] = [
        lambda: server.grant(1, 1),
        lambda: server.notify(Notice.SHUTTING_DOWN),
        lambda: server.answer_starttime(1),
        host.ask_starttime,
    ]
    for early in early_calls:
        with pytest.raises(LocalProtocolError):
            early()
    meet(server, host)
    unasked_calls: list[Callable[[], None]] = [
        lambda: server.answer_starttime(1),
        lambda: server.answer_fence(1),
        lambda: server.notify(Notice.SHUTTING_DOWN),
        host.ask_units,
        lambda: host.ask_path(1),
        host.ping,
    ]
    for unasked in unasked_calls:
        with pytest.raises(LocalProtocolError):
            unasked()


def test_every_state_of_the_tables_is_a_state_of_the_machines() -> None:
    server, host = a_server(3), a_host()
    seen = {server.state, host.state}
    host.receive(server.data_to_send())
    seen.add(host.state)
    server.receive(host.data_to_send())
    seen.add(server.state)
    server.grant(1, 1)
    seen |= {server.state, Config.CLOSED}
    assert seen == set(CONFIG_SERVER) | set(CONFIG_HOST) == set(Config)


def test_small_pieces_are_kept_until_whole() -> None:
    server = a_server(1)
    data = golden("v1_03_reply")
    events = [event for piece in pieces(data, 100) for event in server.receive(piece)]
    assert events == [LoginProven(1, "")]
