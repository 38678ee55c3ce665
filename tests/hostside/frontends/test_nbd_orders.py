"""Orders to the kernel: carried out one after the other, refusals told, and the loop free whatever an order does."""

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostside.frontends import nbd_orders
from hostside.frontends.nbd_device import NbdDevices
from hostside.frontends.nbd_orders import Order, Orders
from ipc.loop import Loop

DEADLINE_S = 10.0


class Book:
    """Orders, and what became of each."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.orders = Orders(self.loop)
        self.told: list[tuple[str, OSError | None]] = []

    def add(self, what: str, give: Callable[[NbdDevices], object], *keep: int) -> None:
        def then(error: OSError | None) -> None:
            self.told.append((what, error))
            self.loop.stop()

        self.orders.add(Order(what, give, then, keep))

    def run(self, count: int) -> None:
        late = self.loop.call_later(DEADLINE_S, self.loop.stop)
        while len(self.told) < count and not late.is_cancelled:
            self.loop.run()
        late.cancel()
        assert len(self.told) == count


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> Iterator[Book]:
    monkeypatch.setattr(nbd_orders, "NbdDevices", object)  # this kernel may have no NBD client
    book = Book()
    yield book
    book.orders.close()
    book.loop.close()


def test_orders_are_given_in_turn_each_with_its_descriptors(book: Book, tmp_path: Path) -> None:
    with open(tmp_path / "log", "wb") as log:

        def write_slowly(_: NbdDevices) -> None:
            time.sleep(0.1)
            os.write(log.fileno(), b"1")

        book.add("first", write_slowly, log.fileno())
        book.add("second", lambda _: os.write(log.fileno(), b"2"), log.fileno())
        book.run(2)
    assert book.told == [("first", None), ("second", None)]
    assert (tmp_path / "log").read_bytes() == b"12"


def test_a_refusal_is_told_in_words_and_the_next_order_is_given(book: Book) -> None:
    def refuse(_: NbdDevices) -> None:
        raise OSError(errno.EINVAL, "no")

    book.add("detach nbd0", refuse)
    book.add("detach nbd1", lambda _: os.kill(os.getpid(), signal.SIGKILL))
    book.add("detach nbd2", lambda _: None)
    book.run(3)
    sentences = [None if error is None else error.strerror for _, error in book.told]
    assert sentences[0] == "the kernel's NBD client won't detach nbd0: Invalid argument"
    assert sentences[1] is not None
    assert sentences[2] is None


def test_a_kernel_without_an_nbd_client_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hostside.frontends.nbd_device.FAMILY", "no such client")
    book = Book()
    book.add("detach nbd0", lambda kernel: kernel.disconnect(0))
    book.run(1)
    error = book.told[0][1]
    assert error is not None
    assert error.errno == errno.ENODEV
    book.loop.close()


def test_while_an_order_hangs_the_loop_turns_and_the_process_can_end(book: Book) -> None:
    pid_reader, pid_writer = os.pipe()

    def hang(_: NbdDevices) -> None:
        os.write(pid_writer, b"%d" % os.getpid())
        time.sleep(60)

    book.add("detach nbd0", hang, pid_writer)
    book.add("resize nbd0", lambda _: None)
    turns: list[int] = []

    def turn() -> None:
        turns.append(1)
        if len(turns) < 5:
            book.loop.call_later(0.01, turn)
        else:
            book.loop.stop()

    book.loop.call_later(0, turn)
    book.loop.run()
    assert book.told == []
    book.orders.drop_waiting()
    assert [(what, error.errno) for what, error in book.told if error is not None] == [("resize nbd0", errno.ECANCELED)]
    began_s = time.monotonic()
    book.orders.close()
    assert time.monotonic() - began_s < 1.0
    pid = int(os.read(pid_reader, 20))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(pid_reader)
    os.close(pid_writer)
