"""Proved: what smartctl tells is said in words; a drive that does not answer, and no smartctl at all, are said too."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nsu import smart
from nsu.smart import MISSING, add_smart, ask, words_of
from tests.programs import needs, run

ATA = {
    "smart_status": {"passed": True},
    "temperature": {"current": 34},
    "power_on_time": {"hours": 12345},
    "ata_smart_attributes": {
        "table": [
            {"id": 5, "name": "Reallocated_Sector_Ct", "raw": {"value": 8}},
            {"id": 9, "name": "Power_On_Hours", "raw": {"value": 12345}},
            {"id": 197, "name": "Current_Pending_Sector", "raw": {"value": 0}},
        ]
    },
}
NVME = {
    "smart_status": {"passed": False},
    "temperature": {"current": 71},
    "nvme_smart_health_information_log": {"media_errors": 3, "percentage_used": 98},
}
SCSI = {"smart_status": {"passed": True}, "scsi_grown_defect_list": 2}
ASLEEP = {"smartctl": {"messages": [{"string": "Device is in STANDBY mode, exit(2)", "severity": "information"}]}}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (ATA, "healthy, 34 °C, 12,345 hours, 8 sectors reallocated"),
        (NVME, "FAILING by its own account, 71 °C, 3 media errors, 98 % of its life used"),
        (SCSI, "healthy, 2 defects grown"),
        (ASLEEP, "not known: Device is in STANDBY mode, exit(2)"),
        ({}, "not known: the drive tells nothing"),
    ],
)
def test_each_kind_of_drive_is_told_in_words(told: dict[str, Any], words: str) -> None:
    assert words_of(told) == words


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have a smartctl of these lines of shell, and no other."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def made(lines: str) -> None:
        at = tmp_path / "smartctl"
        at.write_text(f"#!/bin/sh\n{lines}\n")
        at.chmod(0o755)

    return made


def test_without_smartctl_that_is_said(program: Callable[[str], None]) -> None:
    del program
    assert ask(["/dev/sda"]) == {"/dev/sda": MISSING}


def test_a_drive_that_hangs_holds_up_nobody(program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smart, "ASK_MOST_S", 0.3)
    program('case "$5" in */good) echo "{\\"temperature\\": {\\"current\\": 30}}";; *) exec /bin/sleep 60;; esac')
    began_s = time.monotonic()
    told = ask(["/dev/bad", "/dev/good", "/dev/worse"])
    assert time.monotonic() - began_s < 5
    assert told["/dev/good"] == "30 °C"
    assert told["/dev/bad"] == told["/dev/worse"] == "not known: no answer within 0.3 s"


@pytest.mark.parametrize("lines", ["echo 'smartctl 6.6: unrecognized option --json'", "exit 1", "echo '[1]'"])
def test_an_answer_that_is_none_is_said(program: Callable[[str], None], lines: str) -> None:
    program(lines)
    assert ask(["/dev/sda"])["/dev/sda"] == "not known: smartctl did not answer in JSON (7.0 or later does)"


def test_files_have_no_smart(tmp_path: Path) -> None:
    (tmp_path / "drive").touch()
    drives = [{"name": str(tmp_path / "drive")}, {"name": "(not there)"}]
    add_smart([{"drives": drives}])
    assert all("smart" not in drive for drive in drives)


@pytest.fixture
def loop_device(tmp_path: Path) -> Iterator[str]:
    backing = tmp_path / "backing"
    backing.write_bytes(bytes(1 << 20))
    device = run("losetup", "--find", "--show", str(backing)).strip()
    yield device
    run("losetup", "--detach", device)


@needs("smartctl")
@pytest.mark.skipif(os.geteuid() != 0, reason="loop devices need root")
def test_the_real_smartctl_is_understood(loop_device: str) -> None:
    drive: dict[str, Any] = {"name": loop_device}
    add_smart([{"drives": [drive]}])
    assert drive["smart"] == "not known: Unable to detect device type"
