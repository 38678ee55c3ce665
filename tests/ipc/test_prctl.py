"""The parent's death is told, also to who asks too late; and what the kernel refuses is an OSError."""

import ctypes
import os
import resource
import time

from ipc.child import Life
from ipc.packets import PacketQueue
from ipc.prctl import become_io_flusher, die_with_parent, keep_out_of_dumps
from tests.ipc.conftest import Nursery
from tests.users import ONLY_ROOT, as_user


def test_it_says_that_the_parent_lives_and_that_another_is_not_the_parent(nursery: Nursery) -> None:
    parent_pid = os.getpid()

    def main(_: Life) -> int:
        return int(die_with_parent(parent_pid)) + 2 * int(die_with_parent(parent_pid + 1))

    assert nursery.fork(main).wait(5) == 1


def test_a_parent_that_died_before_the_call_is_noticed(nursery: Nursery) -> None:
    answers = PacketQueue(1)

    def fork_and_die(_: Life) -> int:
        parent_pid = os.getpid()
        if os.fork() == 0:
            while os.getppid() == parent_pid:
                time.sleep(0.001)
            answers.put(b"lives" if die_with_parent(parent_pid) else b"d")
            os._exit(0)
        return 0

    nursery.fork(fork_and_die, keep=answers.descriptors())
    assert answers.wait(5)
    assert answers.get() == b"d"
    answers.close()


@ONLY_ROOT
def test_who_may_not_be_an_io_flusher_gets_the_kernels_error() -> None:
    def ask() -> str:
        try:
            become_io_flusher()
        except OSError as error:
            return f"{error.errno} {error.strerror}"
        return "it was allowed"

    assert as_user(65_534, [65_534], ask) == "1 Operation not permitted"


def test_no_dump_is_made_of_who_holds_a_key_nor_of_its_children(nursery: Nursery) -> None:
    libc = ctypes.CDLL(None)

    def is_dumpable() -> bool:
        return libc.prctl(3, 0, 0, 0, 0) != 0 or resource.getrlimit(resource.RLIMIT_CORE) != (0, 0)

    def main(life: Life) -> int:
        del life
        before = libc.prctl(3, 0, 0, 0, 0)
        keep_out_of_dumps()
        child_pid = os.fork()
        if child_pid == 0:
            os._exit(int(is_dumpable()))
        status = os.waitpid(child_pid, 0)[1]
        return int(before == 1) + 2 * int(is_dumpable()) + 4 * os.waitstatus_to_exitcode(status)

    assert nursery.fork(main).wait(5) == 1
