"""What every test run says and obeys: the time per file, no silent skips, a bound on the whole.

- After each run, a table: seconds per test file, slowest first (its fixtures included).
- `--no-skips`: a test or file that skips has failed. For machines on which nothing may be missing.
- `--seconds-max N`: a run that took longer has failed, however green it was.
- `--seeds N`: so many lives in the simulation, instead of the number that fits a short run.
- `--compiled`: the hot modules run as machine code (`make fast`), also in the test's own process.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Generator

import pytest

import ipc.say
from nsu.compiled import use_compiled

_seconds_of_file: defaultdict[str, float] = defaultdict(float)
_run_started_s = time.monotonic()


@pytest.fixture(autouse=True)
def unheard() -> None:
    """What one test had said must not keep the next one from hearing it."""
    ipc.say.voice.heard.clear()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("nsu")
    group.addoption("--no-skips", action="store_true", help="a skipped test is a failed test")
    group.addoption("--seconds-max", type=float, default=None, help="a longer run is a failed run")
    group.addoption("--seeds", type=int, default=None, help="lives that the simulation is given")
    group.addoption("--compiled", action="store_true", help="run machine code of the hot modules in this process")
    group.addoption("--pictures", action="store_true", help="keep pictures of the pages in docs/pictures")
    # Now, not when options are parsed: by then the conftest.py of a folder has imported hot modules.
    if "--compiled" in sys.argv and not use_compiled():
        raise pytest.UsageError("there is no machine code of these sources: make fast")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _seconds_of_file[report.nodeid.partition("::")[0]] += report.duration


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    # An expected failure (xfail) is reported as skipped too, but it did run.
    if item.config.getoption("no_skips") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which --no-skips forbids: {_reason(report.longrepr)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if collector.config.getoption("no_skips") and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, which --no-skips forbids: {_reason(report.longrepr)}"
    return report


def _reason(longrepr: object) -> str:
    """The reason in pytest's (path, line, reason) of a skip."""
    return str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)


def _seconds_over(config: pytest.Config) -> float:
    """How far beyond --seconds-max the run is; not positive when it is within, or has no bound."""
    seconds_max = config.getoption("seconds_max")
    return 0.0 if seconds_max is None else time.monotonic() - _run_started_s - float(seconds_max)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if exitstatus == pytest.ExitCode.OK and _seconds_over(session.config) > 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.section("seconds per test file")
    for path, seconds in sorted(_seconds_of_file.items(), key=lambda row: -row[1]):
        terminalreporter.write_line(f"{seconds:8.2f}  {path}")
    terminalreporter.write_line(f"{sum(_seconds_of_file.values()):8.2f}  together")
    if (over_s := _seconds_over(config)) > 0:
        terminalreporter.write_line(f"The run took {over_s:.0f} s longer than --seconds-max allows.")
