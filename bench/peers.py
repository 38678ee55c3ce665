"""The peers: other people's servers on the same file. A table: how each is started and reached.

All are Debian's, with the settings that make them fastest here. NBD servers are reached over a Unix socket, which is
faster than TCP; tgt speaks TCP only. Behind our own socket there is TCP between the two sides besides.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import which

import psutil

from bench.processes import family
from tests.harness import free_ports

READY_MOST_S = 10.0
EXPORT = "disk"
IQN = "iqn.2000-01.bench:disk"


@dataclass(frozen=True)
class Serving:
    """A peer at work."""

    uri: str
    pid: int

    def pids(self) -> list[int]:
        """Give its processes, those of each connection too."""
        return family(self.pid)


@dataclass(frozen=True)
class Peer:
    """One peer."""

    name: str
    program: str
    package: str
    start: Callable[[Path, Path], int]
    """(drive, folder for sockets and the like) -> pid, once it was told to start."""
    uri: Callable[[Path], str]
    """(folder) -> where it is reached."""
    is_iscsi: bool = False

    @property
    def is_installed(self) -> bool:
        return which(self.program) is not None


def socket_in(folder: Path) -> Path:
    return folder / "peer.sock"


def nbd_uri(folder: Path) -> str:
    return f"nbd+unix:///{EXPORT}?socket={socket_in(folder)}"


def iscsi_url(folder: Path) -> str:
    return f"iscsi://127.0.0.1:{(folder / 'port').read_text()}/{IQN}/1"


def start_nbdkit(drive: Path, folder: Path) -> int:
    return spawn(folder, "nbdkit", "-f", "-U", str(socket_in(folder)), "file", f"file={drive}")


def start_nbd_server(drive: Path, folder: Path) -> int:
    """It always goes into the background, and leaves its pid in a file."""
    (port,) = free_ports(1)
    conf = f"[generic]\nunixsock = {socket_in(folder)}\nlistenaddr = 127.0.0.1\nport = {port}\n"
    if os.geteuid() == 0:  # else it becomes a user who may not open the drive
        conf += "user = root\ngroup = root\n"
    (folder / "conf").write_text(f"{conf}[{EXPORT}]\nexportname = {drive}\n")
    subprocess.run(["nbd-server", "-C", str(folder / "conf"), "-p", str(folder / "pid")], check=True)
    wait_until(lambda: (folder / "pid").exists() and bool((folder / "pid").read_text().strip()))
    return int((folder / "pid").read_text())


def start_qemu_nbd(drive: Path, folder: Path) -> int:
    return spawn(
        folder, "qemu-nbd", "-f", "raw", "--persistent", "--shared=16", "--cache=writeback", "--aio=io_uring",
        "-k", str(socket_in(folder)), "-x", EXPORT, str(drive),
    )  # fmt: skip


def start_storage_daemon(drive: Path, folder: Path) -> int:
    return spawn(
        folder, "qemu-storage-daemon",
        "--blockdev", f"driver=file,node-name=file,filename={drive},aio=io_uring,cache.direct=off",
        "--nbd-server", f"addr.type=unix,addr.path={socket_in(folder)},max-connections=0",
        "--export", f"type=nbd,id=export,node-name=file,name={EXPORT},writable=on",
    )  # fmt: skip


def start_tgt(drive: Path, folder: Path) -> int:
    (port,) = free_ports(1)
    (folder / "port").write_text(str(port))
    control = str(port)  # its own, so that another tgtd is not disturbed
    pid = spawn(folder, "tgtd", "-f", "--iscsi", f"portal=127.0.0.1:{port}", "-C", control)
    admin = ["tgtadm", "-C", control, "--lld", "iscsi"]
    target, unit = ["--mode", "target", "--tid", "1"], ["--mode", "logicalunit", "--tid", "1", "--lun", "1"]
    show = [*admin, "--op", "show", *target[:2]]
    wait_until(lambda: subprocess.run(show, capture_output=True, check=False).returncode == 0)
    for order in (
        ["--op", "new", *target, "-T", IQN],
        ["--op", "new", *unit, "-b", str(drive), "--bstype", "rdwr"],
        ["--op", "bind", *target, "-I", "ALL"],
    ):
        subprocess.run([*admin, *order], check=True, capture_output=True)
    socket_in(folder).touch()  # it is ready, as the others say by their sockets
    return pid


PEERS = (
    Peer("nbdkit", "nbdkit", "nbdkit", start_nbdkit, nbd_uri),
    Peer("nbd-server", "nbd-server", "nbd-server", start_nbd_server, nbd_uri),
    Peer("qemu-nbd", "qemu-nbd", "qemu-utils", start_qemu_nbd, nbd_uri),
    Peer("qemu-s-d", "qemu-storage-daemon", "qemu-system-common", start_storage_daemon, nbd_uri),
    Peer("tgt", "tgtd", "tgt", start_tgt, iscsi_url, is_iscsi=True),
)


@contextmanager
def serving(peer: Peer, drive: Path, folder: Path) -> Iterator[Serving]:
    """Have it serve `drive`; it and all its processes are gone in the end."""
    folder.mkdir()
    pid = peer.start(drive, folder)
    try:
        wait_until(socket_in(folder).exists)
        yield Serving(peer.uri(folder), pid)
    finally:
        stop(pid)


def spawn(folder: Path, *command: str) -> int:
    with open(folder / "log", "wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True).pid


def wait_until(holds: Callable[[], bool]) -> None:
    until_s = time.monotonic() + READY_MOST_S
    while not holds():
        if time.monotonic() > until_s:
            raise TimeoutError(f"a peer is not ready after {READY_MOST_S:g} s")
        time.sleep(0.02)


def stop(pid: int) -> None:
    """End a peer with all its processes, ours to reap or not."""
    processes: Sequence[psutil.Process] = [psutil.Process(each) for each in family(pid)]
    for process in processes:
        process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=3)
    for process in alive:
        process.send_signal(signal.SIGKILL)
    psutil.wait_procs(alive, timeout=3)
    with suppress(ChildProcessError):  # it went into the background, and is another's child
        os.waitpid(pid, os.WNOHANG)
