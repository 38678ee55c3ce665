"""Packets stay whole and in order with many writers, a full pipe, and anybody killed at any moment."""

import itertools
import os
import select
import signal
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipc.child import Life
from ipc.counters import CounterTable
from ipc.packets import READ_BYTES_MAX, PacketQueue, QueueFull
from tests.ipc.conftest import Nursery

NOBODY = 65534
PACKET = struct.Struct("<III20x")  # writer, sequence, CRC of both


def packet_of(writer: int, sequence: int) -> bytes:
    return PACKET.pack(writer, sequence, zlib.crc32(struct.pack("<II", writer, sequence)))


def unpacked(packets: bytes) -> Iterator[tuple[int, int]]:
    for writer, sequence, crc in PACKET.iter_unpack(packets):
        assert crc == zlib.crc32(struct.pack("<II", writer, sequence)), "a packet was torn"
        yield writer, sequence


def put_all(queue: PacketQueue, packets: bytes) -> None:
    """Put all of it, waiting while the queue is full."""
    while packets:
        try:
            queue.put_many(packets)
            return
        except QueueFull as full:
            packets = packets[full.put_bytes :]
            select.select([], [queue.descriptors()[1]], [])


def writer_main(queue: PacketQueue, writer: int, count: int | None) -> Callable[[Life], int]:
    """Write packets with rising sequence numbers, `count` of them or for ever, in batches of rising size."""

    def main(_: Life) -> int:
        sequence = 0
        for batch in itertools.cycle((1, 3, 127, 128, 129, 300)):
            numbers = range(sequence, sequence + batch if count is None else min(sequence + batch, count))
            put_all(queue, b"".join(packet_of(writer, number) for number in numbers))
            sequence = numbers.stop
            if sequence == count:
                return 0
        return 1

    return main


def test_one_by_one_it_is_a_simple_queue() -> None:
    with closing(PacketQueue(4)) as queue:
        assert queue.empty()
        queue.put(b"aaaa")
        queue.put(bytearray(b"bbbb"))
        assert not queue.empty()
        assert (queue.get(), queue.get(), queue.empty()) == (b"aaaa", b"bbbb", True)
        assert queue.get_many() == b""


def test_a_batch_larger_than_an_atomic_write_arrives_in_order() -> None:
    with closing(PacketQueue(32)) as queue:
        packets = b"".join(packet_of(0, number) for number in range(1000))
        queue.put_many(memoryview(packets))
        assert queue.get_many() == packets


def test_an_empty_batch_is_harmless() -> None:
    with closing(PacketQueue(32)) as queue:
        queue.put_many(b"")
        assert queue.empty()


def test_many_at_once_are_at_most_64_kib_and_whole() -> None:
    with closing(PacketQueue(48)) as queue:
        queue.put_many(bytes(48 * 2000))
        length_bytes = len(queue.get_many())
        assert length_bytes % 48 == 0
        assert READ_BYTES_MAX - 48 < length_bytes <= READ_BYTES_MAX


