"""Proves: each call carried from a thread ends with its own outcome, and after `close` everyone is told ESHUTDOWN."""

from collections.abc import Iterator
from contextlib import contextmanager
from errno import EIO, ESHUTDOWN

from hostside.frontends.aside import Aside
from hostside.frontends.fuse_calls import Call, Handover
from ipc.loop import Loop
from protocol.ops import Op

THREADS, ROUNDS = 8, 50


@contextmanager
def running(threads: list[Aside], loop: Loop) -> Iterator[None]:
    yield
    assert all(thread.join(5) for thread in threads), "somebody waits for ever"
    loop.close()


def test_many_threads_get_their_own_answers() -> None:
    loop = Loop()
    wrong: list[str] = []

    def take(call: Call) -> None:
        call.data = b"%d" % call.offset_bytes
        handover.end(call, EIO if call.offset_bytes % 7 == 0 else 0)

    handover = Handover(loop, take)

    def ask(first: int) -> None:
        for number in range(first * ROUNDS, (first + 1) * ROUNDS):
            try:
                is_right = handover.carry(Call(Op.READ, number, 1)) == b"%d" % number and number % 7
            except OSError as error:
                is_right = error.errno == EIO and not number % 7
            if not is_right:
                wrong.append(f"call {number}")

    left = [THREADS]

    def one_less() -> None:
        left[0] -= 1
        if not left[0]:
            loop.stop()

    threads = [Aside(lambda first=first: ask(first), loop, one_less) for first in range(THREADS)]  # type: ignore[misc]
    with running(threads, loop):
        loop.run()
    assert not wrong
    assert all(thread.error is None for thread in threads)


def test_nobody_waits_after_close() -> None:
    loop = Loop()
    taken: list[Call] = []

    def take(call: Call) -> None:
        taken.append(call)
        loop.stop()

    handover = Handover(loop, take)
    under_way = Aside(lambda: handover.carry(Call(Op.FLUSH, 0, 0)))
    with running([under_way], loop):
        loop.run()
        assert taken
        handover.close()
        assert under_way.join(5)
        late = Aside(lambda: handover.carry(Call(Op.FLUSH, 0, 0)))
        assert late.join(5)
    for thread in (under_way, late):
        assert isinstance(thread.error, OSError)
        assert thread.error.errno == ESHUTDOWN
    handover.end(taken[0])  # the driver's late answer harms nobody
