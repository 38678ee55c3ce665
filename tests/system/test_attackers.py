"""Attacks by strangers, by whoever sits on the way, and by a host that is not meant: refused, while another host works.

All are made on real sockets against a real NSU. Beside each, the good host of the site reads and writes its disk and
knows what it must find there. What is proved elsewhere is not proved again: docs/security.md has the whole table.
"""

import random
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hostside import open_disk
from hostside.client import Disk
from ipc.control import control_call
from protocol.dialogue import HostDialogue
from protocol.errors import LoginRefused, RemoteProtocolError, VersionMismatch
from protocol.events import Fenced, Granted, PathTicket
from protocol.limits import HEADER_BYTES, U32_MAX
from protocol.ops import Op
from protocol.path_login import check_login_answer, path_token, v2_login_message
from protocol.status import Status
from protocol.v2.codec import Header, decode, encode
from tests.chaos.bad_host import LOGIN, RawHost, RawPath
from tests.chaos.test_neighbours import BLOCKS, PIECE_BYTES, REPOSITORY, Site, p99_s, site
from tests.chaos.verifier import Verifier
from tests.system.test_noise import memory_bytes, settled, state_of

__all__ = ["site"]

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

HERE = "127.0.0.1"
SLOWEST_S = 3.0
"""No request of the good host may take so long: it would mean that its paths or its session were disturbed."""
FREE_GUESSES, SLOWED_BY_S = 20, 0.9
"""So many wrong tokens of an address are answered at once; each further one waits at least so long."""
HALF_HANDSHAKES = 10_000
DESCRIPTORS_MAX = 300
MEMORY_GROWTH_BYTES_MAX = 8 << 20


@pytest.fixture(scope="module")
def attacked(site: Site) -> Iterator[Site]:
    """The site, with its good host at work: every block that it reads is the one that it wrote."""
    with Verifier(site.at, BLOCKS, threads=1, seed=8) as verifier:
        yield site
    assert verifier.reconnects == 0
    assert verifier.requests > 0
    assert verifier.longest_s < SLOWEST_S


@pytest.fixture
def bad(attacked: Site) -> Iterator[RawHost]:
    """A session of a host with a key of its own, beside the good host at work."""
    host = RawHost(HERE, attacked.config_port, secret_of(attacked))
    yield host
    host.sock.close()


def secret_of(site: Site) -> bytes:
    return bytes.fromhex(site.bad_secret.read_text().strip())


def status(site: Site) -> dict[str, Any]:
    return control_call(site.server.state / "server.sock", "status")


def good_session(site: Site) -> int:
    (number,) = (session["session"] for session in status(site)["sessions"] if session["host"] == "good")
    return int(number)


def paths_of(site: Site, session: int) -> list[Any]:
    return [srw for each in status(site)["sessions"] if each["session"] == session for srw in each["srws"]]


def connected(port: int, source: str = HERE) -> socket.socket:
    return socket.create_connection((HERE, port), timeout=10, source_address=(source, 0))


def heard(sock: socket.socket) -> bytes:
    """Give all that comes until the other side ends it; a reset is an end too."""
    data = b""
    try:
        while part := sock.recv(65536):
            data += part
    except ConnectionResetError:
        pass
    return data


def said_to(port: int, message: bytes) -> bytes:
    """Say it on a data socket of one's own, and give what is answered."""
    with connected(port) as sock:
        sock.sendall(message)
        return heard(sock)


def is_refused(answer: bytes) -> bool:
    return len(answer) == HEADER_BYTES and decode(answer).zn_status != Status.OK


# --- replayed, reflected, changed on the way: the configuration socket ---

Change = Callable[[bytes], bytes]


def unchanged(frame: bytes) -> bytes:
    return frame


def log_in_by_relay(site: Site, down: Change = unchanged, up: Change = unchanged) -> tuple[bytes, bytes]:
    """Log in past somebody who changes greeting and reply; give the reply that was sent, and the verdict."""
    dialogue = HostDialogue(2, LOGIN, secret_of(site), secrets.token_bytes(32))
    with connected(site.config_port) as sock:
        dialogue.receive(down(sock.recv(HEADER_BYTES, socket.MSG_WAITALL)))
        reply = up(dialogue.data_to_send())
        sock.sendall(reply)
        verdict = sock.recv(HEADER_BYTES, socket.MSG_WAITALL)
    (granted,) = dialogue.receive(verdict)
    assert isinstance(granted, Granted)
    return reply, verdict


def with_words(**words: Any) -> Change:
    """Change words, and mend the CRC, as whoever sits on the way can."""
    return lambda frame: encode(decode(frame)._replace(**words))


def answer_to(site: Site, make_reply: Callable[[Header], bytes]) -> bytes:
    """Give what the NSU says to a reply that is made when its greeting is known."""
    with connected(site.config_port) as sock:
        sock.sendall(make_reply(decode(sock.recv(HEADER_BYTES, socket.MSG_WAITALL))))
        return heard(sock)