def test_a_full_queue_says_how_much_went_in_and_never_waits() -> None:
    with closing(PacketQueue(32, pipe_bytes=8192)) as queue:
        packets = b"".join(packet_of(0, number) for number in range(queue.pipe_bytes // 32 + 300))
        with pytest.raises(QueueFull) as caught:
            queue.put_many(packets)
        assert queue.get_many() == packets[: caught.value.put_bytes]
        assert caught.value.put_bytes == queue.pipe_bytes
        queue.put_many(packets[caught.value.put_bytes :])
        assert queue.get_many() == packets[caught.value.put_bytes :]


def test_put_waits_for_room_and_get_for_a_packet(nursery: Nursery) -> None:
    count = 5000
    with closing(PacketQueue(32, pipe_bytes=4096)) as queue:

        def main(_: Life) -> int:
            for number in range(count):
                queue.put(packet_of(1, number))
            return 0

        child = nursery.fork(main, keep=queue.descriptors())
        taken = [next(unpacked(queue.get())) for _ in range(count)]
        assert taken == [(1, number) for number in range(count)]
        assert child.wait(5) == 0


def test_wait_ends_in_time_and_on_a_packet(nursery: Nursery) -> None:
    def put_late(_: Life) -> int:
        time.sleep(0.02)
        queue.put(b"x")
        return 0

    with closing(PacketQueue(1)) as queue:
        started_s = time.monotonic()
        assert not queue.wait(0.02)
        assert 0.015 < time.monotonic() - started_s < 1
        nursery.fork(put_late, keep=queue.descriptors())
        assert queue.wait(5)


def test_many_writers_need_no_lock(nursery: Nursery) -> None:
    writers, count = 6, 3000
    with closing(PacketQueue(32, pipe_bytes=16384)) as queue:
        children = [
            nursery.fork(writer_main(queue, writer, count), keep=queue.descriptors()) for writer in range(writers)
        ]
        seen: dict[int, int] = dict.fromkeys(range(writers), 0)
        while sum(seen.values()) < writers * count:
            assert queue.wait(5), f"packets are missing: {seen}"
            for writer, sequence in unpacked(queue.get_many()):
                assert sequence == seen[writer], "packets of one writer are out of order, lost or doubled"
                seen[writer] += 1
        assert [child.wait(5) for child in children] == [0] * writers
        assert queue.empty()


def test_kill_9_of_a_writer_tears_no_packet_and_stops_nobody_else(nursery: Nursery) -> None:
    with closing(PacketQueue(32, pipe_bytes=65536)) as queue:
        survivor = nursery.fork(writer_main(queue, 0, None), keep=queue.descriptors())
        seen: dict[int, int] = {}

        def take() -> None:
            assert queue.wait(5)
            for writer, sequence in unpacked(queue.get_many()):
                assert sequence == seen.get(writer, 0), "packets of one writer are out of order, lost or doubled"
                seen[writer] = sequence + 1

        for victim_number in range(1, 6):
            victim = nursery.fork(writer_main(queue, victim_number, None), keep=queue.descriptors())
            while seen.get(victim_number, 0) < 2000:
                take()
            victim.kill_and_reap()
        goal = seen[0] + 10_000
        while seen[0] < goal:
            take()
        assert survivor.poll() is None


def test_kill_9_of_the_reader_leaves_whole_packets_for_the_next(nursery: Nursery) -> None:
    progress = CounterTable(1, ["packets"]).row(0)
    with closing(PacketQueue(32, pipe_bytes=65536)) as queue:
        nursery.fork(writer_main(queue, 0, None), keep=queue.descriptors())
        last = -1
        for _ in range(5):

            def read_for_ever(_: Life) -> int:
                while True:
                    progress.add("packets", len(list(unpacked(queue.get_many()))))

            progress.clear()
            reader = nursery.fork(read_for_ever, keep=queue.descriptors())
            while progress.get("packets") < 2000:
                time.sleep(0.001)
            assert reader.kill_and_reap() == -signal.SIGKILL
            assert queue.wait(5)
            numbers = [sequence for _, sequence in unpacked(queue.get_many())]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert numbers[0] > last + 2000, "what the reader had taken out is gone with it"
            last = numbers[-1]


def test_the_end_of_all_writers_is_told_after_the_last_packet(nursery: Nursery) -> None:
    queue = PacketQueue(32)
    reader, writer = queue.descriptors()
    child = nursery.fork(writer_main(queue, 0, 1), keep=[writer])
    os.close(writer)
    assert list(unpacked(queue.get())) == [(0, 0)]
    child.wait(5)
    with pytest.raises(EOFError):
        queue.get()
    with pytest.raises(EOFError):
        queue.get_many()
    os.close(reader)


def test_the_end_of_all_readers_is_told_to_writers() -> None:
    queue = PacketQueue(32)
    reader, writer = queue.descriptors()
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        queue.put(bytes(32))
    os.close(writer)


def test_a_size_over_the_limit_of_the_system_is_reduced_not_refused(nursery: Nursery) -> None:
    limit_bytes = int(Path("/proc/sys/fs/pipe-max-size").read_text())

    def make_as_nobody(_: Life) -> int:
        if os.geteuid() == 0:
            os.setuid(NOBODY)  # root has no limit
        return int(PacketQueue(32, pipe_bytes=limit_bytes * 4).pipe_bytes != limit_bytes)

    assert nursery.fork(make_as_nobody).wait(5) == 0


@pytest.mark.parametrize("packet_bytes", [0, -1, select.PIPE_BUF + 1])
def test_a_packet_that_cannot_be_written_whole_is_refused(packet_bytes: int) -> None:
    with pytest.raises(ValueError, match="4096 bytes to be written whole"):
        PacketQueue(packet_bytes)


def test_a_part_of_a_packet_is_a_bug_of_the_caller() -> None:
    with closing(PacketQueue(32)) as queue:
        with pytest.raises(AssertionError, match="no whole number"):
            queue.put_many(bytes(33))
        with pytest.raises(AssertionError, match="32 bytes, not 64"):
            queue.put(bytes(64))


def test_closing_twice_closes_no_namesake() -> None:
    queue = PacketQueue(32)
    queue.close()
    with closing(PacketQueue(32)) as namesake:
        queue.close()
        namesake.put(bytes(32))
        assert namesake.get() == bytes(32)


@settings(max_examples=150, deadline=None)
@given(
    packet_bytes=st.integers(1, 4096),
    steps=st.lists(st.one_of(st.integers(0, 400), st.sampled_from(["get", "get_many"])), max_size=30),
)
def test_it_is_a_bounded_queue_of_bytes(packet_bytes: int, steps: list[int | str]) -> None:
    """Any mix of batches and reads: what comes out is what went in, and fullness is told to the packet."""
    written, taken, numbers = bytearray(), bytearray(), itertools.count()
    with closing(PacketQueue(packet_bytes, pipe_bytes=8192)) as queue:
        for step in steps:
            if isinstance(step, int):
                batch = b"".join((next(numbers) % 251).to_bytes(1) * packet_bytes for _ in range(step))
                try:
                    queue.put_many(batch)
                    written += batch
                except QueueFull as full:
                    written += batch[: full.put_bytes]
            elif step == "get_many" or written != taken:
                got = queue.get_many() if step == "get_many" else queue.get()
                assert bool(got) == (written != taken)
                taken += got
            assert len(written) % packet_bytes == len(taken) % packet_bytes == 0
            assert written.startswith(taken)
            assert queue.empty() == (written == taken)
