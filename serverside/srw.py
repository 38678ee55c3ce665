"""SRW: the server's reader/writer process for one data socket (patent, Section I; Appendix B).

One process, one socket, one simple life: receive what has come, do it in the order it came, send the answers in one
go, and again. The socket blocks: a peer that reads slowly holds up this process and nobody else, which is the
patent's reason for a process per socket. (The other end, the agent, never blocks in a send, so that two full
directions can't wait for each other.)

How bytes travel
  * ONE `recv_into` takes many headers and their payloads into one buffer; a write goes from there to the drive with
    no further copy. The buffer holds any whole request (512 bytes + 128 KiB), so no request is ever half known.
  * Reads land in one scratch buffer, and ONE `sendmsg` sends [header, data, header, data, ...].
  * "First write the response, then write any data; the reverse order will deadlock if the disk read failed"
    (Appendix B, 7 and 8): an answer that refuses has no data behind it.

What Appendix B gets wrong, and is not done here: it takes a short read for an error and it goes on after a bad header
with the payload still in the stream, so that user data is parsed as requests. Here a refused request is drained to the
byte, and a frame in doubt ends the socket (the machine in `protocol/` decides which is which).

Plain work is done right here, on the drives inherited at the fork. What needs one owner (first writes to a `ZERO`
partition, changes of an array with redundancy, and reads of it that can't be done here) goes to the array's driver
process, by command packet and shared buffer.

SIGTERM: what has already arrived is done and answered, then the socket is closed.
"""

import fcntl
import socket
import struct
import termios
import time
from collections.abc import Mapping
from contextlib import suppress
from errno import ENOSPC, ESTALE
from typing import Final, Protocol

from ipc.child import Life
from ipc.counters import CounterRow
from ipc.exits import Exit
from ipc.latency import LONGEST
from ipc.together import Together
from ipc.vectors import rest_after
from protocol.crc import crc32c
from protocol.data_base import Request, ServerData
from protocol.errors import RemoteProtocolError
from protocol.limits import HEADER_BYTES, REQUEST_BYTES_MAX
from protocol.ops import Flag, Op
from protocol.status import DETAILS, Detail
from serverside.arrays.base import OwnerNeeded
from serverside.driver.channel import DriverGone
from serverside.drives.base import DriveError
from serverside.storage import HostView
from serverside.tally import (
    NO_PARTITION,
    OTHERS,
    READ_BYTES,
    READS,
    REFUSED,
    SLOT_CELLS,
    WRITES,
    WRITTEN_BYTES,
)

RECEIVE_BYTES: Final = 1 << 20
"""One receive takes this much at most: 1 MiB holds at least seven of the largest requests."""
SCRATCH_BYTES: Final = 1 << 20
SEND_AT_BYTES: Final = 128 << 10
"""Answers go out at this much data even when more requests wait, so that the wire never idles behind the drives."""
ANSWERS_MAX: Final = 8
"""Answers per sendmsg, though more requests wait: so the agent works on these while we do the next.

Measured on two cores, 4 KiB reads at depth 32: with all 32 in one send 51 thousand/s over one path, 66 with 8, because
the three processes no longer wait for each other in a ring; over two paths 61 and 58.
"""
IDLE_S: Final = 1
"""A receive or send gives up for a moment this often, so that the heart beats."""
GOODBYE_S: Final = 1.0

WHY: Final = {ENOSPC: Detail.NO_SPACE, ESTALE: Detail.STALE_GENERATION}
"""errno of a request that a drive or the driver refused -> its detail number; any other is a failed drive."""

# Plain integers on the hot path: looking up an enum's member costs as much as what is done with it.
READ: Final = int(Op.READ)
WRITE: Final = int(Op.WRITE)
FUA: Final = int(Flag.FUA)


class Door(Protocol):
    """The way to the array's driver process from this SRW's seat (`serverside/driver/channel.py`)."""

    def execute(
        self, partition: int, op: int, lba: int, blocks: int, durable: bool, payload: memoryview | None
    ) -> tuple[int, str]: ...

    def gather(self, partition: int, lba: int, durable: bool, payload: memoryview) -> bool: ...

    def collect(self) -> list[tuple[int, str]]: ...


