"""Proves the loop of one SRW over a real socket and a real file: order, framing, refusals, durability, its end."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from errno import EINVAL, EIO, ENOSPC, ENXIO, EROFS, ESTALE
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from ipc.child import HEART_NAMES, Child, Life, fork_child
from ipc.counters import CounterTable
from ipc.exits import Exit
from ipc.latency import LATENCY_CELLS
from protocol.crc import crc32c
from protocol.data import UnitLimits, host_data, server_data
from protocol.ops import Flag, Op
from protocol.status import Detail
from serverside.arrays.base import Array, OwnerNeeded
from serverside.arrays.open import open_array
from serverside.driver.channel import DriverGone
from serverside.drives.base import DriveError
from serverside.drives.file import FileDrive
from serverside.drives.health import DriveHealth
from serverside.partitions.partition import Partition
from serverside.settings import ArraySettings, DriveSettings
from serverside.srw import ServerReaderWriter
from serverside.storage import HostView
from serverside.tally import NO_PARTITION, TALLY_CELLS, slot_counts, sums
from tests.serverside.faults import MemoryDrive, memory_array
from tests.serverside.rig import DataPeer, received, unit

KIB = 1024
BLOCKS = 2048
GATHERED_MOST = 4
BEHIND = BLOCKS + 8
"""Blocks of the drive: behind unit 0 lies the read-only unit 1."""


@dataclass
class Door:
    """The driver's side, played: does writes on the partition itself, or fails."""

    partitions: list[Partition]
    failure: Exception | None = None
    asked: list[tuple[int, int]] = field(default_factory=list)
    gathered: list[tuple[int, int, bool, memoryview]] = field(default_factory=list)
    collected: list[int] = field(default_factory=list)
    """How many writes came together, each time."""

    def execute(
        self, partition: int, op: int, lba: int, blocks: int, durable: bool, payload: memoryview | None
    ) -> tuple[int, str]:
        self.asked.append((partition, op))
        if self.failure is not None:
            raise self.failure
        assert payload is not None
        self.partitions[partition].array.write_from(payload, lba * 512, durable)
        return 0, ""

    def gather(self, partition: int, lba: int, durable: bool, payload: memoryview) -> bool:
        if len(self.gathered) == GATHERED_MOST:
            return False
        self.gathered.append((partition, lba, durable, memoryview(bytes(payload))))
        return True

    def collect(self) -> list[tuple[int, str]]:
        gathered, self.gathered = self.gathered, []
        self.collected.append(len(gathered))
        return [self.one(*each) for each in gathered]

    def one(self, partition: int, lba: int, durable: bool, payload: memoryview) -> tuple[int, str]:
        try:
            return self.execute(partition, Op.WRITE, lba, len(payload) // 512, durable, payload)
        except DriveError as error:
            return error.errno, error.sentence


class NeedsOwner(Partition):
    """Everything written to it goes to the driver, as a first write to a ZERO partition does."""

    def needs_owner(self, op: int, lba: int, blocks: int, durable: bool = True) -> bool:
        return op == Op.WRITE


class Bench:
    """An SRW at work in a thread, and the host at the other end of its socket."""

    def __init__(self, array: Array, version: int, *, kind: type[Partition] = Partition) -> None:
        self.version = version
        units = [unit(blocks=BLOCKS), unit("fixed", 8, BLOCKS, read_only=True)]
        partitions = [kind(array, part, None, 1, UUID(int=n)) for n, part in enumerate(units)]
        self.array = array
        self.door = Door(partitions)
        self.table = CounterTable(1, TALLY_CELLS)
        self.hearts = CounterTable(1, HEART_NAMES)
        self.latencies = CounterTable(1, LATENCY_CELLS)
        mine, theirs = tcp_pair()
        self.peer = DataPeer(mine, host_data(version, session=7, epoch=1 << 32, path=3, marker=99))
        limits = [UnitLimits(p.blocks, p.read_only, p.generation) for p in partitions]
        machine = server_data(version, session=7, epoch=1 << 32, path=3, marker=99, units=limits)
        self.srw = ServerReaderWriter(
            theirs,
            machine,
            HostView(partitions, [0, 1]),
            {array.name: self.door},
            writes_through=version == 1,
            life=Life(-1, self.hearts.row(0).cells),
            counters=self.table.row(0),
            latencies=self.latencies.row(0),
        )
        self.exit: Exit | None = None
        self.thread: threading.Thread | None = None

    def start(self, login_answer: bytes = b"") -> DataPeer:
        self.thread = threading.Thread(target=self.live, args=(login_answer,), daemon=True)
        self.thread.start()
        return self.peer

    def live(self, login_answer: bytes) -> None:
        self.exit = self.srw.run(login_answer)

    def ended(self, within_s: float = 3.0) -> bool:
        assert self.thread is not None
        self.thread.join(within_s)
        return not self.thread.is_alive() and self.exit is Exit.OK

    def counted(self, name: str) -> int:
        return sums(self.table.row(0))[name]

    def close(self) -> None:
        self.peer.close()
        if self.thread is None:
            self.srw.sock.close()
        else:
            assert self.ended()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of one TCP connection over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mine = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    for sock in (mine, theirs):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return mine, theirs


@pytest.fixture
def array(tmp_path: Path) -> Iterator[Array]:
    made = DriveSettings(tmp_path / "drive0.img", BEHIND * 512)
    drive = FileDrive.open(made, DriveHealth(1), 0)
    opened = open_array(ArraySettings("unit0", "jbod", (made,)), [drive])
    yield opened
    opened.close()


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def bench(request: pytest.FixtureRequest, array: Array) -> Iterator[Bench]:
    bench = Bench(array, request.param)
    yield bench
    bench.close()


@pytest.fixture
def v2(array: Array) -> Iterator[Bench]:
    bench = Bench(array, 2)
    yield bench
    bench.close()


@pytest.fixture
def v1(array: Array) -> Iterator[Bench]:
    bench = Bench(array, 1)
    yield bench
    bench.close()


# --- bytes ---


def test_the_answer_to_the_login_comes_first(bench: Bench) -> None:
    peer = bench.start(b"L" * 512)
    assert received(peer.sock, 512) == b"L" * 512
    assert peer.ask(Op.READ, 0, 512)[0].status == 0


def test_what_is_written_is_read_and_lies_on_the_drive(bench: Bench, tmp_path: Path) -> None:
    peer = bench.start()
    data = os.urandom(128 * KIB)
    assert peer.ask(Op.WRITE, 5, 0, data)[0].status == 0
    assert peer.ask(Op.READ, 5, len(data))[1] == data
    assert (tmp_path / "drive0.img").read_bytes()[5 * 512 :][: len(data)] == data
    assert (bench.counted("writes"), bench.counted("written_bytes")) == (1, len(data))
    assert (bench.counted("reads"), bench.counted("read_bytes")) == (1, len(data))
    bench.peer.close()
    assert bench.ended()  # so the last turn is over
    assert sum(bench.latencies.row(0).cells) == 2


def test_each_partition_counts_what_was_done_with_it(v2: Bench) -> None:
    """Plain requests in turn in one piece, one that is not plain, refused ones and one of no partition."""
    peer = v2.start()
    said = [peer.request(Op.READ, n % 6, 512 * (1 + n % 2), unit=n % 2) for n in range(20)]
    said += [peer.request(Op.WRITE, 0, 0, bytes(1024)), peer.request(Op.FLUSH), peer.request(Op.PING)]
    said += [peer.request(Op.WRITE, 0, 0, bytes(512), unit=1), peer.request(Op.READ, 0, 512, unit=9)]
    said += [peer.request(Op.READ, 0, 512, unit=1, flags=Flag.PAYLOAD_CRC)]
    peer.sock.sendall(b"".join(said))
    assert [peer.answer()[0].status for _ in said] == [0] * 23 + [EROFS, ENXIO, 0]
    rows = [slot_counts(v2.table.row(0), slot) for slot in (0, 1, NO_PARTITION)]
    assert [tuple(row.values()) for row in rows] == [
        (10, 1, 1, 0, 5120, 1024),
        (11, 0, 0, 1, 10752, 0),
        (0, 0, 1, 1, 0, 0),
    ]


def test_requests_may_come_byte_by_byte(bench: Bench) -> None:
    peer = bench.start()
    for byte in peer.request(Op.WRITE, 1, 0, b"w" * 512) + b"":
        peer.sock.sendall(bytes([byte]))
    assert peer.answer()[0].status == 0
    assert peer.ask(Op.READ, 1, 512)[1] == b"w" * 512


@pytest.mark.parametrize("cut", [1, 511, 512, 513, 4096, 70_000])
def test_many_in_one_piece_with_a_tail_are_answered_in_order(bench: Bench, cut: int) -> None:
    """The tail of what was sent comes later, wherever it was cut: in a header, in data, between."""
    peer = bench.start()
    said = b"".join(peer.request(Op.WRITE, 16 * n, 0, bytes([n]) * 8192) for n in range(1, 40))
    said += b"".join(peer.request(Op.READ, 16 * n, 8192) for n in range(1, 40))
    peer.sock.sendall(said[:-cut])
    time.sleep(0.01)
    peer.sock.sendall(said[-cut:])
    assert [peer.answer()[0].status for _ in range(1, 40)] == [0] * 39
    assert [peer.answer()[1] for _ in range(1, 40)] == [bytes([n]) * 8192 for n in range(1, 40)]


def test_more_than_fits_in_any_buffer_streams_through(v2: Bench) -> None:
    peer = v2.start()
    said = [peer.request(Op.READ, n, 128 * KIB) for n in range(100)]
    sender = threading.Thread(target=peer.sock.sendall, args=(b"".join(said),))
    sender.start()
    assert all(len(peer.answer()[1]) == 128 * KIB for _ in range(100))
    sender.join()


def test_more_answers_than_one_sendmsg_takes(v2: Bench) -> None:
    peer = v2.start()
    peer.sock.sendall(b"".join(peer.request(Op.PING) for _ in range(1000)))
    assert all(peer.answer()[0].status == 0 for _ in range(1000))
    assert v2.counted("others") == 1000


# --- refusals: their sender learns it, and the frame stays certain ---


@pytest.mark.parametrize("size", [512, 4096, 128 * KIB])
def test_a_refused_write_is_drained_to_the_byte(bench: Bench, size: int) -> None:
    """Its payload is all requests that would write: not one of them may be taken for one (trap 3)."""
    smuggler = DataPeer(bench.peer.sock, host_data(bench.version, session=7, epoch=1 << 32, path=3, marker=99))
    smuggled = smuggler.request(Op.WRITE, 0, 512)  # a header alone, as the last thing of each piece
    peer = bench.start()
    answer, _ = peer.ask(Op.WRITE, BLOCKS - 1, 0, (smuggled * 256)[: max(size, 1024)])
    assert (answer.status, answer.detail) == (EINVAL, Detail.PAST_END)
    assert peer.ask(Op.READ, 0, 512)[1] == bytes(512)
    assert bench.counted("writes") == 0
    assert bench.counted("refused") == 1


def test_a_refused_write_larger_than_any_buffer_is_drained(v1: Bench) -> None:
    peer = v1.start()
    answer, _ = peer.ask(Op.WRITE, 0, 0, b"\1" * (5 << 20))
    assert (answer.status, answer.detail) == (EINVAL, Detail.TOO_LARGE)
    assert peer.ask(Op.READ, 0, 512)[1] == bytes(512)


def test_what_is_refused_is_told_and_costs_nothing_else(v2: Bench) -> None:
    peer = v2.start()
    payload = bytes(512)
    assert peer.ask(Op.WRITE, 0, 0, payload, unit=1)[0].status == EROFS
    assert peer.ask(Op.TRIM, 0, 512, unit=1)[0].status == EROFS
    assert peer.ask(Op.READ, 0, 512, unit=9)[0].status == ENXIO
    stale = peer.ask(Op.READ, 0, 512, generation=2)[0]
    assert (stale.status, stale.detail) == (ESTALE, Detail.STALE_GENERATION)
    assert "ask for the units again" in stale.sentence
    assert peer.ask(Op.READ, 0, 512, unit=1)[0].status == 0


def test_a_payload_that_was_changed_on_the_way_is_not_written(v2: Bench) -> None:
    peer = v2.start()
    data = b"d" * 4096
    good = crc32c(data)
    answer, _ = peer.ask(Op.WRITE, 0, 0, data, flags=Flag.PAYLOAD_CRC, payload_crc=good ^ 1)
    assert (answer.status, answer.detail) == (EIO, Detail.PAYLOAD_CRC)
    assert peer.ask(Op.READ, 0, 4096)[1] == bytes(4096)
    assert peer.ask(Op.WRITE, 0, 0, data, flags=Flag.PAYLOAD_CRC, payload_crc=good)[0].status == 0
    answer, read = peer.ask(Op.READ, 0, 4096, flags=Flag.PAYLOAD_CRC)
    assert (read, answer.payload_crc) == (data, good)


def test_a_read_that_fails_is_answered_without_data(bench: Bench, tmp_path: Path) -> None:
    """Appendix B: "First write the response, then write any data"; on an error none follows (trap 6)."""
    os.truncate(tmp_path / "drive0.img", 4096)
    peer = bench.start()
    peer.sock.sendall(peer.request(Op.READ, 100, 4096) + peer.request(Op.READ, 0, 512))
    failed, data = peer.answer()
    assert (failed.status, failed.detail, data) == (EIO, Detail.DRIVE_FAILED, b"")
    assert peer.answer()[1] == bytes(512)


def test_a_frame_in_doubt_is_answered_then_closed_though_more_input_waits(v1: Bench) -> None:
    peer = v1.start()
    doubtful = bytearray(peer.request(Op.READ, 0, 512))
    doubtful[3] = 9  # zn_type
    peer.sock.sendall(peer.request(Op.READ, 0, 512) + bytes(doubtful) + os.urandom(3 << 20))
    # The machine of a host thinks that three were asked: only headers are looked at here.
    assert int.from_bytes(received(peer.sock, 512)[40:44], "big") == 0
    received(peer.sock, 512)
    assert int.from_bytes(received(peer.sock, 512)[40:44], "big") == EINVAL
    assert peer.sock.recv(1) == b""
    assert v1.ended()


@pytest.mark.parametrize("at", [3, 11, 60, 70, 79, 508])
def test_a_v2_header_with_one_wrong_byte_ends_the_socket_without_a_word(v2: Bench, at: int) -> None:
    peer = v2.start()
    wrong = bytearray(peer.request(Op.WRITE, 0, 0, b"w" * 512))
    wrong[at] ^= 1
    peer.sock.sendall(wrong)
    assert peer.sock.recv(1) == b""
    assert v2.ended()
    assert v2.counted("writes") == 0


def test_a_request_of_another_session_ends_the_socket(v2: Bench) -> None:
    old = DataPeer(v2.peer.sock, host_data(2, session=7, epoch=(1 << 32) - 1, path=3, marker=99))
    v2.start()
    old.sock.sendall(old.request(Op.WRITE, 0, 0, bytes(512)))
    assert old.sock.recv(1) == b""
    assert v2.counted("writes") == 0


# --- durability, and what needs an owner ---


@pytest.mark.parametrize(
    ("version", "flags", "durable"), [(1, 0, True), (2, 0, False), (2, int(Flag.FUA), True)], ids=["v1", "v2", "v2 FUA"]
)
def test_a_write_is_durable_when_it_has_to_be(version: int, flags: int, durable: bool) -> None:
    """0x01 has no FLUSH, so that each of its writes is (docs/decisions/0004)."""
    drive = MemoryDrive(bytes(BEHIND * 512))
    bench = Bench(memory_array([drive]), version)
    try:
        peer = bench.start()
        assert peer.ask(Op.WRITE, 0, 0, b"d" * 512, flags=flags)[0].status == 0
        assert (drive.stable[:512] == b"d" * 512) is durable
        if version == 2:
            assert peer.ask(Op.FLUSH)[0].status == 0
            assert drive.stable[:512] == b"d" * 512
            assert peer.ask(Op.WRITE_ZEROES, 0, 512, flags=Flag.FUA)[0].status == 0
            assert drive.stable[:512] == bytes(512)
            assert peer.ask(Op.TRIM, 0, 512)[0].status == 0
    finally:
        bench.close()


def test_what_needs_an_owner_goes_through_the_door(array: Array) -> None:
    bench = Bench(array, 2, kind=NeedsOwner)
    try:
        peer = bench.start()
        assert peer.ask(Op.WRITE, 2, 0, b"o" * 1024)[0].status == 0
        assert bench.door.asked == [(0, Op.WRITE)]
        assert peer.ask(Op.READ, 2, 1024)[1] == b"o" * 1024
    finally:
        bench.close()


def test_writes_that_have_come_together_are_posted_together_and_answered_in_order(array: Array) -> None:
    bench = Bench(array, 2, kind=NeedsOwner)
    try:
        peer = bench.peer
        asked = [(Op.WRITE, lba, b"%d" % lba * 512) for lba in range(6)]
        asked += [(Op.WRITE, 1, b"n" * 512), (Op.READ, 1, b""), (Op.WRITE, 7, b"l" * 512)]
        peer.sock.sendall(b"".join(peer.request(op, lba, 512, data) for op, lba, data in asked))
        bench.start()
        answers = [peer.answer() for _ in asked]
        assert [(answer.op, answer.status) for answer, _ in answers] == [(op, 0) for op, _, _ in asked]
        assert answers[7][1] == b"n" * 512  # a read sees the writes before it
        assert bench.door.collected == [4, 3, 1]
        assert bench.counted("writes") == 8
    finally:
        bench.close()


def test_a_frame_in_doubt_comes_behind_the_answers_to_what_was_gathered(array: Array) -> None:
    bench = Bench(array, 2, kind=NeedsOwner)
    try:
        peer = bench.peer
        peer.sock.sendall(peer.request(Op.WRITE, 0, 0, b"w" * 512) + bytes(512))
        bench.start()
        assert peer.answer()[0].status == 0
        assert bench.ended()
    finally:
        bench.close()


def test_what_cannot_be_read_here_is_read_by_the_owner(array: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array, "only_drive", None)  # as of an array with redundancy, which this stands for
    bench = Bench(array, 2)

    def not_here(view: memoryview, offset_bytes: int) -> None:
        raise OwnerNeeded

    def by_the_owner(
        partition: int, op: int, lba: int, blocks: int, durable: bool, payload: memoryview | None
    ) -> tuple[int, str]:
        assert payload is not None
        assert (partition, op, lba, blocks, len(payload)) == (0, Op.READ, 3, 2, 1024)
        payload[:] = b"r" * 1024
        return 0, ""

    monkeypatch.setattr(array, "read_into", not_here)
    monkeypatch.setattr(bench.door, "execute", by_the_owner)
    try:
        assert bench.start().ask(Op.READ, 3, 1024)[1] == b"r" * 1024
    finally:
        bench.close()


@pytest.mark.parametrize(
    ("errno", "detail"), [(ENOSPC, Detail.NO_SPACE), (ESTALE, Detail.STALE_GENERATION), (EIO, Detail.DRIVE_FAILED)]
)
def test_the_drivers_refusal_has_its_detail_and_words(array: Array, errno: int, detail: Detail) -> None:
    bench = Bench(array, 2, kind=NeedsOwner)
    bench.door.failure = DriveError(errno, "because of this")
    try:
        answer, _ = bench.start().ask(Op.WRITE, 0, 0, bytes(512))
        assert (answer.status, answer.detail, answer.sentence) == (errno, detail, "because of this")
    finally:
        bench.close()


def test_without_its_driver_the_path_ends_and_nothing_is_answered(array: Array) -> None:
    """What was posted may still be done: an error would be a lie, and the fence drains the seat."""
    bench = Bench(array, 2, kind=NeedsOwner)
    bench.door.failure = DriverGone("gone")
    try:
        peer = bench.start()
        peer.sock.sendall(peer.request(Op.PING) + peer.request(Op.WRITE, 0, 0, bytes(512)) + peer.request(Op.PING))
        assert peer.answer()[0].op == Op.PING
        assert peer.sock.recv(1) == b""
        assert bench.ended()
    finally:
        bench.close()


def test_a_traced_request_tells_its_times(v2: Bench) -> None:
    peer = v2.start()
    for said in [(Op.READ, 0, 512, b""), (Op.WRITE, 0, 0, bytes(512)), (Op.FLUSH, 0, 0, b"")]:
        answer, _ = peer.ask(*said, flags=Flag.TRACE)
        assert answer.status == 0
        assert any(answer.times) or said[0] == Op.FLUSH
        assert answer.times[0] <= answer.times[3]


# --- its end ---


@pytest.mark.parametrize("left", [1, 511, 1024, 64 * KIB])
def test_a_peer_that_goes_in_the_middle_has_written_nothing(bench: Bench, left: int) -> None:
    peer = bench.start()
    peer.sock.sendall(peer.request(Op.WRITE, 0, 0, b"w" * (64 * KIB))[:-left])
    peer.close()
    assert bench.ended()
    assert bench.counted("writes") == 0


def test_a_peer_that_resets_before_its_answer_is_no_error(bench: Bench) -> None:
    bench.peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    bench.peer.close()
    bench.start(b"L" * 512)
    assert bench.ended()


def test_its_heart_beats_though_nobody_reads_its_answers(v2: Bench) -> None:
    peer = v2.start()
    peer.sock.sendall(b"".join(peer.request(Op.READ, 0, 128 * KIB) for _ in range(64)))
    heart = v2.hearts.row(0).cells
    time.sleep(0.2)  # the buffers of the kernel are full now
    before_ns, until_s = heart[0], time.monotonic() + 3
    while heart[0] == before_ns and time.monotonic() < until_s:
        time.sleep(0.05)
    assert heart[0] > before_ns
    assert all(len(peer.answer()[1]) == 128 * KIB for _ in range(64))


def forked(bench: Bench, before: Callable[[], object] = lambda: None) -> Child:
    """Have the SRW live in a process of its own, as it really does."""

    def main(life: Life) -> int:
        bench.srw.life = life
        before()
        return bench.srw.run()

    keep = [bench.srw.sock.fileno(), *bench.array.descriptors()]
    child = fork_child("an srw", main, hearts=bench.hearts, heart_row=0, keep=keep)
    bench.srw.sock.close()
    return child


def test_sigterm_while_it_waits_ends_it_at_once(bench: Bench) -> None:
    child = forked(bench)
    try:
        assert bench.peer.ask(Op.READ, 0, 512)[0].status == 0
        child.signal(signal.SIGTERM)
        assert child.wait(2) == Exit.OK
        assert bench.peer.sock.recv(1) == b""
    finally:
        child.kill_and_reap()
        child.close()


def test_sigterm_lets_it_answer_what_has_arrived(bench: Bench) -> None:
    """Nothing is lost that had come before: here all of it, for it was stopped while it arrived."""
    child = forked(bench)
    peer = bench.peer
    try:
        peer.ask(Op.READ, 0, 512)
        os.kill(child.pid, signal.SIGSTOP)
        # Within the first window of a new TCP connection, so that all of it arrives.
        peer.sock.sendall(b"".join(peer.request(Op.WRITE, n, 0, bytes([n]) * 512) for n in range(50)))
        child.signal(signal.SIGTERM)
        os.kill(child.pid, signal.SIGCONT)
        assert [peer.answer()[0].status for _ in range(50)] == [0] * 50
        assert child.wait(3) == Exit.OK
        assert peer.sock.recv(1) == b""
    finally:
        child.kill_and_reap()
        child.close()


def test_sigterm_ends_it_though_the_peer_never_stops_sending(v2: Bench) -> None:
    """There is always something more in the kernel's buffer, and Linux goes on receiving after SHUT_RD."""
    child = forked(v2)
    peer = v2.peer
    said = b"".join(peer.request(Op.READ, 0, 512) for _ in range(50_000))

    def until_it_goes(act: Callable[[], object]) -> None:
        with suppress(OSError):
            while act():
                pass

    threads = [
        threading.Thread(target=until_it_goes, args=(partial(peer.sock.sendall, said),)),
        threading.Thread(target=until_it_goes, args=(partial(peer.sock.recv, 1 << 20),)),
    ]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.1)
        began_s = time.monotonic()
        child.signal(signal.SIGTERM)
        assert child.wait(2.5) == Exit.OK
        assert time.monotonic() - began_s < 1.0
        assert v2.counted("reads") < 50_000, "it had not run out of requests"
    finally:
        child.kill_and_reap()
        child.close()
        with suppress(OSError):  # reset already
            peer.sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def test_sigterm_after_the_peer_has_gone_is_no_error(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    """The handler finds a socket that is not connected any more, or closed."""
    bench.peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    bench.peer.close()
    child = forked(bench, before=lambda: os.kill(os.getpid(), signal.SIGTERM))
    try:
        assert child.wait(3) == Exit.OK
        assert capfd.readouterr().err == ""
    finally:
        child.kill_and_reap()
        child.close()
