"""Proves the bounds: who finds no room is told, waits, and is called when there is some."""

from hostside.driver.request import Request
from protocol.ops import Op
from tests.hostside.driver.rig import Rig


def nothing(request: Request) -> None:
    del request


def test_views_cover_the_request() -> None:
    rig = Rig()
    request = rig.driver.request(Op.WRITE, 512, 200_192, on_done=nothing)
    assert request is not None
    assert [len(view) for view in request.views] == [65024, 65536, 65536, 4096]
    assert len(set(request.slots)) == 4


def test_all_or_nothing_then_room() -> None:
    rig = Rig(slots=4)
    calls: list[int] = []
    rig.driver.on_room = lambda: calls.append(rig.pool.free_count)
    first = rig.driver.request(Op.READ, 0, 3 * 65536, on_done=nothing)
    assert first is not None
    assert rig.driver.request(Op.READ, 0, 2 * 65536, on_done=nothing) is None
    assert rig.pool.free_count == 1, "a request that must wait holds nothing"
    rig.driver.release(first)
    assert calls == [4]
    rig.driver.release(first)
    assert rig.pool.free_count == 4
    assert calls == [4], "nobody waits any more"


def test_release_in_flight_waits_for_the_end() -> None:
    rig = Rig(slots=1)
    rig.available()
    request = rig.submit(Op.READ)
    rig.driver.release(request)
    assert rig.pool.free_count == 0, "a path can still write into it"
    rig.end(rig.sent()[0])
    assert rig.done == [request]
    assert rig.pool.free_count == 1


def test_requests_without_slots_are_bounded_too() -> None:
    rig = Rig(tags_max=8)
    calls: list[int] = []
    rig.driver.on_room = lambda: calls.append(1)
    for number in range(8):
        rig.submit(Op.TRIM, number * 4096)
    assert rig.driver.request(Op.TRIM, 0, 4096, on_done=nothing) is None
    rig.available()
    rig.end(rig.sent()[0])
    assert calls == [1]
    assert rig.driver.request(Op.TRIM, 0, 4096, on_done=nothing) is not None
