"""Proves how an accepted socket begins: TLS is told from clear, a handshake made or refused; the floor of a HOST."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from ipc.loop import Loop
from ipc.tls import read_identity
from ipc.tls_stream import TlsStream
from protocol.status import Detail
from serverside.tls_entry import Names, TlsEntry, names_of, objection
from tests.harness.tls import authority, tls_files
from tests.serverside.rig import host, turn


class Door:
    """An entry, the stranger before it, and what became of it."""

    def __init__(self, loop: Loop, ca: Path, clear_after_s: float | None) -> None:
        self.loop = loop
        self.ca = ca
        self.entered: list[socket.socket] = []
        self.failed: list[str] = []
        self.stranger, ours = socket.socketpair()
        self.stranger.setblocking(False)
        ours.setblocking(False)
        self.entry = TlsEntry(
            loop,
            ours,
            read_identity(tls_files(ca, "box1"), server_side=True),
            clear_after_s=clear_after_s,
            on_entered=self.entered.append,
            on_failed=self.failed.append,
        )

    def turn(self) -> None:
        turn(self.loop, lambda: self.entered or self.failed)

    def close(self) -> None:
        self.stranger.close()
        self.entry.cancel()
        self.entry.sock.close()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def door(stack: ExitStack, tmp_path: Path, clear_after_s: float | None = None) -> Door:
    loop = Loop()
    stack.callback(loop.close)
    made = Door(loop, authority(tmp_path / "ca"), clear_after_s)
    stack.callback(made.close)
    return made


def test_a_host_with_a_certificate_enters_and_is_known(stack: ExitStack, tmp_path: Path) -> None:
    here = door(stack, tmp_path)
    stream = TlsStream(here.stranger, read_identity(tls_files(here.ca, "host1"), server_side=False))
    stack.callback(stream.close)

    def shake() -> None:
        try:
            stream.shake_hands()
        except BlockingIOError:
            here.loop.call_later(0.001, shake)

    shake()
    here.turn()
    (entered,) = here.entered
    assert names_of(entered) == frozenset({"host1"})
    stream.sendall(b"hello")
    assert entered.recv(100) == b"hello"


def test_who_speaks_first_and_in_clear_enters_in_clear_with_every_byte(stack: ExitStack, tmp_path: Path) -> None:
    here = door(stack, tmp_path)
    here.stranger.sendall(bytes(512))
    here.turn()
    assert names_of(here.entered[0]) is None
    assert here.entered[0].recv(1000) == bytes(512)


def test_who_says_nothing_enters_in_clear_after_a_while_where_it_is_our_turn(stack: ExitStack, tmp_path: Path) -> None:
    here = door(stack, tmp_path, clear_after_s=0.01)
    here.turn()
    assert names_of(here.entered[0]) is None


def test_who_has_begun_with_tls_is_never_spoken_to_in_clear(stack: ExitStack, tmp_path: Path) -> None:
    here = door(stack, tmp_path, clear_after_s=0.02)
    here.stranger.sendall(b"\x16\x03\x01\x02\x00")  # the beginning of a record that never comes
    here.loop.call_later(0.1, here.loop.stop)
    here.loop.run()
    assert (here.entered, here.failed) == ([], [])


def test_who_hangs_up_or_sends_rubbish_is_told_of(stack: ExitStack, tmp_path: Path) -> None:
    here = door(stack, tmp_path)
    here.stranger.close()
    here.turn()
    assert here.failed == [""]
    here = door(stack, tmp_path / "again")
    here.stranger.sendall(b"\x16\x03\x01\x00\x05hello")
    here.turn()
    assert here.failed[0].startswith("TLS failed")


FLOORS: list[tuple[str, Names, Detail | None]] = [
    ("required", None, Detail.TLS_REQUIRED),
    ("required", frozenset({"host1"}), None),
    ("required", frozenset({"host2", "127.0.0.1"}), Detail.CERTIFICATE_NAME),
    ("allowed", None, None),
    ("allowed", frozenset({"host1"}), None),
    ("allowed", frozenset({"host2"}), Detail.CERTIFICATE_NAME),
    ("no", None, None),
    ("no", frozenset({"host1"}), Detail.TLS_UNWANTED),
]


@pytest.mark.parametrize(("floor", "names", "wrong"), FLOORS)
def test_the_floor_of_a_host(floor: str, names: Names, wrong: Detail | None) -> None:
    assert objection(replace(host(), tls=floor), names) is wrong


def test_a_host_without_a_secret_has_no_tls() -> None:
    assert objection(host(secret=None), frozenset({"host1"})) is Detail.TLS_UNWANTED
