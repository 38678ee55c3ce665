"""The running guest: QEMU as a child of the test, its console on a pipe."""

import selectors
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.system.guest.kernel import Kernel

MEMORY_MIB = 768
PROCESSOR = "Nehalem,cx16=off"
"""An old one: what newer ones have besides takes time to emulate. It has no CMPXCHG16B, for QEMU 7.2 fails at that with
Linux 6.12."""
PROCESSORS = 2
"""More than the real machine has would wait for each other."""
GUEST_ENDS = "GUEST ENDS"


class Guest:
    """One boot of the machine."""

    def __init__(
        self, kernel: Kernel, initramfs: Path, *, drives: Sequence[str] = (), processors: int = PROCESSORS
    ) -> None:
        """Start it. `drives` are values for -drive; they are /dev/vda, /dev/vdb in the guest."""
        self.console = ""
        """All that was said so far."""
        self._taken = 0
        command = [
            "qemu-system-x86_64", "-accel", "tcg", "-cpu", PROCESSOR, "-smp", str(processors), "-m", f"{MEMORY_MIB}M",
            "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio",
            "-kernel", str(kernel.image), "-initrd", str(initramfs),
            "-append", "console=ttyS0 quiet panic=-1 mitigations=off init_on_alloc=0",
        ]  # fmt: skip
        for drive in drives:
            command += ["-drive", drive]
        self.began_s = time.monotonic()
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self._process.stdout is not None
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.power_cut()
        if error is not None:
            print(f"--- the guest's console\n{self.console}\n---")

    def wait_line(self, start: str, timeout_s: float = 100.0) -> str:
        """Wait for the next line that begins with `start`; give the rest of it."""
        end_s = time.monotonic() + timeout_s
        while not (line := self.next_line(end_s - time.monotonic())).startswith(start):
            assert "Traceback" not in line, f"a program in the guest failed: {self._rest()}"
        return line.removeprefix(start).strip()

    def next_line(self, timeout_s: float = 100.0) -> str:
        """Wait for the next line."""
        end_s = time.monotonic() + timeout_s
        while (at := self.console.find("\n", self._taken)) < 0:
            assert self._read(end_s), f"the guest said no more within {timeout_s:.0f} s:\n{self.console}"
        line = self.console[self._taken : at].rstrip("\r")
        self._taken = at + 1
        return line

    def wait_end(self, timeout_s: float = 100.0) -> None:
        """Wait until its script is done and it has powered itself off."""
        self.wait_line(GUEST_ENDS, timeout_s)
        self.wait_off(timeout_s)

    def wait_off(self, timeout_s: float = 100.0) -> None:
        """Wait until it has powered itself off."""
        self._process.wait(timeout_s)

    def power_cut(self) -> None:
        """Stop it as a power failure would: what it had not sent is lost."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._selector.close()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self, end_s: float) -> bool:
        """Take what there is; False at the end of time, or of the machine."""
        assert self._process.stdout is not None
        if not self._selector.select(max(0.0, end_s - time.monotonic())):
            return False
        data = self._process.stdout.read1(65536)  # type: ignore[attr-defined]
        self.console += data.decode(errors="replace")
        return bool(data)

    def _rest(self) -> str:
        """Take what comes within a second: the rest of a traceback."""
        end_s = time.monotonic() + 1
        while self._read(end_s):
            pass
        return self.console
