"""Proves that `nsu demo` shows what it claims, live, in 80 columns, and leaves nothing behind however it ends."""

import io
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import pytest
from rich.console import Console

from nsu.demo import Tour, by_which_paths, copy_command, run_demo, stay_up
from nsu.demo_machine import DemoError, DemoMachine
from nsu.gather import gather
from tests.harness import World

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
READ_BYTES = 65536
STOPS_WITHIN_S = 40
ENDLESS_NBDCOPY = f"""\
#!{sys.executable}
import itertools, sys
sys.path[:0] = {sys.path!r}
from hostside.client import open_disk

with open_disk(at=sys.argv[-1].partition("socket=")[2]) as disk:
    for turn in itertools.count():
        disk.pwrite(bytes(1 << 20), (turn % 128) << 20)
"""
"""A client that copies until somebody ends it: however fast the machine is, it is interrupted while it copies."""


class Shown:
    """One `nsu demo` in a terminal of 80 columns: what it printed, every process it had, how it ended."""

    def __init__(self, temporary: Path, *arguments: str, path: str | None = None) -> None:
        self.terminal, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        environment = os.environ | {"TMPDIR": str(temporary), "TERM": "xterm"}
        environment.pop("COLUMNS", None)
        if path is not None:
            environment["PATH"] = path
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nsu", "demo", *arguments],
            env=environment,
            preexec_fn=lambda: os.login_tty(theirs),  # noqa: PLW1509 there are no threads here
        )
        os.close(theirs)
        self.raw = ""
        self.seen: dict[int, psutil.Process] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, where the test has not: in order, by a closed terminal, so that a test that fails leaves nothing."""
        self.hang_up()
        try:
            self.process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def hang_up(self) -> None:
        """Close the terminal, as its window's button does."""
        if self.terminal >= 0:
            os.close(self.terminal)
        self.terminal = -1

    @property
    def text(self) -> str:
        return CONTROL.sub("", self.raw).replace("\r\n", "\n").replace("\r", "\n")

    def read_until(self, pattern: str, timeout_s: float = 30.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not re.search(pattern, self.text):
            assert time.monotonic() < deadline_s, self.text
            assert self.read_some(), f"it ended before «{pattern}»:\n{self.text}"

    def read_some(self) -> bool:
        """Read what there is; False at the end."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            self.seen[process.pid] = process
        if not select.select([self.terminal], [], [], 0.2)[0]:
            return self.process.poll() is None
        try:
            part = os.read(self.terminal, READ_BYTES)
        except OSError:  # EIO: the last process of the terminal is gone
            return False
        self.raw += part.decode()
        return True

    def end(self, timeout_s: float = 30.0) -> int:
        """Read to the end; give the exit status once every process is gone."""
        deadline_s = time.monotonic() + timeout_s
        while self.terminal >= 0 and self.process.poll() is None and self.read_some():
            assert time.monotonic() < deadline_s, self.text
        code = self.process.wait(timeout_s)
        while self.terminal >= 0 and select.select([self.terminal], [], [], 0)[0]:
            try:
                self.raw += os.read(self.terminal, READ_BYTES).decode()
            except OSError:
                break
        assert psutil.wait_procs(self.seen.values(), timeout=5)[1] == []
        return code


@pytest.fixture
def temporary() -> Iterator[Path]:
    """TMPDIR: short, and empty again at the end."""
    folder = Path(tempfile.mkdtemp(prefix="nt-", dir="/tmp"))
    yield folder
    left = list(folder.iterdir())
    shutil.rmtree(folder)
    assert left == []


def assert_toured(text: str, client: str) -> None:
    """Every part of the tour has held, and was told."""
    assert f"✓ copied 192 MiB in with {client} in " in text
    killed = re.findall(r"«nsu: (agent|srw) demo 127\.0\.0\.[12]:\d+ #(\d)» \(pid \d+\)", text)
    assert [kind for kind, _ in killed] == ["agent", "srw"]
    assert killed[0][1] != killed[1][1], "two paths were hit"
    words = " ".join(text.split())
    assert "✓ all 8 paths are up again, " in words
    carried = re.search(r"✓ copied 192 MiB out with our Python API in [0-9.]+ s, over (\d) paths with ", words)
    assert carried, words
    assert int(carried[1]) >= 2
    assert re.search(r"[KM]iB by 127\.0\.0\.1, .*[KM]iB by 127\.0\.0\.2 ✓", words)
    assert "✓ the file came back the same: SHA-256 " in words
    assert "✓ a write to the read-only partition unit_2 is refused: " in words
    assert "Figure 5, read: 4096 bytes at byte 0, path " in text
    assert [f"{n}H" in text for n in range(1, 8)] == [True] * 7
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.system
@pytest.mark.slow
def test_once_shows_a_live_table_and_all_holds(temporary: Path) -> None:
    with Shown(temporary, "--once") as shown:
        assert shown.end(60) == 0
    assert_toured(shown.text, "nbdcopy" if shutil.which("nbdcopy") else "our Python API")
    shares = re.findall(r"(\d+)%\n? ?paths to demo: \d of 8 up", shown.text.replace("\n\n", "\n"))
    assert len(set(shares)) >= 4, "the table is drawn anew while the copy goes on"
    assert shares == sorted(shares, key=int)
    assert "It stays up" not in shown.text


@pytest.mark.system
@pytest.mark.slow
def test_without_nbdcopy_it_copies_itself_and_stays_up(temporary: Path) -> None:
    with Shown(temporary, path="/nonexistent") as shown:
        shown.read_until("kill -9 any process", 60)
        folder = next(temporary.iterdir())
        assert f"-m nsu status -c {folder}/nsu.conf\n" in shown.text
        assert gather(folder / "state")["host"]["servers"][0]["paths_up"] == 8
        assert_toured(shown.text[: shown.text.index("It stays up")], "our Python API")
        shown.process.send_signal(signal.SIGTERM)
        assert shown.end() == 0
    assert shown.text.rstrip().endswith("stopping")


@pytest.mark.system
def test_control_c_while_it_copies_ends_it_with_1(temporary: Path, tmp_path: Path) -> None:
    client = tmp_path / "nbdcopy"
    client.write_text(ENDLESS_NBDCOPY)
    client.chmod(0o755)
    with Shown(temporary, path=f"{tmp_path}:{os.environ['PATH']}") as shown:
        shown.read_until("[1-9]%")
        began_s = time.monotonic()
        os.write(shown.terminal, b"\x03")
        shown.read_until("stopping before the tour was over")
        os.write(shown.terminal, b"\x03")  # an impatient one disturbs nothing
        assert shown.end() == 1
    assert time.monotonic() - began_s < 10
    assert "Traceback" not in shown.text


@pytest.mark.system
def test_a_closed_terminal_ends_it(temporary: Path) -> None:
    with Shown(temporary) as shown:
        shown.read_until("[1-9]%")
        shown.hang_up()
        shown.end()


@pytest.mark.system
def test_where_nothing_can_be_drawn_anew_the_last_table_is_printed(world: World) -> None:
    output = io.StringIO()
    tour = Tour(DemoMachine(world.machine.folder), Console(file=output, width=80))
    with tour.live() as live:
        tour.draw(live, "copying: 10%", now=True)
        tour.draw(live, "copying: done", now=True)
    lines = output.getvalue().splitlines()
    assert lines[:2] == ["copying: done", "paths to box1: 4 of 4 up".ljust(len(lines[1]))]
    assert sum(" up " in line and "127.0.0." in line for line in lines) == 4
    assert output.getvalue().endswith("\n")


# --- and it fails when something does not hold ---


@pytest.fixture
def tour(tmp_path: Path) -> Tour:
    return Tour(DemoMachine(tmp_path), Console(file=io.StringIO(), width=80))


def test_a_file_that_came_back_different_fails(tour: Tour, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a" * 512)
    (tmp_path / "b").write_bytes(b"a" * 511 + b"b")
    tour.is_the_same(tmp_path / "a", tmp_path / "a")
    with pytest.raises(DemoError, match="differs"):
        tour.is_the_same(tmp_path / "a", tmp_path / "b")


def test_a_copy_out_over_one_path_or_one_network_fails() -> None:
    two = {(0, "127.0.0.1"): 4096, (1, "127.0.0.2"): 1 << 20, (2, "127.0.0.1"): 0}
    assert by_which_paths(two) == "over 2 paths with 4 KiB to 1 MiB each: 4 KiB by 127.0.0.1, 1 MiB by 127.0.0.2"
    for idle in two:
        if two[idle]:
            with pytest.raises(DemoError, match="did not go over several paths of both networks"):
                by_which_paths(two | {idle: 0})
    with pytest.raises(DemoError, match="did not go over several paths of both networks"):
        by_which_paths({(0, "127.0.0.1"): 1, (2, "127.0.0.1"): 1})


def test_nobody_to_kill_fails(tour: Tour) -> None:
    with pytest.raises(DemoError, match="there is no process «nsu: agent» to kill"):
        tour.kill_one("nsu: agent", {(0, "127.0.0.1"): 1})


def test_a_client_that_fails_fails_the_tour(tour: Tour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(DemoError, match=r"the copy in by our Python API ended with 1: nsu.copy: .*No such file"):
        tour.copy_in_under_fire(tmp_path / "missing")


def test_a_supervisor_that_ends_by_itself_fails(tmp_path: Path) -> None:
    machine = DemoMachine(tmp_path)
    machine.log.write_text("its last words\n")
    with pytest.raises(DemoError, match=r"ended by itself. Its log ends with:\nits last words"):
        stay_up(machine)


def test_what_cannot_be_shown_here_has_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    assert run_demo(once=True) == 1
    assert "✗ there is no folder for temporary files" in capsys.readouterr().out


def test_a_standard_client_copies_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, at = tmp_path / "file", tmp_path / "unit_1.sock"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert copy_command(file, at) == ("our Python API", [sys.executable, "-m", "nsu.copy", str(file), str(at)])
    (tmp_path / "nbdcopy").touch(mode=0o755)
    client, command = copy_command(file, at)
    assert (client, command[0]) == ("nbdcopy", "nbdcopy")
    assert command[-2:] == [str(file), f"nbd+unix:///unit_1?socket={at}"]
