"""One agent in this process, stepped by hand, and the NSU's end of its socket: a small drive behind a real machine."""

import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from hostside.agent import Agent, PathOrder
from hostside.driver.notes import Notes
from hostside.packets import COMMAND, NO_SLOT, PACKET_BYTES, REPORT, Report
from hostside.wiring import HEARTS, LOADS, PATH_COUNTERS, REASON_BYTES, TAGS_MAX, DiskWires, Wiring
from ipc.buffers import BufferPool
from ipc.child import Life
from ipc.counters import CounterTable
from ipc.latency import LATENCY_CELLS
from ipc.packets import PacketQueue
from protocol.crc import crc32c
from protocol.data import Request, UnitLimits, host_data, server_data
from protocol.limits import HEADER_BYTES
from protocol.ops import Op

BLOCKS = 4096
SLOTS = 32
SESSION, EPOCH, PATH, MARKER, GENERATION, UNIT = 7, 11, 0, 0xC0FFEE, 3, 1


def make_wiring(disks: int = 1, paths: int = 1) -> Wiring:
    """Make what `hostside.wiring.make_wiring` makes, with little memory."""
    return Wiring(
        disks=[
            DiskWires(
                index,
                PacketQueue(PACKET_BYTES),
                BufferPool(SLOTS, 65536, holders={"the test": SLOTS}),
                Notes(TAGS_MAX),
            )
            for index in range(disks)
        ],
        commands=[PacketQueue(PACKET_BYTES) for _ in range(paths)],
        counters=CounterTable(paths, PATH_COUNTERS),
        reasons=BufferPool(paths + disks, REASON_BYTES, holders={"the test": paths + disks}),
        hearts=CounterTable(paths + disks, HEARTS),
        loads=CounterTable(disks, LOADS),
        latencies=CounterTable(paths, LATENCY_CELLS),
        paths=paths,
    )


def make_order(version: int = 2, *, window: int = 8, payload_crc: bool = False, incarnation: int = 5) -> PathOrder:
    return PathOrder(
        path=PATH, incarnation=incarnation, version=version, address="127.0.0.1", port=9, session=SESSION, epoch=EPOCH,
        session_key=bytes(range(32)) if version == 2 else None, nonce=b"n" * 32, challenge=0x1234,
        window=1 if version == 1 else window, payload_crc=payload_crc,
    )  # fmt: skip


def make_life() -> Life:
    return Life(-1, CounterTable(1, ("beat",)).row(0).cells)


@dataclass(frozen=True, slots=True)
class Said:
    """One REPORT."""

    tag: int
    kind: Report
    detail: int
    path: int
    incarnation: int
    status: int
    credits: int


def reports_in(queue: PacketQueue) -> list[Said]:
    """Take all there are out of a disk's queue."""
    found = []
    while packets := queue.get_many():
        for tag, kind, detail, path, incarnation, _, status, credits, _, _ in REPORT.iter_unpack(packets):
            found.append(Said(tag, Report(kind), detail, path, incarnation, status, credits))
    return found


