"""A PostgreSQL server whose data stand in a folder of ours, run as Debian's user postgres; never left running.

It is a child of the test, known by its pid, and listens on a socket in that folder only: no service of the machine is
touched.
"""

import os
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import pytest

USER = "postgres"
DEADLINE_S = 120.0
SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "8MB",  # little, so that pages go out and come back
    "min_wal_size": "32MB",
    "max_wal_size": "64MB",  # little, so that checkpoints are frequent
}


def _programs() -> Path | None:
    """Give the folder of the newest version that has pg_amcheck; Debian keeps it off the PATH."""
    found = Path("/usr/lib/postgresql").glob("*/bin/pg_amcheck")
    return max((path.parent for path in found), key=lambda folder: int(folder.parent.name), default=None)


PROGRAMS = _programs()
NEEDS_POSTGRES = pytest.mark.skipif(
    PROGRAMS is None, reason="PostgreSQL 14 or later is not installed: apt-get install postgresql"
)


class Postgres:
    """A server in `folder`: started with the block, stopped with it. Without `folder` it and an empty cluster are made.

    In order, so that the next one has nothing to recover, unless `crash` was called or the block has failed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._log = folder / "log"
        self._server: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        if not self._folder.exists():
            self._make()
        try:
            self._start()
        except BaseException:
            self.crash()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.crash()
        elif self._server is not None:
            assert self._end(signal.SIGINT) == 0, self._log.read_text()

    def _make(self) -> None:
        self._folder.mkdir()
        subprocess.run(["chown", f"{USER}:", str(self._folder)], check=True)
        self.run("initdb", "--auth=trust", "--encoding=UTF8", "--locale=C", "--data-checksums", "-D", str(self._data))

    def _start(self) -> None:
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        arguments = ["-D", str(self._data), f"--unix_socket_directories={self._folder}", *settings]
        with open(self._log, "a") as log:
            self._server = self.popen("postgres", *arguments, stdout=log)
        end_s = time.monotonic() + DEADLINE_S
        while "accepting" not in self.popen("pg_isready").communicate()[0]:
            assert self._server.poll() is None, self._log.read_text()
            assert time.monotonic() < end_s, self._log.read_text()
            time.sleep(0.05)

    def crash(self) -> None:
        """End it at once («immediate»): the next start has to recover."""
        if self._server is None:
            return
        try:
            self._end(signal.SIGQUIT)
        except subprocess.TimeoutExpired:
            self._server.kill()  # its children see that, and end
            self._server.wait()
        self._server = None

    def _end(self, number: signal.Signals) -> int:
        assert self._server is not None
        self._server.send_signal(number)
        return self._server.wait(DEADLINE_S)

    # -- its programs --------------------------------------------------------------------------------------------

    def popen(self, program: str, *arguments: str, stdout: int | IO[str] = subprocess.PIPE) -> "subprocess.Popen[str]":
        """Start one of its programs as the server's user, who is its superuser too."""
        assert PROGRAMS is not None
        environment = {**os.environ, "PGHOST": str(self._folder), "PGDATABASE": "postgres", "LC_ALL": "C"}
        return subprocess.Popen(
            [str(PROGRAMS / program), *arguments],
            user=USER, group=USER, extra_groups=[], cwd="/", env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, program: str, *arguments: str) -> str:
        """Run one of its programs to the end; give what it printed."""
        process = self.popen(program, *arguments)
        try:
            told, _ = process.communicate(timeout=DEADLINE_S)
        finally:
            process.kill()
        assert process.returncode == 0, f"{program} ended with {process.returncode}:\n{told}"
        return told

    def ask(self, query: str) -> str:
        """Give the answer to `query`: columns with | between them, a line for each row."""
        return self.run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", query).strip()
