"""Who uses a block device: mounts, swap, devices stacked on it, and processes that have it open.

A disk that somebody uses is not taken away unasked. Everything is read from /proc and /sys by name and number; the
device itself is never opened and no path is followed, because the process that asks may be the one that serves it.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
SYS_BLOCK = Path("/sys/block")
OPENED = "opened by process"
"""How a user begins that may be gone in a moment: nobody relies on the device but a process that has it open."""


def users_of(device: str, *, proc: Path = PROC, sys_block: Path = SYS_BLOCK) -> list[str]:
    """Name the users of `device` (nbd0, loop3) and of its partitions, each in words; empty: nobody."""
    family = dict(_family(sys_block / device))
    return [
        *_mounts(proc, family),
        *_swaps(proc, set(family)),
        *_holders(sys_block / device, set(family)),
        *_openers(proc, set(family)),
    ]


def _family(folder: Path) -> Iterator[tuple[str, str]]:
    """(name, major:minor) of the device and of each partition."""
    for path in [folder / "dev", *folder.glob(f"{folder.name}*/dev")]:
        try:
            yield path.parent.name, path.read_text().strip()
        except OSError:
            continue  # gone since


def _mounts(proc: Path, family: dict[str, str]) -> Iterator[str]:
    """Mounts that we see; if there are none, those of other mount namespaces (containers, some services)."""
    found = False
    for point in _mounts_in(proc / "self/mountinfo", family):
        found = True
        yield f"mounted at {point}"
    seen = {_target(proc / "self/ns/mnt")}
    for folder in () if found else proc.iterdir():
        namespace = _target(folder / "ns/mnt") if folder.name.isdigit() else None
        if namespace and namespace not in seen:
            seen.add(namespace)
            with contextlib.suppress(OSError):  # it ended
                points = list(_mounts_in(folder / "mountinfo", family))
                yield from (f"mounted at {point} for process {folder.name}" for point in points)


def _mounts_in(mountinfo: Path, family: dict[str, str]) -> Iterator[str]:
    """Fields of mountinfo (proc(5)): the third is major:minor, the fifth the mount point; after " - " type and source.

    The source counts too, because some file systems (btrfs) have a number of their own.
    """
    numbers, sources = set(family.values()), {f"/dev/{name}" for name in family}
    for line in mountinfo.read_text().splitlines():
        mount, _, origin = line.partition(" - ")
        fields = mount.split(" ")
        if fields[2] in numbers or origin.split(" ")[1] in sources:
            yield fields[4]


def _target(link: Path) -> str:
    """Where it leads, unfollowed; empty: it is none of our business, or gone."""
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _swaps(proc: Path, names: set[str]) -> Iterator[str]:
    try:
        lines = (proc / "swaps").read_text().splitlines()[1:]
    except OSError:
        return  # a kernel without swap
    for line in lines:
        if line.split()[0].removeprefix("/dev/") in names:
            yield "swap space"


def _holders(folder: Path, names: set[str]) -> Iterator[str]:
    """Device-mapper and md devices on top of it."""
    for name in sorted(names):
        holders = folder / "holders" if name == folder.name else folder / name / "holders"
        if holders.is_dir():
            yield from (f"part of {entry.name}" for entry in holders.iterdir())


def _openers(proc: Path, names: set[str]) -> Iterator[str]:
    wanted = {f"/dev/{name}" for name in names}
    for folder in proc.iterdir():
        if folder.name.isdigit() and any(target in wanted for target in _targets(folder / "fd")):
            yield f"{OPENED} {folder.name}"


def _targets(folder: Path) -> Iterator[str]:
    """Where the descriptors lead, unfollowed."""
    try:
        names = os.listdir(folder)
    except OSError:
        return  # it ended, or is none of our business
    for name in names:
        with contextlib.suppress(OSError):  # closed since
            yield os.readlink(folder / name)