class Drive:
    """The server's end: reads requests with the real machine, does them on `blocks`, and gives the answers' bytes."""

    def __init__(self, version: int, *, blocks: int = BLOCKS) -> None:
        self.units: list[UnitLimits | None] = [None, UnitLimits(blocks, False, GENERATION if version == 2 else 0)]
        self.machine = server_data(version, session=SESSION, epoch=EPOCH, path=PATH, marker=MARKER, units=self.units)
        self.data = bytearray(bytes(range(256)) * 2 * blocks)
        self.inbox = bytearray()
        self.current: Request | None = None
        self.fail: dict[int, tuple[int, int, str]] = {}
        """LBA -> (status, detail, sentence) to answer with."""
        self.damage_crc = False
        self.pings = 0

    def answers(self, received: bytes) -> Iterator[bytes]:
        """Take bytes; give one answer (header and data) for each request that is whole now."""
        self.inbox += received
        while True:
            if self.current is None:
                self.current = self.machine.next(memoryview(bytes(self.inbox)), 0, len(self.inbox))
                if self.current is None:
                    return
                del self.inbox[:HEADER_BYTES]
            request = self.current
            if len(self.inbox) < request.payload_bytes:
                return
            payload = bytes(self.inbox[: request.payload_bytes])
            del self.inbox[: request.payload_bytes]
            self.current = None
            yield self.answer(request, payload)

    def answer(self, request: Request, payload: bytes) -> bytes:
        header = memoryview(bytearray(HEADER_BYTES))
        refusal = request.refusal or self.fail.get(request.lba)
        if refusal:
            status, detail, sentence = refusal
            self.machine.answer(request, header, status=status, detail=detail, sentence=sentence)
            return bytes(header)
        first, data = request.lba * 512, b""
        if request.op == Op.READ:
            data = bytes(self.data[first : first + request.size_bytes])
        elif request.op == Op.WRITE:
            assert request.payload_crc in (None, crc32c(payload))
            self.data[first : first + len(payload)] = payload
        self.pings += request.op == Op.PING
        crc = crc32c(data) ^ self.damage_crc if request.wants_crc else 0
        times = (1, 2, 3, 4, 5, 6) if request.traced else ()
        self.machine.answer(request, header, payload_crc=crc, times=times)
        return bytes(header) + data


class Rig:
    """Agent and drive, joined by a pair of sockets; nothing moves but by a call."""

    def __init__(
        self,
        version: int = 2,
        *,
        window: int = 8,
        payload_crc: bool = False,
        wiring: Wiring | None = None,
        blocks: int = BLOCKS,
    ) -> None:
        self.wiring = wiring or make_wiring()
        self.order = make_order(version, window=window, payload_crc=payload_crc)
        ours, self.nsu = socket.socketpair()
        ours.setblocking(False)
        self.nsu.setblocking(False)
        machine = host_data(version, session=SESSION, epoch=EPOCH, path=PATH, marker=MARKER)
        self.agent = Agent(self.order, ours, machine, self.wiring, make_life())
        self.agent.poll.register(ours.fileno())
        self.drive = Drive(version, blocks=blocks)
        self.generation = GENERATION if version == 2 else 0
        self.tags = 0

    def close(self) -> None:
        self.agent.sock.close()
        self.agent.poll.close()
        self.nsu.close()

    def command(
        self,
        op: Op,
        lba: int = 0,
        length: int = 512,
        *,
        slot: int = 0,
        flags: int = 0,
        disk: int = 0,
        incarnation: int | None = None,
        tag: int | None = None,
    ) -> int:
        """Put one COMMAND into the path's queue; give its tag."""
        self.tags += 1
        tag = self.tags if tag is None else tag
        given = self.order.incarnation if incarnation is None else incarnation
        slot = slot if op in (Op.READ, Op.WRITE) else NO_SLOT
        self.wiring.commands[PATH].put(
            COMMAND.pack(tag, op, flags, given, disk, UNIT, slot, length, lba, self.generation)
        )
        return tag

    def go_out(self) -> None:
        """Let the agent fetch and send what it can."""
        self.agent.fetch_commands()
        self.agent.start_commands()
        self.agent.send()

    def arrived(self) -> bytes:
        """Give what has come to the NSU's end."""
        parts: list[bytes] = []
        while True:
            try:
                part = self.nsu.recv(1 << 20)
            except BlockingIOError:
                return b"".join(parts)
            parts.append(part)

    def come_in(self, chunk: bytes) -> None:
        """Let `chunk`, and nothing else, come to the agent; it takes all of it before this returns."""
        self.nsu.sendall(chunk)
        while select.select([self.agent.sock], [], [], 0)[0]:
            self.agent.receive()

    def reports(self, disk: int = 0) -> list[Said]:
        """Have the agent post what it has, and take it."""
        self.agent.post_reports()
        return reports_in(self.wiring.disks[disk].reports)

    def slot(self, slot: int, length: int, disk: int = 0) -> memoryview:
        return self.wiring.disks[disk].pool.view(slot, length)
