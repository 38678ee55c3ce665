"""`nsu demo`: both sides on loopback, with file drives, and a tour that proves what it shows.

No root, nothing to edit: everything lives in a temporary folder and goes with it, also after Control-C, SIGTERM or
SIGHUP. The tour copies a real file in and out while an agent and an SRW are killed, compares checksums, and prints the
ladder of Figure 5. Then it stays up; with `--once` it ends there. The exit status is 0 only when all of it held.

The copy in is watched, not timed: processes are killed when a share of it is through, so a fast machine cannot finish
before. It is held at times (SIGSTOP to the client), for people to see the table; while somebody is killed it runs.
"""

import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from hostside.client import open_disk
from ipc.control import ControlError
from ipc.sizes import size
from nsu.demo_machine import (
    FILE_MIB,
    MIB,
    NETWORKS,
    PATHS,
    STARTS_WITHIN_S,
    DemoError,
    DemoMachine,
    make_folder,
    spawn,
)
from nsu.ladder import NotFollowedError, follow, ladder
from nsu.show import paths_table

COPY_MOST_S = 120.0
LOOK_EVERY_S = 0.005
DRAW_EVERY_S = 0.1
MARKS = 8
"""The copy in has so many parts; at the end of each something happens: a process is killed, or it is held."""
VICTIMS = {2: "nsu: agent", 4: "nsu: srw"}
"""Mark -> whom to kill there."""
HOLD_S = 0.3
READ_BYTES = 4 * MIB
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HEARD: list[int] = []
"""The ending that came. What it raises is lost where Python ignores exceptions (a finalizer, a weak reference's call),
so whoever draws or waits looks here too.
"""


