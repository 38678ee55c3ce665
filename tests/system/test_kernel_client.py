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
from tests.system.guest.programs.write_files import sums

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(240)]

IMPORTED_LATE = (
    "nsu.alarms", "nsu.attach", "nsu.cli_tls", "nsu.conf.here", "nsu.conf.load", "nsu.confined", "nsu.gather",
    "nsu.last_words", "nsu.roles", "nsu.show", "nsu.smart", "nsu.supervisor",
)  # fmt: skip
"""By the verbs that are called in the guest, when they are called."""
MIB = 1 << 20
DISK_BLOCKS = 48 * MIB // 512
GROWN_BLOCKS = DISK_BLOCKS + 8 * MIB // 512
SYNCED_BEFORE_THE_CUT = 40
MEMBER_MIB = 24
"""Of a disk that is a part of a volume group, and then of a mirror."""
MEMBER_BLOCKS = MEMBER_MIB * MIB // 512
GROWTH_MIB = 8
GROWTH_BLOCKS = GROWTH_MIB * MIB // 512


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
  CONNECTIONS = 2
{disks}"""


ATTACH = """
(umask 077; echo 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef > /tmp/key)
start_nsu() {
    python3 -m nsu run -c /nsu.conf & nsu=$!
    for disk in $(sed -n 's/ *AT = //p' /nsu.conf); do
        until [ -b $disk ] && [ "$(cat $(block $disk)/size)" != 0 ]; do
            kill -0 $nsu || poweroff -f
            sleep 0.1
        done
    done
}
block() { echo /sys/block/$(basename $(readlink $1)); }
seconds() { cut -d' ' -f1 /proc/uptime; }
complaints() {
    # An orderly detach is a warning too, «shutting down sockets», and a disk that md was told to fail one that failed.
    dmesg -r | grep '^<[0-4]>.*\\(nbd\\|I/O error\\|EXT4-fs\\|JBD2\\|dm-[0-9]\\|md/raid\\)' |
        grep -v 'shutting down sockets\\|Disk failure\\|Operation continuing'
    echo KERNEL LOG ENDS
}
asked=$(seconds); start_nsu; echo ATTACHED $asked $(seconds)
"""
FIRST_BOOT = f"""{ATTACH}
cd /sys/block/nbd0
echo QUEUE $(cat queue/write_cache), fua $(cat queue/fua), $(ls mq | wc -w) sockets
cd -
mkfs.ext4 -q /dev/nsu/unit_1 && mount /dev/nsu/unit_1 /mnt && sync && echo MADE
echo 0 > /proc/sys/vm/dirty_writeback_centisecs  # nothing is written back but what somebody has asked for
python3 -m tests.system.guest.programs.write_files /mnt
"""
SECOND_BOOT = f"""{ATTACH}
mount /dev/nsu/unit_1 /mnt && cd /mnt && sha256sum -c /synced; echo CHECKED $?
cd /; complaints
echo 3000 > /sys/block/nbd0/queue/io_timeout  # after this is sent again what a killed process had on the wire
(for n in 1 2 3 4; do cp -r /sbin /mnt/copy$n && sync || exit; done) & writer=$!
until [ -e /mnt/copy3 ]; do sleep 0.1; done
kill -9 $(pidof "nsu: disk unit_1"); wait $writer; echo WRITTEN $?
echo 3 > /proc/sys/vm/drop_caches
for n in 1 2 3 4; do diff -r /sbin /mnt/copy$n || bad="$bad copy$n"; done; echo COMPARED, bad: ${{bad:-none}}
(until [ -e /tmp/grown ]; do dd if=/dev/nsu/unit_1 of=/dev/null bs=256k count=16 iflag=direct; done 2> /dev/null) &
(until [ -e /tmp/resized ]; do dd if=/dev/zero of=/mnt/busy bs=64k count=4 conv=fsync || touch /tmp/broken; done) \\
    2> /dev/null & busy=$!
