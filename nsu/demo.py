"""`nsu demo`: both sides on loopback, with file drives, and a tour that proves what it shows.

No root, nothing to edit: everything lives in a temporary folder and goes with it. The tour copies a real file in and
out while an agent and an SRW are killed, compares checksums, and prints the ladder of Figure 5. With `--once` it ends
there, and its exit status is 0 only when all of it held.
"""

import hashlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from hostside.client import open_disk
from ipc.control import ControlError
from nsu.gather import gather
from nsu.ladder import follow, ladder
from nsu.show import paths_table, size

MIB = 1 << 20
FILE_MIB = 192
STARTS_WITHIN_S = 20.0
COPY_MOST_S = 120.0
PATHS = 8
NETWORKS = ("127.0.0.1", "127.0.0.2")

CONF = """\
# Made by `nsu demo`: both roles on one machine, over two loopback networks.
MACHINE demo
  STATE = {folder}/state

NSU demo
  CONFIG_PORT     = {config_port}
  PRIVILEGED_PORT = no
  LISTEN          = 127.0.0.1
  LISTEN          = 127.0.0.2

ARRAY unit0
  LEVEL = raid0
  DRIVE = {folder}/drive0.img(256MiB)
  DRIVE = {folder}/drive1.img(256MiB)

ARRAY unit1
  LEVEL = jbod
  DRIVE = {folder}/drive2.img(64MiB)

HOST demo
  SECRET_FILE = {folder}/demo.key
  DATA_PORT   = 127.0.0.1:{data_port_a}(8)
  DATA_PORT   = 127.0.0.2:{data_port_b}(8)
  UNIT unit_1
    LBA    = unit0(0,524287)
    ACCESS = read-write
  UNIT unit_2
    LBA    = unit1(0,131071)
    ACCESS = read-only

SERVER demo
  ADDRESS     = 127.0.0.1
  ADDRESS     = 127.0.0.2
  CONFIG_PORT = {config_port}
  LOGIN       = demo
  SECRET_FILE = {folder}/demo.key
  CONNECTIONS = {paths}
  DISK unit_1
    AT = {folder}/unit_1.sock
  DISK unit_2
    AT = {folder}/unit_2.sock
"""


class DemoFailed(Exception):
    """A part of the tour did not hold."""