class Tour:
    """What the demo shows of its machine; each step raises DemoError when it does not hold."""

    def __init__(self, machine: DemoMachine, console: Console) -> None:
        self.machine = machine
        self.console = console
        self.killed: dict[int, str] = {}
        """Pid -> title of those we have killed."""
        self.drawn_s = 0.0

    def run(self) -> None:
        """Show everything that this system promises at first sight."""
        self.say(f"both sides run, over {' and '.join(NETWORKS)}; nsu.conf is {self.machine.conf}")
        original, returned = self.machine.folder / "original", self.machine.folder / "returned"
        make_file(original, FILE_MIB * MIB)
        self.copy_in_under_fire(original)
        self.all_came_back()
        self.copy_out(returned)
        self.is_the_same(original, returned)
        self.read_only_holds()
        self.console.print()
        self.console.print(Text(ladder(follow(self.machine.state, "unit_1", "read", 10.0))))
        self.console.print()

    # -- in ------------------------------------------------------------------------------------------------------

    def copy_in_under_fire(self, original: Path) -> None:
        """Copy the file in; meanwhile kill one agent and one SRW with SIGKILL."""
        client, command = copy_command(original, self.machine.disk_at)
        began_s = time.monotonic()
        with open(self.machine.folder / "copy.log", "wb") as log:
            copier = spawn(command, signal.SIGKILL, log.fileno())
        try:
            self.watch_copier(copier, f"copying {FILE_MIB} MiB in with {client}, held at times so that you can watch")
        finally:
            copier.kill()
            copier.wait()
        took_s = time.monotonic() - began_s
        if copier.returncode != 0:
            said = (self.machine.folder / "copy.log").read_text(errors="replace").strip()
            raise DemoError(f"the copy in by {client} ended with {copier.returncode}: {said}")
        if len(self.killed) < len(VICTIMS):
            raise DemoError("the copy was over before an agent and an SRW could be killed")
        self.say(f"copied {FILE_MIB} MiB in with {client} in {took_s:.1f} s; killed meanwhile, with SIGKILL:")
        for pid, title in self.killed.items():
            self.console.print(Text(f"    «{title}» (pid {pid})"))

    def watch_copier(self, copier: "subprocess.Popen[bytes]", headline: str) -> None:
        """Show the table until the client ends; at each mark kill somebody or hold the client."""
        deadline_s = time.monotonic() + COPY_MOST_S
        before = self.moved("written_bytes")
        mark = 1
        with self.live() as live:
            while copier.poll() is None:
                moved = self.moved("written_bytes", before)
                through = sum(moved.values()) / (FILE_MIB * MIB)
                self.draw(live, f"{headline}: {min(through, 1):.0%}")
                if mark < MARKS and through >= mark / MARKS:
                    if mark in VICTIMS:
                        self.kill_one(VICTIMS[mark], moved)
                    else:
                        self.hold(copier, live, f"{headline}: {min(through, 1):.0%}")
                    mark += 1
                if time.monotonic() > deadline_s:
                    raise DemoError(f"the copy in is not done after {COPY_MOST_S:g} s")
                time.sleep(LOOK_EVERY_S)
            self.draw(live, f"{headline}: done", now=True)

    def hold(self, copier: "subprocess.Popen[bytes]", live: Live, headline: str) -> None:
        """Let the client stand still a moment, for people."""
        copier.send_signal(signal.SIGSTOP)
        until_s = time.monotonic() + HOLD_S
        while time.monotonic() < until_s:
            self.draw(live, headline)
            time.sleep(DRAW_EVERY_S / 2)
        copier.send_signal(signal.SIGCONT)

    def kill_one(self, title: str, moved: dict[tuple[int, str], int]) -> None:
        """Kill one process of that kind: of the path that has moved most, but not of one that was hit before."""
        hit = {words.rpartition("#")[2] for words in self.killed.values()}
        by_path = {words.rpartition("#")[2]: (process, words) for process, words in self.machine.titled(title)}
        busiest = sorted(moved, key=lambda path: moved[path], reverse=True)
        for number in (str(path) for path, _ in busiest):
            if number in by_path and number not in hit:
                process, words = by_path[number]
                process.kill()
                self.killed[process.pid] = words
                return
        raise DemoError(f"there is no process «{title}» to kill")

    def all_came_back(self) -> None:
        """Every path is up again, none of them by a process that was killed."""

        def are_back() -> bool:
            return self.machine.all_up() and not self.killed.keys() & self.pids()

        took_s = self.machine.wait_until(are_back, STARTS_WITHIN_S, f"all {PATHS} paths up again")
        self.say(f"all {PATHS} paths are up again, {took_s:.1f} s after the copy's end; no error reached the client")

    def pids(self) -> set[int]:
        """Give the pids of all agents and SRWs that are there."""
        found = self.machine.status()
        if found is None:
            return set()
        agents = {path["pid"] for server in found["host"]["servers"] for path in server["paths"]}
        return agents | {srw["pid"] for session in found["server"]["sessions"] for srw in session["srws"]}

    # -- out -----------------------------------------------------------------------------------------------------

    def copy_out(self, returned: Path) -> None:
        """Copy the file out, and show by which paths it came."""
        before, began_s = self.moved("read_bytes"), time.monotonic()
        with self.live() as live, open_disk(at=self.machine.disk_at) as disk, open(returned, "wb") as file:
            for offset_bytes in range(0, FILE_MIB * MIB, READ_BYTES):
                file.write(disk.pread(READ_BYTES, offset_bytes))
                self.draw(live, f"copying {FILE_MIB} MiB out with hostside.open_disk")
            self.draw(live, f"copying {FILE_MIB} MiB out with hostside.open_disk: done", now=True)
        took_s = time.monotonic() - began_s
        moved = self.moved("read_bytes", before)
        self.say(f"copied {FILE_MIB} MiB out with our Python API in {took_s:.1f} s, {by_which_paths(moved)}")

    def is_the_same(self, original: Path, returned: Path) -> None:
        checksum = sha256(original)
        if sha256(returned) != checksum:
            raise DemoError("the file that came back differs from the one that went in")
        self.say(f"the file came back the same: SHA-256 {checksum[:16]}…")

    def read_only_holds(self) -> None:
        with open_disk(at=self.machine.read_only_at) as disk:
            try:
                disk.pwrite(bytes(512), 0)
            except OSError as error:
                self.say(f"a write to the read-only partition unit_2 is refused: {error.strerror}")
                return
        raise DemoError("a write to the read-only partition was not refused")

    # -- telling -------------------------------------------------------------------------------------------------

    def moved(self, counter: str, before: dict[tuple[int, str], int] | None = None) -> dict[tuple[int, str], int]:
        """Give that counter of each path, by (path, network), less what it was `before`."""
        began = before or {}
        now = {(path["path"], path["network"].rpartition(":")[0]): path[counter] for path in self.machine.paths()}
        return {key: count - began.get(key, 0) for key, count in now.items()}

    @contextmanager
    def live(self) -> Iterator[Live]:
        with Live(console=self.console, auto_refresh=False) as live:
            yield live
        if not self.console.is_interactive:
            self.console.print()  # Live ends its only picture without the line's end there

    def draw(self, live: Live, headline: str, *, now: bool = False) -> None:
        """Draw the table when it is time to; where nothing can be drawn anew, only Live's last one is printed."""
        if HEARD:
            raise KeyboardInterrupt
        if not now and time.monotonic() - self.drawn_s < DRAW_EVERY_S:
            return
        found = self.machine.status()
        if found is not None:
            self.drawn_s = time.monotonic()
            tables = [paths_table(server) for server in found["host"]["servers"]]
            live.update(Group(Text(headline), *tables), refresh=True)

    def say(self, sentence: str) -> None:
        self.console.print(Text.assemble(("✓", "green"), " ", sentence))

    def what_to_try(self) -> str:
        nsu = f"{sys.executable} -m nsu"
        uri = f"nbd+unix:///unit_1?socket={self.machine.disk_at}"
        return (
            "It stays up until you press Control-C. In another terminal try:\n"
            f"  {nsu} status -c {self.machine.conf}\n"
            f"  {nsu} trace unit_1 -c {self.machine.conf}\n"
            f"  nbdinfo {shlex.quote(uri)}\n"
            f"  qemu-img info {shlex.quote(uri)}\n"
            "  kill -9 any process whose title begins with «nsu: agent» or «nsu: srw»"
        )


