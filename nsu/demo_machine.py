"""The machine that `nsu demo` shows: a folder, an nsu.conf, a supervisor; both roles over two loopback networks.

Guarantees: it needs no root and nothing prepared; what it cannot have it says before it begins. `close` leaves no
process and no file. Should we be killed before `close`, the kernel ends the supervisor, and it its children; only the
folder is left then, and the next demo of the same user sweeps it away.
"""

import fcntl
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from ipc.control import ControlError, control_call
from ipc.prctl import die_with_parent
from nsu.gather import gather

MIB = 1 << 20
FILE_MIB = 192
ROOM_MIB = 3 * FILE_MIB + 64
"""The file, the drives that hold it, and the file that comes back; the drives are sparse."""
STARTS_WITHIN_S = 20.0
STOPS_WITHIN_S = 25.0
PATHS = 8
NETWORKS = ("127.0.0.1", "127.0.0.2")
PORT_TRIES = 1000
SOCKET_PATH_BYTES_MAX = 107
LONGEST_SOCKET = "state/disk-unit_1.sock"
FOLDER_PREFIX = "nsu-demo-"
YOUNG_S = 60.0
"""A folder whose lock nobody holds may be one that is being made; after so long it is not."""

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


class DemoError(Exception):
    """The demo cannot be shown here, or a part of it did not hold; the text is for people."""


class DemoMachine:
    """One demo machine in `folder`, which is its own and goes with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.conf = folder / "nsu.conf"
        self.state = folder / "state"
        self.log = folder / "log"
        self.disk_at = folder / "unit_1.sock"
        self.read_only_at = folder / "unit_2.sock"
        self.supervisor: subprocess.Popen[bytes] | None = None
        self.lock: int | None = None

    # -- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Write nsu.conf and run the supervisor, just as a person would; return once all is up."""
        self.lock = try_lock(self.folder)
        self.write_conf()
        with open(self.log, "wb") as log:
            command = [sys.executable, "-m", "nsu", "run", "-c", str(self.conf)]
            self.supervisor = spawn(command, signal.SIGTERM, log.fileno())
        self.wait_until(self.all_up, STARTS_WITHIN_S, "all paths and both disks up")

    def write_conf(self) -> None:
        config_port, data_port_a, data_port_b = free_ports(3)
        key = self.folder / "demo.key"
        key.touch(mode=0o600)
        key.write_text(secrets.token_hex(32) + "\n")
        ports = {"config_port": config_port, "data_port_a": data_port_a, "data_port_b": data_port_b}
        self.conf.write_text(CONF.format(folder=self.folder, paths=PATHS, **ports))

    def close(self) -> None:
        """Stop in order, then remove the folder. Nothing is left."""
        family = self.family()
        self.stop()
        psutil.wait_procs(family, timeout=5)
        shutil.rmtree(self.folder)
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    def stop(self) -> None:
        if self.supervisor is None or self.supervisor.poll() is not None:
            return
        self.supervisor.send_signal(signal.SIGTERM)
        try:
            self.supervisor.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.supervisor.kill()
            self.supervisor.wait()

    # -- looking -------------------------------------------------------------------------------------------------

    @property
    def runs(self) -> bool:
        """The supervisor lives."""
        return self.supervisor is not None and self.supervisor.poll() is None

    def wait_until(self, holds: Callable[[], bool], most_s: float, what: str) -> float:
        """Wait; give how long it took, or raise DemoError with the log's end."""
        began_s = time.monotonic()
        while not holds():
            if not self.runs or time.monotonic() - began_s > most_s:
                ended = "" if self.runs else "; the supervisor has ended"
                raise DemoError(f"waited in vain for {what}{ended}. Its log ends with:\n{self.log_end()}")
            time.sleep(0.02)
        return time.monotonic() - began_s

    def log_end(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]

    def status(self) -> dict[str, Any] | None:
        """Give what `nsu status --json` prints; None while a role does not answer."""
        try:
            found = gather(self.state)
        except (ControlError, OSError):
            return None
        return found if found["host"] and found["server"] else None

    def paths(self) -> list[dict[str, Any]]:
        """Give the paths alone, at little cost; none while the host role does not answer."""
        try:
            servers = control_call(self.state / "host.sock", "status")["servers"]
        except ControlError:
            return []
        return [path for server in servers for path in server["paths"]]

    def all_up(self) -> bool:
        """All paths are up and both disks shown."""
        found = self.status()
        if found is None:
            return False
        shown = all(disk["shown"] for disk in found["host"]["disks"])
        return shown and all(server["paths_up"] == PATHS for server in found["host"]["servers"])

    def family(self) -> list[psutil.Process]:
        """Give every process below the supervisor."""
        with suppress(psutil.NoSuchProcess):
            if self.supervisor is not None:
                return psutil.Process(self.supervisor.pid).children(recursive=True)
        return []

    def titled(self, title: str) -> list[tuple[psutil.Process, str]]:
        """Give the processes whose title begins with `title`, each with its whole title, in the order of titles."""
        found = []
        for process in self.family():
            with suppress(psutil.NoSuchProcess):  # it ended meanwhile
                words = " ".join(process.cmdline()).strip()
                if words.startswith(title):
                    found.append((process, words))
        return sorted(found, key=lambda row: row[1])


