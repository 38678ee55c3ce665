"""Proves what the server owns of storage: opened, described, changed, its drivers replaced, and closed durable."""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from errno import EBUSY, EIO
from pathlib import Path

import psutil
import pytest

from ipc.confinement import User
from protocol.ops import Op
from protocol.records import UnitFlag
from serverside import storage as storage_module
from serverside.drives.base import DriveError
from serverside.errors import SettingsError
from serverside.identity import Identity
from serverside.partitions.zero_live import this_boot
from serverside.settings import ArraySettings, DriveSettings, ServerSettings
from serverside.storage import DRIVER_YOUNG_S, Storage
from tests.serverside.rig import host, settings, unit
from tests.users import ONLY_ROOT, errno_in_child

SEATS = 3


@pytest.fixture
def storages() -> Iterator[Callable[[ServerSettings], Storage]]:
    opened: list[Storage] = []

    def open_one(wanted: ServerSettings) -> Storage:
        opened.append(Storage(wanted, SEATS))
        opened[-1].start_drivers()
        return opened[-1]

    yield open_one
    for storage in opened:
        if storage.arrays["unit0"].drives[0].fd >= 0:
            storage.close()
        for place in storage.places.values():
            place.channel.close()


Opener = Callable[[ServerSettings], Storage]

TWO = [
    host("a", units=[unit("plain", 8), unit("fixed", 8, 8, read_only=True)]),
    host("b", units=[unit("zeroed", 256, 16, zero=True)]),
]


def wait_until(holds: Callable[[], object]) -> None:
    until_s = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < until_s
        time.sleep(0.002)


def driver_of(storage: Storage) -> psutil.Process:
    child = storage.places["unit0"].child
    assert child is not None
    return psutil.Process(child.pid)


def test_after_a_failed_drive_only_what_was_persisted_is_ours(tmp_path: Path) -> None:
    storage = Storage(settings(tmp_path, *TWO), SEATS)
    assert list(storage.folder.glob("*.live"))
    storage.health.fail(0, EIO)
    assert not list(storage.folder.glob("*.live"))
    with pytest.raises(DriveError, match="has failed"):
        storage.close()
    for place in storage.places.values():
        place.channel.close()


# --- drives of an array with redundancy ---


def redundant(folder: Path, *names: str) -> ServerSettings:
    drives = tuple(DriveSettings(folder / name, 2 << 20) for name in names)
    return replace(settings(folder), arrays=(ArraySettings("unit0", "raid5", drives),))


def test_an_array_with_redundancy_begins_without_a_drive_that_is_not_there(storages: Opener, tmp_path: Path) -> None:
    storages(redundant(tmp_path, "a", "b", "c")).close()
    (tmp_path / "b").unlink()
    (tmp_path / "b").mkdir()
    storage = storages(redundant(tmp_path, "a", "b", "c"))
    wait_until(lambda: [d["state"] for d in storage.describe_arrays()[0]["drives"]] == ["good", "out", "good"])


def test_it_does_not_begin_without_a_drive_that_somebody_else_uses(
    storages: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storages(redundant(tmp_path, "a", "b", "c")).close()
    monkeypatch.setattr(storage_module, "FORMER_RUN_S", 0.05)
    with (tmp_path / "b").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DriveError, match="in use already"):
            Storage(redundant(tmp_path, "a", "b", "c"), SEATS)


# --- what is told ---


def test_hosts_are_told_what_is_really_done(storages: Opener, tmp_path: Path) -> None:
    storage = storages(settings(tmp_path, *TWO))
    plain, fixed = storage.unit_records(TWO[0])
    (zeroed,) = storage.unit_records(TWO[1])
    assert [(r.number, r.name, r.blocks) for r in (plain, fixed, zeroed)] == [
        (0, "plain", 8),
        (1, "fixed", 8),
        (0, "zeroed", 256),
    ]
    assert plain.flags == UnitFlag.FLUSH | UnitFlag.FUA | UnitFlag.TRIM | UnitFlag.WRITE_ZEROES
    assert fixed.flags == plain.flags | UnitFlag.READ_ONLY
    assert zeroed.flags == plain.flags | UnitFlag.ZERO


