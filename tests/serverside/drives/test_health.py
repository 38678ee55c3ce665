"""Proved: a failed mark set in one process is seen by all, for good, and the first errno stays."""

import errno
import os

from serverside.drives.health import DriveHealth


def test_a_child_fails_a_drive_and_the_parent_sees_it() -> None:
    health = DriveHealth(3)
    pid = os.fork()
    if pid == 0:
        health.fail(1, errno.EIO)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert [health.errno(index) for index in range(3)] == [0, errno.EIO, 0]


def test_the_first_errno_stays() -> None:
    health = DriveHealth(1)
    health.fail(0, errno.ENOSPC)
    health.fail(0, errno.EIO)
    assert health.errno(0) == errno.ENOSPC


def test_whoever_marks_a_drive_is_called_before_the_mark_shows() -> None:
    seen: list[tuple[int, int, int]] = []
    health = DriveHealth(2, on_fail=lambda index, number: seen.append((index, number, health.errno(1))))
    health.fail(1, errno.EIO)
    health.fail(1, errno.EIO)
    assert seen == [(1, errno.EIO, 0)], "once, before the mark"


def test_no_drives_is_no_error() -> None:
    assert DriveHealth(0).drives == 0
