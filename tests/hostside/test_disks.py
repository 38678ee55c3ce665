"""Proves that disks come and go while their server's session stands, and disturb nobody who has no part in it."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from hostside.disks import DiskState
from ipc.control import ControlError
from ipc.exits import Exit
from protocol.config_base import units_mark
from tests.hostside.link_world import NAMES, LinkWorld


@pytest.fixture(params=[1, 2])
def world(request: pytest.FixtureRequest) -> Iterator[LinkWorld]:
    world = LinkWorld(request.param)
    world.grant()
    world.settle()
    yield world
    world.close()


@pytest.fixture
def world2() -> Iterator[LinkWorld]:
    world = LinkWorld(2)
    world.grant()
    world.settle()
    yield world
    world.close()


def detached(world: LinkWorld, disk: DiskState, status: int = Exit.DETACHED) -> None:
    """Have the disk leave, as `nsu detach` does."""
    disk.wanted = False
    world.disk_dies(world.disks[disk.index], status)


def test_a_disk_that_left_idle_costs_no_session_and_is_not_started_again(world: LinkWorld) -> None:
    sessions, disks = world.sessions, world.link.disks
    detached(world, disks[0])
    world.pass_time(20)
    world.link.reap()
    assert world.has_session
    assert world.sessions == sessions
    assert world.disks[0].puppet is None
    assert disks[0].failure == ""


def test_a_disk_that_left_busy_has_its_paths_fenced(world2: LinkWorld) -> None:
    detached(world2, world2.link.disks[0], Exit.LEFT_BUSY)
    assert not world2.has_session
    world2.settle()


def test_an_attached_disk_is_told_at_once_of_the_paths_that_are_up(world: LinkWorld) -> None:
    disks = world.link.disks
    detached(world, disks[0])
    disks.attach(disks[0].settings)
    assert world.disks[0].puppet is not None
    world.disk_reads(world.disks[0])
    assert world.disks[0].available == set(world.agents)
    world.settle()


def test_a_new_name_takes_the_place_of_a_detached_disk(world2: LinkWorld) -> None:
    disks = world2.link.disks
    detached(world2, disks[1])
    disks.records = [replace(world2.units[NAMES[1]], name="unit_9")]
    disk = disks.attach(replace(disks[1].settings, name="unit_9"))
    assert [known.settings.name for known in disks] == [NAMES[0], "unit_9"]
    assert disk.index == 1
    assert disk.present
    assert disk.child is not None


def test_a_name_the_server_does_not_have_waits_and_says_so(world2: LinkWorld) -> None:
    disks = world2.link.disks
    detached(world2, disks[1])
    disk = disks.attach(replace(disks[1].settings, name="unit_9"))
    assert disk.child is None
    assert disk.trouble == "the server has no partition unit_9 for this host; see the HOST block in its nsu.conf"


def test_where_all_places_are_taken_another_disk_is_refused(world2: LinkWorld) -> None:
    disks = world2.link.disks
    with pytest.raises(ControlError, match="unit_9 can't be attached: 2 disks of box1 are; detach one first"):
        disks.attach(replace(disks[0].settings, name="unit_9"))


def test_places_without_a_process_gather_nothing(world2: LinkWorld) -> None:
    """Agents speak to every place, through a pipe that would be full one day."""
    disks = world2.link.disks
    detached(world2, disks[0])
    for _ in range(5):
        for life in list(world2.agents):
            world2.agent_dies(life)
        world2.answer_all()
        world2.pass_time(10)
        world2.answer_all()
    told = world2.link.wiring.disks[0].reports.get_many()
    assert len(told) <= 32 * len(world2.link.paths.paths)


def test_what_is_used_is_said_by_the_list_that_was_heard_last(world2: LinkWorld) -> None:
    disks = world2.link.disks
    used = disks.used()
    assert used is not None
    assert (used.mark, used.numbers) == (units_mark(disks.records), sum(1 << record.number for record in disks.records))
    detached(world2, disks[0])
    less = disks.used()
    assert less is not None
    assert less.numbers == used.numbers & ~(1 << disks.records[0].number)
    world2.link.granted = None
    assert disks.used() is None, "there is nobody to tell it to"