class Demo:
    """One demo: its folder, its supervisor, its tour."""

    def __init__(self, folder: Path, console: Console) -> None:
        self.folder = folder
        self.console = console
        self.conf = folder / "nsu.conf"
        self.state = folder / "state"
        self.disk_at = folder / "unit_1.sock"
        self.supervisor: subprocess.Popen[bytes] | None = None
        self.killed: list[str] = []

    # -- the machine ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Write nsu.conf and run the supervisor, just as a person would."""
        config_port, data_port_a, data_port_b = free_ports(3)
        key = self.folder / "demo.key"
        key.touch(mode=0o600)
        key.write_text(secrets.token_hex(32) + "\n")
        self.conf.write_text(
            CONF.format(
                folder=self.folder,
                config_port=config_port,
                data_port_a=data_port_a,
                data_port_b=data_port_b,
                paths=PATHS,
            )
        )
        with open(self.folder / "log", "wb") as log:
            command = [sys.executable, "-m", "nsu", "run", "-c", str(self.conf)]
            self.supervisor = subprocess.Popen(command, stderr=log, stdout=log)
        self.wait_until(self.all_paths_up, STARTS_WITHIN_S, "all paths and both disks up")

    def stop(self) -> None:
        if self.supervisor is not None and self.supervisor.poll() is None:
            self.supervisor.send_signal(signal.SIGTERM)
            try:
                self.supervisor.wait(20)
            except subprocess.TimeoutExpired:
                self.supervisor.kill()
                self.supervisor.wait()

    def wait_until(self, holds: Callable[[], bool], most_s: float, what: str) -> float:
        """Wait; give how long it took, or raise DemoFailed with the log's end."""
        began_s = time.monotonic()
        while not holds():
            assert self.supervisor is not None
            if time.monotonic() - began_s > most_s or self.supervisor.poll() is not None:
                log = (self.folder / "log").read_text(errors="replace")[-2000:]
                raise DemoFailed(f"waited {most_s:g} s in vain for: {what}\n{log}")
            time.sleep(0.02)
        return time.monotonic() - began_s

    def status(self) -> dict[str, Any] | None:
        try:
            found = gather(self.state)
        except (ControlError, OSError):
            return None
        return found if found["host"] and found["server"] else None

    def all_paths_up(self) -> bool:
        found = self.status()
        if found is None:
            return False
        shown = all(disk["shown"] for disk in found["host"]["disks"])
        return shown and all(server["paths_up"] == PATHS for server in found["host"]["servers"])

    # -- the tour ------------------------------------------------------------------------------------------------

    def tour(self) -> None:
        """Show everything that this system promises at first sight; raise DemoFailed when something does not hold."""
        self.say(f"both sides run, over {' and '.join(NETWORKS)}; nsu.conf is {self.conf}")
        original = self.folder / "original"
        make_file(original, FILE_MIB * MIB)
        checksum = sha256(original)
        self.copy_in_under_fire(original)
        returned = self.folder / "returned"
        self.copy_out(returned)
        if sha256(returned) != checksum:
            raise DemoFailed("the file that came back differs from the one that went in")
        self.say(f"the file came back the same: SHA-256 {checksum[:16]}…")
        took_s = self.wait_until(self.all_paths_up, STARTS_WITHIN_S, f"all {PATHS} paths up again")
        self.say(f"killed {' and '.join(self.killed)}; all {PATHS} paths are up again after {took_s:.1f} s more")
        self.read_only_holds()
        self.console.print()
        self.console.print(ladder(follow(self.state, "unit_1", "read", 10.0)), highlight=False)
        self.console.print()

    def copy_in_under_fire(self, original: Path) -> None:
        """Copy the file in; meanwhile kill one agent and one SRW with SIGKILL."""
        began_s = time.monotonic()
        client, command = self.copy_command(original)
        copier = subprocess.Popen(command)
        with Live(console=self.console, refresh_per_second=8, transient=not self.console.is_terminal) as live:
            while copier.poll() is None:
                self.draw(live, f"copying {size(original.stat().st_size)} in, with {client}")
                if len(self.killed) < 2 and time.monotonic() - began_s > 0.1 * (1 + len(self.killed)):
                    self.kill_one("nsu: srw" if self.killed else "nsu: agent")
                if time.monotonic() - began_s > COPY_MOST_S:
                    copier.kill()
                time.sleep(0.05)
        took_s = time.monotonic() - began_s
        if copier.returncode != 0:
            raise DemoFailed(f"the copy in failed with {copier.returncode}")
        if len(self.killed) < 2:
            raise DemoFailed("the copy was over before an agent and an SRW could be killed")
        self.say(f"copied {size(original.stat().st_size)} in with {client}, in {took_s:.1f} s, killing an agent and an SRW meanwhile")

    def copy_command(self, original: Path) -> tuple[str, list[str]]:
        """Copy by a standard NBD client when one is there, by our Python API otherwise."""
        if shutil.which("nbdcopy"):
            return "nbdcopy", ["nbdcopy", "--flush", "--connections=4", "--", str(original), self.uri]
        return "our Python API", [sys.executable, "-m", "nsu.copy", str(original), str(self.disk_at)]

    def copy_out(self, returned: Path) -> None:
        with open_disk(at=self.disk_at) as disk, open(returned, "wb") as file:
            for offset_bytes in range(0, FILE_MIB * MIB, 4 * MIB):
                file.write(disk.pread(4 * MIB, offset_bytes))

    def read_only_holds(self) -> None:
        with open_disk(at=self.folder / "unit_2.sock") as disk:
            try:
                disk.pwrite(bytes(512), 0)
            except OSError as error:
                self.say(f"a write to the read-only partition unit_2 is refused: {error.strerror}")
                return
        raise DemoFailed("a write to the read-only partition was not refused")

    def kill_one(self, title: str) -> None:
        assert self.supervisor is not None
        for process in psutil.Process(self.supervisor.pid).children(recursive=True):
            command = " ".join(process.cmdline()).strip()
            if command.startswith(title):
                process.kill()
                self.killed.append(f"«{command}»")
                return

    def draw(self, live: Live, headline: str) -> None:
        found = self.status()
        if found is not None:
            tables = [paths_table(server) for server in found["host"]["servers"]]
            live.update(Group(Text(headline), *tables))

    def say(self, sentence: str) -> None:
        self.console.print(f"[green]✓[/green] {sentence}", highlight=False)

    @property
    def uri(self) -> str:
        return f"nbd+unix:///unit_1?socket={self.disk_at}"

    def what_to_try(self) -> str:
        nsu = f"{sys.executable} -m nsu"
        return (
            "It stays up until you press Control-C. In another terminal try:\n"
            f"  {nsu} status -c {self.conf}\n"
            f"  {nsu} trace unit_1 -c {self.conf}\n"
            f"  nbdinfo '{self.uri}'\n"
            f"  qemu-img info '{self.uri}'\n"
            "  kill -9 any process whose title begins with «nsu: agent» or «nsu: srw»"
        )


def run_demo(*, once: bool) -> int:
    """Run the demo; give the exit status."""
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="nsu-demo-"))
    demo = Demo(folder, console)
    try:
        demo.start()
        demo.tour()
        if not once:
            console.print(demo.what_to_try(), highlight=False, soft_wrap=True)
            while demo.supervisor is not None and demo.supervisor.poll() is None:
                time.sleep(0.5)
    except DemoFailed as error:
        console.print(f"[red]✗[/red] {error}", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("stopping")
    finally:
        demo.stop()
        shutil.rmtree(folder)
    return 0


def make_file(path: Path, size_bytes: int) -> None:
    """Write a file of random bytes: what is not compressible can't hide a mistake."""
    with open(path, "wb") as file:
        for _ in range(size_bytes // MIB):
            file.write(os.urandom(MIB))


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def free_ports(count: int) -> list[int]:
    """Give TCP ports that are free on every demo network, below the range of outgoing connections."""
    found: list[int] = []
    while len(found) < count:
        port = secrets.choice(range(10_100, 32_000))
        if port not in found and all(is_free(address, port) for address in NETWORKS):
            found.append(port)
    return found


def is_free(address: str, port: int) -> bool:
    """Can `port` be bound on `address` now?"""
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
