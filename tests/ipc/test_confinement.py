"""Proves that a confined process has no privilege left and dies with its parent; without a user nothing changes."""

import os
import resource
import select
import signal
import time
from collections.abc import Callable
from errno import EACCES, EAGAIN, EMFILE, EPERM
from pathlib import Path

import pytest

from ipc.child import Life
from ipc.confinement import SPARE_DESCRIPTORS, User, confine_to_drives, confine_to_socket
from ipc.landlock import landlock_version
from ipc.memory_pressure import withstand_memory_pressure
from tests.ipc.conftest import Nursery
from tests.users import ONLY_ROOT, errno_in_child, public_folder

NOBODY = User("nobody", 65_534, 65_534)
CONFINED = [confine_to_drives, confine_to_socket]


def confined(act: Callable[[], object], confine: Callable[[User | None], None] = confine_to_drives) -> int:
    def both() -> None:
        confine(NOBODY)
        act()

    return errno_in_child(both)


@ONLY_ROOT
@pytest.mark.parametrize("confine", CONFINED)
def test_user_groups_and_capabilities_are_gone(confine: Callable[[User | None], None]) -> None:
    def look() -> None:
        assert os.getresuid() == (NOBODY.uid,) * 3
        assert os.getresgid() == (NOBODY.gid,) * 3
        assert os.getgroups() == []
        told = Path("/proc/self/status").read_text().split("\n")
        assert {"NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000"} <= set(told)
        assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)

    assert confined(look, confine) == 0


@ONLY_ROOT
@pytest.mark.parametrize("confine", CONFINED)
def test_a_drive_cannot_be_opened_even_one_that_everybody_may(confine: Callable[[User | None], None]) -> None:
    with public_folder() as folder:
        (secret := folder / "drive").touch(mode=0o600)
        (public := folder / "public").touch(mode=0o644)
        assert confined(lambda: os.open(secret, os.O_RDWR), confine) == EACCES
        assert confined(lambda: os.open(public, os.O_RDONLY), confine) == (EACCES if landlock_version() else 0)


@ONLY_ROOT
def test_nobody_is_forked_or_become_again_and_descriptors_end() -> None:
    most = max(int(name) for name in os.listdir("/proc/self/fd")) + SPARE_DESCRIPTORS + 2

    def open_many() -> None:
        for _ in range(most):
            os.dup(0)

    assert confined(os.fork) == EAGAIN
    assert confined(lambda: os.setuid(0)) == EPERM
    assert confined(open_many) == EMFILE


@ONLY_ROOT
def test_another_of_the_same_user_cannot_look_into_it(nursery: Nursery) -> None:
    def main(life: Life) -> int:
        confine_to_drives(NOBODY)
        life.ready()
        time.sleep(60)
        return 0

    child = nursery.fork(main)
    assert select.select([child.ready_fd], [], [], 5)[0]

    def look() -> None:
        os.setresgid(*(NOBODY.gid,) * 3)
        os.setresuid(*(NOBODY.uid,) * 3)
        os.listdir(f"/proc/{child.pid}/fd")

    assert errno_in_child(look) in (EACCES, EPERM)
    child.kill_and_reap()


@ONLY_ROOT
def test_it_dies_with_its_parent_all_the_same(nursery: Nursery) -> None:
    ours, theirs = os.pipe()

    def parent(_: Life) -> int:
        pid = os.fork()
        if pid == 0:
            confine_to_drives(NOBODY)
            os.write(theirs, b"\1")
            time.sleep(60)
        time.sleep(60)
        return 0

    child = nursery.fork(parent, keep=[theirs])
    os.close(theirs)
    assert os.read(ours, 1)
    child.signal(signal.SIGKILL)
    # The end of file comes when the last that has the pipe's other end is gone.
    began_s = time.monotonic()
    assert os.read(ours, 1) == b""
    assert time.monotonic() - began_s < 30
    os.close(ours)


@ONLY_ROOT
def test_an_agent_may_still_lock_its_memory() -> None:
    def look() -> None:
        assert not [words for words in withstand_memory_pressure() if "mlockall" in words]

    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] == resource.RLIM_INFINITY:
        assert confined(look, confine_to_socket) == 0


@pytest.mark.parametrize("confine", CONFINED)
def test_without_a_user_nothing_changes(tmp_path: Path, confine: Callable[[User | None], None]) -> None:
    def act() -> None:
        before = (os.getresuid(), os.getgroups(), resource.getrlimit(resource.RLIMIT_NOFILE))
        confine(None)
        assert (os.getresuid(), os.getgroups(), resource.getrlimit(resource.RLIMIT_NOFILE)) == before
        (tmp_path / "file").touch()

    assert errno_in_child(act) == 0
