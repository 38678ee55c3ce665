"""Proves the TLS stream: all bytes in their order through any buffers, who is refused and why, and what it reports."""

import os
import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ipc import tls_stream
from ipc.tls import TlsFiles, TlsIdentity, read_identity
from ipc.tls_stream import TlsStream, begins_tls, names_in
from tests.harness.tls import authority, tls_files

Pair = tuple[TlsStream, TlsStream]


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return authority(tmp_path_factory.mktemp("tls") / "ca")


@pytest.fixture(scope="module")
def server(ca: Path) -> TlsFiles:
    return tls_files(ca, "box1", ["10.0.0.1", "2001:db8::1"])


@pytest.fixture(scope="module")
def host(ca: Path) -> TlsFiles:
    return tls_files(ca, "host1")


@pytest.fixture
def pair(server: TlsFiles, host: TlsFiles) -> Iterator[Pair]:
    near, far = streams(read_identity(host, server_side=False), read_identity(server, server_side=True))
    shake(near, far)
    with near, far:
        yield near, far


def streams(near: TlsIdentity, far: TlsIdentity) -> Pair:
    """Two ends, nonblocking, before their handshake."""
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    return TlsStream(ends[0], near), TlsStream(ends[1], far)


def shake(*ends: TlsStream) -> None:
    waiting = list(ends)
    for _ in range(8):
        waiting = [end for end in waiting if not is_done(end)]
    assert not waiting


def is_done(end: TlsStream) -> bool:
    try:
        end.shake_hands()
    except BlockingIOError:
        return False
    return True


def test_both_ends_know_whom_the_other_ones_certificate_names(pair: Pair) -> None:
    near, far = pair
    assert near.names == {"box1", "10.0.0.1", "2001:db8::1"}
    assert far.names == {"host1"}
    assert (near.fingerprint, far.fingerprint) == (far.identity.fingerprint, near.identity.fingerprint)
    near.require_name("BOX1")
    near.require_name("elsewhere", "10.0.0.1")
    with pytest.raises(OSError, match=r"names 10\.0\.0\.1, 2001:db8::1, box1, and not box2"):
        near.require_name("box2")


def test_all_bytes_arrive_in_order_through_whatever_buffers(pair: Pair) -> None:
    near, far = pair
    dice = random.Random(8)
    data = dice.randbytes(3_000_000)
    sent, got = 0, bytearray()
    while len(got) < len(data):
        if sent < len(data):
            cuts = sorted(min(len(data), sent + dice.randrange(1, 200_000)) for _ in range(3))
            pieces = [data[a:b] for a, b in zip([sent, *cuts[:-1]], cuts, strict=True)]
            sent += or_none(near.sendmsg, pieces)
        sizes = [dice.randrange(1, 70_000) for _ in range(dice.randrange(1, 4))]
        views = [memoryview(bytearray(size)) for size in sizes]
        count = or_none(filled, far, views)
        got += b"".join(views)[:count]
    assert bytes(got) == data


def filled(stream: TlsStream, views: list[memoryview]) -> int:
    return stream.recvmsg_into(views)[0]


def or_none(act: Callable[..., int], *given: object) -> int:
    """Give what it gives, or 0 when there is no room, or nothing to read."""
    try:
        return act(*given)
    except BlockingIOError:
        return 0


def test_more_tells_of_what_poll_can_not_and_a_large_receive_leaves_nothing(pair: Pair) -> None:
    near, far = pair
    near.sendall(b"x" * 40_000)
    first = far.recv(100)
    assert (len(first), far.more) == (100, True)
    rest = b""
    while len(rest) < 39_900:
        rest += far.recv(tls_stream.ROOM_BYTES)  # each time that the kernel has something
        assert not far.more
    with pytest.raises(BlockingIOError):
        far.recv(1)
    assert not far.more


def test_what_the_kernel_has_not_taken_is_not_reported_as_sent(pair: Pair) -> None:
    near, far = pair
    data = memoryview(os.urandom(8 << 20))
    sent = 0
    while count := or_none(near.send, data[sent:]):
        sent += count
    got, part = bytearray(), memoryview(bytearray(1 << 20))
    while count := or_none(far.recv_into, part):
        got += part[:count]
    assert len(got) <= sent < len(data)
    while len(got) < len(data):
        sent += or_none(near.send, data[sent:])
        got += part[: or_none(far.recv_into, part)]
    assert bytes(got) == data.tobytes()


def test_it_goes_on_in_one_process_after_a_fork_while_the_other_closes_its_own(pair: Pair) -> None:
    near, far = pair
    pid = os.fork()
    if pid == 0:
        near.sendall(b"by the child")
        os._exit(0)
    near.close()
    assert os.waitpid(pid, 0)[1] == 0
    assert far.recv(100) == b"by the child"
    assert far.recv(100) == b""


