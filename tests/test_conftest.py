"""Proves that the run's own rules bite: skips fail when asked to, a long run fails, time is told per file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PLAIN = ["-c", "/dev/null", "-p", "no:cacheprovider", "-p", "tests.conftest"]

SUITES = {
    "passes": "def test_it(): pass",
    "skips": "import pytest\n@pytest.mark.skip(reason='no tool')\ndef test_it(): pass",
    "skips_in_setup": "import pytest\n@pytest.fixture\ndef f(): pytest.skip('no tool')\ndef test_it(f): pass",
    "skips_whole_file": "import pytest\npytest.importorskip('no_such_module')\ndef test_it(): pass",
    "expected_failure": "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False",
}


def run_suite(tmp_path: Path, suite: str, *flags: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "test_suite.py").write_text(SUITES[suite])
    return subprocess.run(
        [sys.executable, "-m", "pytest", *PLAIN, "--rootdir", str(tmp_path), *flags, str(tmp_path)],
        cwd=REPOSITORY,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # other people's plugins take seconds to load
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("suite", ["skips", "skips_in_setup", "skips_whole_file"])
def test_a_skip_fails_only_when_skips_are_forbidden(tmp_path: Path, suite: str) -> None:
    allowed = run_suite(tmp_path, suite)
    assert allowed.returncode in (0, 5), allowed.stdout  # 5: nothing was collected, and nothing failed
    forbidden = run_suite(tmp_path, suite, "--no-skips")
    assert forbidden.returncode in (1, 2), forbidden.stdout
    assert "which --no-skips forbids" in forbidden.stdout


@pytest.mark.parametrize("suite", ["passes", "expected_failure"])
def test_what_ran_is_not_taken_for_a_skip(tmp_path: Path, suite: str) -> None:
    assert run_suite(tmp_path, suite, "--no-skips").returncode == 0


def test_a_run_over_its_seconds_fails_and_says_so(tmp_path: Path) -> None:
    assert run_suite(tmp_path, "passes", "--seconds-max=600").returncode == 0
    late = run_suite(tmp_path, "passes", "--seconds-max=0")
    assert late.returncode == 1
    assert "longer than --seconds-max allows" in late.stdout


def test_the_seconds_of_each_file_are_printed(tmp_path: Path) -> None:
    assert "s per test file" in (said := run_suite(tmp_path, "passes").stdout)
    assert any(line.endswith("test_suite.py") and float(line.split()[0]) >= 0 for line in said.splitlines())
