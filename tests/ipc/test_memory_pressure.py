"""Proves: where it is permitted, the process becomes an I/O flusher and its memory is locked; where not, it says so."""

import ctypes
import os
from pathlib import Path

import pytest

from ipc.child import Life
from ipc.counters import CounterTable
from ipc.memory_pressure import withstand_memory_pressure
from tests.ipc.conftest import Nursery

PR_GET_IO_FLUSHER = 58
CAP_IPC_LOCK, CAP_SYS_RESOURCE = 14, 24


def told_of_self(name: str) -> str:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{name}:")).split()[1]


def has(capability: int) -> bool:
    return bool(int(told_of_self("CapEff"), 16) >> capability & 1)


@pytest.mark.parametrize("as_root", [True, False])
def test_both_measures_are_taken_or_told(nursery: Nursery, as_root: bool) -> None:
    if os.geteuid():
        pytest.skip("only root can try it both ways")
    seen = CounterTable(1, ["refused", "flusher_refused", "is_flusher", "locked_kib"]).row(0)

    def main(_: Life) -> int:
        libc = ctypes.CDLL(None)
        libc.prctl(57, ctypes.c_ulong(0), 0, 0, 0)  # what the runner of this test may have handed down
        if not as_root:
            os.setuid(65534)
        refused = withstand_memory_pressure()
        seen.set("refused", len(refused))
        seen.set("flusher_refused", any("CAP_SYS_RESOURCE (Operation not permitted)" in words for words in refused))
        seen.set("locked_kib", int(told_of_self("VmLck")))
        seen.set("is_flusher", max(0, libc.prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0)))
        return 0 if withstand_memory_pressure() == refused else 3

    assert nursery.fork(main).wait(10) == 0
    may_flush, may_lock = (as_root and has(capability) for capability in (CAP_SYS_RESOURCE, CAP_IPC_LOCK))
    assert seen.get("flusher_refused") == (not may_flush)
    assert seen.get("refused") == 2 - may_flush - may_lock
    assert (seen.get("locked_kib") > 1000) == may_lock
    if may_flush:  # who may not set it may not ask either
        assert seen.get("is_flusher") == 1
