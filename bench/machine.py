"""On what was measured: so much that a reader can judge, and no name of anybody's machine."""

import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Setting:
    """Where and when."""

    when: str
    processor: str
    cores: int
    memory_gib: int
    kernel: str
    python: str
    commit: str
    command: str

    @property
    def line(self) -> str:
        return (
            f"{self.when}; {self.cores} cores ({self.processor}), {self.memory_gib} GiB, Linux {self.kernel}, "
            f"Python {self.python}, commit {self.commit}; `{self.command}`"
        )


def setting(module: str) -> Setting:
    """Give it for a run of `module` with this process's arguments."""
    commit = _told("git", "rev-parse", "--short", "HEAD")
    changed = "+changes" if _told("git", "status", "--porcelain", "--untracked-files=no") else ""
    return Setting(
        when=time.strftime("%Y-%m-%d %H:%M"),
        processor=_processor(),
        cores=os.cpu_count() or 0,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        kernel=".".join(platform.release().split("-")[0].split(".")[:2]),
        python=platform.python_version(),
        commit=commit + changed,
        command=" ".join([f"python -m {module}", *sys.argv[1:]]),
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _told(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
