"""Proves that a partition that grows is seen where its disk is shown, or that status says who does not see it."""

import os
from collections.abc import Iterator

import pytest

from hostside.client import open_disk
from ipc.control import control_call
from tests.harness import World, spawn_world
from tests.hostside.frontends.file_server import NEEDS_FUSE, NEEDS_LOOP

pytestmark = pytest.mark.system

MIB = 1 << 20


def grow(world: World) -> None:
    """From 1 MiB to 2."""
    world.nsu.hosts[0].units[0].last_lba += MIB // 512
    world.rewrite()
    world.machine.wait_for(lambda _: told(world)["size_bytes"] == 2 * MIB)


def told(world: World) -> dict[str, object]:
    return control_call(world.machine.state / "disk-unit_1.sock", "status")


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with spawn_world(units={"unit_1": MIB // 512}, paths=2, show=request.param) as world:
        try:
            yield world
        finally:
            world.machine.stop()  # unmounts, so that the folder can go


@pytest.mark.parametrize("world", ["socket"], indirect=True)
def test_clients_of_the_socket_are_told_of_until_they_connect_again(world: World) -> None:
    with open_disk(at=world.at("unit_1")) as early:
        assert told(world)["notices"] == []
        grow(world)
        assert early.size_bytes == MIB
        assert told(world)["notices"] == ["1 client sees 1 MiB until it connects again"]
        with open_disk(at=world.at("unit_1")) as late:
            late.pwrite(b"grown" * 1024, 2 * MIB - 5120)
            assert told(world)["notices"] == ["1 client sees 1 MiB until it connects again"]
    world.machine.wait_for(lambda _: told(world)["notices"] == [])


@pytest.mark.parametrize(
    "world", [pytest.param("fuse", marks=NEEDS_FUSE), pytest.param("loop", marks=NEEDS_LOOP)], indirect=True
)
def test_who_has_the_file_or_the_device_open_sees_it(world: World) -> None:
    before = told(world)["notices"]
    file = os.open(world.at("unit_1"), os.O_RDWR)
    try:
        assert os.lseek(file, 0, os.SEEK_END) == MIB
        grow(world)
        world.machine.wait_for(lambda _: os.lseek(file, 0, os.SEEK_END) == 2 * MIB)
        assert os.pwrite(file, b"grown" * 1024, 2 * MIB - 5120) == 5120
        os.fsync(file)
        assert told(world)["notices"] == before
    finally:
        os.close(file)
