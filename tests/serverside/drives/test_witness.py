"""Proved: the witness is silent about a sound file and raises what the kernel says of another."""

import errno
import os
from pathlib import Path

import pytest

from serverside.drives.witness import raise_unreported_error


def test_a_sound_file_has_nothing_to_tell(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+b") as file:
        file.write(b"x" * 4096)
        file.flush()
        raise_unreported_error(file.fileno())


def test_an_error_is_raised_with_its_errno() -> None:
    reader, writer = os.pipe()
    try:
        with pytest.raises(OSError, match=os.strerror(errno.ESPIPE)) as caught:
            raise_unreported_error(writer)
    finally:
        os.close(reader)
        os.close(writer)
    assert caught.value.errno == errno.ESPIPE
