"""Proves that a file is copied onto a disk whole, or that nothing of it is written and a sentence says why."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hostside import open_disk
from ipc.exits import Exit
from nsu.copy import CHUNK_BYTES, main
from tests.harness import World

pytestmark = pytest.mark.system


def start_of(world: World, disk: str, length_bytes: int) -> bytes:
    with open_disk(at=world.at(disk)) as opened:
        return opened.pread(length_bytes, 0)


def test_a_file_is_copied_to_the_byte(world: World, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(CHUNK_BYTES + 4096 + 512))
    done = subprocess.run([sys.executable, "-m", "nsu.copy", file, world.at("unit_1")], check=False)
    assert done.returncode == 0
    assert start_of(world, "unit_1", CHUNK_BYTES + 4608) == file.read_bytes()


@pytest.mark.parametrize("length_bytes", [513, 32769 * 512])
def test_what_does_not_fit_is_not_begun(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], length_bytes: int
) -> None:
    before = start_of(world, "unit_1", 512)
    file = tmp_path / "file"
    file.write_bytes(b"x" * length_bytes)
    assert main([str(file), str(world.at("unit_1"))]) == Exit.FAILED
    assert f"has {length_bytes} bytes; a multiple of 512, {32768 * 512} at most, fits" in capsys.readouterr().err
    assert start_of(world, "unit_1", 512) == before


@pytest.mark.parametrize(("file", "disk"), [("missing", "unit_1"), ("file", "unit_2"), ("file", "unit_9")])
def test_a_failure_is_a_sentence(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, disk: str
) -> None:
    (tmp_path / "file").write_bytes(bytes(512))
    assert main([str(tmp_path / file), str(world.at(disk))]) == Exit.FAILED
    said = capsys.readouterr().err
    assert said.startswith("nsu.copy: ")
    assert said.count("\n") == 1


def test_wrong_use_says_what_is_right(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["only-one"]) == Exit.MISUSE
    assert capsys.readouterr().err == "usage: python -m nsu.copy FILE SOCKET\n"
