"""Proves that our own door is measured whole: all paths up, every request counted, processor time of everybody."""

from collections.abc import Iterator

import pytest

from bench.door import Door, run_doors
from bench.generator import LATENCIES, OFFSETS, offsets_of, percentiles
from bench.load import Load
from bench.processes import cpu_s, effort, pss_bytes, titled
from bench.sides import ServerSide, host_side, server_side

pytestmark = pytest.mark.system
USE_BYTES = 4 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSide]:
    folder = tmp_path_factory.mktemp("s")
    with server_side(folder, {"one": 1, "two": 2}, disk_bytes=USE_BYTES) as server:
        yield server


def requests_served(server: ServerSide, host: str) -> int:
    (session,) = [each for each in server.machine.status()["server"]["sessions"] if each["host"] == host]
    return sum(srw["reads"] + srw["writes"] for srw in session["srws"])


@pytest.mark.parametrize(("op", "size_bytes", "depth"), [("read", 4096, 8), ("write", 4096, 1), ("read", 131072, 4)])
def test_what_it_counts_is_what_the_server_served(server: ServerSide, op: str, size_bytes: int, depth: int) -> None:
    load = Load(op, size_bytes, depth, sequential=False)
    with Door(server.entry("one", 2)) as door:
        (found,), used_s = run_doors([door], load, 0.1, servers=server.pids(), use_bytes=USE_BYTES)
        served = requests_served(server, "one")
    assert found.done > 0
    assert served == found.done * max(1, size_bytes >> 16)
    assert found.elapsed_s >= 0.1
    assert 0 < found.latency_us["1"] <= found.latency_us["50"] <= found.latency_us["99"]
    assert 0 < used_s < found.elapsed_s * 64


def test_every_disk_runs_at_once_and_all_paths_are_up_before(server: ServerSide) -> None:
    with Door(server.entry("two", 4)) as door:
        assert len(titled(door.pids(), "nsu: agent")) == 4
        found, _ = run_doors([door], Load("read", 4096, 2, False), 0.1, servers=(), use_bytes=USE_BYTES)
        assert len(found) == 2
        assert min(each.done for each in found) > 0
        pids = door.pids()
    assert not titled(pids, "nsu: bench")


def test_our_socket_is_served_beside_it(server: ServerSide) -> None:
    with host_side(server, "one", 1) as host:
        assert host.uri().endswith("one-0.sock")
        disks = titled(host.pids(), "nsu: disk")
        assert pss_bytes(disks) > 1 << 20
        assert 0 < effort(disks[0]).total_s < cpu_s(host.pids())


def test_places_lie_in_what_is_used_and_in_order_when_asked() -> None:
    in_order = offsets_of(Load("read", 65536, 1, sequential=True), 1 << 20)
    assert list(in_order[:17]) == [n * 65536 % (1 << 20) for n in range(17)]
    drawn = offsets_of(Load("read", 4096, 1, sequential=False), 1 << 20)
    assert len(drawn) == OFFSETS
    assert set(drawn) == {page * 4096 for page in range(256)}


def test_percentiles_are_those_of_the_nearest_rank() -> None:
    found = percentiles([1000 * n for n in range(1, 101)])
    assert (found["1"], found["50"], found["99"], found["99.9"]) == (1, 50, 99, 100)
    assert percentiles([]) == {}
    assert LATENCIES & (LATENCIES - 1) == 0
