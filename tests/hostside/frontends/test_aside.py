"""Proves: what blocks runs beside the loop, its end and error come back in a turn, and waiting for it ends."""

import threading

from hostside.frontends.aside import Answer, Aside
from ipc.loop import Loop


def test_the_end_is_told_in_the_loop_and_the_error_kept() -> None:
    loop = Loop()
    threads: list[int] = []

    def fail() -> None:
        threads.append(threading.get_ident())
        raise OSError(5, "no")

    def on_done() -> None:
        threads.append(threading.get_ident())
        loop.stop()

    aside = Aside(fail, loop, on_done)
    loop.run()
    assert aside.join(5)
    loop.close()
    assert isinstance(aside.error, OSError)
    assert threads[0] != threads[1] == threading.get_ident()


def test_join_does_not_wait_for_ever() -> None:
    answer = Answer()
    aside = Aside(answer.wait)
    assert not aside.join(0.01)
    answer.give()
    assert aside.join(5)
    assert not Answer().wait(0.01)