def run_demo(*, once: bool) -> int:
    """Run the demo; give the exit status."""
    console = Console()
    try:
        machine = DemoMachine(make_folder())
    except DemoError as error:
        return failed(console, error)
    HEARD.clear()
    hear_endings()
    held = False
    try:
        tour = Tour(machine, console)
        machine.start()
        tour.run()
        held = True
        if not once:
            console.print(Text(tour.what_to_try()), soft_wrap=True)
            stay_up(machine)
    except (DemoError, NotFollowedError, ControlError, OSError) as error:
        return failed(console, error)
    except KeyboardInterrupt:
        console.print("stopping" if held else "stopping before the tour was over")
    finally:
        machine.close()
    return 0 if held else 1


def stay_up(machine: DemoMachine) -> None:
    while machine.runs:
        if HEARD:
            raise KeyboardInterrupt
        time.sleep(0.2)
    raise DemoError(f"the supervisor has ended by itself. Its log ends with:\n{machine.log_end()}")


def failed(console: Console, error: Exception) -> int:
    """Say what did not hold; give the exit status."""
    console.print(Text.assemble(("✗", "red"), " ", str(error)))
    return 1


def hear_endings() -> None:
    """Have the first of Control-C, SIGTERM and SIGHUP raise KeyboardInterrupt, and nothing disturb the cleaning up.

    One that was ignored when we came (nohup, a shell's background job) stays ignored.
    """

    def end(heard: int, _frame: object) -> None:
        HEARD.append(heard)
        for number in ENDINGS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in ENDINGS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, end)


def copy_command(original: Path, disk_at: Path) -> tuple[str, list[str]]:
    """Copy by a standard NBD client when one is there, by our Python API otherwise."""
    if shutil.which("nbdcopy"):
        uri = f"nbd+unix:///unit_1?socket={disk_at}"
        return "nbdcopy", ["nbdcopy", "--flush", "--connections=4", "--", str(original), uri]
    return "our Python API", [sys.executable, "-m", "nsu.copy", str(original), str(disk_at)]


def by_which_paths(moved: dict[tuple[int, str], int]) -> str:
    """Say how many bytes came by which paths and networks; raise DemoError when only one carried anything."""
    carried = [count for count in moved.values() if count > 0]
    by_network = {network: sum(n for (_, its), n in moved.items() if its == network) for network in NETWORKS}
    if len(carried) < 2 or min(by_network.values()) <= 0:
        raise DemoError(f"the copy out did not go over several paths of both networks: {moved}")
    shares = ", ".join(f"{size(count)} by {network}" for network, count in by_network.items())
    return f"over {len(carried)} paths with {size(min(carried))} to {size(max(carried))} each: {shares}"


def make_file(path: Path, size_bytes: int) -> None:
    """Write a file of random bytes: what is not compressible can't hide a mistake."""
    with open(path, "wb") as file:
        for _ in range(size_bytes // MIB):
            file.write(os.urandom(MIB))


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
