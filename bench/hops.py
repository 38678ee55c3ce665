"""What each hop costs: microseconds of processor time per 4 KiB request in a disk's process, an agent and an SRW.

    python -m bench.hops [--profile disk|srw|agent]

Each runs alone, over a socket pair that this process fills and empties outside the measured time; the least of many
rounds is printed, so that a busy machine matters little. `bench.host_driver` does the same for the host driver alone.
"""

import argparse
import cProfile
import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from bench.host_driver import answers, make_driver
from hostside.agent import Agent, PathOrder
from hostside.frontends.nbd_clients import NbdClients
from hostside.frontends.nbd_kernel import pass_handshake
from hostside.frontends.nbd_protocol.connection import Connection
from hostside.frontends.nbd_protocol.numbers import REQUEST_MAGIC, Command
from hostside.frontends.nbd_protocol.transmission_layout import REQUEST
from hostside.packets import COMMAND, PACKET_BYTES
from hostside.settings import DiskSettings, ServerEntry
from hostside.wiring import make_wiring
from ipc.child import Life
from ipc.counters import CounterTable
from ipc.latency import LATENCY_CELLS
from ipc.loop import Loop
from protocol.data import ServerData, UnitLimits, host_data, server_data
from protocol.ops import Op
from serverside.arrays.open import open_array
from serverside.drives.health import DriveHealth
from serverside.drives.open import open_drive
from serverside.partitions.partition import Partition
from serverside.settings import ArraySettings, DriveSettings, PartitionSettings
from serverside.srw import ServerReaderWriter
from serverside.storage import HostView
from serverside.tally import TALLY_CELLS

SIZE = 4096
BATCH = 32
ROUNDS = 300
BLOCKS = 1 << 15
IDS = {"session": 1, "epoch": 1, "path": 0, "marker": 7}


def requests(op: Op) -> bytes:
    """Give a batch of requests as they lie in a socket."""
    host = host_data(2, **IDS)
    out = b""
    for number in range(BATCH):
        header = bytearray(512)
        host.request(
            memoryview(header), op=op, flags=0, unit=0, generation=1, lba=number * 8, size_bytes=SIZE, tag=number
        )
        out += header + (bytes(SIZE) if op == Op.WRITE else b"")
    return out


def least_us(rounds: int, prepare: Callable[[], None], work: Callable[[], None]) -> float:
    """Give the least processor time of `work` per request."""
    least_ns = 1 << 62
    for _ in range(rounds):
        prepare()
        start_ns = time.process_time_ns()
        work()
        least_ns = min(least_ns, time.process_time_ns() - start_ns)
    return least_ns / 1000 / BATCH


def profiled(profile: cProfile.Profile | None, work: Callable[[], None]) -> Callable[[], None]:
    """Give `work` that is looked at by `profile`, if there is one, and by nobody before and after."""
    return work if profile is None else lambda: profile.runcall(work)


def make_srw(folder: Path, sock: socket.socket) -> ServerReaderWriter:
    drive = open_drive(DriveSettings(folder / "drive", BLOCKS * 512), DriveHealth(1), 0)
    array = open_array(ArraySettings("unit0", "jbod", (DriveSettings(folder / "drive"),)), [drive])
    settings = PartitionSettings("bench", "unit0", 0, BLOCKS - 1)
    partition = Partition(array, settings, None, 1, uuid4())
    machine = server_data(2, **IDS, units=[UnitLimits(BLOCKS, False, 1)])
    read_end, write_end = os.pipe()
    os.close(read_end)
    life = Life(write_end, CounterTable(1, ("beat",)).row(0).cells)
    view = HostView([partition], [0])
    counters, latencies = CounterTable(1, TALLY_CELLS).row(0), CounterTable(1, LATENCY_CELLS).row(0)
    return ServerReaderWriter(
        sock, machine, view, {}, writes_through=False, life=life, counters=counters, latencies=latencies
    )


