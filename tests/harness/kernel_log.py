"""The kernel's log from now on (/dev/kmsg): what it complains of, as far as our block devices are concerned.

A complaint is a line of the kernel's own that it ranks as a warning or worse, or whose words do, about loop devices,
FUSE, the block layer, file systems or tasks that hang. A line that names loop devices, but none of ours, is another's.
So is a number of lines that the kernel left out, for it prints some of whatever it leaves out.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

KERNEL_LOG = "/dev/kmsg"
RECORD_BYTES_MAX = 8192
"""PRINTK_MESSAGE_MAX and what it may be prefixed with."""
WARNING = 4
_KERNEL = 0
"""Its own facility; what processes write into the log has another."""

_TOPIC = re.compile(
    r"loop|fuse|ext4|xfs|jbd2|\bblk|block|i/o|hung|blocked for more|out of memory|\bBUG|Oops|\bnsu\b", re.IGNORECASE
)
_WORDS = re.compile(r"error|fail|corrupt|warn|hung|blocked for more|recover|shut ?down", re.IGNORECASE)
_LEFT_OUT = "callbacks suppressed"
_DEVICE = re.compile(r"\bloop\d+")


def complaints(records: Iterable[str], devices: Iterable[str]) -> list[str]:
    """Give the texts that complain of `devices` (loop0 …), or of what no device is named with.

    A record is as Documentation/ABI/testing/dev-kmsg has it: «level and facility,number,µs,flags;text», then a line
    for each property.
    """
    ours = set(devices)
    found = []
    for record in records:
        head, _, rest = record.partition(";")
        text = rest.partition("\n")[0]
        facility, level = divmod(int(head.split(",")[0]), 8)
        if facility != _KERNEL or not _TOPIC.search(text) or _LEFT_OUT in text:
            continue
        named = set(_DEVICE.findall(text))
        is_of_ours = not named or bool(named & ours)
        if is_of_ours and (level <= WARNING or _WORDS.search(text)):
            found.append(text)
    return found


class KernelLog:
    """What the kernel says between entering and `assert_quiet`."""

    def __enter__(self) -> Self:
        self._file = os.open(KERNEL_LOG, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.lseek(self._file, 0, os.SEEK_END)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def records(self) -> list[str]:
        """Give what has come since the last call. EPIPE, records were overwritten before we came, is an error."""
        found = []
        while True:
            try:
                found.append(os.read(self._file, RECORD_BYTES_MAX).decode(errors="replace"))
            except BlockingIOError:
                return found

    def assert_quiet(self, devices: Iterable[Path]) -> None:
        """Fail when it has complained of `devices` (/dev/loop0 …)."""
        found = complaints(self.records(), (device.name for device in devices))
        assert not found, "the kernel complains:\n" + "\n".join(found)
