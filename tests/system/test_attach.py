"""Proves `nsu attach` and `nsu detach` as people use them: on block devices that are mounted, or are not."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import World, spawn_world
from tests.programs import needs, run

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts and loop devices need root"),
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="this kernel has no FUSE"),
]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with spawn_world(units={"unit_1": 64 << 20 >> 9, "unit_2": 8192}, paths=4, show="loop") as world:
        yield world
        world.machine.stop()


def nsu(world: World, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "nsu", *arguments, "-c", str(world.machine.conf)]
    environment = os.environ | {"COLUMNS": "500"}  # so that no sentence is wrapped
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, env=environment)


def test_from_attach_to_a_usable_device(world: World) -> None:
    """Three times; the median is printed."""
    took_s = []
    for _ in range(3):
        assert nsu(world, "detach", "unit_2").returncode == 0
        began_s = time.monotonic()
        done = nsu(world, "attach", "unit_2", "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        with open(world.at("unit_2"), "rb", buffering=0) as device:
            assert len(device.read(4096)) == 4096
        took_s.append((time.monotonic() - began_s, told["seconds"]))
        assert told["process"]["device"] == str(world.at("unit_2").readlink())
    whole_s, inside_s = (sorted(figures)[len(took_s) // 2] for figures in zip(*took_s, strict=True))
    print(f"from `nsu attach` to the first block read: {whole_s:.2f} s, {inside_s:.3f} s of it within the host role")
    assert inside_s < 5


def fsync_fails(descriptor: int) -> bool:
    os.pwrite(descriptor, b"x" * 10, 0)
    try:
        os.fsync(descriptor)
    except OSError:
        return True
    return False


@needs("mkfs.ext4")
def test_a_mounted_disk_stays_unless_it_is_forced(world: World, tmp_path: Path) -> None:
    device, folder = world.at("unit_1"), tmp_path / "mnt"
    folder.mkdir()
    run("mkfs.ext4", "-q", str(device))
    run("mount", str(device), str(folder))
    (folder / "file").write_text("still here")
    os.sync()
    held = os.open(folder / "file", os.O_WRONLY)
    try:
        refused = nsu(world, "detach", "unit_1")
        assert refused.returncode == 1
        assert f"nsu: unit_1 stays attached: mounted at {folder}" in refused.stderr
        began_s = time.monotonic()
        forced = nsu(world, "detach", "unit_1", "--force")
        assert time.monotonic() - began_s < 10
        assert forced.returncode == 0, forced.stderr
        assert f"taken from: mounted at {folder}" in forced.stdout
        assert not device.is_symlink()
        assert fsync_fails(held), "its users were told that a lost disk has their data"
    finally:
        os.close(held)
        run("umount", "-l", str(folder))
    assert nsu(world, "attach", "unit_1").returncode == 0
    run("mount", str(device), str(folder))
    assert (folder / "file").read_text() == "still here"
    run("umount", str(folder))
    assert nsu(world, "detach", "unit_1").returncode == 0
    assert nsu(world, "attach", "unit_1").returncode == 0


def test_a_partition_without_a_disk_block_is_attached_by_its_name(world: World) -> None:
    """And one block in two ways, one after the other."""
    at = world.machine.folder / "by-hand.sock"
    assert nsu(world, "detach", "unit_2").returncode == 0
    done = nsu(world, "attach", "unit_2", "--show", "socket", "--at", str(at))
    assert done.returncode == 0, done.stderr
    assert f"nbd+unix:///unit_2?socket={at}" in done.stdout
    assert "detached" not in nsu(world, "status").stdout
    assert at.is_socket()
    assert nsu(world, "detach", "unit_2", "--force").returncode == 0
    assert "attach it again with: nsu attach unit_2" in nsu(world, "status").stdout
    assert nsu(world, "attach", "unit_2").returncode == 0
