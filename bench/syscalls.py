"""System calls by name and process, counted in the kernel (perf stat), so that what is counted is hardly disturbed.

Not by strace, which stops a process at each call and so changes what is done at a time; nor by `perf trace`, whose
buffer runs over at these rates. Needs root, or kernel.perf_event_paranoid = -1, and Debian's linux-perf.
"""

import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.kernel_time import plain_name

NAMES = (
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "recvfrom",
    "sendto", "recvmsg", "sendmsg", "sendfile64", "splice", "poll", "ppoll", "select", "pselect6", "epoll_wait",
    "epoll_pwait", "epoll_ctl", "futex", "ioctl", "fdatasync", "sched_yield", "clock_nanosleep", "io_uring_enter",
    "getsockopt", "setsockopt", "rt_sigreturn",
)  # fmt: skip
"""Those told by name; all others are counted together."""
OTHERS = "others"
ALL = "raw_syscalls:sys_enter"
ANSWER = b"ack\n"


@contextmanager
def counted(pids: Sequence[int]) -> Iterator[dict[int, Counter[str]]]:
    """Count from the beginning of the block to its end; what it gives is filled when the block has ended."""
    found: dict[int, Counter[str]] = {pid: Counter() for pid in pids}
    events = ",".join([ALL, *(f"syscalls:sys_enter_{name}" for name in NAMES)])
    with tempfile.TemporaryDirectory() as folder:
        orders, answers, told = (Path(folder) / name for name in ("orders", "answers", "told"))
        for fifo in (orders, answers):
            os.mkfifo(fifo)
        command = [
            "perf", "stat", "-x", ";", "-o", str(told), "--per-thread", "-e", events, "-D", "-1",
            "-p", ",".join(map(str, pids)), f"--control=fifo:{orders},{answers}",
        ]  # fmt: skip
        orders_fd, answers_fd = os.open(orders, os.O_RDWR), os.open(answers, os.O_RDWR)
        perf = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            _tell(orders_fd, answers_fd, b"enable\n")
            yield found
            _tell(orders_fd, answers_fd, b"disable\n")
        finally:
            perf.send_signal(2)
            perf.communicate(timeout=20)
            os.close(orders_fd)
            os.close(answers_fd)
        for pid, name, count in parsed(told.read_text()):
            found[pid][name] += count
    for each in found.values():
        each[OTHERS] = each.pop(ALL, 0) - sum(each.values())


def _tell(orders_fd: int, answers_fd: int, order: bytes) -> None:
    os.write(orders_fd, order)
    answer = os.read(answers_fd, 100)
    assert ANSWER.strip() in answer, f"perf answers {answer!r}"


def parsed(text: str) -> Iterator[tuple[int, str, int]]:
    """Give (thread, name, how often) of each line `title-1234;56;;event;…` that perf stat prints."""
    for line in text.splitlines():
        fields = line.split(";")
        if len(fields) > 3 and fields[1].isdigit():
            yield int(fields[0].rpartition("-")[2]), name_of(fields[3]), int(fields[1])


def name_of(event: str) -> str:
    return ALL if event == ALL else plain_name(event.removeprefix("syscalls:sys_enter_"))
