"""Proves: bytes of a file and blocks of a disk agree, whatever is written where; what has no room waits in order."""

from errno import EINVAL, EIO, ENOSPC, ESHUTDOWN

from hypothesis import given, settings
from hypothesis import strategies as st

from hostside.driver.unit import UnitFlag
from hostside.frontends.fuse_calls import Call
from hostside.frontends.fuse_flow import Flow
from ipc.loop import Loop
from protocol.ops import Op
from tests.hostside.frontends.memory_driver import ALL, Faults, MemoryDriver, memory_driver, unit_of

SIZE = 64 * 1024


class World:
    def __init__(self, *, flags: UnitFlag = ALL, slots: int = 64) -> None:
        self.loop = Loop()
        self.driver: MemoryDriver = memory_driver(self.loop, unit_of(SIZE, flags=flags), slots=slots)
        self.flow = Flow(self.loop, self.driver)

    def do(self, *calls: Call) -> None:
        """All at once, until all are answered."""
        for call in calls:
            self.flow.take(call)

        def look() -> None:
            if all(call.is_answered for call in calls):
                self.loop.stop()

        self.loop.call_later(5.0, self.loop.stop)
        self.loop.after_each(look)
        self.loop.run()
        self.loop._after_each.remove(look)
        assert all(call.is_answered for call in calls), "a call was never answered"

    def close(self) -> None:
        assert self.flow.idle
        assert self.driver.made == self.driver.released
        self.loop.close()


def write(at: int, data: bytes, *, fua: bool = False) -> Call:
    return Call(Op.WRITE, at, len(data), data, fua=fua)


offsets = st.integers(0, SIZE + 600)
writes = st.lists(st.tuples(offsets, st.binary(min_size=1, max_size=1500)), min_size=1, max_size=12)


@given(writes)
@settings(max_examples=40, deadline=None)
def test_overlapping_writes_at_any_byte_leave_what_a_file_would_hold(writes: list[tuple[int, bytes]]) -> None:
    # One after the other, as a file's order between writes under way at once is nobody's promise.
    world, model = World(), bytearray(SIZE)
    for at, data in writes:
        call = write(at, data)
        world.do(call)
        kept = max(0, min(len(data), SIZE - at))
        assert call.status == (0 if kept else ENOSPC)
        assert not kept or call.length_bytes == kept
        model[at : at + kept] = data[:kept]
    reads = [Call(Op.READ, at, 1000) for at in (0, 511, 513, SIZE - 1000, SIZE - 1, SIZE, SIZE + 5)]
    world.do(*reads)
    for read, at in zip(reads, (0, 511, 513, SIZE - 1000, SIZE - 1, SIZE, SIZE + 5), strict=True):
        assert read.data == model[at : at + 1000]
    world.close()


def test_writes_within_one_block_at_once_all_arrive() -> None:
    world = World()
    world.do(*(write(at, bytes([at])) for at in range(1, 200)), write(512, bytes(512)))
    read = Call(Op.READ, 0, 512)
    world.do(read)
    assert read.data == bytes(range(200)) + bytes(312)
    world.close()


def test_what_has_no_room_waits_and_is_done() -> None:
    world = World(slots=1)
    calls = [write(block * 512, bytes([block]) * 512) for block in range(50)]
    world.do(*calls)
    assert not any(call.status for call in calls)
    read = Call(Op.READ, 0, 50 * 512)
    world.do(read)
    assert read.data == b"".join(bytes([block]) * 512 for block in range(50))
    world.close()


def test_durable_writes_carry_fua_or_are_followed_by_a_flush() -> None:
    world = World()
    world.do(write(0, bytes(512), fua=True))
    assert (world.driver.fuas, world.driver.flushes) == (1, 0)
    world.close()
    world = World(flags=ALL & ~UnitFlag.CAN_FUA)
    world.do(write(0, bytes(512), fua=True), write(512, bytes(512)))
    assert (world.driver.fuas, world.driver.flushes) == (0, 1)
    world.close()


def test_errors_are_those_of_the_request() -> None:
    world = World()
    world.driver.faults = Faults(bad_bytes=range(1024, 1536), status=EIO)
    calls = [Call(Op.READ, 0, 512), Call(Op.READ, 1024, 512), write(1030, b"x"), Call(Op.WRITE_ZEROES, 3, 512)]
    world.do(*calls)
    assert [call.status for call in calls] == [0, EIO, EIO, EINVAL]
    world.flow.draining = True
    late = Call(Op.FLUSH, 0, 0)
    world.do(late)
    assert late.status == ESHUTDOWN
    world.close()