def test_a_recorded_login_opens_nothing(attacked: Site) -> None:
    reply, _ = log_in_by_relay(attacked)
    assert is_refused(answer_to(attacked, lambda _: reply))

    def fitted(greeting: Header) -> bytes:
        return with_words(zn_reqsz_lo=greeting.zn_reqsz_lo ^ U32_MAX)(reply)

    assert is_refused(answer_to(attacked, fitted)), "the complement fits, the proof is to another greeting"


def test_a_recorded_verdict_proves_no_server(attacked: Site) -> None:
    _, verdict = log_in_by_relay(attacked)
    dialogue = HostDialogue(2, LOGIN, secret_of(attacked), secrets.token_bytes(32))
    with connected(attacked.config_port) as sock:
        dialogue.receive(sock.recv(HEADER_BYTES, socket.MSG_WAITALL))
        with pytest.raises(RemoteProtocolError, match="did not prove"):
            dialogue.receive(verdict)


def test_a_challenge_that_is_sent_back_proves_nothing(attacked: Site) -> None:
    def mirrored(greeting: Header) -> bytes:
        return encode(greeting._replace(zn_version=2, text=LOGIN.encode(), supported=2))

    def mirrored_complement(greeting: Header) -> bytes:
        return with_words(zn_reqsz_lo=greeting.zn_reqsz_lo ^ U32_MAX, proof=greeting.nonce)(mirrored(greeting))

    assert is_refused(answer_to(attacked, mirrored))
    assert is_refused(answer_to(attacked, mirrored_complement))


def test_the_proof_for_one_connection_opens_no_other(attacked: Site) -> None:
    """The true host is shown the greeting of another connection, and answers it in good faith."""

    def by_the_host_elsewhere(greeting: Header) -> bytes:
        dialogue = HostDialogue(2, LOGIN, secret_of(attacked), secrets.token_bytes(32))
        with connected(attacked.config_port) as other:
            dialogue.receive(other.recv(HEADER_BYTES, socket.MSG_WAITALL))
        return with_words(zn_reqsz_lo=greeting.zn_reqsz_lo ^ U32_MAX)(dialogue.data_to_send())

    assert is_refused(answer_to(attacked, by_the_host_elsewhere))


def test_version_bits_stripped_on_the_way_down_end_at_the_floor(attacked: Site) -> None:
    with pytest.raises(VersionMismatch):
        log_in_by_relay(attacked, down=with_words(zn_version=1))


@pytest.mark.parametrize("mask", [0x3, 0x6, 0x7])
def test_version_bits_changed_on_the_way_down_are_found(attacked: Site, mask: int) -> None:
    with pytest.raises(LoginRefused):
        log_in_by_relay(attacked, down=with_words(zn_version=mask))


@pytest.mark.parametrize("words", [{"supported": 1}, {"supported": 3}, {"zn_version": 1}, {"zn_version": 3}])
def test_version_bits_changed_on_the_way_up_are_found(attacked: Site, words: dict[str, int]) -> None:
    with pytest.raises(RemoteProtocolError):
        log_in_by_relay(attacked, up=with_words(**words))


# --- data sockets ---


def recorded_login(bad: RawHost) -> tuple[bytes, socket.socket]:
    """Open path 0 rightly; give the message that did it, and its socket."""
    bad.dialogue.ask_path(0)
    nonce = bad.next(PathTicket).nonce
    key, granted = bad.dialogue.session_key, bad.granted
    assert key is not None
    host_token, server_token = (path_token(key, role, granted.session, 0, nonce) for role in (b"host", b"server"))
    message = v2_login_message(granted.session, granted.epoch, 0, host_token)
    sock = connected(bad.ports[0].port)
    sock.sendall(message)
    answer = sock.recv(HEADER_BYTES, socket.MSG_WAITALL)
    check_login_answer(2, answer, session=granted.session, path=0, server_token=server_token)
    return message, sock


def test_a_recorded_path_token_opens_nothing_while_its_path_lives_nor_after(site: Site, bad: RawHost) -> None:
    message, sock = recorded_login(bad)
    port = bad.ports[0].port
    assert is_refused(said_to(port, message))
    sock.close()
    until_s = time.monotonic() + SLOWEST_S
    while paths_of(site, bad.granted.session):
        assert time.monotonic() < until_s
        time.sleep(0.02)
    assert is_refused(said_to(port, message)), "the path is free, and its number too; the token was good once"
    bad.dialogue.ask_fence(0)
    bad.next(Fenced)
    assert is_refused(said_to(port, message))


def test_a_stranger_who_guesses_the_session_of_another_host_gets_nothing(site: Site, bad: RawHost) -> None:
    session, port = good_session(site), bad.ports[0].port
    for path in range(3):
        guess = v2_login_message(session, bad.granted.epoch, path, secrets.token_bytes(32))
        assert is_refused(said_to(port, guess))


