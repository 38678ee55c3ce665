"""Agent (HRW): the host's reader/writer process for one path (patent, Section I and Figure 7; Appendix A).

Appendix A's loop, for many requests at once: fetch commands from the host driver, turn each into a network command
packet, send them with their data, read the responses, and complete them. "Each agent ... reads I/O requests from the
host driver and writes these requests onto the network."

The socket never blocks here: while a send waits for room, answers are still taken in. (The server's end may block in a
send; if both did, two full directions would wait for each other for ever.)

How bytes travel
  * One `get_many` takes all commands that wait; their headers and the views of their slots go out in ONE `sendmsg`.
  * Answers come in order, so the agent knows what comes next and where it belongs (`incoming.py`): ONE `recvmsg_into`
    takes many small answers, or scatters several large READs straight into their slots.
  * Completions of all answers of one receive go to each disk in one write.

What never happens: a slot is written after its constituent was reported, or after the path's LOST: the host process
reaps this process before it has the path fenced. Nor is a slot still being sent when its constituent is reported: an
answer to a request that is not wholly sent ends the path.
"""

import os
import select
import socket
import time
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hostside.driver.waited import Waited
from hostside.incoming import Finished, Incoming, Sent
from hostside.packets import COMMAND, PACKET_BYTES, REPORT, Report
from hostside.wiring import HEARTS, PATH_COUNTERS, Wiring
from ipc.child import Life
from ipc.endpoints import endpoint
from ipc.exits import Exit
from ipc.latency import LONGEST
from ipc.memory_pressure import withstand_memory_pressure
from ipc.silence import Silence
from ipc.tcp import keep_alive, least_round_trip_s, unanswered_s
from ipc.tls import TlsIdentity
from ipc.tls_stream import TlsStream
from ipc.together import Together
from ipc.vectors import rest_after
from protocol.crc import crc32c
from protocol.data import host_data
from protocol.data_base import Answer, HostData
from protocol.errors import LoginRefused, RemoteProtocolError
from protocol.limits import HANDSHAKE_TIMEOUT_S, HEADER_BYTES
from protocol.ops import Flag, Op
from protocol.path_login import check_login_answer, path_token, v1_login_message, v2_login_message
from protocol.status import Detail
from protocol.timers import (
    ANSWER_MOST_S,
    ANSWER_WITHIN_S,
    CONNECT_WITHIN_S,
    KEEPALIVE_EVERY_S,
    KEEPALIVE_IDLE_S,
    KEEPALIVE_PROBES,
    LOOK_EVERY_S,
    PING_EVERY_S,
    UNANSWERED_MOST_S,
)

VECTORS_MAX: Final = 1000
"""The kernel takes 1,024 vectors in one sendmsg."""
LOOK_NS: Final = int(LOOK_EVERY_S * 1e9)
PING_TAG: Final = 0xFFFFFFFF

# Plain integers: an IntEnum's `==` and an IntFlag's `&` cost more than all else that is done with them here.
READ: Final = int(Op.READ)
WRITE: Final = int(Op.WRITE)
PING: Final = int(Op.PING)
TRACE: Final = int(Flag.TRACE)
PAYLOAD_CRC: Final = int(Flag.PAYLOAD_CRC)
DONE: Final = int(Report.DONE)
PAYLOAD_OPS: Final = frozenset({READ, WRITE})
pack_report: Final = REPORT.pack
REQUESTS, ERRORS, READ_BYTES, WRITTEN_BYTES, WAITED_MS, ROUND_TRIP_US = range(len(PATH_COUNTERS))
HEARD: Final = HEARTS.index("heard_ns")


@dataclass(frozen=True, slots=True)
class PathOrder:
    """What one agent is forked with."""

    path: int
    incarnation: int
    version: int
    address: str
    port: int
    session: int
    epoch: int
    session_key: bytes | None
    nonce: bytes
    """0x02: the single-use nonce of this path's ticket."""
    challenge: int
    """0x01: the configuration socket's number, which step (14) sends again."""
    window: int
    """Requests on the wire at once: 1 in 0x01 (the patent: "one at-a-time"), many in 0x02."""
    payload_crc: bool
    server: str = ""
    """Its name, which its certificate may bear instead of the address."""
    tls: TlsIdentity | None = None
    """None: the path goes in clear."""


