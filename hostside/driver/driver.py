"""The host driver (HD, 204): requests in, commands out; reports in, completions out. Pure: no I/O, no clock.

Figure 7, step by step, and who does it here
  "each of the applications has placed a respective I/O request ... into a request queue 730": `submit` puts
    constituents into `_queue`, oldest first.
  "the next available agent 200a having a connection to the relevant block server responds by retrieving the
    request from the queue": an agent says that it is available (message 1H of Figure 5) in AVAILABLE, with
    the number of commands it takes at once; `outgoing` gives each constituent to the path expected to
    finish it first (paths.py).
  "I/O requests involving data transfers of over 64 kilobytes are subdivided into I/O requests of blocks of
    64k bytes or less": splitter.py.
  "Each constituent I/O request is appropriately tagged with an identifier of the original application-level
    I/O request to which it corresponds": `Constituent.parent`, found by tag (tags.py).
  "Once all of the constituent I/O requests are completed, the host driver reports the completion of the
    application-level I/O request": `_finish`, and `_report`, which is 7H of Figures 5 and 6.

What is guaranteed
  1. `on_done` comes exactly once for each submitted request, and only when every constituent is
     acknowledged, refused, fenced, was never given to a path, or was given up (5); on failure too. So the
     slots are quiet when the front-end gets them back.
  2. A constituent is held by at most one path at a time. It is sent again only after its path's LOST, which
     says that nothing of the former sending can still be applied, or after the server has answered that it
     was not executed.
  3. Overlapping writes reach the server one after the other, in the order of `submit`; a read sees every
     write that was submitted before it (ranges.py). The range is held until the parent is finished, through
     any number of lost paths, and of a write that was given up (5) until it is fenced (ghosts.py). With 2: no
     write is ever applied after a later acknowledged write to the same block.
  4. A FLUSH covers every write submitted before it (flushes.py); FUA goes with each constituent of its
     write, so a write with FUA is durable when all of them are (trap 14).
  5. While no path exists requests are kept, in order; with `fail_after_s` they fail after so long without a
     path: those too that wait for a range, and those held by a path whose agent is reaped (AVAILABLE with a
     window of 0), fenced or not; these are given up. What is held by a path whose agent may still live fails
     when it is reaped or LOST.

  6. A server machine that loses its power loses what was acknowledged and not flushed, as any drive does. Then the
    first FLUSH that covers such a write fails with EIO, once, and is never called good (unflushed.py).

Order of calls: everything may be called from within `on_done` and `on_room`, except `receive` and
`outgoing`. Whoever drives this calls `receive` with what came, then `outgoing` and hands the packets on,
then sleeps until `next_tick`.

Bounds: `tags_max` constituents in flight, the pool's slots for READ and WRITE requests, `tags_max` requests
without payload; what exceeds them is told to ask again (`request` gives None, `on_room` comes later).
"""

from collections import deque
from collections.abc import Callable, Iterable
from errno import EIO, ESHUTDOWN
from os import strerror

from hostside.driver.admission import FLUSH, READ, WRITE, refusal
from hostside.driver.flushes import Flushes
from hostside.driver.ghosts import Ghosts
from hostside.driver.intake import Intake
from hostside.driver.notes import Notes, Trace, TraceWish
from hostside.driver.paths import COMMAND_COST_BYTES, Path, Paths
from hostside.driver.ranges import RangeLock
from hostside.driver.request import Constituent, Request
from hostside.driver.requeue import Verdict, Waiting
from hostside.driver.splitter import split
from hostside.driver.standing import Standing
from hostside.driver.tags import TagTable
from hostside.driver.tracing import Tracer
from hostside.driver.unflushed import Unflushed
from hostside.driver.unit import UnitInfo
from hostside.driver.waited import Waited
from hostside.packets import COMMAND, NO_SLOT, REPORT, Report
from ipc.buffers import BufferPool
from protocol.limits import BLOCK_BYTES
from protocol.ops import Flag

