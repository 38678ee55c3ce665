"""Proved: the memory of a zero map outlives its processes, and is believed by the same boot and the same map alone."""

import os
import signal
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from serverside.partitions.zero_file import ZeroImage
from serverside.partitions.zero_live import (
    BOOT_BYTES,
    NO_BOOT,
    forget_memories,
    make_memory,
    surviving_memory,
    this_boot,
)

IMAGE = ZeroImage(UUID(int=7), 4096, 1 << 20, 1, b"\x01\x02")
SIZE_BYTES = 5000
BOOT = b"b" * BOOT_BYTES


def test_a_boot_has_a_name_that_stays() -> None:
    assert len(this_boot()) == BOOT_BYTES
    assert this_boot() == this_boot()


def test_what_a_killed_process_stored_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.live"
    pid = os.fork()
    if pid == 0:
        memory = make_memory(path, IMAGE, BOOT, SIZE_BYTES)
        memory[4999] = 9
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    assert surviving_memory(path, IMAGE, BOOT, SIZE_BYTES) == bytes(4999) + b"\x09"
    assert [file.name for file in tmp_path.iterdir()] == ["a.live"]


def test_a_new_memory_is_empty_and_leaves_the_former_one_to_its_users(tmp_path: Path) -> None:
    path = tmp_path / "a.live"
    former = make_memory(path, IMAGE, BOOT, SIZE_BYTES)
    former[0] = 1
    fresh = make_memory(path, IMAGE, BOOT, SIZE_BYTES)
    former[1] = 1
    assert bytes(fresh) == bytes(SIZE_BYTES)
    assert bytes(former[:2]) == b"\x01\x01"


@pytest.mark.parametrize(
    ("image", "boot", "size_bytes"),
    [
        (IMAGE, b"c" * BOOT_BYTES, SIZE_BYTES),
        (IMAGE, NO_BOOT, SIZE_BYTES),
        (IMAGE, BOOT, SIZE_BYTES + 1),
        (replace(IMAGE, uuid=UUID(int=8)), BOOT, SIZE_BYTES),
        (replace(IMAGE, blocks=4095), BOOT, SIZE_BYTES),
        (replace(IMAGE, chunk_bytes=1 << 21), BOOT, SIZE_BYTES),
    ],
    ids=["another boot", "no boot", "another size", "another range", "other blocks", "other chunks"],
)
def test_nobody_else_is_believed(tmp_path: Path, image: ZeroImage, boot: bytes, size_bytes: int) -> None:
    path = tmp_path / "a.live"
    assert surviving_memory(path, IMAGE, BOOT, SIZE_BYTES) is None
    make_memory(path, IMAGE, BOOT, SIZE_BYTES)
    assert surviving_memory(path, IMAGE, BOOT, SIZE_BYTES) == bytes(SIZE_BYTES)
    assert surviving_memory(path, image, boot, size_bytes) is None


def test_what_was_forgotten_is_believed_by_none_and_goes_on_for_its_users(tmp_path: Path) -> None:
    memory = make_memory(tmp_path / "a.live", IMAGE, BOOT, SIZE_BYTES)
    (tmp_path / "a.map").touch()
    forget_memories(tmp_path)
    forget_memories(tmp_path)
    memory[0] = 1
    assert bytes(memory[:1]) == b"\x01"
    assert surviving_memory(tmp_path / "a.live", IMAGE, BOOT, SIZE_BYTES) is None
    assert [path.name for path in tmp_path.iterdir()] == ["a.map"]


def test_what_was_made_for_no_boot_is_believed_by_none(tmp_path: Path) -> None:
    make_memory(tmp_path / "a.live", IMAGE, NO_BOOT, SIZE_BYTES)
    assert surviving_memory(tmp_path / "a.live", IMAGE, NO_BOOT, SIZE_BYTES) is None
