"""Proved: the door to fallocate(2) punches, zeroes, keeps the size and raises the right OSError."""

import errno
import os
from pathlib import Path

import pytest

from serverside.drives.base import UNSUPPORTED
from serverside.drives.fallocate import PUNCH_HOLE, ZERO_RANGE, fallocate


def knows(fd: int, mode: int) -> bool:
    """Whether the file system knows a mode; if not, it must say so in a way that drives understand."""
    try:
        fallocate(fd, mode, 4096, 512)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        return False
    return True


@pytest.mark.parametrize("mode", [PUNCH_HOLE, ZERO_RANGE])
def test_a_range_reads_as_zeros_and_the_size_stays(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 16384)
    with path.open("r+b") as file:
        if not knows(file.fileno(), mode):
            return
        fallocate(file.fileno(), mode, 4096, 8192)
        fallocate(file.fileno(), mode, 16384, 4096)
    assert path.read_bytes() == b"x" * 4096 + bytes(8192) + b"x" * 4096


def test_errors_carry_their_errno() -> None:
    reader, writer = os.pipe()
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)) as caught:
            fallocate(reader, PUNCH_HOLE, 0, 512)
    finally:
        os.close(reader)
        os.close(writer)
    assert caught.value.errno == errno.EBADF
