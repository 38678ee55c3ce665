"""Both sides on one machine, each disk a loop device, and a kernel that has nothing to complain of meanwhile."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.harness.kernel_log import KernelLog
from tests.harness.machine import Machine
from tests.harness.world import World, spawn_world


def wait_device(machine: Machine, at: Path) -> Path:
    """Wait for the link `at`; give the device to which it leads (/dev/loop0 …)."""
    machine.wait_for(lambda _: at.is_symlink())
    return at.readlink()


@contextmanager
def spawn_block_devices(
    units: Mapping[str, int],
    *,
    level: str = "jbod",
    drives: int = 1,
    prepare: Callable[[Machine], None] | None = None,
) -> Iterator[World]:
    """Run both sides as `spawn_world` does, with SHOW = loop; in the end nsu is stopped in order.

    What stands on the devices must be unmounted by then. A kernel that complained of them is a failure.
    """
    made = spawn_world(units=units, show="loop", level=level, drives=drives, prepare=prepare)
    with KernelLog() as log, made as world:
        devices = [wait_device(world.machine, world.at(unit)) for unit in units]
        try:
            yield world
        finally:
            world.machine.stop()  # lets the devices go, so that the folder can
        log.assert_quiet(devices)