def spawn(command: Sequence[str], at_our_end: signal.Signals, output: int) -> "subprocess.Popen[bytes]":
    """Run a program that the terminal's Control-C does not reach: we stop it. The kernel does, when we are killed."""
    parent_pid = os.getpid()

    def end_with_us() -> None:
        if not die_with_parent(parent_pid, at_our_end):
            os._exit(1)

    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        preexec_fn=end_with_us,  # noqa: PLW1509 there are no threads here that could hold a lock
    )


def make_folder() -> Path:
    """Make the demo's folder, where there is room and its sockets' names are short enough; else raise DemoError."""
    try:
        parent = Path(tempfile.gettempdir())
        longest = len(os.fsencode(parent / f"{FOLDER_PREFIX}12345678" / LONGEST_SOCKET))
        free_mib = shutil.disk_usage(parent).free // MIB
        if longest > SOCKET_PATH_BYTES_MAX:
            raise DemoError(f"{parent} is too long a name for Unix sockets in it; try: TMPDIR=/tmp nsu demo")
        if free_mib < ROOM_MIB:
            raise DemoError(f"{parent} has {free_mib} MiB left and the demo needs {ROOM_MIB}; name another by TMPDIR")
        sweep(parent)
        return Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
    except OSError as error:
        raise DemoError(f"there is no folder for temporary files: {error}; name one by TMPDIR") from error


def sweep(parent: Path) -> None:
    """Remove what killed demos of this user have left: folders whose lock nobody holds."""
    for folder in parent.glob(f"{FOLDER_PREFIX}*"):
        with suppress(OSError):  # it went meanwhile, or is another's
            status = folder.lstat()
            is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
            if not is_ours or time.time() - status.st_mtime < YOUNG_S:
                continue
            locks = [try_lock(folder), try_lock(folder / "state") if (folder / "state").is_dir() else -1]
            if None not in locks:
                shutil.rmtree(folder, ignore_errors=True)
            for lock in locks:
                if lock is not None and lock >= 0:
                    os.close(lock)


def try_lock(folder: Path) -> int | None:
    """Lock the folder, as its supervisor locks STATE; None when somebody else has."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def free_ports(count: int) -> list[int]:
    """Give TCP ports that are free on every demo network, below the range of outgoing connections."""
    found: list[int] = []
    for _ in range(PORT_TRIES):
        port = secrets.choice(range(10_100, 32_000))
        if port not in found and all(is_free(address, port) for address in NETWORKS):
            found.append(port)
        if len(found) == count:
            return found
    raise DemoError(f"there are no {count} free TCP ports on {' and '.join(NETWORKS)}; is the loopback interface up?")


def is_free(address: str, port: int) -> bool:
    """Can `port` be bound on `address` now?"""
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
