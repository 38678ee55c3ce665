"""Proves that a peer is started, measured by its client and gone, and that a client that did nothing is no figure."""

from pathlib import Path

import pytest

from bench.fio import jobs_of, parsed_log, rate_together, run_fio
from bench.load import USE_BYTES, Load
from bench.peers import PEERS, serving
from bench.processes import family
from tests.programs import needs

pytestmark = pytest.mark.system
BY_NAME = {peer.name: peer for peer in PEERS}


@needs("fio")
@pytest.mark.parametrize(
    "name", [pytest.param("nbdkit", marks=needs("nbdkit")), pytest.param("qemu-nbd", marks=needs("qemu-nbd"))]
)
def test_a_peer_is_measured_at_several_connections_and_gone(name: str, tmp_path: Path) -> None:
    drive = tmp_path / "drive"
    drive.touch()
    with open(drive, "r+b") as file:
        file.truncate(USE_BYTES)
    with serving(BY_NAME[name], drive, tmp_path / "peer") as peer:
        one = run_fio(peer.uri, Load("read", 4096, 4, False), 0.2, connections=1, servers=peer.pids)
        four = run_fio(peer.uri, Load("write", 4096, 4, False), 0.2, connections=4, servers=peer.pids)
        pid = peer.process.pid
    assert one.per_second > 100
    assert one.latency_us["50"] <= one.latency_us["99"]
    assert one.cpu_us > 0.5
    assert four.per_second > 100
    assert not four.latency_us  # of four clients there is no one distribution
    assert not family(pid)


def test_a_job_that_could_not_connect_is_no_figure() -> None:
    good, broken = {"error": 0, "job_runtime": 500}, {"error": 0, "job_runtime": 0}
    assert jobs_of({"jobs": [good]}) == [good]
    with pytest.raises(RuntimeError, match="1 of 2 jobs"):
        jobs_of({"jobs": [good, broken]})


def test_the_rate_of_several_jobs_is_that_of_the_time_in_which_all_ran() -> None:
    early = parsed_log("1000, 10, 0, 4096, 0, 0\n1020, 20, 0, 4096, 0, 0\n1040, 20, 0, 4096, 0, 0\n")
    late = parsed_log("1020, 5, 0, 4096, 0\n1040, 30, 0, 4096, 0\n1060, 90, 0, 4096, 0\n")
    assert rate_together([early, late]) == 20 + 30
    with pytest.raises(RuntimeError, match="same time"):
        rate_together([early, [(2000, 1), (2020, 1)]])
