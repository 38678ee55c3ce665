"""Both roles in a machine of their own, whose kernel has the disks as /dev/nbdN: what fsync promised survives there.

The NSU's drive is the guest's /dev/vda. What the chain (ext4, kernel client, host driver, agents, SRWs, drive) has not
flushed down to it is lost in the power cut, with the guest's memory. LVM and md take two such disks as they are.
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
MEMBER_BLOCKS = 24 * MIB // 512
"""Of a disk that is a part of a volume group, or of a mirror."""
MEMBER_GROWN_BLOCKS = MEMBER_BLOCKS + 8 * MIB // 512


def conf(*ranges: tuple[int, int]) -> str:
    """Give the nsu.conf of a machine that is NSU and host: unit_1, unit_2… are these ranges of the drive."""
    units = "".join(f"  UNIT unit_{n}\n    LBA = unit0({first},{last})\n" for n, (first, last) in enumerate(ranges, 1))
    disks = "".join(f"  DISK unit_{n}\n    SHOW = nbd\n    AT = /dev/nsu/unit_{n}\n" for n in range(1, len(ranges) + 1))
    return f"""MACHINE box1
  STATE = /tmp/state

NSU box1
  LISTEN = 127.0.0.1
  PRIVILEGED_PORT = no
ARRAY unit0
  LEVEL = jbod
  DRIVE = /dev/vda