_DONE = int(Report.DONE)
_FUA = int(Flag.FUA)
_ERRNO_MAX = 4095
"""No errno is higher; -1 of Appendix D is none."""
LOST_POWER = "the NSU lost power: writes since the last flush may be lost"


class HostDriver:
    """The host driver of one disk. `clock`: seconds that only grow; `fail_after_s` None: wait for ever."""

    def __init__(
        self,
        *,
        unit: UnitInfo,
        pool: BufferPool,
        notes: Notes,
        disk_index: int,
        tags_max: int,
        clock: Callable[[], float],
        fail_after_s: float | None = None,
    ) -> None:
        assert notes.tags_max == tags_max, "the driver and the notes read tags the same way"
        self.unit = unit
        self._notes = notes
        self._disk_index = disk_index
        self._clock = clock
        self._tags = TagTable(tags_max)
        self._paths = Paths(clock())
        self._ranges = RangeLock()
        self._ghosts = Ghosts()
        self._flushes = Flushes()
        self._unflushed = Unflushed()
        self._intake = Intake(pool, bare_max=tags_max)
        self._standing = Standing(fail_after_s)
        self._tracer = Tracer(notes, clock)
        self._waiting = Waiting()
        self._queue: deque[Constituent] = deque()
        """Constituents that no path holds, oldest first."""
        self._in_flight = 0
        self.waited = Waited()
        """For how long the queue held something that no path took."""
        self._held_most = 0

    # -- for front-ends ----------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Every submitted request has finished."""
        return self._in_flight == 0

    @property
    def stop_asked(self) -> bool:
        """STOP has come: nothing new is taken; `idle` tells when the rest has finished."""
        return self._standing.stop_asked

    @property
    def on_room(self) -> Callable[[], None] | None:
        """Called when a `request` that got None is worth asking again."""
        return self._intake.on_room

    @on_room.setter
    def on_room(self, callback: Callable[[], None] | None) -> None:
        self._intake.on_room = callback

    def request(
        self,
        op: int,
        offset_bytes: int,
        length_bytes: int,
        *,
        fua: bool = False,
        on_done: Callable[[Request], None],
    ) -> Request | None:
        """Make a request, with its slots; None when there is no room now: ask again after `on_room`.

        A READ or WRITE has a view for each constituent, together `length_bytes` long; none when so much
        can never be had at once, or `length_bytes` is not positive: such a request is refused by `submit`.
        """
        return self._intake.make(int(op), offset_bytes, length_bytes, fua, on_done)

    def submit(self, request: Request) -> None:
        """Hand the request over; `on_done(request)` comes once, and at once when it is refused."""
        assert not request.in_flight, "it was submitted before"
        assert not request.finished, "it was submitted before"
        self._enter(request)
        op = request.op
        refused = self._standing.refusal_of_new or refusal(self.unit, request)
        if refused:
            request.fail(*refused)
            self._report(request)
        elif op == READ:
            if self._ranges.enter_read(request):
                self._start(request)
        elif op == FLUSH:
            self._flushes.add(request)
            self._advance_flushes()
        else:
            epoch = request.epoch = self._flushes.open
            epoch.pending += 1
            if self._ranges.enter_write(request):
                self._start(request)

    def release(self, request: Request) -> None:
        """Give the slots back: the views are not needed any more.

        For a request in flight this waits until it has finished: its slots are still written and read.
        """
        if request.in_flight:
            request.released = True
        else:
            self._intake.give_back(request)

    def trace_next(self, op: int, on_trace: Callable[[Trace], None]) -> None:
        """Trace the next constituent of a READ or WRITE that starts; `on_trace` gets the stamps then."""
        assert op in (READ, WRITE)
        self._tracer.wishes.append(TraceWish(int(op), on_trace))

    # -- for the loop between front-end and agents -------------------------------------------------------

    def receive(self, packets: bytes | bytearray | memoryview) -> None:
        """Take REPORT packets, any number."""
        rows, mask, free = self._tags.rows, self._tags.mask, self._tags.free
        for tag, kind, _, path, incarnation, _, status, credits, value, spare in REPORT.iter_unpack(packets):
            if kind != _DONE:
                self._take_control(kind, path, incarnation, status, credits, value, spare)
                continue
            index = tag & mask
            constituent = rows[index]
            if constituent is None or constituent.tag != tag or constituent.path.incarnation != incarnation:
                continue  # late: of a sending that is over
            holder = constituent.path
            holder.room += 1
            holder.held_bytes -= constituent.cost_bytes
            holder.done_bytes += constituent.cost_bytes
            if status or constituent.trace is not None:
                self._end_with_care(constituent, status)
                continue
            rows[index] = None
            free.append(index)
            parent = constituent.parent
            if holder.era < parent.acked_in:
                parent.acked_in = holder.era
            parent.pending -= 1
            if not parent.pending:
                self._finish(parent)
        self._paths.sample(self._clock())
        self._refuse_queue()

    def outgoing(self) -> list[tuple[int, bytes]]:
        """Give (path, COMMAND packets) for what can be sent now; each packet is given once."""
        queue = self._queue
        if not queue:
            if self.waited.is_running:  # what waited has failed meanwhile
                self.waited.note(False, self._clock())
            return []
        now_s = self._clock()
        free, take_tag, choose, pack = self._tags.free, self._tags.take, self._paths.choose, COMMAND.pack
        disk, unit, generation = self._disk_index, self.unit.number, self.unit.generation
        used: list[Path] = []
        path = self._paths.to_probe(now_s)
        while queue and free:
            constituent = queue[0]
            path = path or choose(constituent.cost_bytes)
            if path is None:
                break
            queue.popleft()
            tag = take_tag(constituent)
            constituent.path = path
            constituent.generation = generation
            if not path.held_bytes:
                path.busy_from_s = now_s
            path.room -= 1
            path.held_bytes += constituent.cost_bytes
            if constituent.trace is not None:
                self._tracer.begin(tag)
            if not path.batch:
                used.append(path)
            path.batch.append(
                pack(
                    tag, constituent.op, constituent.flags, path.incarnation, disk, unit,
                    constituent.slot, constituent.length_bytes, constituent.lba, generation,
                )
            )  # fmt: skip
            path = None
        held = self._notes.tags_max - len(free)
        if held > self._held_most:
            self._held_most = held
        if queue or self.waited.is_running:
            self.waited.note(bool(queue), now_s)
        return [(path.index, path.take_batch()) for path in used]

    def take_held_most(self) -> int:
        """Give how many constituents all paths held together, at the most since the last call."""
        held_most, self._held_most = self._held_most, self._notes.tags_max - len(self._tags.free)
        return held_most

    def tick(self, now_s: float) -> None:
        """Do what is due: call it at `next_tick`, or more often."""
        retry_at_s = self._waiting.retry_at_s
        if retry_at_s is not None and now_s >= retry_at_s:
            self._put_first(self._waiting.take(unit_reported=False))
        fail_at_s = self._standing.fail_at_s(self._paths.pathless_since_s)
        if fail_at_s is not None and now_s >= fail_at_s:
            self._standing.no_path(self.unit.name)
        self._refuse_queue()

    def next_tick(self) -> float | None:
        """Give when `tick` has something to do next, by the clock; None: not before a report comes."""
        fail_at_s = self._standing.fail_at_s(self._paths.pathless_since_s)
        return min((at_s for at_s in (self._waiting.retry_at_s, fail_at_s) if at_s is not None), default=None)

    # -- a request's way ---------------------------------------------------------------------------------

    def _enter(self, request: Request) -> None:
        request.in_flight = True
        self._in_flight += 1
        if not request.slots:
            self._intake.bare_in_flight += 1

    def _start(self, request: Request) -> None:
        """Put the constituents of a request that waits for nobody into the queue."""
        # 0x01 knows no flags: its server writes through, so FUA is implied.
        flags = _FUA if request.fua and self.unit.version > 1 else 0
        slots, length_bytes = request.slots, request.length_bytes
        if len(slots) == 1:  # as of most: there is nothing to split
            lba, cost_bytes = request.offset_bytes // BLOCK_BYTES, COMMAND_COST_BYTES + length_bytes
            parts = [Constituent(request, request.op, flags, lba, length_bytes, slots[0], cost_bytes)]
        else:
            parts = self._split(request, flags)
        request.pending = len(parts)
        if self._tracer.wishes:
            for constituent in parts:
                self._tracer.mark(constituent)
        self._queue += parts

    def _split(self, request: Request, flags: int) -> list[Constituent]:
        op, slots = request.op, request.slots
        pieces = request.pieces or split(op, request.offset_bytes, request.length_bytes)
        return [
            Constituent(
                request, op, flags, offset_bytes // BLOCK_BYTES, length_bytes, slots[number] if slots else NO_SLOT,
                COMMAND_COST_BYTES + (length_bytes if slots else 0),
            )
            for number, (offset_bytes, length_bytes) in enumerate(pieces)
        ]  # fmt: skip

    def _finish(self, request: Request) -> None:
        """All constituents have ended: let go of whom it kept waiting, and report it."""
        epoch = request.epoch
        if epoch is None:
            self._report(request)
            return
        if not (request.status or request.fua):
            self._unflushed.acknowledged(request.acked_in)
        if not (request.status and request in self._ghosts):  # a ghost keeps its range
            self._leave_range(request)
        epoch.pending -= 1
        self._report(request)
        if self._flushes.waiting and not epoch.pending:
            self._advance_flushes()

    def _leave_range(self, request: Request) -> None:
        for woken in self._ranges.leave(request):
            self._start(woken)

    def _report(self, request: Request) -> None:
        """Message 7H: "the host driver notifies the operating system, that the I/O operation is complete"."""
        request.in_flight = False
        request.finished = True
        self._in_flight -= 1
        is_bare = not request.slots
        if is_bare:
            self._intake.bare_in_flight -= 1
        request.on_done(request)
        if request.released:
            self._intake.give_back(request)
        if is_bare:
            self._intake.tell_room()

    def _report_all(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self._report(request)

    def _advance_flushes(self) -> None:
        """Send the FLUSH whose writes have all ended, if none is on the wire (trap 13: exactly one)."""
        while drained := self._flushes.take_drained():
            if not self.unit.writes_through:
                # One FLUSH of our own stands for all; like any constituent it can be lost and sent again.
                self._unflushed.flush_begins()
                carrier = Request(FLUSH, 0, 0, False, self._on_flushed, (), (), ())
                self._enter(carrier)
                self._start(carrier)
                return
            self._flushes.wire_done()
            self._report_all(drained)

    def _on_flushed(self, carrier: Request) -> None:
        if carrier.status:
            self._unflushed.flush_failed()
        elif self._unflushed.flush_done(carrier.acked_in):
            carrier.fail(EIO, LOST_POWER)
            self._flushes.fail_waiting(EIO, LOST_POWER)
        served = self._flushes.wire_done()
        self._advance_flushes()
        for request in served:
            if carrier.status:
                request.fail(carrier.status, carrier.sentence)
        self._report_all(served)

    # -- constituents that need care ---------------------------------------------------------------------

    def _end_with_care(self, constituent: Constituent, status: int) -> None:
        """DONE of a traced constituent, or with a status: not executed, and worth another try, or failed?"""
        if constituent.trace is not None:
            self._tracer.end(constituent, status)
            constituent.trace = None
        sentence = self._notes.take(constituent.tag) if status else ""
        self._tags.give(constituent.tag)
        if not status:
            parent = constituent.parent
            parent.acked_in = min(parent.acked_in, constituent.path.era)
            self._end(constituent)
            return
        if status == ESHUTDOWN:
            self._paths.close(constituent.path, self._clock())
        verdict = self._waiting.judge(constituent, status, self.unit.generation)
        if verdict is Verdict.AGAIN:
            self._queue.appendleft(constituent)
        elif verdict is Verdict.LATER:
            self._waiting.add(constituent, self._clock())
        else:
            errno = status if status <= _ERRNO_MAX else EIO
            constituent.parent.fail(errno, sentence or f"{self.unit.name}: {strerror(errno)}")
            self._end(constituent)

    def _end(self, constituent: Constituent) -> None:
        parent = constituent.parent
        parent.pending -= 1
        if not parent.pending:
            self._finish(parent)

    def _put_first(self, constituents: list[Constituent]) -> None:
        self._queue.extendleft(reversed(constituents))

    def _refuse_queue(self) -> None:
        """In bad times, fail all that no path holds; each end may wake others, which meet the same."""
        if self._standing.refusal is None:
            return
        if self._standing.has_given_up:
            self._give_up(*self._standing.refusal)
        self._put_first(self._waiting.take(unit_reported=False))
        while self._queue and self._standing.refusal is not None:
            constituent = self._queue.popleft()
            constituent.parent.fail(*self._standing.refusal)
            self._end(constituent)

    def _give_up(self, status: int, sentence: str) -> None:
        """Fail what reaped paths hold, and all that waits for a range; what may still be applied keeps its range."""
        for holder in self._ghosts.take_reaped():
            for constituent in self._take_from(*holder):
                parent = constituent.parent
                parent.fail(status, sentence)
                if parent.epoch is not None:
                    self._ghosts.add(parent, holder)
                self._end(constituent)
        for request in self._ranges.waiting():
            if request.blockers:  # else one that has just failed let it go, into the queue
                request.fail(status, sentence)
                self._finish(request)

    # -- reports other than DONE -------------------------------------------------------------------------

    def _take_control(
        self, kind: int, path: int, incarnation: int, status: int, credits: int, value: int, generation: int
    ) -> None:
        if kind == Report.AVAILABLE:
            self._paths.available(path, incarnation, credits, value, self._clock())
            if not credits:
                self._ghosts.reaped(path, incarnation)
        elif kind == Report.LOST:
            self._take_back(path, incarnation)
        elif kind == Report.CLOSING:
            self._paths.closing(path, incarnation, self._clock())
        elif kind == Report.UNIT:
            self._change_unit(status, blocks=value, generation=generation, flags=credits)
        elif kind == Report.FORGOTTEN:
            self._paths.era += 1
        else:
            assert kind == Report.STOP, f"no such report: {kind}"
            self._standing.stop()
        if self._paths.pathless_since_s is None:
            self._standing.path_found()

    def _take_back(self, path: int, incarnation: int) -> None:
        """LOST: what that incarnation held, and only that, goes to others, before all that never was sent."""
        self._paths.lost(path, incarnation, self._clock())
        for write in self._ghosts.lost(path, incarnation):
            self._leave_range(write)
        self._put_first(self._take_from(path, incarnation))

    def _take_from(self, path: int, incarnation: int) -> list[Constituent]:
        """Give what that incarnation holds; from now on no report of it is believed."""
        held = self._tags.held_by(path, incarnation)
        for constituent in held:
            self._notes.clear(constituent.tag)
            self._tags.give(constituent.tag)
        return held

    def _change_unit(self, status: int, *, blocks: int, generation: int, flags: int) -> None:
        """UNIT: what no path holds goes out under the new generation (trap 24)."""
        if status:
            sentence = self._notes.read_unit() or f"{self.unit.name}: {strerror(status)}"
            self._standing.unit((status, sentence))
            return
        self.unit = self.unit.changed(blocks=blocks, generation=generation, flags=flags)
        self._standing.unit(None)
        self._put_first(self._waiting.take(unit_reported=True))
