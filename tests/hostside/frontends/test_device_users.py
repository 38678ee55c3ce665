"""Who uses a device, on this machine's own devices and on a tree of files like /proc and /sys."""

from pathlib import Path

import pytest

from hostside.frontends.device_users import users_of


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with nbd1, its partition nbd1p2, and nobody who uses them."""
    disk = tmp_path / "block/nbd1"
    for folder, numbers in ((disk, "43:16"), (disk / "nbd1p2", "43:18")):
        (folder / "holders").mkdir(parents=True)
        (folder / "dev").write_text(f"{numbers}\n")
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/77/fd").mkdir(parents=True)
    (tmp_path / "proc/self/mountinfo").write_text("22 1 43:32 / /other rw - ext4 /dev/nbd2 rw\n")
    (tmp_path / "proc/swaps").write_text("Filename Type Size Used Priority\n/dev/nbd10 partition 1 0 -2\n")
    return tmp_path


def users(machine: Path) -> list[str]:
    return users_of("nbd1", proc=machine / "proc", sys_block=machine / "block")


def test_nobody(machine: Path) -> None:
    assert users(machine) == []


@pytest.mark.parametrize(
    "line",
    ["30 22 43:16 / /srv rw,relatime - ext4 /dev/disk/by-label/x rw", "30 22 0:42 / /srv rw - btrfs /dev/nbd1p2 rw"],
    ids=["by number", "by source"],
)
def test_a_mount(machine: Path, line: str) -> None:
    with open(machine / "proc/self/mountinfo", "a") as file:
        file.write(f"{line}\n")
    assert users(machine) == ["mounted at /srv"]


def test_a_mount_in_another_mount_namespace(machine: Path) -> None:
    for process, namespace, mounts in (
        ("self", 1, ""),
        ("77", 1, ""),
        ("78", 2, "30 22 43:16 / /srv rw - ext4 x rw\n"),
    ):
        (machine / f"proc/{process}/ns").mkdir(parents=True)
        (machine / f"proc/{process}/ns/mnt").symlink_to(f"mnt:[{namespace}]")
        (machine / f"proc/{process}/mountinfo").write_text(mounts)
    assert users(machine) == ["mounted at /srv for process 78"]


def test_swap(machine: Path) -> None:
    with open(machine / "proc/swaps", "a") as file:
        file.write("/dev/nbd1p2 partition 1 0 -3\n")
    assert users(machine) == ["swap space"]


@pytest.mark.parametrize("folder", ["block/nbd1/holders", "block/nbd1/nbd1p2/holders"])
def test_a_device_on_top(machine: Path, folder: str) -> None:
    (machine / folder / "dm-0").symlink_to("nowhere")
    assert users(machine) == ["part of dm-0"]


def test_a_process_that_has_it_open(machine: Path) -> None:
    (machine / "proc/77/fd/3").symlink_to("/dev/nbd1p2")
    (machine / "proc/77/fd/4").symlink_to("/dev/nbd1p20")
    assert users(machine) == ["opened by process 77"]


def test_a_device_that_is_gone_has_no_users() -> None:
    assert users_of("nbd9999") == []


def test_what_this_machine_has_mounted_is_in_use() -> None:
    mounted = {line.split()[2] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    for path in Path("/sys/block").glob("*/dev"):
        if path.read_text().strip() in mounted:
            assert any(user.startswith("mounted at") for user in users_of(path.parent.name))
