"""Processor time by system call: where in the kernel a process is, a few thousand looks a second (perf record).

Sleeping is not counted: perf's clock runs only while the process is on a processor. What the network does below a
`sendmsg` over loopback, up to the queue of the receiver's socket, is the sender's time, and so it is counted here.
"""

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

LOOKS_HZ = 3000
USER, ENTRY = "user", "entry, interrupts"
INTO_KERNEL = ("do_syscall_64", "x64_sys_call", "do_el0_svc", "invoke_syscall", "el0_svc_common")
"""Frames between user mode and the function of a system call, x86 and Arm."""


def sampled(pids: Sequence[int], seconds: int) -> dict[int, Counter[str]]:
    """Look for so long; give how often each process was found in each system call, in user mode, or elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "perf.data"
        record = ["perf", "record", "-q", "-e", "cpu-clock", "-F", str(LOOKS_HZ), "--call-graph", "fp", "-o", str(data)]
        subprocess.run(
            [*record, "-p", ",".join(map(str, pids)), "--", "sleep", str(seconds)], check=True, capture_output=True
        )
        script = ["perf", "script", "-i", str(data), "-F", "pid,ip,sym"]
        told = subprocess.run(script, check=True, capture_output=True, text=True, errors="replace").stdout
    return by_system_call(told, pids)


def by_system_call(told: str, pids: Sequence[int]) -> dict[int, Counter[str]]:
    """Read what perf script prints: samples with an empty line between, a line with the pid, then a line per frame."""
    found: dict[int, Counter[str]] = {pid: Counter() for pid in pids}
    for sample in told.split("\n\n"):
        head, _, frames = sample.strip().partition("\n")
        if head.strip().isdigit() and int(head) in found:
            found[int(head)][place_of(frames)] += 1
    return found


def place_of(frames: str) -> str:
    """Give the system call in whose frames this is, innermost first; USER or ENTRY for what is in none."""
    inner = ""
    for line in frames.splitlines():
        address, _, symbol = line.strip().partition(" ")
        if symbol.startswith(INTO_KERNEL):
            return plain_name(inner) if inner else ENTRY
        if not address.startswith("ffff"):
            break
        inner = symbol
    return ENTRY if inner else USER


def plain_name(symbol: str) -> str:
    """Give a system call's name without what kernels put around it: do_preadv, __x64_sys_preadv2 are preadv."""
    name = re.sub(r"^(__(x64|arm64|se|do)_sys_|_*k?sys_|do_)", "", symbol)
    return re.sub(r"(64|\d|_nocancel)$", "", name)