class PathLost(Exception):  # noqa: N818 - says what happened
    """The socket is of no more use; the words say why."""


class Agent:
    """The loop of one path's agent."""

    def __init__(self, order: PathOrder, sock: socket.socket, machine: HostData, wiring: Wiring, life: Life) -> None:
        self.order = order
        self.sock = sock
        self.tls: TlsStream | None = sock if isinstance(sock, TlsStream) else None
        self.machine = machine
        self.wiring = wiring
        self.life = life
        self.commands = wiring.commands[order.path]
        self.cells = wiring.counters.row(order.path).cells
        headers = memoryview(bytearray(HEADER_BYTES * order.window))
        self.headers = deque(headers[i * HEADER_BYTES : (i + 1) * HEADER_BYTES] for i in range(order.window))
        self.backlog: deque[tuple[int, ...]] = deque()
        self.sent: deque[Sent] = deque()
        """On the wire, in order."""
        self.out: list[memoryview] = []
        self.queued_bytes = 0
        """Bytes ever put into `out`."""
        self.gone_bytes = 0
        """Bytes ever taken out of it by the kernel."""
        self.incoming = Incoming(machine, self.sent, self.slot_of)
        self.reports: defaultdict[int, bytearray] = defaultdict(bytearray)
        """Place of a disk -> what it is to be told when this turn ends."""
        self.poll = select.epoll()
        self.polled = 0
        self.heart = wiring.hearts.row(order.path).cells
        self.heard_ns = self.heart[HEARD] = time.monotonic_ns()
        self.look_at_ns = self.heard_ns
        self.silence = Silence(LOOK_EVERY_S)
        self.traced: list[tuple[int, int, int]] = []
        """(disk, tag, `queued_bytes` behind it) of traced requests that are not yet wholly sent."""
        self.pinged = False
        self.withstands = False
        """What memory pressure asks of this process was done: see `Wiring.in_write_back`."""
        self.waited = Waited()
        """For how long commands waited for room in the window: several disks may give more than it holds."""
        self.leaving = False
        self.disk = 0
        """Whose command came last."""
        self.together = Together(self.where_the_disk_is)
        self.latencies = wiring.latencies.row(order.path).cells
        self.turn_ns = self.heard_ns
        """When this turn of the loop began."""

    # -- the loop ------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until the path is lost (raises PathLost), or SIGTERM has come and nothing is left to do."""
        self.sock.setblocking(False)
        self.poll.register(self.commands.fileno(), select.EPOLLIN)
        self.poll.register(self.sock.fileno(), select.EPOLLIN)
        wake_fd, waking_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.poll.register(wake_fd, select.EPOLLIN)
        self.life.on_stop = lambda: os.write(waking_fd, b"!")  # SIGTERM: the loop must not sleep on
        self.say_available()
        commands_fd, in_write_back = self.commands.fileno(), self.wiring.in_write_back
        while not (self.life.stop_asked and self.may_leave()):
            if in_write_back[0] and not self.withstands:
                self.withstands = True
                withstand_memory_pressure()
            events = self.poll.poll(LOOK_EVERY_S)
            now_ns = self.turn_ns = self.life.beat()
            for fd, event in events:
                if fd == commands_fd:
                    self.fetch_commands()
                elif fd == wake_fd:
                    self.poll.unregister(wake_fd)
                elif event & ~select.EPOLLOUT:
                    self.receive()
                    while self.tls is not None and self.tls.more:  # decrypted already, so poll is silent about it
                        self.receive()
            self.start_commands()
            if self.backlog or self.waited.is_running:
                self.waited.note(bool(self.backlog), now_ns / 1e9)
            self.send()
            self.post_reports()
            if now_ns >= self.look_at_ns:
                self.look()

    def may_leave(self) -> bool:
        """Asked to go, say at first that nothing more is taken; go when all that was given before that is done.

        A command that comes later still is safe: it was never sent, and LOST follows.
        """
        if not self.leaving:
            self.leaving = True
            self.say_to_all(Report.CLOSING)
        return not (self.sent or self.backlog) and self.commands.empty()

    def say_available(self) -> None:
        """Message 1H of Figure 5: "if you have work to do, give it to me", once for each disk.

        Each is offered the whole window: what several give together beyond it waits in `backlog`, in its order.
        """
        self.say_to_all(Report.AVAILABLE, window=self.order.window)

    def say_to_all(self, kind: Report, *, window: int = 0) -> None:
        for disk in self.wiring.disks:
            packet = REPORT.pack(0, kind, 0, self.order.path, self.order.incarnation, disk.index, 0, window, 0, 0)
            disk.reports.put(packet)

    # -- commands out --------------------------------------------------------------------------------------------

    def fetch_commands(self) -> None:
        """Appendix A (1): "fetch the command to process"; those of a former incarnation are not ours to do."""
        incarnation = self.order.incarnation
        fresh = [c for c in COMMAND.iter_unpack(self.commands.get_many()) if c[3] == incarnation]
        self.backlog.extend(fresh)
        if fresh:
            self.disk = fresh[0][4]
            self.together.turn(len(fresh))

    def where_the_disk_is(self) -> int:
        return self.wiring.loads.row(self.disk).get("together") - 1

    def start_commands(self) -> None:
        """Appendix A (2) to (4): network command packets, and the data in the write case."""
        backlog, headers, out, disks = self.backlog, self.headers, self.out, self.wiring.disks
        with_crc = self.order.payload_crc
        while backlog and headers:
            command = backlog.popleft()
            header = headers.popleft()
            tag, op, flags, _, disk, unit, slot, length, lba, generation = command
            payload = disks[disk].pool.view(slot, length) if op == WRITE else None
            crc = 0
            if with_crc and op in PAYLOAD_OPS:
                flags |= PAYLOAD_CRC
                crc = crc32c(payload) if payload is not None else 0
            if flags & TRACE:
                disks[disk].notes.stamp_named(tag, "2H", time.monotonic_ns())
            self.machine.request(header, op, flags, unit, generation, lba, length, tag, crc)
            out.append(header)
            self.queued_bytes += HEADER_BYTES
            if payload is not None:
                out.append(payload)
                self.queued_bytes += length
            self.sent.append((header, command, self.queued_bytes, self.turn_ns))
            if flags & TRACE:
                self.traced.append((disk, tag, self.queued_bytes))

    def send(self) -> None:
        """Message 3H: all that waits, in one system call."""
        while self.out:
            batch = self.out[:VECTORS_MAX]
            try:
                count = self.sock.sendmsg(batch)
            except BlockingIOError:
                break
            except OSError as error:
                raise PathLost(f"sending to {self.where()}: {error.strerror}") from error
            self.out = rest_after(self.out, count)
            self.gone_bytes += count
        while self.traced and self.traced[0][2] <= self.gone_bytes:
            disk, tag, _ = self.traced.pop(0)
            self.wiring.disks[disk].notes.stamp_named(tag, "3H", time.monotonic_ns())
        wanted = select.EPOLLIN | (select.EPOLLOUT if self.out else 0)
        if wanted != self.polled:
            self.poll.modify(self.sock.fileno(), wanted)
            self.polled = wanted

    # -- answers in ----------------------------------------------------------------------------------------------

    def receive(self) -> None:
        """Messages 4H to 6H: responses and data, as much as has come."""
        try:
            count = self.sock.recvmsg_into(self.incoming.targets())[0]
        except BlockingIOError:
            return
        except OSError as error:
            raise PathLost(f"receiving from {self.where()}: {error.strerror}") from error
        if count == 0:
            raise PathLost(f"{self.where()} closed the path")
        self.heard_ns = self.heart[HEARD] = time.monotonic_ns()
        self.complete(self.incoming.took(count))

    def complete(self, finished: list[Finished]) -> None:
        """Appendix A (7), message 7H: complete the operations. The hot loop; what is not plain goes to `finish`."""
        path, incarnation, reports = self.order.path, self.order.incarnation, self.reports
        read_bytes = written_bytes = plain = 0
        asked = len(finished)
        for (header, command, end_bytes, _), answer in finished:
            if end_bytes > self.gone_bytes:
                raise PathLost(f"{self.where()} answered a request before it had the whole of it")
            self.headers.append(header)
            if answer is None:
                tag, op, _, _, disk, _, _, length, _, _ = command
                plain += 1
                if op == READ:
                    read_bytes += length
                else:
                    written_bytes += length
                reports[disk] += pack_report(tag, DONE, 0, path, incarnation, disk, 0, 0, 0, 0)
            elif answer.tag == PING_TAG and answer.op == PING:
                self.pinged = False
                asked -= 1
            else:
                self.finish(command, answer)
        if asked:  # a batch at a time, by its eldest, which a ping would stand before: exact enough, and costs nothing
            took_ns = self.heard_ns - finished[-asked][0][3]
            self.latencies[min(took_ns >> 10, LONGEST).bit_length()] += asked
        cells = self.cells
        cells[REQUESTS] += plain
        cells[READ_BYTES] += read_bytes
        cells[WRITTEN_BYTES] += written_bytes

    def finish(self, command: tuple[int, ...], answer: Answer) -> None:
        """Appendix A (7), message 7H, for an answer that says more than that all went well."""
        tag, op, flags, _, disk, _, _, length, _, _ = command
        status, detail = answer.status, answer.detail
        if answer.payload_crc is not None and crc32c(self.slot_of(command)) != answer.payload_crc:
            raise PathLost(f"{self.where()}: the data's CRC32C differs: it was damaged on its way")
        if detail == Detail.PAYLOAD_CRC and status and self.order.payload_crc:
            raise PathLost(f"{self.where()}: what we sent was damaged on its way; nothing of it was written")
        self.account(op, length, status)
        if status and answer.sentence:
            self.wiring.disks[disk].notes.write(tag, answer.sentence)
        elif flags & TRACE:
            self.stamp(disk, tag, answer.times)
        self.reports[disk] += REPORT.pack(
            tag, DONE, detail & 0xFF, self.order.path, self.order.incarnation, disk, status, 0, 0, 0
        )

    def slot_of(self, command: tuple[int, ...]) -> memoryview:
        return self.wiring.disks[command[4]].pool.view(command[6], command[7])

    def account(self, op: int, length: int, status: int) -> None:
        cells = self.cells
        cells[REQUESTS] += 1
        if status:
            cells[ERRORS] += 1
        elif op == READ:
            cells[READ_BYTES] += length
        elif op == WRITE:
            cells[WRITTEN_BYTES] += length

    def stamp(self, disk: int, tag: int, times: Iterable[int]) -> None:
        notes = self.wiring.disks[disk].notes
        now_ns = time.monotonic_ns()
        for stage, at_ns in (("4H", self.heard_ns), ("5H", now_ns), ("6H", now_ns)):
            notes.stamp_named(tag, stage, at_ns)
        for stage, elapsed_ns in zip(("2S", "3S", "4S", "5S", "6S"), times, strict=False):
            notes.stamp_named(tag, stage, elapsed_ns)

    def post_reports(self) -> None:
        for place, packets in self.reports.items():
            assert len(packets) % PACKET_BYTES == 0
            self.wiring.disks[place].reports.put_many(packets)
        self.reports.clear()

    # -- silence -------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Find out whether the other end is still there, or raise PathLost; `protocol/timers.py` says when and why."""
        now_ns = time.monotonic_ns()
        self.look_at_ns = now_ns + LOOK_NS
        self.cells[WAITED_MS] = int(self.waited.total_s * 1000)
        self.cells[ROUND_TRIP_US] = int(least_round_trip_s(self.sock) * 1e6)
        silent_s = self.silence.look((now_ns - self.heard_ns) / 1e9)
        if silent_s < PING_EVERY_S:
            return
        if min(silent_s, unanswered_s(self.sock)) >= UNANSWERED_MOST_S:
            raise PathLost(f"{self.where()} is out of reach: it acknowledged nothing for {UNANSWERED_MOST_S:g} s")
        if self.pinged and silent_s >= PING_EVERY_S + ANSWER_WITHIN_S:
            raise PathLost(
                f"{self.where()} did not answer a ping within {ANSWER_WITHIN_S:g} s: its process stands still"
            )
        if self.sent and silent_s >= ANSWER_MOST_S:
            raise PathLost(f"{self.where()} acknowledges and has answered nothing for {ANSWER_MOST_S:g} s")
        if self.order.version >= 2 and not self.sent:
            self.ping()

    def ping(self) -> None:
        """Only on an idle path: behind a request its answer would wait for the drive."""
        self.pinged = True
        self.backlog.append((PING_TAG, PING, 0, self.order.incarnation, 0, 0, 0, 0, 0, 0))
        self.start_commands()
        self.send()

    def where(self) -> str:
        return endpoint(self.order.address, self.order.port)