@pytest.mark.parametrize("what", ["another session", "another path", "another marker", "noise"])
def test_what_is_said_for_another_host_on_ones_own_socket_ends_it(site: Site, bad: RawHost, what: str) -> None:
    path = bad.open_path(0, bad.ports[0])
    frames: dict[str, Change] = {
        "another session": with_words(zn_hostid=good_session(site)),
        "another path": with_words(path=1),
        "another marker": with_words(zn_marker=1),
        "noise": lambda frame: secrets.token_bytes(len(frame)),
    }
    with path.sock:
        path.sock.settimeout(10)
        path.sock.sendall(frames[what](path.header(Op.WRITE)) + bytes(64 << 10))
        assert heard(path.sock) == b"", "a frame in doubt gets no answer"


def refused(path: RawPath, **words: int) -> Header:
    """Ask to read with other words in the request, and give the answer's header."""
    with path.sock:
        path.sock.settimeout(10)
        path.sock.sendall(with_words(**words)(path.header(Op.READ)))
        answer = decode(path.sock.recv(HEADER_BYTES, socket.MSG_WAITALL))
    assert answer.zn_status != Status.OK
    return answer


def test_another_hosts_partition_has_no_number_here(site: Site, bad: RawHost) -> None:
    for place, unit in enumerate((1, 2, 63, U32_MAX)):
        assert refused(bad.open_path(place, bad.ports[0]), zn_zlun=unit).zn_status == Status.ENXIO


def test_ones_own_partition_ends_where_another_hosts_begins(site: Site, bad: RawHost) -> None:
    for place, lba in enumerate((BLOCKS - 1, BLOCKS, U32_MAX)):
        assert refused(bad.open_path(place, bad.ports[0]), zn_lba_lo=lba).zn_status == Status.EINVAL


# --- many ---


def test_who_guesses_tokens_waits_longer_and_is_counted(site: Site, bad: RawHost) -> None:
    port, before = bad.ports[0].port, status(site)["turned_away"]["tokens"]
    guess = v2_login_message(bad.granted.session, bad.granted.epoch, 0, bytes(32))
    guesses = FREE_GUESSES + 2
    times_s = []
    for _ in range(guesses):
        began_s = time.monotonic()
        with connected(port, "127.66.0.1") as sock:
            sock.sendall(guess)
            assert is_refused(heard(sock))
        times_s.append(time.monotonic() - began_s)
    assert min(times_s[FREE_GUESSES:]) >= SLOWED_BY_S
    assert status(site)["turned_away"]["tokens"] == before + guesses


def test_a_wrong_login_is_counted(attacked: Site) -> None:
    before = status(attacked)["turned_away"]["logins"]
    with pytest.raises(LoginRefused):
        RawHost(HERE, attacked.config_port, bytes(32))
    with pytest.raises(LoginRefused):
        RawHost(HERE, attacked.config_port, secret_of(attacked), "nobody")
    assert status(attacked)["turned_away"]["logins"] == before + 2


def test_ten_thousand_half_handshakes_cost_little_and_hold_up_nobody(attacked: Site, bad: RawHost) -> None:
    """With room for a busy machine: whoever is held up by a stranger waits for seconds."""
    assert bad.ports
    pid = attacked.server_pid
    before = state_of(pid)
    with open_disk(at=attacked.at) as disk:
        half_handshakes(attacked, 1000).wait()  # what a first time costs is no leak
        settled(pid, before, 7.0)
        memory_before_bytes = memory_bytes(pid)
        until_s = time.monotonic() + 1.0
        alone = read_times_s(disk, lambda: time.monotonic() < until_s)
        attack = half_handshakes(attacked, HALF_HANDSHAKES)
        descriptors = [0]

        def is_attacked() -> bool:
            descriptors.append(state_of(pid).descriptors)
            return attack.poll() is None

        beside = read_times_s(disk, is_attacked)
        assert attack.wait() == 0
    figures = f"{p99_s(beside) * 1e3:.2f} ms ({len(beside)} reads), alone {p99_s(alone) * 1e3:.2f} ms"
    print(f"beside {HALF_HANDSHAKES} half handshakes: p99 of 4 KiB {figures}; at most {max(descriptors)} descriptors")
    assert p99_s(beside) < 10 * p99_s(alone) + 0.25
    assert max(descriptors) < DESCRIPTORS_MAX
    assert settled(pid, before, 7.0) == before
    assert memory_bytes(pid) - memory_before_bytes < MEMORY_GROWTH_BYTES_MAX


def read_times_s(disk: Disk, go_on: Callable[[], bool]) -> list[float]:
    """Read pieces one at a time while it goes on."""
    luck, found = random.Random(1), []
    while go_on():
        began_s = time.perf_counter()
        disk.pread(PIECE_BYTES, luck.randrange(BLOCKS * 512 // PIECE_BYTES) * PIECE_BYTES)
        found.append(time.perf_counter() - began_s)
    return found


def half_handshakes(site: Site, count: int) -> subprocess.Popen[bytes]:
    """Begin them at both ports; the data port listens while a host that is logged in has places there."""
    ports = (site.config_port, status(site)["data_ports"][0]["port"])
    command = [sys.executable, "-m", "tests.chaos.half_open", str(count), *(f"{HERE}:{port}" for port in ports)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=REPOSITORY)