HOST host1
  SECRET_FILE = /tmp/key
  DATA_PORT = 127.0.0.1:10002(8)
{units}
SERVER box1
  ADDRESS = 127.0.0.1
  LOGIN = host1
  SECRET_FILE = /tmp/key
{disks}"""


ATTACH = """
(umask 077; echo 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef > /tmp/key)
start_nsu() {
    python3 -m nsu run -c /nsu.conf & nsu=$!
    for disk in $(sed -n 's/ *AT = //p' /nsu.conf); do
        until [ -b $disk ] && [ "$(cat $(block $disk)/size)" != 0 ]; do
            kill -0 $nsu || poweroff -f
            sleep 0.05
        done
    done
}
block() { echo /sys/block/$(basename $(readlink $1)); }
seconds() { cut -d' ' -f1 /proc/uptime; }
complaints() {
    # An orderly detach is told as a warning too, so that is no complaint: «shutting down sockets».
    dmesg -r | grep '^<[0-4]>.*\\(nbd\\|I/O error\\|EXT4-fs\\|dm-\\|device-mapper\\|md[0/:]\\|raid\\)' |
        grep -v 'shutting down sockets'
    echo KERNEL LOG ENDS
}
asked=$(seconds); start_nsu; echo ATTACHED $asked $(seconds)
tree="python3 -m tests.system.guest.programs.tree"
"""
FIRST_BOOT = f"""{ATTACH}
cd /sys/block/nbd0
echo QUEUE $(cat queue/write_cache), fua $(cat queue/fua), $(ls mq | wc -w) sockets
cd -
mkfs.ext4 -q /dev/nsu/unit_1 && mount /dev/nsu/unit_1 /mnt && sync && echo MADE
echo 0 > /proc/sys/vm/dirty_writeback_centisecs  # nothing is written back but what somebody has asked for
$tree write /mnt 100000
"""
SECOND_BOOT = f"""{ATTACH}
mount /dev/nsu/unit_1 /mnt && $tree check /mnt /synced
complaints
echo 3000 > /sys/block/nbd0/queue/io_timeout  # after this is sent again what a killed process had on the wire
$tree write /mnt/more {FILES_AFTER} > /dev/null & writer=$!
until [ -e /mnt/more/2/2/2 ]; do sleep 0.05; done
kill -9 $(pidof "nsu: disk unit_1"); wait $writer; echo WRITTEN $?
sync; echo 3 > /proc/sys/vm/drop_caches; $tree check /mnt/more /files
sed -i 's/LBA = .*/LBA = unit0(0,{GROWN_BLOCKS - 1})/' /nsu.conf
until [ "$(cat /sys/block/nbd0/size)" = {GROWN_BLOCKS} ]; do sleep 0.05; done; echo GROWN
kill $nsu; wait $nsu; echo STOPPED $?
(echo after > /mnt/after; sync; echo WAITED) & waiter=$!
start_nsu; wait $waiter
umount /mnt && e2fsck -fn /dev/nsu/unit_1; echo FSCK $?
kill $nsu; wait $nsu; echo DETACHED $(cat /sys/block/nbd0/size) $(ls -A /dev/nsu)
"""
LVM_CONF = """
# What is no device of a real machine: nobody makes links in /dev, and nothing is to be kept over a boot.
activation { udev_sync = 0 udev_rules = 0 monitoring = 0 }
devices { obtain_device_list_from_udev = 0 use_devicesfile = 0 }
global { event_activation = 0 use_lvmpolld = 0 }
backup { backup = 0 archive = 0 }
"""
LVM = f"""
lvm pvcreate /dev/nsu/unit_1 /dev/nsu/unit_2
lvm vgcreate -s 1M remote /dev/nsu/unit_1 /dev/nsu/unit_2
lvm lvcreate -y -n data -l 100%FREE remote
echo VOLUME $(cat /sys/block/dm-0/size) on $(ls /sys/block/dm-0/slaves)
mkfs.ext4 -q /dev/remote/data && mount /dev/remote/data /mnt
$tree write /mnt {FILES_AFTER} > /dev/null
sed -i 's/LBA = .*,{2 * MEMBER_BLOCKS - 1})/LBA = unit0({MEMBER_BLOCKS},{MEMBER_BLOCKS + MEMBER_GROWN_BLOCKS - 1})/' /nsu.conf
until [ "$(cat /sys/block/nbd1/size)" = {MEMBER_GROWN_BLOCKS} ]; do sleep 0.05; done
lvm pvresize /dev/nsu/unit_2 && lvm lvextend -l +100%FREE remote/data && resize2fs /dev/remote/data
echo VOLUME $(cat /sys/block/dm-0/size) on $(ls /sys/block/dm-0/slaves)
umount /mnt && mount /dev/remote/data /mnt && $tree check /mnt /files
umount /mnt && e2fsck -fn /dev/remote/data; echo FSCK $?
lvm vgchange -an remote && lvm vgremove -y remote && lvm pvremove /dev/nsu/unit_1 /dev/nsu/unit_2
echo HOLDERS $(ls /sys/block/nbd[01]/holders)
"""
MD = f"""
echo 100000 > /proc/sys/dev/raid/speed_limit_min
mdadm --create /dev/md0 --run --level=1 --raid-devices=2 --bitmap=internal --size=16M /dev/nsu/unit_1 /dev/nsu/unit_2
mkfs.ext4 -q /dev/md0 && mount /dev/md0 /mnt
mdadm --wait /dev/md0
echo MIRROR $(cat /sys/block/md0/md/array_state) $(cat /sys/block/md0/md/degraded)
complaints
mdadm /dev/md0 --fail /dev/nsu/unit_2
until mdadm /dev/md0 --remove /dev/nsu/unit_2; do sleep 0.1; done
$tree write /mnt {FILES_AFTER} > /dev/null; sync
echo MIRROR $(cat /sys/block/md0/md/array_state) $(cat /sys/block/md0/md/degraded)
mdadm /dev/md0 --add /dev/nsu/unit_2; mdadm --wait /dev/md0
umount /mnt; echo check > /sys/block/md0/md/sync_action; mdadm --wait /dev/md0
echo MIRROR $(cat /sys/block/md0/md/array_state) $(cat /sys/block/md0/md/degraded), $(cat /sys/block/md0/md/mismatch_cnt)
mdadm /dev/md0 --fail /dev/nsu/unit_1
mount /dev/md0 /mnt && $tree check /mnt /files; umount /mnt
e2fsck -fn /dev/md0; echo FSCK $?
mdadm --stop /dev/md0
echo HOLDERS $(ls /sys/block/nbd[01]/holders)
kill $nsu; wait $nsu; echo DETACHED $(cat /sys/block/nbd[01]/size) $(ls -A /dev/nsu)
"""
@pytest.fixture(scope="module")
def kernel() -> Kernel:
    return debian_kernel()


@pytest.fixture(scope="module")
def nsu_machine(kernel: Kernel) -> Initramfs:
    """Our source, Python, and what makes and checks file systems, volumes and mirrors."""
    initramfs = Initramfs(kernel, "nbd", "virtio_blk", "virtio_pci", "dm-mod", "raid1")
    for program in ("mkfs.ext4", "e2fsck", "resize2fs", "lvm", "mdadm"):
        initramfs.add_program(program)
    initramfs.add_python("nsu.cli", "nsu.attach", "nsu.supervisor", "nsu.roles", "tests.system.guest.programs.tree")
    initramfs.add_source("nsu/__main__.py")
    initramfs.add_text("/etc/lvm/lvm.conf", LVM_CONF)
    initramfs.add_text("/files", "\n".join(map(name_of, range(FILES_AFTER))))
    initramfs.add_text("/nsu.conf", conf((0, DISK_BLOCKS - 1)))
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


def test_lvm_and_md_take_our_disks(kernel: Kernel, nsu_machine: Initramfs, drive: str, tmp_path: Path) -> None:
    nsu_machine.add_text("/nsu.conf", conf((0, MEMBER_BLOCKS - 1), (MEMBER_BLOCKS, 2 * MEMBER_BLOCKS - 1)))
    nsu_machine.add_script(f"{ATTACH}{LVM}{MD}")
    with Guest(kernel, nsu_machine.write(tmp_path / "third.cpio"), drives=[drive]) as guest:
        while (l := guest.next_line()) != "GUEST ENDS":
            print(f"{__import__('time').monotonic() - guest.began_s:.1f}", l)
        guest.wait_off()


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
