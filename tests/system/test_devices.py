"""A file and a block device over the whole chain: a file system and a verifying load, agents killed meanwhile."""

import os
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.harness import World, spawn_world
from tests.programs import needs, run

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(120),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts and loop devices need root"),
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="this kernel has no FUSE"),
]

BLOCKS = 128 << 20 >> 9


@pytest.fixture(scope="module", params=["fuse", "loop"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with spawn_world(units={"unit_1": BLOCKS}, paths=4, show=request.param) as world:
        yield world
        world.machine.stop()  # unmounts, so that the folder can go


@contextmanager
def mounted(device: Path, at: Path) -> Iterator[Path]:
    at.mkdir(exist_ok=True)
    run("mount", "-o", "loop" if device.is_file() else "defaults", str(device), str(at))
    try:
        yield at
    finally:
        run("umount", str(at))


@needs("fio")
def test_a_verifying_load_survives_killed_agents(world: World) -> None:
    fio = subprocess.Popen(
        [
            "fio", "--name=verify", "--ioengine=psync", "--direct=1", f"--filename={world.at('unit_1')}",
            "--rw=randwrite", "--bsrange=512-1m", "--blockalign=512", "--size=32M", "--verify=crc32c",
            "--verify_fatal=1", "--do_verify=1", "--allow_file_create=0",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=world.machine.folder,
    )  # fmt: skip
    for _ in range(2):
        world.machine.kill_process("nsu: agent")
        world.machine.wait_paths(4)
    told, _ = fio.communicate(timeout=60)
    assert fio.returncode == 0, told


@needs("mkfs.ext4")
def test_a_file_system_holds_real_files(world: World, tmp_path: Path) -> None:
    """The standard library's sources go in, are compared after a new mount, and e2fsck has nothing to say."""
    device = world.at("unit_1")
    sources = Path(sysconfig.get_path("stdlib")) / "asyncio"
    run("mkfs.ext4", "-q", "-F", str(device))
    with ExitStack() as stack:
        folder = stack.enter_context(mounted(device, tmp_path / "mnt"))
        run("cp", "-r", str(sources), str(folder / "copy"))
    with mounted(device, tmp_path / "mnt") as folder:
        run("diff", "-r", str(sources), str(folder / "copy"))
    run("e2fsck", "-fn", str(device))
