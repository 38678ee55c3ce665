"""From calls of the kernel to requests of the host driver, in the loop's thread.

A disk has blocks of 512 bytes, a file has bytes. So
  * a read is widened to whole blocks, and ends at the end of the disk, as any file's does;
  * a write that begins or ends within a block is done alone, nothing else under way: read, patched, written. No other
    write can then come between the two. File systems, virtual machines and loop devices never write so; wipefs does;
  * what lies past the end is refused with ENOSPC, as block devices do, and a write across the end is shortened to it;
  * a hole and zeroes must be at whole blocks: EINVAL otherwise.

A durable write (O_DSYNC, O_SYNC, RWF_DSYNC) carries FUA where the unit has it, and is followed by a FLUSH where not.

Calls that can't begin (no room in the pool, a write being patched) wait in order, and those behind them too.
"""

from collections import deque
from errno import EINVAL, ENOSPC, ESHUTDOWN

from hostside.driver.request import Request
from hostside.driver.unit import UnitFlag
from hostside.frontends.base import Driver
from hostside.frontends.fuse_calls import Call, Handover
from ipc.loop import Loop, Timer
from protocol.limits import BLOCK_BYTES
from protocol.ops import Op

_READ = int(Op.READ)
_WRITE = int(Op.WRITE)
_FLUSH = int(Op.FLUSH)
_IN_BLOCK = BLOCK_BYTES - 1
_AGAIN_S = 0.001
_CAN_FUA = int(UnitFlag.CAN_FUA)


class Flow:
    """The calls of one file, on their way through `driver` (its `on_room` is taken)."""

    def __init__(self, loop: Loop, driver: Driver) -> None:
        self.handover = Handover(loop, self.take)
        self.draining = False
        """What comes now is refused with ESHUTDOWN."""
        self._loop = loop
        self._driver = driver
        self._waiting: deque[Call] = deque()
        self._under_way = 0
        self._alone: Call | None = None
        self._resume_timer: Timer | None = None
        driver.on_room = self._resume_soon

    @property
    def idle(self) -> bool:
        """Every call that was taken has been answered."""
        return not self._under_way and not self._waiting

    def take(self, call: Call) -> None:
        """Begin a call, or have it wait."""
        if self.draining:
            self.handover.end(call, ESHUTDOWN)
        elif self._waiting or not self._begin(call):
            self._waiting.append(call)

    # -- beginning -----------------------------------------------------------------------------------------------

    def _begin(self, call: Call) -> bool:
        """Begin or refuse it; False: it has to wait."""
        if self._alone is not None:
            return False
        if call.op == _READ:
            return self._begin_read(call)
        if call.op == _WRITE:
            return self._begin_write(call)
        if (call.offset_bytes | call.length_bytes) & _IN_BLOCK:
            self.handover.end(call, EINVAL)
            return True
        return self._ask(call, call.op, call.offset_bytes, call.length_bytes)

    def _begin_read(self, call: Call) -> bool:
        end_bytes = min(call.offset_bytes + call.length_bytes, self._driver.unit.size_bytes)
        call.length_bytes = end_bytes - call.offset_bytes
        if call.length_bytes <= 0:
            self.handover.end(call)  # the end of the file
            return True
        return self._ask(call, _READ, *_blocks_around(call.offset_bytes, end_bytes))

    def _begin_write(self, call: Call) -> bool:
        end_bytes = min(call.offset_bytes + call.length_bytes, self._driver.unit.size_bytes)
        call.length_bytes = end_bytes - call.offset_bytes
        if call.length_bytes <= 0:
            self.handover.end(call, ENOSPC)
            return True
        if not (call.offset_bytes | call.length_bytes) & _IN_BLOCK:
            return self._ask(call, _WRITE, call.offset_bytes, call.length_bytes)
        if self._under_way or not self._ask(call, _READ, *_blocks_around(call.offset_bytes, end_bytes)):
            return False
        self._alone = call
        return True

    def _ask(self, call: Call, op: int, offset_bytes: int, length_bytes: int) -> bool:
        """Give it to the driver; False: there is no room."""
        fua = op == _WRITE and call.fua and self._has_fua
        request = self._driver.request(
            op, offset_bytes, length_bytes, fua=fua, on_done=lambda request: self._on_done(call, request)
        )
        if request is None:
            return False
        if op == _WRITE:
            _fill(request, memoryview(call.data))
        self._under_way += 1
        self._driver.submit(request)
        return True

    @property
    def _has_fua(self) -> bool:
        unit = self._driver.unit
        return unit.writes_through or bool(int(unit.flags) & _CAN_FUA)

    # -- ending --------------------------------------------------------------------------------------------------

    def _on_done(self, call: Call, request: Request) -> None:
        status, brought = request.status, b""
        if not status and request.op == _READ:
            brought = b"".join(request.views)
        self._driver.release(request)
        self._under_way -= 1
        if status:
            self._end(call, status)
        elif request.op == _READ and call.op == _WRITE:
            self._write_patched(call, request.offset_bytes, bytearray(brought))
        elif request.op == _READ:
            skip_bytes = call.offset_bytes - request.offset_bytes
            is_wider = len(brought) != call.length_bytes
            call.data = brought[skip_bytes : skip_bytes + call.length_bytes] if is_wider else brought
            self._end(call)
        elif request.op == _WRITE and call.fua and not self._has_fua:
            self._insist(call, _FLUSH, 0, 0)
        else:
            self._end(call)

    def _write_patched(self, call: Call, offset_bytes: int, blocks: bytearray) -> None:
        at = call.offset_bytes - offset_bytes
        blocks[at : at + call.length_bytes] = call.data[: call.length_bytes]
        call.data = bytes(blocks)
        self._insist(call, _WRITE, offset_bytes, len(blocks))

    def _insist(self, call: Call, op: int, offset_bytes: int, length_bytes: int) -> None:
        """The second step of a call, before all that wait; without room it counts as under way, and is tried again."""
        if not self._ask(call, op, offset_bytes, length_bytes):
            self._under_way += 1
            self._loop.call_later(_AGAIN_S, lambda: self._insist_again(call, op, offset_bytes, length_bytes))

    def _insist_again(self, call: Call, op: int, offset_bytes: int, length_bytes: int) -> None:
        self._under_way -= 1
        self._insist(call, op, offset_bytes, length_bytes)

    def _end(self, call: Call, status: int = 0) -> None:
        if self._alone is call:
            self._alone = None
        self.handover.end(call, status)
        if self._waiting and self._resume_timer is None:
            self._resume_soon()

    def _resume_soon(self) -> None:
        """Go on in a turn of its own, so that what is submitted then leaves with that turn's end."""
        if self._waiting and self._resume_timer is None:
            self._resume_timer = self._loop.call_later(0, self._resume)

    def _resume(self) -> None:
        self._resume_timer = None
        while self._waiting and self._begin(self._waiting[0]):
            self._waiting.popleft()


def _blocks_around(offset_bytes: int, end_bytes: int) -> tuple[int, int]:
    """(offset_bytes, length_bytes) of the whole blocks that hold these bytes."""
    start_bytes = offset_bytes & ~_IN_BLOCK
    return start_bytes, (end_bytes + _IN_BLOCK & ~_IN_BLOCK) - start_bytes


def _fill(request: Request, data: memoryview) -> None:
    at = 0
    for view in request.views:
        size = len(view)
        view[:] = data[at : at + size]
        at += size
