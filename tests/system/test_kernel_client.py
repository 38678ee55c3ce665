"""Both roles in a machine of their own, whose kernel has the disk as /dev/nbd0: what fsync promised survives.

The NSU's drive is the guest's /dev/vda. What the chain (ext4, kernel client, host driver, agents, SRWs, drive) has not
flushed down to it is lost in the power cut, with the guest's memory.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import spawn_world
from tests.programs import needs, run
from tests.system.guest import Guest, Initramfs, Kernel, debian_kernel
from tests.system.guest.programs.tree import name_of

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(240)]

MIB = 1 << 20
DISK_BLOCKS = 48 * MIB // 512
GROWN_BLOCKS = DISK_BLOCKS + 8 * MIB // 512
SYNCED_BEFORE_THE_CUT = 40
FILES_AFTER = 100
CONF = f"""MACHINE box1
  STATE = /tmp/state

NSU box1
  LISTEN = 127.0.0.1
  PRIVILEGED_PORT = no
ARRAY unit0
  LEVEL = jbod
  DRIVE = /dev/vda
HOST host1
  SECRET_FILE = /tmp/key
  DATA_PORT = 127.0.0.1:10002(4)
  UNIT unit_1
    LBA = unit0(0,{DISK_BLOCKS - 1})

SERVER box1
  ADDRESS = 127.0.0.1
  LOGIN = host1
  SECRET_FILE = /tmp/key
  DISK unit_1
    AT = /run/unit_1
