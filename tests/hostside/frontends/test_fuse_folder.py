"""Proves: the one file has its name, size and mode; what a disk cannot do is refused with the errno that says so."""

import os
import stat
from errno import EINVAL, ENOENT, EOPNOTSUPP, ESHUTDOWN
from types import SimpleNamespace

import pytest

from hostside.frontends.fuse_calls import Call, Handover
from hostside.frontends.fuse_folder import Folder, Shown
from ipc.loop import Loop
from protocol.ops import Op


class World:
    """A folder whose calls are noted and answered at once, with `status`."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.status = 0
        self.shown = Shown("unit_1", 1 << 20, 0o600, os.geteuid(), os.getegid())
        loop = Loop()
        handover = Handover(loop, lambda call: None)
        handover.carry = self.carry  # type: ignore[method-assign]
        self.folder = Folder(self.shown, handover, lambda: None)
        loop.close()

    def carry(self, call: Call) -> bytes:
        self.calls.append(call)
        if self.status:
            raise OSError(self.status, "")
        return call.data


def opened(flags: int = os.O_RDWR) -> SimpleNamespace:
    return SimpleNamespace(flags=flags, fh=0, direct_io=False)


def errno_of(function: object, *arguments: object) -> int | None:
    try:
        function(*arguments)  # type: ignore[operator]
    except OSError as error:
        return error.errno
    return None


def test_names_size_and_mode() -> None:
    world = World()
    assert world.folder.readdir("/", 0) == [".", "..", "unit_1"]
    found = world.folder.getattr("/unit_1")
    assert (found["st_size"], found["st_mode"]) == (1 << 20, 0o100600)
    world.shown.size_bytes *= 2
    assert world.folder.getattr("/unit_1")["st_size"] == 2 << 20
    assert errno_of(world.folder.getattr, "/unit_2") == ENOENT


@pytest.mark.parametrize(
    ("mode", "folder_mode", "is_for_others"),
    [
        (0o600, 0o500, False),
        (0o200, 0o500, False),
        (0o660, 0o550, True),
        (0o606, 0o505, True),
        (0o644, 0o555, True),
        (0o710, 0o500, True),
        (0o000, 0o000, False),
    ],
)
def test_who_may_use_the_file_may_look_into_its_folder(mode: int, folder_mode: int, is_for_others: bool) -> None:
    world = World()
    world.shown.mode, world.shown.uid, world.shown.gid = mode, os.geteuid(), 7
    assert world.shown.is_for_others == is_for_others
    for path, wanted in (("/", stat.S_IFDIR | folder_mode), ("/unit_1", stat.S_IFREG | mode)):
        found = world.folder.getattr(path)
        assert (found["st_mode"], found["st_uid"], found["st_gid"]) == (wanted, os.geteuid(), 7)
    world.shown.uid += 1
    assert world.shown.is_for_others


def test_opening_is_direct_counted_and_refused_when_shut() -> None:
    world, file = World(), opened()
    world.folder.open("/unit_1", file)
    assert file.direct_io
    assert world.folder.handles == {file.fh}
    world.folder.release("/unit_1", file)
    assert not world.folder.handles
    world.shown.is_shut = True
    assert errno_of(world.folder.open, "/unit_1", opened()) == ESHUTDOWN


def test_holes_and_zero_ranges_are_write_zeroes() -> None:
    world, file = World(), opened()
    for mode in (0x03, 0x10, 0x11):
        world.folder.fallocate("/unit_1", mode, 4096, 8192, file)
    assert {(call.op, call.offset_bytes, call.length_bytes) for call in world.calls} == {(Op.WRITE_ZEROES, 4096, 8192)}
    assert errno_of(world.folder.fallocate, "/unit_1", 0, 0, 512, file) == EOPNOTSUPP
    assert errno_of(world.folder.fallocate, "/unit_1", 0x03, 1 << 20, 512, file) == EINVAL


def test_sync_writes_are_durable_and_closing_flushes_what_was_open_for_writing() -> None:
    world = World()
    for flags in (os.O_WRONLY, os.O_WRONLY | os.O_DSYNC, os.O_WRONLY | os.O_SYNC):
        assert world.folder.write("/unit_1", b"abc", 5, opened(flags)) == 3
    assert [call.fua for call in world.calls] == [False, True, True]
    world.calls.clear()
    world.folder.flush("/unit_1", opened(os.O_RDONLY))
    assert not world.calls
    world.folder.flush("/unit_1", opened())
    assert [call.op for call in world.calls] == [Op.FLUSH]
    world.status = EOPNOTSUPP
    assert world.folder.flush("/unit_1", opened()) == 0
    assert errno_of(world.folder.fsync, "/unit_1", 0, opened()) == EOPNOTSUPP


def test_a_disk_keeps_its_size() -> None:
    world = World()
    assert world.folder.truncate("/unit_1", 1 << 20) == 0
    assert errno_of(world.folder.truncate, "/unit_1", 0) == EINVAL