def test_the_status_is_plain_values(storages: Opener, tmp_path: Path) -> None:
    storage = storages(settings(tmp_path, *TWO))
    told = json.loads(json.dumps([storage.describe_arrays(), storage.describe_hosts()]))
    (array,), hosts = told
    assert array["driver_pid"] == driver_of(storage).pid
    drive = {"name": str(tmp_path / "drive0.img"), "size_bytes": 2048 * 512, "state": "good", "note": None}
    assert array["drives"] == [drive]
    assert [unit["lba"] for unit in hosts[0]["units"]] == ["unit0(0,7)", "unit0(8,15)"]


def test_a_failed_drive_stays_failed_over_a_restart_until_its_note_is_removed(
    storages: Opener, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = storages(settings(tmp_path, *TWO))
    storage.health.fail(0, EIO)
    with pytest.raises(DriveError):
        storage.close()
    again = storages(settings(tmp_path, *TWO))
    (drive,) = again.describe_arrays()[0]["drives"]
    assert drive["state"] == "failed"
    assert f"remove {drive['note']} and start nsu again" in capsys.readouterr().err
    with pytest.raises(DriveError):
        again.arrays["unit0"].write_from(memoryview(bytes(512)), 0)
    with pytest.raises(DriveError):
        again.close()
    Path(drive["note"]).unlink()
    assert storages(settings(tmp_path, *TWO)).describe_arrays()[0]["drives"][0]["state"] == "good"


# --- the cookie ---


def test_the_cookie_changes_exactly_when_the_settings_do(storages: Opener, tmp_path: Path) -> None:
    first = settings(tmp_path, *TWO)
    storage = storages(first)
    cookie = storage.cookie
    storage.adopt(replace(first, hosts=tuple(TWO)))
    assert storage.cookie == cookie
    for changed in (settings(tmp_path, TWO[0]), settings(tmp_path, host("c"), TWO[0]), replace(first, name="x")):
        storage.adopt(changed)
        assert storage.cookie != cookie
        cookie = storage.cookie
    storage.close()
    again = storages(changed)
    assert again.cookie == cookie, "a start is no change"
    again.close()
    assert storages(first).cookie != cookie


# --- changes ---


def test_an_unchanged_partition_stays_the_same_object_and_a_changed_one_gets_a_new_index(
    storages: Opener, tmp_path: Path
) -> None:
    storage = storages(settings(tmp_path, *TWO))
    before_a, before_b = (storage.view_of(one) for one in TWO)
    generation = storage.unit_records(TWO[1])[0].generation
    grown = host("b", units=[unit("zeroed", 512, 16, zero=True)])
    storage.adopt(settings(tmp_path, TWO[0], grown))
    after_a, after_b = storage.view_of(TWO[0]), storage.view_of(grown)
    assert (before_a.partitions, before_a.indexes) == (after_a.partitions, after_a.indexes)
    assert before_b.indexes != after_b.indexes
    assert storage.unit_records(grown)[0].generation != generation


def test_a_unit_of_no_array_or_beyond_its_end_is_refused_before_anything_is_touched(
    storages: Opener, tmp_path: Path
) -> None:
    first = settings(tmp_path, *TWO)
    storage = storages(first)
    driver = driver_of(storage)
    with pytest.raises(SettingsError, match="HOST a UNIT unit_1: block 2048 is beyond unit0, whose last block is 2047"):
        storage.check(settings(tmp_path, host("a", units=[unit(blocks=2049)])))
    with pytest.raises(SettingsError, match="HOST a UNIT x: ARRAY unit9 is new"):
        storage.check(settings(tmp_path, host("a", units=[replace(unit("x"), array="unit9")])))
    storage.check(first)
    assert driver_of(storage) == driver


def test_when_a_change_fails_the_old_settings_and_a_driver_are_there(storages: Opener, tmp_path: Path) -> None:
    first = settings(tmp_path, *TWO)
    storage = storages(first)
    cookie = storage.cookie
    (tmp_path / "state").rename(tmp_path / "moved")
    (tmp_path / "state").write_text("a file where the folder was")
    with pytest.raises(OSError, match="state"):
        storage.adopt(settings(tmp_path, TWO[0]))
    assert (storage.settings, storage.cookie) == (first, cookie)
    assert storage.unit_records(TWO[1])
    assert driver_of(storage).is_running()


# --- drivers ---


def written_by_driver(storage: Storage, seat: int) -> tuple[int, str]:
    """Have the driver process write to the ZERO partition of host b."""

    def alive() -> bool:
        storage.mind_drivers()
        return True

    door = storage.doors(seat, alive)["unit0"]
    return door.execute(storage.view_of(TWO[1]).indexes[0], Op.WRITE, 0, 1, False, memoryview(b"z" * 512))


def test_a_driver_that_died_is_replaced_and_whoever_waits_is_served(storages: Opener, tmp_path: Path) -> None:
    storage = storages(settings(tmp_path, *TWO))
    assert written_by_driver(storage, 0) == (0, "")
    child = storage.places["unit0"].child
    assert child is not None
    child.started_s -= 2 * DRIVER_YOUNG_S  # type: ignore[misc]  # it has lived for a while
    child.kill_and_reap()
    assert written_by_driver(storage, 1) == (0, "")
    assert driver_of(storage).pid != child.pid
    view = bytearray(512)
    storage.view_of(TWO[1]).partitions[0].read_into(memoryview(view), 0)
    assert view == b"z" * 512


def test_a_driver_that_dies_young_is_not_forked_again_and_again(
    storages: Opener, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = storages(settings(tmp_path, *TWO))
    place = storage.places["unit0"]
    assert place.child is not None
    place.child.kill_and_reap()
    for _ in range(100):
        storage.mind_drivers()
    assert storage.describe_arrays()[0]["driver_pid"] is None
    assert capsys.readouterr().err.count("died") == 1
    place.rest_until_s = 0.0
    storage.mind_drivers()
    assert driver_of(storage).is_running()


def test_a_mark_is_answered_after_what_was_posted_before_it(storages: Opener, tmp_path: Path) -> None:
    storage = storages(settings(tmp_path, *TWO))
    ((descriptor, mark),) = storage.begin_drain(2)
    assert descriptor == storage.places["unit0"].channel.answers[2].fileno()
    wait_until(lambda: mark.poll() is not None)


def test_an_srw_keeps_the_drives_and_its_own_seat_only(storages: Opener, tmp_path: Path) -> None:
    storage = storages(settings(tmp_path, *TWO))
    drives = storage.arrays["unit0"].descriptors()
    mine, others = set(storage.descriptors(0)), set(storage.descriptors(1))
    assert drives < mine
    assert len(mine - drives) == 2
    assert len(mine - drives - others) == 1, "its answers; the command queue is everybody's"


# --- the lock, and the end ---

HOLDER = """
import fcntl, os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_start_waits_for_the_last_process_of_the_former_run(
    storages: Opener, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A killed SRW in the middle of a sync lives on for a while, and may still write."""
    wanted = settings(tmp_path, *TWO)
    storages(wanted).close()
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "drive0.img")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        killer = subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -9 {holder.pid}"])
        began_s = time.monotonic()
        storage = storages(wanted)
        assert time.monotonic() - began_s > 0.1
        killer.wait()
    assert storage.arrays["unit0"].capacity_blocks == 2048
    assert capsys.readouterr().err.count("waiting for it") == 1


def test_a_drive_that_stays_taken_is_refused_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serverside.storage.FORMER_RUN_S", 0.1)
    wanted = settings(tmp_path, *TWO)
    path = tmp_path / "drive0.img"
    path.write_bytes(bytes(2048 * 512))
    fd = os.open(path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(DriveError) as refused:
        Storage(wanted, SEATS)
    assert refused.value.errno == EBUSY
    os.close(fd)


def test_the_end_makes_zero_maps_durable_and_stops_the_drivers(storages: Opener, tmp_path: Path) -> None:
    wanted = settings(tmp_path, *TWO)
    storage = storages(wanted)
    written_by_driver(storage, 0)
    driver = driver_of(storage)
    storage.close()
    assert not driver.is_running()
    view = bytearray(512)
    storages(wanted).view_of(TWO[1]).partitions[0].read_into(memoryview(view), 0)
    assert view == b"z" * 512


def test_a_failed_drive_is_told_at_the_end_after_the_others_are_closed(storages: Opener, tmp_path: Path) -> None:
    storage = storages(settings(tmp_path, *TWO))
    storage.health.fail(0, 5)
    assert storage.describe_arrays()[0]["drives"][0]["state"] == "failed"
    with pytest.raises(DriveError, match="has failed"):
        storage.close()
    assert storage.arrays["unit0"].drives[0].fd == -1
    assert storage.places["unit0"].child is None


# --- what a loss of power takes ---


def verifier_after_a_reboot(tmp_path: Path) -> int:
    return Identity(tmp_path / "state", machine_boot=b"another boot, 16").verifier


def test_an_orderly_end_leaves_nothing_volatile(storages: Opener, tmp_path: Path) -> None:
    storage = storages(settings(tmp_path, *TWO))
    verifier = storage.identity.verifier
    storage.close()
    assert verifier_after_a_reboot(tmp_path) == verifier


def test_an_end_without_its_syncs_is_told_after_a_reboot_and_only_then(
    storages: Opener, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = storages(settings(tmp_path, *TWO)).identity.verifier
    assert Identity(tmp_path / "state", machine_boot=this_boot()).verifier == first
    assert verifier_after_a_reboot(tmp_path) != first
    assert "may be lost" not in capsys.readouterr().err


def test_an_unsettled_zero_map_is_no_orderly_end(storages: Opener, tmp_path: Path) -> None:
    storage = storages(settings(tmp_path, *TWO))
    verifier = storage.identity.verifier
    (zero_map,) = storage.table.zero_maps.values()
    storage.stop_drivers()
    zero_map.claim(0, 512)
    assert storage.table.is_dirty
    storage.close()
    assert verifier_after_a_reboot(tmp_path) != verifier


def test_a_loss_is_said(storages: Opener, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Identity(tmp_path / "state", machine_boot=b"another boot, 16")
    storages(settings(tmp_path, *TWO))
    assert "hosts are told that writes since their last flush may be lost" in capsys.readouterr().err


@ONLY_ROOT
def test_a_confined_process_notes_a_failed_drive_and_the_server_makes_it_last(
    tmp_path: Path, storages: Opener, capfd: pytest.CaptureFixture[str]
) -> None:
    wanted = replace(settings(tmp_path, *TWO), user=User("nobody", 65_534, 65_534))
    storage = storages(wanted)

    def live() -> None:
        storage.reopen()
        storage.confine()
        storage.health.fail(0, EIO)

    assert errno_in_child(live) == 0
    assert "can't be noted" not in "".join(capfd.readouterr())
    note = Path(storage.note_of(storage.arrays["unit0"].drives[0]) or "")
    assert not note.exists()
    assert list(storage.folder.glob("*.live"))
    storage.mind_drivers()
    assert note.is_file()
    assert not list(storage.folder.glob("*.live")), "what a zero map's memory says is believed no more"
    with pytest.raises(DriveError, match="has failed"):
        storage.close()
