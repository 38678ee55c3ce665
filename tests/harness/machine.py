"""One `nsu run`: started, watched, its processes found by title, killed, restarted, and always reaped."""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from ipc.control import ControlError
from nsu.gather import gather
from tests.harness.netns import Namespace


class Machine:
    """A machine of the test: a folder, an nsu.conf, a supervisor; in a network namespace of its own, if given."""

    def __init__(self, folder: Path | None = None, namespace: Namespace | None = None) -> None:
        self.namespace = namespace
        self.folder = folder or Path(tempfile.mkdtemp(prefix="nsu-t-"))
        self.state = self.folder / "state"
        self.conf = self.folder / "nsu.conf"
        self.log_path = self.folder / "log"
        self.program = ["-m", "nsu"]
        """What of Python's is run, with `run -c FILE` behind it."""
        self.supervisor: subprocess.Popen[bytes] | None = None
        self.seen: dict[int, psutil.Process] = {}
        """Every process of this machine ever seen, by pid: `close` looks that none is left."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            sys.stderr.write(f"--- log of {self.folder}\n{self.log()}\n---\n")
        self.close()

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self, text: str | None = None) -> None:
        """Run the supervisor with nsu.conf = `text` (or as it is)."""
        if text is not None:
            self.conf.write_text(text)
        with open(self.log_path, "ab") as log:
            command = [sys.executable, *self.program, "run", "-c", str(self.conf)]
            if self.namespace is not None:
                command = self.namespace.command(*command)
            self.supervisor = subprocess.Popen(command, stdout=log, stderr=log)

    def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM and wait; give the exit status."""
        assert self.supervisor is not None
        self.processes()
        self.supervisor.send_signal(signal.SIGTERM)
        return self.supervisor.wait(timeout_s)

    def kill(self) -> None:
        """SIGKILL the supervisor; its children go with it."""
        assert self.supervisor is not None
        self.processes()
        self.supervisor.kill()
        self.supervisor.wait()

    def close(self) -> None:
        if self.supervisor is not None and self.supervisor.poll() is None:
            self.kill()
        alive = wait_dead(self.seen.values())
        for process in alive:
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
        assert not alive, f"left behind by the supervisor: {alive}"

    # -- looking -------------------------------------------------------------------------------------------------

    def processes(self) -> dict[int, str]:
        """Give the machine's live processes: pid -> title."""
        assert self.supervisor is not None
        found = {}
        try:
            parent = psutil.Process(self.supervisor.pid)
            family = [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return {}
        for process in family:
            try:
                title = " ".join(process.cmdline()).strip()
                if title and process.status() != psutil.STATUS_ZOMBIE:
                    found[process.pid] = title
                    self.seen[process.pid] = process
            except psutil.NoSuchProcess:
                continue
        return found

    def pids(self, title: str) -> list[int]:
        """Give the pids of processes whose title begins with `title`."""
        return [pid for pid, words in self.processes().items() if words.startswith(title)]

    def kill_process(self, title: str, number: int = 0) -> int:
        """SIGKILL the `number`th process whose title begins so; give its pid."""
        pid = self.pids(title)[number]
        psutil.Process(pid).kill()
        return pid

    def status(self) -> dict[str, Any]:
        """`nsu status --json`, without the process for it."""
        return gather(self.state)

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def wait_for(self, holds: Callable[[dict[str, Any]], object], timeout_s: float = 20.0) -> float:
        """Wait until `holds(status)` is true; give how long that took, in seconds."""
        began_s = time.monotonic()
        while True:
            try:
                if holds(self.status()):
                    return time.monotonic() - began_s
            except (ControlError, OSError):
                pass  # it is starting
            assert self.supervisor is not None
            if self.supervisor.poll() is not None:
                raise AssertionError(f"the supervisor ended with {self.supervisor.returncode}:\n{self.log()}")
            if time.monotonic() - began_s > timeout_s:
                raise AssertionError(f"not within {timeout_s} s; log:\n{self.log()}")
            time.sleep(0.01)

    def wait_paths(self, count: int, timeout_s: float = 20.0) -> float:
        """Wait until every server of the host role has `count` paths up, and every disk is shown."""

        def holds(status: dict[str, Any]) -> bool:
            host = status["host"]
            up = host and all(server["paths_up"] == count for server in host["servers"])
            return bool(up and all(disk["shown"] for disk in host["disks"]))

        return self.wait_for(holds, timeout_s)


def wait_dead(processes: Iterable[psutil.Process], timeout_s: float = 10.0) -> list[psutil.Process]:
    """Wait until all are dead; give those that are not. An orphan that the system's init has yet to reap is dead."""
    until_s = time.monotonic() + timeout_s
    alive = list(processes)
    while (alive := [process for process in alive if is_alive(process)]) and time.monotonic() < until_s:
        time.sleep(0.005)
    return alive


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
