"""Proves that processor time and memory are those of the processes below a supervisor, and that a dead one is none."""

import os
import subprocess
import sys

from nsu.processes import processes_below

WORK = """
import time
end = time.process_time() + 0.1
while time.process_time() < end: pass
print(1, flush=True)
input()
"""


def test_a_process_and_its_children_are_told() -> None:
    child = subprocess.Popen([sys.executable, "-c", WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        uses = {use.pid: use for use in processes_below(os.getpid())}
        assert {os.getpid(), child.pid} <= uses.keys()
        assert uses[child.pid].cpu_s >= 0.1
        assert uses[child.pid].resident_bytes > 1 << 20
        assert uses[child.pid].title.startswith(sys.executable)
    finally:
        child.communicate(b"\n")
    assert list(processes_below(child.pid)) == []
