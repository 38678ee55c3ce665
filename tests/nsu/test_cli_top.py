"""Proves that `nsu top` shows a running machine in 80 columns and as JSON, and says so when none runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import World

pytestmark = pytest.mark.system


def top(conf: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "nsu", "top", "--once", "--every", "0.3", "-c", str(conf), *options]
    environment = os.environ | {"COLUMNS": "80"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)


def test_it_shows_what_runs(world: World) -> None:
    shown = top(world.machine.conf)
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()
    assert all(len(line.rstrip()) <= 80 for line in lines)
    assert any("host host1" in line for line in lines)
    assert any("path 3" in line and " up" in line for line in lines)
    assert any("nsu: server" in line for line in lines)


def test_it_tells_programs(world: World) -> None:
    told = json.loads(top(world.machine.conf, "--json").stdout)
    assert told["machine"] == "box1"
    assert "path:box1:0" in told["rates"]


def test_it_says_when_nothing_runs(tmp_path: Path) -> None:
    conf = tmp_path / "nsu.conf"
    conf.write_text(f"MACHINE box1\n  STATE = {tmp_path}/state\nARRAY a\n  DRIVE = {tmp_path}/d.img(1MiB)\n")
    shown = top(conf)
    assert shown.returncode == 1
    assert "is it running?" in shown.stderr