def run_agent(life: Life, order: PathOrder, wiring: Wiring) -> int:
    """Live as the agent of `order`'s path; the exit code tells the host process what came of it."""
    try:
        with connect(order) as sock:
            marker = log_in(sock, order)
            machine = host_data(order.version, session=order.session, epoch=order.epoch, path=order.path, marker=marker)
            life.ready()
            Agent(order, sock, machine, wiring, life).run()
    except LoginRefused as refused:
        wiring.write_reason(order.path, str(refused))
        return Exit.PATH_REFUSED
    except (PathLost, RemoteProtocolError) as lost:
        wiring.write_reason(order.path, str(lost))
        return Exit.PATH_LOST
    except OSError as error:
        wiring.write_reason(
            order.path, f"connecting to {endpoint(order.address, order.port)}: {error.strerror or error}"
        )
        return Exit.PATH_LOST
    return Exit.OK


def connect(order: PathOrder) -> socket.socket:
    """Connect a data socket (Appendix D, step 13), with the options that find a dead peer, and by TLS if so ordered."""
    sock = socket.create_connection((order.address, order.port), timeout=CONNECT_WITHIN_S)
    sock.settimeout(HANDSHAKE_TIMEOUT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # No TCP_USER_TIMEOUT: it would end a path whose window is full because the drive takes long.
    keep_alive(sock, idle_s=KEEPALIVE_IDLE_S, every_s=KEEPALIVE_EVERY_S, probes=KEEPALIVE_PROBES)
    if order.tls is None:
        return sock
    stream = TlsStream(sock, order.tls)
    stream.shake_hands()
    stream.require_name(order.server, order.address)
    return stream


def log_in(sock: socket.socket, order: PathOrder) -> int:
    """Steps (14) and (15) on this data socket; give the path's marker."""
    if order.version == 1:
        sock.sendall(v1_login_message(order.challenge))
    else:
        assert order.session_key is not None
        token = path_token(order.session_key, b"host", order.session, order.path, order.nonce)
        sock.sendall(v2_login_message(order.session, order.epoch, order.path, token))
    header = _receive_exactly(sock, HEADER_BYTES)
    proof = b""
    if order.session_key is not None:
        proof = path_token(order.session_key, b"server", order.session, order.path, order.nonce)
    return check_login_answer(order.version, header, session=order.session, path=order.path, server_token=proof)


def _receive_exactly(sock: socket.socket, count: int) -> bytes:
    parts = b""
    while len(parts) < count:
        part = sock.recv(count - len(parts))
        if not part:
            raise PathLost("the server closed the data socket before it answered the login")
        parts += part
    return parts
