"""A file and a block device over the whole chain: what is written is read though agents die, and it is there soon.

The load is of mixed sizes, from a block to 1 MiB, 32 at once, and verified by fio.
"""

import mmap
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness import World, spawn_world
from tests.harness.block_devices import spawn_block_devices
from tests.hostside.frontends.file_server import NEEDS_FUSE, NEEDS_LOOP
from tests.programs import needs

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

BLOCKS = 320 << 20 >> 9
PATHS = 4
SOAK_S = 300
SIZES = "512/10:1536/10:4k/40:5632/5:64k/20:300k/5:1m/10"
PAUSE_S = 0.5
"""Between the return of one path and the death of the next agent."""
USABLE_WITHIN_S = 10.0


@contextmanager
def spawn_file(units: dict[str, int]) -> Iterator[World]:
    with spawn_world(units=units, paths=PATHS, show="fuse") as world:
        try:
            yield world
        finally:
            world.machine.stop()  # unmounts, so that the folder can go


SHOWN = {"fuse": spawn_file, "loop": spawn_block_devices}


def start_fio(world: World, seconds: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            "fio", "--name=verify", f"--filename={world.at('unit_1')}", "--allow_file_create=0", "--direct=1",
            "--ioengine=libaio", "--iodepth=32", "--rw=randwrite", f"--bssplit={SIZES}", "--blockalign=512",
            "--size=256m", "--verify=crc32c", "--verify_fatal=1", "--verify_backlog=512", "--serialize_overlap=1",
            "--time_based", f"--runtime={seconds}",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=world.machine.folder,
    )  # fmt: skip


def kill_agents_until_it_ends(world: World, fio: "subprocess.Popen[str]", seconds: int) -> tuple[int, str]:
    """Kill one agent after the other; give how many it were, and what fio said."""
    killed = 0
    try:
        while fio.poll() is None:
            world.machine.kill_process("nsu: agent", killed % PATHS)
            killed += 1
            world.machine.wait_paths(PATHS)
            time.sleep(PAUSE_S)
        told, _ = fio.communicate(timeout=seconds)
    finally:
        fio.kill()
    return killed, told


@needs("fio")
@pytest.mark.parametrize(
    ("show", "seconds"),
    [
        pytest.param("fuse", 3, marks=NEEDS_FUSE),
        pytest.param("loop", 20, marks=NEEDS_LOOP),
        pytest.param("loop", SOAK_S, marks=[NEEDS_LOOP, pytest.mark.soak, pytest.mark.timeout(3 * SOAK_S)]),
    ],
)
def test_a_verified_load_survives_killed_agents(show: str, seconds: int) -> None:
    with SHOWN[show]({"unit_1": BLOCKS}) as world:
        fio = start_fio(world, seconds)
        killed, told = kill_agents_until_it_ends(world, fio, seconds)
    print(f"{show}: {killed} agents killed in {seconds} s; fio:", *re.findall("(?:read|write): .*", told), sep="\n  ")
    assert fio.returncode == 0, told
    assert "err= 0" in told
    assert killed >= 2


@NEEDS_LOOP
def test_a_device_is_there_soon_after_nsu_run() -> None:
    """From the start of both roles to the first block read, past the page cache."""
    began_s = time.monotonic()
    with spawn_block_devices({"unit_1": BLOCKS}) as world:
        read_block(world.at("unit_1"))
        seconds = time.monotonic() - began_s
    print(f"from `nsu run` to a usable /dev/loopN: {seconds:.2f} s")
    assert seconds < USABLE_WITHIN_S


def read_block(device: Path) -> None:
    file = os.open(device, os.O_RDONLY | os.O_DIRECT)
    try:
        with mmap.mmap(-1, mmap.PAGESIZE) as page:
            assert os.preadv(file, [page], 0) == mmap.PAGESIZE
    finally:
        os.close(file)