def test_a_key_serves_for_so_many_bytes_and_no_more(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    near, _ = pair
    monkeypatch.setattr(tls_stream, "KEY_BYTES_MOST", 100_000)
    near.sendall(b"x" * 60_000)
    with pytest.raises(OSError, match="new ones are made"):
        near.sendall(b"x" * 60_000)


def test_what_was_changed_on_its_way_ends_it(server: TlsFiles, host: TlsFiles) -> None:
    (near_end, near_wire), (far_wire, far_end) = socket.socketpair(), socket.socketpair()
    with near_wire, far_wire:
        for sock in (near_end, near_wire, far_wire, far_end):
            sock.setblocking(False)
        near = TlsStream(near_end, read_identity(host, server_side=False))
        far = TlsStream(far_end, read_identity(server, server_side=True))
        with near, far:
            for _ in range(8):
                is_done(near)
                carry(near_wire, far_wire)
                is_done(far)
                carry(far_wire, near_wire)
            near.sendall(b"x" * 100)
            record = bytearray(near_wire.recv(1000))
            record[50] ^= 1
            far_wire.sendall(record)
            with pytest.raises(OSError, match="damaged or forged"):
                far.recv(100)


def carry(source: socket.socket, sink: socket.socket) -> None:
    or_none(lambda: sink.send(source.recv(1 << 16)))


REFUSALS = [
    ("another authority", "its certificate is not accepted: unable to get local issuer"),
    ("expired", "its certificate is not accepted: certificate has expired"),
    ("none", "it shows no certificate"),
    ("TLS 1.2", "it does not speak TLS 1.3"),
    ("garbage", "TLS failed"),
]


@pytest.mark.parametrize(("who", "words"), REFUSALS)
def test_a_stranger_is_refused_with_a_sentence_for_the_administrator(
    who: str, words: str, ca: Path, server: TlsFiles, tmp_path: Path
) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    with TlsStream(ours, read_identity(server, server_side=True)) as stream, theirs:
        thread = threading.Thread(target=come_as, args=(who, theirs, ca, tmp_path))
        thread.start()
        with pytest.raises(OSError, match=words):
            stream.shake_hands()
        stream.close()
        thread.join()


def come_as(who: str, sock: socket.socket, ca: Path, folder: Path) -> None:
    context = ssl.create_default_context(cafile=ca / "ca.crt")
    context.check_hostname = False
    if who == "another authority":
        files = tls_files(authority(folder / "other"), "host1")
        context.load_cert_chain(files.cert, files.key)
    elif who == "expired":
        files = tls_files(ca, "late", days=0)
        context.load_cert_chain(files.cert, files.key)
    elif who == "TLS 1.2":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    try:
        if who == "garbage":
            sock.sendall(b"\x16\x03\x01\x00\x05hello")
        else:
            with context.wrap_socket(sock, server_hostname="box1") as stream:
                stream.recv(1)
    except OSError:
        pass


def test_a_host_that_is_refused_is_told_by_tls_and_says_it_in_words(server: TlsFiles, tmp_path: Path) -> None:
    stranger = tls_files(authority(tmp_path / "other"), "host1")
    trusting = TlsFiles(stranger.cert, stranger.key, server.ca)
    near, far = streams(read_identity(trusting, server_side=False), read_identity(server, server_side=True))
    with near, far:
        with pytest.raises(BlockingIOError):
            near.shake_hands()
        with pytest.raises(BlockingIOError):
            far.shake_hands()
        near.shake_hands()  # TLS 1.3: the client is done before it is judged
        with pytest.raises(OSError, match="not accepted"):
            far.shake_hands()
        with pytest.raises(OSError, match="does not believe the authority of our certificate"):
            near.recv(100)


def test_who_answers_in_clear_is_refused(host: TlsFiles) -> None:
    near, far = socket.socketpair()
    near.settimeout(5)
    with TlsStream(near, read_identity(host, server_side=False)) as stream, far:
        far.sendall(bytes(512))
        with pytest.raises(OSError, match="answers in clear"):
            stream.shake_hands()


@pytest.mark.parametrize(
    ("first", "is_tls"), [(b"\x16\x03\x01", True), (b"\x16", True), (b"\x00\x00", False), (b"\x16\x00", False)]
)
def test_tls_is_told_by_its_first_bytes_which_stay_there(first: bytes, is_tls: bool) -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(first)
        assert begins_tls(near) is is_tls
        assert near.recv(10) == first
        far.close()
        assert begins_tls(near) is None


def test_the_common_name_counts_only_where_there_is_no_other() -> None:
    subject = ((("commonName", "Host1"),),)
    assert names_in({"subject": subject}) == {"host1"}
    assert names_in({"subject": subject, "subjectAltName": (("DNS", "other"),)}) == {"other"}
    assert names_in({"subject": subject, "subjectAltName": (("IP Address", "2001:DB8:0:0:0:0:0:1"),)}) == {
        "2001:db8::1"
    }
