"""Proved: two ext4 in use on one array live through a drive pulled out while files are copied, replacement and rebuild.

The whole chain: loop devices, both sides, six file drives; in the end a scrub finds nothing, every file is what it was,
and e2fsck and the kernel's log have nothing to say.
"""

import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from nsu.arrays import array_lines, arrays_of, begin_scrub, replace
from tests.harness.block_devices import spawn_block_devices
from tests.harness.file_systems import check_file_system, make_file_system, mounted
from tests.harness.machine import Machine
from tests.harness.slow_drive import SlowDrive
from tests.harness.world import World
from tests.hostside.frontends.file_server import NEEDS_LOOP
from tests.programs import needs, run

pytestmark = [pytest.mark.system, pytest.mark.timeout(240), NEEDS_LOOP]

MIB = 1 << 20
DRIVES = 6
PULLED = 2
UNITS = {"unit_1": 64 * MIB >> 9, "unit_2": 64 * MIB >> 9}
COPIES_MOST = 20
"""Of the tree, one over the other, on each file system, until all is done."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give some megabytes of real files."""
    library = Path(sysconfig.get_path("stdlib"))
    tree = tmp_path_factory.mktemp("sources") / "tree"
    for folder in ("asyncio", "email", "json", "unittest", "xml", "encodings", "multiprocessing"):
        shutil.copytree(library / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tree


class Copying:
    """Copies the tree into a folder, again and again, till it is told that this is enough."""

    def __init__(self, tree: Path, folder: Path) -> None:
        copy = f"mkdir -p '{folder}/copy' && cp -r '{tree}/.' '{folder}/copy' && sync -f '{folder}' || exit 1"
        words = f"for n in $(seq {COPIES_MOST}); do {copy}; test -e '{folder}/enough' && exit 0; done"
        self.folder = folder
        self.process = subprocess.Popen(["sh", "-c", words])

    def is_under_way(self) -> bool:
        return self.process.poll() is None

    def finish(self) -> None:
        (self.folder / "enough").touch()
        assert self.process.wait(60) == 0


@contextmanager
def copying(tree: Path, folder: Path) -> Iterator[Copying]:
    made = Copying(tree, folder)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()


def states(world: World) -> list[str]:
    (array,) = arrays_of(world.machine.state)
    return [drive["state"] for drive in array["drives"] if "place" in drive]


def told(world: World) -> str:
    """What `nsu array list` says."""
    return "\n".join(array_lines(arrays_of(world.machine.state)))


def wait_states(world: World, wanted: list[str]) -> None:
    world.machine.wait_for(lambda _: states(world) == wanted, timeout_s=60)


@needs("mkfs.ext4")
@pytest.mark.parametrize("level", ["raid5", "raid10"])
def test_file_systems_in_use_survive_a_drive_pulled_replaced_and_rebuilt(
    level: str, tree: Path, tmp_path: Path
) -> None:
    good = ["good"] * DRIVES
    with ExitStack() as stack:
        drive = stack.enter_context(SlowDrive(tmp_path, 64 * MIB))

        def prepare(machine: Machine) -> None:
            (machine.folder / f"drive{PULLED}.img").symlink_to(drive.path)

        world = stack.enter_context(spawn_block_devices(UNITS, level=level, drives=DRIVES, prepare=prepare))
        wait_states(world, good)
        devices = [world.at(unit) for unit in UNITS]
        for device in devices:
            make_file_system("ext4", device)
        with mounted(devices[0]) as one, mounted(devices[1]) as two:
            with copying(tree, one) as first, copying(tree, two) as second:
                world.machine.wait_for(lambda _: (one / "copy").exists() and (two / "copy").exists())
                drive.pull()
                wait_states(world, [*good[:PULLED], "out", *good[PULLED + 1 :]])
                assert f"place {PULLED}: {world.machine.folder}/drive{PULLED}.img" in told(world)
                assert "it stays failed until replaced" in told(world)
                assert first.is_under_way()
                assert second.is_under_way()
                fresh = tmp_path / "fresh.img"
                with fresh.open("wb") as file:
                    file.truncate(64 * MIB)
                replace(world.machine.state, "unit0", str(PULLED), fresh, force=False)
                wait_states(world, good)
                assert first.is_under_way()
                assert second.is_under_way()
                first.finish()
                second.finish()
            begin_scrub(world.machine.state, "unit0")
            world.machine.wait_for(lambda _: "scrubs finished: 1" in told(world), timeout_s=60)
            assert "did not agree at the last scrub: 0" in told(world)
        for device in devices:
            with mounted(device) as folder:
                run("diff", "-r", str(tree), str(folder / "copy"))
            check_file_system("ext4", device)
