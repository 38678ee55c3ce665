"""ZERO = yes: an earlier owner's data is never read, what was written and flushed stays, whatever is killed."""

import os

import pytest

from hostside import open_disk
from tests.harness import Machine, World, spawn_world

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

MIB = 1 << 20
BLOCKS = 16 * MIB // 512


def dirty(machine: Machine) -> None:
    """An earlier owner's data fills the drive that the partition will lie on."""
    (machine.folder / "drive0.img").write_bytes(b"SECRET!!" * (18 * MIB // 8))


def restart(world: World) -> None:
    world.machine.kill()
    world.machine.start()
    world.machine.wait_paths(world.paths)


def test_old_data_never_shows_and_new_data_stays() -> None:
    with spawn_world(units={"unit_1": BLOCKS}, zero=["unit_1"], prepare=dirty) as world:
        data = os.urandom(8192)
        with open_disk(at=world.at("unit_1")) as disk:
            assert disk.pread(16 * MIB, 0) == bytes(16 * MIB)
            disk.pwrite(data, 5 * MIB + 4096)
            disk.flush()
            assert disk.pread(8192, 5 * MIB + 4096) == data
        restart(world)
        with open_disk(at=world.at("unit_1")) as disk:
            whole = disk.pread(16 * MIB, 0)
            assert whole[5 * MIB + 4096 :][:8192] == data
            assert whole.replace(data, bytes(8192)) == bytes(16 * MIB)


def test_killing_the_owner_while_it_zeroes_shows_nothing_old() -> None:
    with spawn_world(units={"unit_1": BLOCKS}, zero=["unit_1"], prepare=dirty) as world:
        with open_disk(at=world.at("unit_1")) as disk:
            for chunk in range(16):
                disk.pwrite(b"new".ljust(512, b"."), chunk * MIB)
                if chunk % 5 == 2:
                    world.machine.kill_process("nsu: driver")
            disk.flush()
        restart(world)
        with open_disk(at=world.at("unit_1")) as disk:
            whole = disk.pread(16 * MIB, 0)
        assert b"SECRET" not in whole
        assert all(whole[chunk * MIB :][:3] == b"new" for chunk in range(16))


def test_kill_9_of_everybody_takes_back_nothing_that_was_acknowledged() -> None:
    """Not flushed: the machine did not go down, so that what was written is in its page cache still."""
    with spawn_world(units={"unit_1": BLOCKS}, zero=["unit_1"], prepare=dirty) as world:
        data = os.urandom(8192)
        with open_disk(at=world.at("unit_1")) as disk:
            disk.pwrite(data, 5 * MIB + 4096)
        restart(world)
        with open_disk(at=world.at("unit_1")) as disk:
            whole = disk.pread(16 * MIB, 0)
        assert whole[5 * MIB + 4096 :][:8192] == data
        assert whole.replace(data, bytes(8192)) == bytes(16 * MIB)
