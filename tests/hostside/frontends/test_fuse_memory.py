"""Proves: where it is permitted, the process becomes an I/O flusher and its memory is locked; where not, it says so."""

import os
from pathlib import Path

import pytest

from hostside.frontends.fuse_memory import prepare_memory
from ipc.child import Life, fork_child
from ipc.counters import CounterTable

CAP_IPC_LOCK, CAP_SYS_RESOURCE = 14, 24


def has(capability: int) -> bool:
    lines = Path("/proc/self/status").read_text().splitlines()
    return bool(int(next(line for line in lines if line.startswith("CapEff:")).split()[1], 16) >> capability & 1)


@pytest.mark.parametrize("as_root", [True, False])
def test_both_measures_are_taken_or_told(as_root: bool) -> None:
    if os.geteuid():
        pytest.skip("only root can try it both ways")
    seen = CounterTable(1, ["flusher", "locked", "locked_kib"]).row(0)

    def main(life: Life) -> int:
        if not as_root:
            os.setuid(65534)
        flusher, locked = prepare_memory()
        seen.set("flusher", flusher)
        seen.set("locked", locked)
        lines = Path("/proc/self/status").read_text().splitlines()
        seen.set("locked_kib", int(next(line for line in lines if line.startswith("VmLck")).split()[1]))
        return 0

    child = fork_child("nsu test: memory", main, hearts=CounterTable(1, ["beat_ns"]), heart_row=0)
    assert child.wait(10) == 0
    child.close()
    assert seen.get("flusher") == (as_root and has(CAP_SYS_RESOURCE))
    assert seen.get("locked") == (as_root and has(CAP_IPC_LOCK))
    assert (seen.get("locked_kib") > 1000) == seen.get("locked")
