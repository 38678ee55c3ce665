"""Proves: the real host driver does what front-ends count on: slots back unsubmitted, room told, refusals at once."""

from hostside.driver.driver import HostDriver
from hostside.driver.notes import Notes
from hostside.driver.request import Request
from hostside.frontends.base import Driver
from ipc.buffers import BufferPool
from protocol.limits import SPLIT_BYTES
from protocol.ops import Op
from tests.hostside.frontends.memory_driver import unit_of

SLOTS = 4


def driver_over(pool: BufferPool) -> Driver:
    return HostDriver(unit=unit_of(1 << 20), pool=pool, notes=Notes(64), disk_index=0, tags_max=64, clock=lambda: 0.0)


def test_the_contract() -> None:
    pool = BufferPool(SLOTS, SPLIT_BYTES, holders={"all": SLOTS})
    driver = driver_over(pool)
    done: list[Request] = []
    room: list[bool] = []
    driver.on_room = lambda: room.append(True)
    first = driver.request(Op.WRITE, 4096, 4 * SPLIT_BYTES - 8192, on_done=done.append)
    assert first is not None
    assert sum(len(view) for view in first.views) == first.length_bytes
    assert driver.request(Op.READ, 0, 512, on_done=done.append) is None
    driver.release(first)  # never submitted: its client has vanished
    assert (pool.free_count, room, done) == (SLOTS, [True], [])
    refused = driver.request(Op.READ, 1 << 20, 512, on_done=done.append)
    assert refused is not None
    driver.submit(refused)
    assert done == [refused]
    assert refused.status
    assert "past the end" in refused.sentence
    driver.release(refused)
    assert pool.free_count == SLOTS
