"""What the host driver costs: microseconds of processor time per 4 KiB request, agents played for nothing.

    python -m bench.host_driver [--requests N]

"hot" is submit + outgoing + receive; "all" adds request and release. The agents' answers are made outside the
measured time, and so is the looking at the clock. The least of many turns is printed, so that a busy machine matters
little.
"""

import argparse
import random
import time
from collections.abc import Iterator

from hostside.driver.driver import HostDriver
from hostside.driver.notes import Notes
from hostside.driver.ranges import RangeLock
from hostside.driver.request import Request
from hostside.driver.unit import UnitFlag, UnitInfo
from hostside.packets import COMMAND, REPORT, Report
from ipc.buffers import BufferPool
from protocol.ops import Op

SIZE = 4096
BLOCKS = 1 << 24
TAGS = 1024
WINDOW = 64


def make_driver(paths: int) -> HostDriver:
    flags = UnitFlag.CAN_FLUSH | UnitFlag.CAN_FUA
    unit = UnitInfo(number=0, name="bench", blocks=BLOCKS, generation=1, flags=flags, version=2)
    pool = BufferPool(TAGS, 65536, holders={"the bench": TAGS})
    driver = HostDriver(unit=unit, pool=pool, notes=Notes(TAGS), disk_index=0, tags_max=TAGS, clock=time.monotonic)
    for path in range(paths):
        driver.receive(REPORT.pack(0, Report.AVAILABLE, 0, path, 1, 0, 0, WINDOW, 0, 0))
    return driver


def answers(batches: list[tuple[int, bytes]]) -> bytes:
    """Play the agents: every command has ended well."""
    return b"".join(
        REPORT.pack(command[0], Report.DONE, 0, path, command[3], 0, 0, 0, 0, 0)
        for path, packets in batches
        for command in COMMAND.iter_unpack(packets)
    )


def run(paths: int, depth: int, op: Op, requests: int) -> tuple[float, float]:
    """Give (hot, all) in microseconds per request."""
    driver = make_driver(paths)
    offsets = [page * SIZE for page in random.sample(range(BLOCKS // 8), 4096)]
    hot_ns = other_ns = float("inf")
    now = time.process_time_ns

    def on_done(request: Request) -> None:
        done.append(request)

    for turn in range(requests // depth):
        done: list[Request] = []
        start = now()
        asked = [
            driver.request(op, offsets[(turn * depth + number) % 4096], SIZE, on_done=on_done)
            for number in range(depth)
        ]
        made = now()
        for request in asked:
            assert request is not None
            driver.submit(request)
        batches = driver.outgoing()
        sent = now()
        reports = answers(batches)
        answered = now()
        driver.receive(reports)
        received = now()
        for request in done:
            driver.release(request)
        released = now()
        assert len(done) == depth
        hot_ns = min(hot_ns, sent - made + received - answered)
        other_ns = min(other_ns, made - start + released - received)
    clock_ns = clock_cost_ns()
    hot_ns -= 2 * clock_ns
    other_ns -= 2 * clock_ns
    return hot_ns / depth / 1000, (hot_ns + other_ns) / depth / 1000


def clock_cost_ns() -> float:
    """Give what one look at the clock costs, which each measured stretch contains once."""
    now = time.process_time_ns
    start = now()
    for _ in range(10_000):
        now()
    return (now() - start) / 10_000


def lock_cost(requests: int) -> float:
    """Give the microseconds that a write spends in the range lock, 32 at a time."""
    lock = RangeLock()
    writes = list(make_writes(requests))
    start = time.process_time_ns()
    for first in range(0, requests - 32, 32):
        for write in writes[first : first + 32]:
            lock.enter_write(write)
        for write in writes[first : first + 32]:
            lock.leave(write)
    return (time.process_time_ns() - start) / requests / 1000


def make_writes(requests: int) -> Iterator[Request]:
    for _ in range(requests):
        offset_bytes = random.randrange(BLOCKS // 8) * SIZE
        yield Request(Op.WRITE, offset_bytes, SIZE, False, lambda request: None, [], [], [])


def main() -> None:
    parser = argparse.ArgumentParser(description="Processor time of the host driver per 4 KiB request.")
    parser.add_argument("--requests", type=int, default=100_000)
    requests = parser.parse_args().requests
    print("op     paths  depth   hot us  all us")
    for op in (Op.READ, Op.WRITE):
        for paths in (1, 8):
            for depth in (1, 32):
                hot, total = run(paths, depth, op, requests)
                print(f"{op.name:6} {paths:5} {depth:6} {hot:8.2f} {total:7.2f}")
    print(f"range lock: {lock_cost(requests):.2f} us per write")


if __name__ == "__main__":
    main()