class ServerReaderWriter:
    """The loop of one SRW.

    `view` is what the host may touch, by zn_zlun; `doors` are indexed by array name. `writes_through` makes every write
    durable before its answer, which 0x01 needs because it has no FLUSH. `counters` is a row of `serverside/tally.py`.
    """

    def __init__(
        self,
        sock: socket.socket,
        machine: ServerData,
        view: HostView,
        doors: Mapping[str, Door],
        *,
        writes_through: bool,
        life: Life,
        counters: CounterRow,
        latencies: CounterRow,
    ) -> None:
        self.sock = sock
        self.machine = machine
        self.partitions = view.partitions
        self.doors = doors
        self.owner_index = view.indexes
        self.writes_through = writes_through
        self.life = life
        self.cells = counters.cells
        self.partitions_most = min(len(view.partitions), NO_PARTITION)
        self.latencies = latencies.cells
        self.buffer = bytearray(RECEIVE_BYTES)
        self.received = memoryview(self.buffer)
        self.start = 0
        self.end = 0
        self.current: Request | None = None
        self.gathered: list[Request] = []
        """Writes that wait for `collect`, all for one array's owner. Answers come in order: nothing overtakes them."""
        self.drain_bytes = 0
        self.scratch = memoryview(bytearray(SCRATCH_BYTES))
        self.scratch_used = 0
        headers = memoryview(bytearray(HEADER_BYTES * ANSWERS_MAX))
        self.headers = [headers[i * HEADER_BYTES : (i + 1) * HEADER_BYTES] for i in range(ANSWERS_MAX)]
        self.answers = 0
        """In `out`."""
        self.answered = 0
        """Ever sent."""
        self.out: list[memoryview] = []
        self.received_ns = 0
        self.together = Together(self.where_the_peer_is)
        self.open = True
        self.rest_bytes: int | None = None
        """After SIGTERM: bytes that had arrived by then and are still to be received."""

    def run(self, login_answer: bytes = b"") -> Exit:
        """Answer the login, then serve until the peer goes, a frame is in doubt, or SIGTERM."""
        _let_the_heart_beat(self.sock)
        self.life.on_stop = self.hear_no_more
        try:
            self.sock.sendall(login_answer)
        except OSError:
            self.open = False  # the peer did not wait for it
        while self.open and self.receive():
            answered = self.answered
            try:
                self.work()
            except RemoteProtocolError:
                self.open = False  # a frame in doubt that deserves no answer: the stream can't be trusted any more
            self.collect()
            self.send_answers()
            answered = self.answered - answered
            took_ns = time.monotonic_ns() - self.received_ns
            self.latencies[min(took_ns >> 10, LONGEST).bit_length()] += answered
            self.together.turn(answered)
        self.close()
        return Exit.OK

    def where_the_peer_is(self) -> int:
        """Give the processor on which the peer's packets come in; on one machine, that of the agent."""
        return self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_INCOMING_CPU)

    # -- bytes in ------------------------------------------------------------------------------------------------

    def receive(self) -> bool:
        """Message 1S of Figure 5: wait for work "indefinitely if there is no work to be done". False: the end."""
        self.make_room()
        while (rest_bytes := self.rest_bytes) is None or rest_bytes > 0:
            self.life.beat()
            try:
                count = self.sock.recv_into(self.received[self.end :])
            except BlockingIOError:
                continue
            except OSError:
                return False
            self.received_ns = time.monotonic_ns()
            self.end += count
            if rest_bytes is not None:
                self.rest_bytes = rest_bytes - count
            return count > 0
        return False

    def hear_no_more(self) -> None:
        """SIGTERM. It wakes a receive that waits; what has arrived can still be received, and no more is waited for.

        A peer that keeps sending would otherwise never let this process end: Linux goes on receiving.
        """
        with suppress(OSError):  # the peer is gone, or the socket closed already
            (self.rest_bytes,) = struct.unpack("i", fcntl.ioctl(self.sock, termios.FIONREAD, bytes(4)))
            self.sock.shutdown(socket.SHUT_RD)

    def make_room(self) -> None:
        if self.start == self.end:
            self.start = self.end = 0
        elif RECEIVE_BYTES - self.end < HEADER_BYTES + REQUEST_BYTES_MAX:
            rest = self.end - self.start
            self.received[:rest] = bytes(self.received[self.start : self.end])
            self.start, self.end = 0, rest

    def work(self) -> None:
        """Do every request that is whole, in the order they came."""
        while self.open:
            if self.drain_bytes and not self.drain():
                return
            if self.current is None and not self.writes_through and not self.gathered:
                self.do_plain()
            request = self.current or self.machine.next(self.received, self.start, self.end)
            if request is None:
                return
            if self.current is None:
                self.start += HEADER_BYTES
                self.current = request
            if request.refusal is not None:
                self.refuse(request)
            elif self.end - self.start >= request.payload_bytes:
                payload = self.received[self.start : self.start + request.payload_bytes]
                self.start += request.payload_bytes
                self.current = None
                if not self.gather(request, payload):
                    self.execute(request, payload)
            else:
                return

    def do_plain(self) -> None:
        """Do plain READs and WRITEs, until something else comes or one turns out to need more: the hot loop.

        Its plain twin is `execute`, to which whatever needs more is given back. The answer is the request's own 512
        bytes, sent from where they lie: nothing more is received before all answers are sent.
        """
        take, buffer, received = self.machine.plain, self.buffer, self.received
        reads = writes = read_bytes = written_bytes = counted = 0
        while self.open and (plain := take(buffer, self.start, self.end)) is not None:
            op, unit, lba, size = plain
            if unit != counted:
                self.count(counted, reads, read_bytes, writes, written_bytes)
                reads = writes = read_bytes = written_bytes = 0
                counted = unit
            partition = self.partitions[unit]
            payload_at = self.start + HEADER_BYTES
            try:
                if op == READ:
                    if self.scratch_used + size > SCRATCH_BYTES:
                        self.send_answers()
                    data = self.scratch[self.scratch_used : self.scratch_used + size]
                    partition.read_into(data, lba)
                    self.scratch_used += size
                    self.out += (received[self.start : payload_at], data)
                    reads += 1
                    read_bytes += size
                    self.start = payload_at
                else:
                    if partition.needs_owner(WRITE, lba, size // 512, False):
                        self.machine.give_back()
                        break
                    partition.write_from(received[payload_at : payload_at + size], lba)
                    self.out.append(received[self.start : payload_at])
                    writes += 1
                    written_bytes += size
                    self.start = payload_at + size
            except OwnerNeeded:
                self.machine.give_back()
                break
            except DriveError as error:
                self.machine.give_back()
                self.fail_plain(error)
                continue
            self.answers += 1
            if self.answers >= ANSWERS_MAX or self.scratch_used >= SEND_AT_BYTES:
                self.count(counted, reads, read_bytes, writes, written_bytes)
                reads = writes = read_bytes = written_bytes = 0
                self.send_answers()
        self.count(counted, reads, read_bytes, writes, written_bytes)

    def count(self, unit: int, reads: int, read_bytes: int, writes: int, written_bytes: int) -> None:
        """Count what is done with one partition, before anybody is told of it."""
        cells, slot = self.cells, self.slot_of(unit)
        if reads:
            cells[slot + READS] += reads
            cells[slot + READ_BYTES] += read_bytes
        if writes:
            cells[slot + WRITES] += writes
            cells[slot + WRITTEN_BYTES] += written_bytes

    def slot_of(self, unit: int) -> int:
        """Give the first of a partition's cells. A refused request may name any number."""
        return (unit if 0 <= unit < self.partitions_most else NO_PARTITION) * SLOT_CELLS

    def fail_plain(self, error: DriveError) -> None:
        """Answer the plain request that comes next with the drive's error: it was tried, and is not tried again."""
        request = self.machine.next(self.received, self.start, self.end)
        assert request is not None
        self.start += HEADER_BYTES + request.payload_bytes
        self.answer_failed(request, error)

    def drain(self) -> bool:
        """Throw away the payload of a refused write, exactly (trap 3)."""
        count = min(self.drain_bytes, self.end - self.start)
        self.start += count
        self.drain_bytes -= count
        if self.drain_bytes == 0:
            assert self.current is not None
            self.answer_refused(self.current)
        return self.drain_bytes == 0

    def refuse(self, request: Request) -> None:
        self.collect()
        if not self.open:
            return
        if request.payload_bytes and not request.close_after:
            self.drain_bytes = request.payload_bytes
        else:
            self.answer_refused(request)

    def answer_refused(self, request: Request) -> None:
        assert request.refusal is not None
        self.current = None
        self.cells[self.slot_of(request.unit) + REFUSED] += 1
        status, detail, sentence = request.refusal
        self.answer(request, status=status, detail=detail, sentence=sentence)
        if request.close_after:
            self.open = False

    # -- the work ------------------------------------------------------------------------------------------------

    def gather(self, request: Request, payload: memoryview) -> bool:
        """Keep a write that needs the owner, to be posted with those that have come behind it; else False."""
        if request.op == WRITE and request.payload_crc is None and not request.traced:
            partition, blocks = self.partitions[request.unit], request.size_bytes // 512
            durable = self.writes_through or bool(request.flags & FUA)
            if partition.needs_owner(WRITE, request.lba, blocks, durable):
                name, index = partition.array.name, self.owner_index[request.unit]
                if self.gathered and self.partitions[self.gathered[0].unit].array.name != name:
                    self.collect()
                while not self.doors[name].gather(index, request.lba, durable, payload):
                    self.collect()
                    if not self.open:
                        return True
                self.gathered.append(request)
                return True
        self.collect()
        return not self.open  # the path has ended: nothing behind is begun

    def collect(self) -> None:
        """Have the owner do what was gathered, and answer it."""
        if not self.gathered:
            return
        gathered, self.gathered = self.gathered, []
        try:
            answers = self.doors[self.partitions[gathered[0].unit].array.name].collect()
        except DriverGone:
            self.open = False
            return
        for request, (status, sentence) in zip(gathered, answers, strict=True):
            if status:
                self.answer_failed(request, DriveError(status, sentence))
            else:
                self.count(request.unit, 0, 0, 1, request.size_bytes)
                self.answer(request)

    def execute(self, request: Request, payload: memoryview) -> None:
        try:
            if request.op == READ:
                self.read(request)
            elif request.op == WRITE:
                self.write(request, payload)
            else:
                self.other(request)
        except DriverGone:
            self.open = False  # what was posted may still be done: no answer, and the path ends
        except DriveError as error:
            self.answer_failed(request, error)

    def answer_failed(self, request: Request, error: DriveError) -> None:
        self.cells[self.slot_of(request.unit) + REFUSED] += 1
        detail = WHY.get(error.errno, Detail.DRIVE_FAILED)
        self.answer(request, status=error.errno, detail=detail, sentence=error.sentence)

    def read(self, request: Request) -> None:
        size = request.size_bytes
        if self.scratch_used + size > SCRATCH_BYTES:
            self.send_answers()
        data = self.scratch[self.scratch_used : self.scratch_used + size]
        posted_ns = time.monotonic_ns() if request.traced else 0
        try:
            self.partitions[request.unit].read_into(data, request.lba)
        except OwnerNeeded:
            self.ask_owner(request, size // 512, False, data)
        self.scratch_used += size
        crc = crc32c(data) if request.wants_crc else 0
        self.count(request.unit, 1, size, 0, 0)
        self.answer(request, payload_crc=crc, data=data, posted_ns=posted_ns)

    def write(self, request: Request, payload: memoryview) -> None:
        if request.payload_crc is not None and crc32c(payload) != request.payload_crc:
            self.cells[self.slot_of(request.unit) + REFUSED] += 1
            status, sentence = DETAILS[Detail.PAYLOAD_CRC]
            self.answer(request, status=status, detail=Detail.PAYLOAD_CRC, sentence=sentence)
            return
        posted_ns = time.monotonic_ns() if request.traced else 0
        partition = self.partitions[request.unit]
        durable = self.writes_through or bool(request.flags & FUA)
        blocks = request.size_bytes // 512
        if partition.needs_owner(request.op, request.lba, blocks, durable):
            self.ask_owner(request, blocks, durable, payload)
        else:
            partition.write_from(payload, request.lba, durable)
        self.count(request.unit, 0, 0, 1, request.size_bytes)
        self.answer(request, posted_ns=posted_ns)

    def other(self, request: Request) -> None:
        """FLUSH, TRIM, WRITE ZEROES and PING."""
        is_ping = request.op == Op.PING
        self.cells[self.slot_of(NO_PARTITION if is_ping else request.unit) + OTHERS] += 1
        if not is_ping:
            partition = self.partitions[request.unit]
            blocks = request.size_bytes // 512
            durable = bool(request.flags & FUA)
            if partition.needs_owner(request.op, request.lba, blocks, durable):
                self.ask_owner(request, blocks, durable, None)
            else:
                partition.execute(request.op, request.lba, blocks, durable)
        self.answer(request)

    def ask_owner(self, request: Request, blocks: int, durable: bool, payload: memoryview | None) -> None:
        """Message 3S of Figure 5: post the command packet to the server driver and await its response."""
        partition = self.partitions[request.unit]
        door = self.doors[partition.array.name]
        index = self.owner_index[request.unit]
        status, sentence = door.execute(index, request.op, request.lba, blocks, durable, payload)
        if status:
            raise DriveError(status, sentence)

    # -- bytes out -----------------------------------------------------------------------------------------------

    def answer(
        self,
        request: Request,
        *,
        status: int = 0,
        detail: int = 0,
        sentence: str = "",
        payload_crc: int = 0,
        data: memoryview | None = None,
        posted_ns: int = 0,
    ) -> None:
        header = self.headers[self.answers]
        times = self.times(request.op, posted_ns) if request.traced else ()
        self.machine.answer(
            request,
            header,
            status=status,
            detail=detail,
            sentence=sentence,
            payload_crc=payload_crc,
            times=times,
        )
        self.out.append(header)
        if data is not None:
            self.out.append(data)
        self.answers += 1
        if self.answers >= ANSWERS_MAX or self.scratch_used >= SEND_AT_BYTES:
            self.send_answers()

    def times(self, op: int, posted_ns: int) -> tuple[int, ...]:
        """Nanoseconds since 1S of the messages 2S to 6S (and a spare), for `nsu trace`.

        An answer can't carry the time at which it was itself sent: 5S and 6S are when it was ready to go.
        """
        posted = max(0, posted_ns - self.received_ns)
        done = time.monotonic_ns() - self.received_ns
        driven = posted if op == Op.WRITE else done  # 4S: Figure 6 posts the write there, Figure 5 is back
        return (posted, posted, driven, done, done, 0)

    def send_answers(self) -> None:
        """Messages 5S and 6S: the responses and the data, in one system call where the kernel takes them all."""
        out = self.out
        while out:
            self.life.beat()
            try:
                sent = self.sock.sendmsg(out)
            except BlockingIOError:
                continue  # a slow reader: wait on, beating
            except OSError:
                self.open = False
                break
            out = rest_after(out, sent)
        self.out = []
        self.answered += self.answers
        self.answers = 0
        self.scratch_used = 0

    def close(self) -> None:
        """Close so that an answer just sent is not lost: unread input would make the kernel reset the connection."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + GOODBYE_S
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 100_000))
            while time.monotonic() < deadline and self.sock.recv_into(self.received) > 0:
                pass
        except OSError:
            pass  # the peer is gone already, or has nothing more to say
        self.sock.close()


def _let_the_heart_beat(sock: socket.socket) -> None:
    sock.setblocking(True)
    pause = struct.pack("ll", IDLE_S, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, pause)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, pause)