sed -i 's/LBA = .*/LBA = unit0(0,{GROWN_BLOCKS - 1})/' /nsu.conf
until [ "$(cat /sys/block/nbd0/size)" = {GROWN_BLOCKS} ]; do sleep 0.1; done; touch /tmp/grown
resize2fs /dev/nsu/unit_1; grown=$?; touch /tmp/resized; wait $busy
[ -e /tmp/broken ] && grown=broken; echo GROWN $grown
kill $nsu; wait $nsu; echo STOPPED $?
(echo after > /mnt/after; sync; echo WAITED) & waiter=$!
start_nsu; wait $waiter
python3 -m tests.system.guest.programs.reattach /tmp/state/host.sock box1 unit_1 /dev/nsu/unit_1
umount /mnt; mount /dev/nsu/unit_1 /mnt && cat /mnt/after && umount /mnt && e2fsck -fn /dev/nsu/unit_1; echo FSCK $?
kill $nsu; wait $nsu; echo DETACHED $(cat /sys/block/nbd[01]/size) $(ls -A /dev/nsu)
"""
LVM_CONF = """
# The NSU of this machine keeps the disks on /dev/vda, where LVM must not find them a second time.
devices { global_filter = [ "r|^/dev/vda$|" ] obtain_device_list_from_udev = 0 use_devicesfile = 0 }
# Here is no udev, and nothing is kept over a boot.
activation { udev_sync = 0 udev_rules = 0 monitoring = 0 }
backup { backup = 0 archive = 0 }
"""
VOLUME_MIB = 2 * (MEMBER_MIB - 1)
"""LVM keeps 1 MiB of each disk for itself."""
LVM = f"""{ATTACH}
lvm pvcreate /dev/nsu/unit_1 /dev/nsu/unit_2
lvm vgcreate -s 1M remote /dev/nsu/unit_1 /dev/nsu/unit_2 && lvm lvcreate -y -n data -l 100%FREE remote
volume() {{ echo VOLUME $(($(cat /sys/block/dm-0/size) / 2048)) MiB on $(ls /sys/block/dm-0/slaves); }}
volume
mkfs.ext4 -qF /dev/remote/data && mount /dev/remote/data /mnt && cp -r /modules /mnt/one
sed -i 's/,{2 * MEMBER_BLOCKS - 1})/,{2 * MEMBER_BLOCKS + GROWTH_BLOCKS - 1})/' /nsu.conf
until [ "$(cat $(block /dev/nsu/unit_2)/size)" = {MEMBER_BLOCKS + GROWTH_BLOCKS} ]; do sleep 0.1; done
lvm pvresize /dev/nsu/unit_2 && lvm lvextend -l +100%FREE remote/data && resize2fs /dev/remote/data
volume
cp -r /modules /mnt/two; umount /mnt; mount /dev/remote/data /mnt
diff -r /modules /mnt/one && diff -r /modules /mnt/two; echo COMPARED $?
umount /mnt; e2fsck -fn /dev/remote/data; echo FSCK $?
lvm vgchange -an remote && echo HOLDERS $(ls -A /sys/block/nbd0/holders /sys/block/nbd1/holders | grep -v :)
lvm vgremove -y remote && lvm pvremove /dev/nsu/unit_1 /dev/nsu/unit_2
"""
MD = """
md=/sys/block/md0/md
settle() {
    while read action < $md/sync_action && read missing < $md/degraded && [ "$action $missing" != "idle 0" ]; do
        sleep 0.1
    done
}
mdadm --create /dev/md0 --run --level=1 --raid-devices=2 --bitmap=internal --size=5M /dev/nsu/unit_1 /dev/nsu/unit_2
mkfs.ext4 -qF /dev/md0 && mount /dev/md0 /mnt && cp -r /modules /mnt/one; settle
echo MIRROR of $(ls /sys/block/md0/slaves)
mdadm /dev/md0 --fail /dev/nsu/unit_2
until mdadm /dev/md0 --remove /dev/nsu/unit_2; do sleep 0.1; done
cp -r /modules /mnt/two; sync
mdadm /dev/md0 --add /dev/nsu/unit_2; settle
umount /mnt; echo check > $md/sync_action; settle; echo MISMATCHES $(cat $md/mismatch_cnt)
mdadm /dev/md0 --fail /dev/nsu/unit_1; mount /dev/md0 /mnt  # so that all is read from the disk that had been away
diff -r /modules /mnt/one && diff -r /modules /mnt/two; echo COMPARED $?
umount /mnt; e2fsck -fn /dev/md0; echo FSCK $?
mdadm --stop /dev/md0
complaints
kill $nsu; wait $nsu; echo DETACHED $(cat /sys/block/nbd[01]/size) $(ls -A /dev/nsu)
"""


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    return debian_kernel()


def nsu_machine(kernel: Kernel, *ranges: tuple[int, int], modules: tuple[str, ...] = ()) -> Initramfs:
    """Give a machine with our source, Python, what makes and checks a file system, and an nsu.conf of these disks."""
    initramfs = Initramfs(kernel, "nbd", "virtio_blk", "virtio_pci", *modules)
    for program in ("mkfs.ext4", "e2fsck", "resize2fs"):
        initramfs.add_program(program)
    programs = [f"tests.system.guest.programs.{name}" for name in ("write_files", "reattach")]
    initramfs.add_python("nsu.cli", *IMPORTED_LATE, *programs)
    initramfs.add_source("nsu/__main__.py")
    initramfs.add_text("/nsu.conf", conf(*ranges))
    return initramfs


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[str]:
    image = tmp_path / "drive.img"
    with open(image, "wb") as file:
        file.truncate(64 * MIB)
    yield f"file={image},format=raw,if=virtio,cache=writeback"
    image.unlink()


@needs("mkfs.ext4")
def test_what_was_fsynced_survives_a_power_cut_and_killed_processes(kernel: Kernel, drive: str, tmp_path: Path) -> None:
    machine = nsu_machine(kernel, (0, DISK_BLOCKS - 1))
    synced = cut_while_writing(kernel, machine, drive, tmp_path)
    machine.add_text("/synced", sums(synced))
    machine.add_script(SECOND_BOOT)
    with Guest(kernel, machine.write(tmp_path / "second.cpio"), drives=[drive]) as guest:
        guest.wait_line("ATTACHED")
        assert guest.wait_line("CHECKED") == "0", "a file whose fsync had returned is not there, or not whole"
        assert guest.next_line() == "KERNEL LOG ENDS", "the kernel complained"
        # The process of the disk was killed below a file system that was being written to; its successor went on.
        assert guest.wait_line("WRITTEN") == "0"
        assert guest.wait_line("COMPARED") == ", bad: none"
        assert guest.wait_line("GROWN") == "0"
        # nsu was stopped and started below a mounted file system: the device stayed, and what was asked waited.
        assert guest.wait_line("STOPPED") == "0"
        guest.wait_line("WAITED")
        # The disk was taken from under the file system, and came back as another device, clean of what was not written.
        seconds, users = guest.wait_line("FORCED").split(maxsplit=1)
        print(f"from asking for a forced detach to the answer, emulated: {seconds} s")
        assert (float(seconds) < 10.0, users) == (True, "mounted at /mnt")
        assert guest.wait_line("OLD") == "/dev/nbd0: Input/output error"
        seconds, device = guest.wait_line("ATTACHED").split()
        print(f"from asking for the disk to a usable {device}, emulated: {seconds} s")
        assert device == "/dev/nbd1"
        guest.wait_line("after")
        assert guest.wait_line("FSCK") == "0"
        assert guest.wait_line("DETACHED") == "0 0", "a device is still attached, or its link still there"
        guest.wait_end()


def cut_while_writing(kernel: Kernel, machine: Initramfs, drive: str, tmp_path: Path) -> list[str]:
    """Make a file system, write to it, cut the power in the middle; the files whose fsync had returned."""
    machine.add_script(FIRST_BOOT)
    # The kernel's NBD client uses no more sockets than there are processors.
    with Guest(kernel, machine.write(tmp_path / "first.cpio"), drives=[drive], processors=4) as guest:
        asked_s, attached_s = map(float, guest.wait_line("ATTACHED").split())
        print(f"from `nsu run` to a usable /dev/nbd0, emulated: {attached_s - asked_s:.1f} s")
        assert guest.wait_line("QUEUE") == "write back, fua 1, 4 sockets"
        guest.wait_line("MADE")
        return [guest.wait_line("SYNCED") for _ in range(SYNCED_BEFORE_THE_CUT)]


@needs("lvm")
@needs("mdadm")
@needs("mkfs.ext4")
def test_a_volume_group_and_a_mirror_over_two_disks(kernel: Kernel, drive: str, tmp_path: Path) -> None:
    ranges = (0, MEMBER_BLOCKS - 1), (MEMBER_BLOCKS, 2 * MEMBER_BLOCKS - 1)
    machine = nsu_machine(kernel, *ranges, modules=("dm-mod", "raid1"))
    machine.add_program("lvm")
    machine.add_program("mdadm")
    machine.add_text("/etc/lvm/lvm.conf", LVM_CONF)
    machine.add_script(f"{LVM}{MD}")
    with Guest(kernel, machine.write(tmp_path / "third.cpio"), drives=[drive]) as guest:
        guest.wait_line("ATTACHED")
        assert guest.wait_line("VOLUME") == f"{VOLUME_MIB} MiB on nbd0 nbd1"
        assert guest.wait_line("VOLUME") == f"{VOLUME_MIB + GROWTH_MIB} MiB on nbd0 nbd1"
        assert guest.wait_line("COMPARED") == "0"
        assert guest.wait_line("FSCK") == "0"
        assert guest.wait_line("HOLDERS") == ""
        assert guest.wait_line("MIRROR") == "of nbd0 nbd1"
        assert guest.wait_line("MISMATCHES") == "0"
        assert guest.wait_line("COMPARED") == "0"
        assert guest.wait_line("FSCK") == "0"
        guest.wait_line("mdadm: stopped")
        assert guest.next_line() == "KERNEL LOG ENDS", "the kernel complained"
        assert guest.wait_line("DETACHED") == "0 0", "a device is still attached, or its link still there"
        guest.wait_end()


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