"""
ATTACH = """
(umask 077; echo 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef > /tmp/key)
start_nsu() {
    python3 -m tests.system.guest.programs.nsu_run run -c /nsu.conf & nsu=$!
    until [ -b /run/unit_1 ] && [ "$(cat /sys/block/nbd0/size)" != 0 ]; do
        kill -0 $nsu || poweroff -f
        sleep 0.05
    done
}
seconds() { cut -d' ' -f1 /proc/uptime; }
asked=$(seconds); start_nsu; echo ATTACHED $asked $(seconds)
tree="python3 -m tests.system.guest.programs.tree"
"""
FIRST_BOOT = f"""{ATTACH}
cd /sys/block/nbd0
echo QUEUE $(cat queue/write_cache), fua $(cat queue/fua), $(ls mq | wc -w) sockets
cd -
mkfs.ext4 -q /run/unit_1 && mount /run/unit_1 /mnt && sync && echo MADE
echo 0 > /proc/sys/vm/dirty_writeback_centisecs  # nothing is written back but what somebody has asked for
$tree write /mnt 100000
"""
SECOND_BOOT = f"""{ATTACH}
mount /run/unit_1 /mnt && $tree check /mnt /synced
# An orderly detach is told as a warning too, so that is no complaint: «shutting down sockets».
dmesg -r | grep '^<[0-4]>.*\\(nbd\\|I/O error\\)' | grep -v 'shutting down sockets'; echo KERNEL LOG ENDS
$tree write /mnt/more {FILES_AFTER} > /dev/null & writer=$!
until [ -e /mnt/more/2/2/2 ]; do sleep 0.05; done
kill -9 $(pidof "nsu: disk unit_1"); wait $writer; echo WRITTEN $?
sync; echo 3 > /proc/sys/vm/drop_caches; $tree check /mnt/more /more
sed -i 's/LBA = .*/LBA = unit0(0,{GROWN_BLOCKS - 1})/' /nsu.conf
until [ "$(cat /sys/block/nbd0/size)" = {GROWN_BLOCKS} ]; do sleep 0.05; done; echo GROWN
kill $nsu; wait $nsu; echo STOPPED $?
(echo after > /mnt/after; sync; echo WAITED) & waiter=$!
start_nsu; wait $waiter
umount /mnt && e2fsck -fn /run/unit_1; echo FSCK $?
kill $nsu; wait $nsu; echo DETACHED $(cat /sys/block/nbd0/size) $(ls /run)
"""


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    return debian_kernel()


@pytest.fixture(scope="module")
def nsu_machine(kernel: Kernel) -> Initramfs:
    """Our source, Python, and what makes and checks a file system."""
    initramfs = Initramfs(kernel, "nbd", "virtio_blk", "virtio_pci")
    for program in ("mkfs.ext4", "e2fsck"):
        if shutil.which(program, path="/usr/sbin:/sbin") is None:
            pytest.skip(f"{program} is not installed: apt-get install e2fsprogs")
        initramfs.add_program(program)
    initramfs.add_python(
        "nsu.cli", "nsu.supervisor", "nsu.roles", "hostside.frontends.nbd_kernel", "tests.system.guest.programs.tree"
    )
    initramfs.add_source("tests/system/guest/programs/nsu_run.py")
    initramfs.add_text("/nsu.conf", CONF)
    return initramfs


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[str]:
    image = tmp_path / "drive.img"
    with open(image, "wb") as file:
        file.truncate(64 * MIB)
    yield f"file={image},format=raw,if=virtio,cache=writeback"
    image.unlink()


def test_what_was_fsynced_survives_a_power_cut_and_killed_processes(
    kernel: Kernel, nsu_machine: Initramfs, drive: str, tmp_path: Path
) -> None:
    synced = cut_while_writing(kernel, nsu_machine, drive, tmp_path)
    nsu_machine.add_text("/synced", "\n".join(synced))
    nsu_machine.add_text("/more", "\n".join(map(name_of, range(FILES_AFTER))))
    nsu_machine.add_script(SECOND_BOOT)
    with Guest(kernel, nsu_machine.write(tmp_path / "second.cpio"), drives=[drive]) as guest:
        guest.wait_line("ATTACHED")
        assert guest.wait_line("CHECKED") == f"{len(synced)} files, bad: none"
        assert guest.next_line() == "KERNEL LOG ENDS", "the kernel complained"
        # The process of the disk was killed below a file system that was being written to; its successor went on.
        assert guest.wait_line("WRITTEN") == "0"
        assert guest.wait_line("CHECKED") == f"{FILES_AFTER} files, bad: none"
        guest.wait_line("GROWN")
        # nsu was stopped and started below a mounted file system: the device stayed, and what was asked waited.
        assert guest.wait_line("STOPPED") == "0"
        guest.wait_line("WAITED")
        assert guest.wait_line("FSCK") == "0"
        assert guest.wait_line("DETACHED") == "0", "the device is still attached, or its link still there"
        guest.wait_end()


def cut_while_writing(kernel: Kernel, nsu_machine: Initramfs, drive: str, tmp_path: Path) -> list[str]:
    """Make a file system, write to it, cut the power in the middle; the files whose fsync had returned."""
    nsu_machine.add_script(FIRST_BOOT)
    with Guest(kernel, nsu_machine.write(tmp_path / "first.cpio"), drives=[drive]) as guest:
        asked_s, attached_s = map(float, guest.wait_line("ATTACHED").split())
        print(f"from `nsu run` to a usable /dev/nbd0, emulated: {attached_s - asked_s:.1f} s")
        assert guest.wait_line("QUEUE") == "write back, fua 1, 4 sockets"
        guest.wait_line("MADE")
        return [guest.wait_line("SYNCED") for _ in range(SYNCED_BEFORE_THE_CUT)]


# -- a machine whose root is a partition -----------------------------------------------------------------------------

ROOT_INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
echo ROOT $(/bin/busybox grep -c ' / ext4 ' /proc/mounts), boots before: $(/bin/busybox cat /boots)
echo boot >> /boots
/bin/busybox sync
/bin/busybox poweroff -f
"""


@needs("nbdcopy")
def test_a_virtual_machine_boots_from_a_partition(kernel: Kernel, tmp_path: Path) -> None:
    initramfs = Initramfs(kernel, "virtio_blk", "virtio_pci")
    initramfs.add_script("mount -t ext4 /dev/vda /mnt && exec switch_root /mnt /sbin/init\n")
    packed = initramfs.write(tmp_path / "boot.cpio")
    with spawn_world(units={"root": 16 * MIB // 512}) as world:
        run("nbdcopy", "--flush", str(make_root(tmp_path)), world.uri("root"))
        for before in ("", "boot"):
            with Guest(kernel, packed, drives=[f"file={world.uri('root')},format=raw,if=virtio"]) as guest:
                assert guest.wait_line("ROOT") == f"1, boots before: {before}".strip()
                guest.wait_off()


def make_root(tmp_path: Path) -> Path:
    """Make an image of a root file system: busybox, and an init that says what it sees."""
    root, image = tmp_path / "root", tmp_path / "root.img"
    for folder in ("bin", "sbin", "proc", "dev"):
        (root / folder).mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, root / "bin/busybox")
    (root / "boots").touch()
    (root / "sbin/init").write_text(ROOT_INIT)
    (root / "sbin/init").chmod(0o755)
    with open(image, "wb") as file:
        file.truncate(16 * MIB)
    run("/usr/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-d", str(root), str(image))
    return image
