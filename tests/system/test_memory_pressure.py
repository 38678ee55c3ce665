"""Proves that where the kernel shows a disk its process and agents are ready for memory pressure; elsewhere none."""

import os
import re
from pathlib import Path

import pytest

from ipc.control import control_call
from tests.harness import Machine, spawn_world
from tests.hostside.frontends.file_server import NEEDS_FUSE

pytestmark = [pytest.mark.system, NEEDS_FUSE]

PATHS = 3
TITLES = ("nsu: agent", "nsu: disk")
CAP_IPC_LOCK, CAP_SYS_RESOURCE = 14, 24
PF_MEMALLOC_NOIO = 0x0008_0000
"""What PR_SET_IO_FLUSHER sets in the kernel (include/linux/sched.h), seen in the ninth field of /proc/PID/stat."""


def has(capability: int) -> bool:
    found = re.search(r"CapEff:\s*(\w+)", Path("/proc/self/status").read_text())
    assert found
    return bool(int(found[1], 16) >> capability & 1)


def is_ready(pid: int) -> tuple[bool, bool]:
    """(I/O flusher, memory locked)"""
    locked = re.search(r"VmLck:\s*(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert locked
    flags = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[6]
    return bool(int(flags) & PF_MEMALLOC_NOIO), int(locked[1]) > 0


def wait_ready(machine: Machine, wanted: list[tuple[bool, bool]]) -> None:
    machine.wait_for(lambda _: [is_ready(pid) for title in TITLES for pid in machine.pids(title)] == wanted)


@pytest.mark.skipif(is_ready(os.getpid())[0], reason="the runner itself is an I/O flusher, and all its children are")
@pytest.mark.parametrize("show", ["socket", "fuse"])
def test_who_is_in_the_chain_takes_the_measures_that_are_permitted(show: str) -> None:
    in_chain = show == "fuse"
    permitted = (has(CAP_SYS_RESOURCE), has(CAP_IPC_LOCK))
    wanted = permitted if in_chain else (False, False)
    with spawn_world(units={"unit_1": 2048}, paths=PATHS, show=show) as world:
        try:
            wait_ready(world.machine, [wanted] * (PATHS + 1))
            notices = control_call(world.machine.state / "disk-unit_1.sock", "status")["notices"]
            assert len(notices) == (permitted.count(False) if in_chain else 0)
            world.machine.kill_process("nsu: agent")
            world.machine.wait_paths(PATHS)
            wait_ready(world.machine, [wanted] * (PATHS + 1))
        finally:
            world.machine.stop()  # unmounts, so that the folder can go