def time_srw(op: Op, profile: cProfile.Profile | None = None) -> float:
    """Time one SRW: receive a batch, do it, send the answers."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    theirs.setblocking(False)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        srw = make_srw(Path(folder), ours)
        (Path(folder) / "drive").write_bytes(os.urandom(BLOCKS * 512))
        answers = BATCH * (512 + (SIZE if op == Op.READ else 0))
        batch = requests(op)

        def prepare() -> None:
            empty(theirs, 0)
            srw.machine = server_data(2, **IDS, units=[UnitLimits(BLOCKS, False, 1)])
            theirs.send(batch)

        def work() -> None:
            srw.receive()
            srw.work()
            srw.send_answers()

        found = least_us(ROUNDS, prepare, profiled(profile, work))
        assert empty(theirs, answers) == answers
        return found


def empty(sock: socket.socket, at_least: int) -> int:
    """Read away what lies in a socket."""
    count = 0
    while True:
        try:
            count += len(sock.recv(1 << 20))
        except BlockingIOError:
            if count >= at_least:
                return count


def time_agent(op: Op, profile: cProfile.Profile | None = None) -> float:
    """Time one agent: fetch a batch of commands, send it, receive the answers, report."""
    disk = DiskSettings("bench", 0, "socket", Path("/nowhere"))
    wiring = make_wiring(ServerEntry("bench", ("127.0.0.1",), 1, "bench", bytes(32), 1, None, (disk,)))
    order = PathOrder(0, 1, 2, "127.0.0.1", 1, 1, 1, bytes(32), b"", 0, 64, False)
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    ours.setblocking(False)
    theirs.setblocking(False)
    life = Life(os.dup(2), CounterTable(1, ("beat",)).row(0).cells)
    agent = Agent(order, ours, host_data(2, **IDS), wiring, life)
    agent.poll.register(ours.fileno(), 1)
    commands = b"".join(COMMAND.pack(tag, op, 0, 1, 0, 0, tag, SIZE, tag * 8, 1) for tag in range(BATCH))
    server = server_data(2, **IDS, units=[UnitLimits(BLOCKS, False, 1)])

    def sending() -> None:
        agent.fetch_commands()
        agent.start_commands()
        agent.send()

    def receiving() -> None:
        while agent.sent:
            agent.receive()
        agent.post_reports()

    least = [1e9, 1e9]
    for _ in range(ROUNDS):
        least[0] = min(least[0], least_us(1, lambda: agent.commands.put_many(commands), profiled(profile, sending)))
        least[1] = min(least[1], least_us(1, lambda: answer(server, theirs), profiled(profile, receiving)))
        wiring.disks[0].reports.get_many()
    return sum(least)


def time_disk(op: Op, profile: cProfile.Profile | None = None) -> float:
    """Time one disk's process: take requests from an NBD client, give commands, take reports, answer the client."""
    loop, driver = Loop(), make_driver(1)
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    theirs.setblocking(False)
    clients = NbdClients(loop, driver, "bench")

    def past_the_handshake(wake: Callable[[], None]) -> Connection:
        connection = clients.make_connection(wake)
        pass_handshake(connection)
        return connection

    clients.take(ours, past_the_handshake)
    command = Command.READ if op == Op.READ else Command.WRITE
    payload = bytes(SIZE) if op == Op.WRITE else b""
    asked = b"".join(
        REQUEST.pack(REQUEST_MAGIC, 0, command, number, number * SIZE, SIZE) + payload for number in range(BATCH)
    )
    reports: list[bytes] = []
    batches: list[tuple[int, bytes]] = []

    def gather() -> None:
        batches.extend(driver.outgoing())
        if sum(len(packets) for _, packets in batches) == BATCH * PACKET_BYTES:
            loop.stop()

    loop.after_each(gather)
    least = [1e9, 1e9]

    def answering() -> None:
        driver.receive(reports.pop())
        batches.clear()
        loop.call_later(0, loop.stop)
        loop.run()

    loop.call_later(0, loop.stop)
    loop.run()
    for _ in range(ROUNDS):
        least[0] = min(least[0], least_us(1, lambda: theirs.sendall(asked), profiled(profile, loop.run)))
        least[1] = min(least[1], least_us(1, lambda: reports.append(answers(batches)), profiled(profile, answering)))
        empty(theirs, BATCH * 16)
    loop.close()
    return sum(least)


def answer(server: ServerData, sock: socket.socket) -> None:
    """Answer what lies in the socket, as an SRW would."""
    received = memoryview(bytearray(BATCH * (512 + SIZE)))
    end = 0
    while True:
        try:
            end += sock.recv_into(received[end:])
        except (BlockingIOError, ValueError):
            break
        if end == len(received):
            break
    out, at = bytearray(), 0
    while (request := server.next(received, at, end)) is not None:
        header = bytearray(512)
        server.answer(request, memoryview(header))
        out += header + (bytes(request.size_bytes) if request.op == Op.READ else b"")
        at += 512 + request.payload_bytes
    sock.send(out)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--profile", choices=["disk", "srw", "agent"])
    which = parser.parse_args().profile
    timers = {"disk": time_disk, "agent": time_agent, "srw": time_srw}
    if which:
        profile = cProfile.Profile()
        timers[which](Op.READ, profile)
        profile.print_stats("tottime")
        return
    for name, timer in timers.items():
        print(f"{name:6} read {timer(Op.READ):5.2f} µs   write {timer(Op.WRITE):5.2f} µs")


if __name__ == "__main__":
    main()
