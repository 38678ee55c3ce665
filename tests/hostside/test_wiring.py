"""Proves that what is made before the forks is all that a child needs, and that an agent's last words arrive whole."""

import os
from pathlib import Path

import pytest

from hostside.disks import WINDOW
from hostside.packets import PACKET_BYTES
from hostside.settings import DiskSettings, ServerEntry
from hostside.wiring import DISKS_MAX, REASON_BYTES, REQUEST_SLOTS_MAX, SLOT_BYTES, SPARE_PATHS, TAGS_MAX, make_wiring
from ipc.child import fork_child
from protocol.limits import SPLIT_BYTES
from tests.hostside import agent_rig
from tests.hostside.frontends.nbd_server import wait_for


def test_there_is_one_of_each_for_each_place() -> None:
    disks = tuple(DiskSettings(name, n, "socket", Path("/nowhere")) for n, name in enumerate(("a", "b")))
    entry = ServerEntry("box1", ("127.0.0.1",), 1, "host1", None, 3, None, disks, extra_connections=2)
    wiring = make_wiring(entry)
    paths = 3 + 2 + SPARE_PATHS
    places = [disk.index for disk in wiring.disks]
    assert places == list(range(DISKS_MAX)), "places for the two that are named, and for others to come"
    assert (len(wiring.commands), wiring.paths, wiring.counters.rows) == (paths, paths, paths)
    assert wiring.reasons.slots == wiring.hearts.rows == paths + DISKS_MAX
    assert wiring.loads.rows == DISKS_MAX
    # Full windows of every disk, and as much again that a dead agent left unread: a full queue would end a disk.
    assert wiring.commands[0].pipe_bytes >= 2 * DISKS_MAX * WINDOW[2] * PACKET_BYTES
    for disk in wiring.disks:
        assert disk.pool.slot_bytes == SLOT_BYTES == SPLIT_BYTES
        assert disk.pool.free_count >= 2 * REQUEST_SLOTS_MAX
        assert disk.notes.tags_max == TAGS_MAX
        # All that can be in flight, with room for LOST, AVAILABLE and what is left of paths that came and went.
        assert disk.reports.pipe_bytes >= 2 * TAGS_MAX * PACKET_BYTES


def test_a_child_that_keeps_the_descriptors_reaches_all_and_all_reach_it() -> None:
    """It answers, on every queue, by every other, and in the shared memory."""
    wiring = agent_rig.make_wiring(disks=2, paths=2)
    queues = [*wiring.commands, *(disk.reports for disk in wiring.disks)]
    for number, queue in enumerate(queues):
        queue.put(bytes([number]) * PACKET_BYTES)

    def main(_: object) -> int:
        for number, queue in enumerate(queues):
            assert queue.get() == bytes([number]) * PACKET_BYTES
            queue.put(bytes([100 + number]) * PACKET_BYTES)
        wiring.disks[1].pool.view(3)[:5] = b"there"
        wiring.disks[1].notes.write(3, "and there")
        wiring.counters.row(1).add("requests", 7)
        wiring.write_reason(1, "because")
        return 0

    child = fork_child("nsu: test", main, hearts=wiring.hearts, heart_row=0, keep=wiring.descriptors())
    assert child.wait(5) == 0
    child.close()
    assert [queue.get() for queue in queues] == [bytes([100 + number]) * PACKET_BYTES for number in range(4)]
    assert bytes(wiring.disks[1].pool.view(3, 5)) == b"there"
    assert wiring.disks[1].notes.read(3) == "and there"
    assert wiring.counters.row(1).get("requests") == 7
    assert (wiring.read_reason(0), wiring.read_reason(1)) == ("", "because")


def test_last_words_replace_each_other_and_are_cut_where_there_is_no_room() -> None:
    wiring = agent_rig.make_wiring(paths=2)
    wiring.write_reason(0, "x" * 1000)
    assert wiring.read_reason(0) == "x" * REASON_BYTES
    assert wiring.read_reason(1) == ""
    wiring.write_reason(0, "short")
    assert wiring.read_reason(0) == "short"
    wiring.write_reason(0, "ä" * 1000 + "x")
    assert wiring.read_reason(0).startswith("ä" * (REASON_BYTES // 2 - 1))
    wiring.write_reason(0, "")
    assert wiring.read_reason(0) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may lock memory, and be seen to")
def test_agents_that_run_already_hear_that_the_kernel_shows_a_disk_now() -> None:
    """Only a child can be asked: what is locked would stay locked in the runner of this test."""
    rig = agent_rig.Rig(2)
    rig.agent.poll.unregister(rig.agent.sock.fileno())
    keep = [*rig.wiring.descriptors(), rig.agent.sock.fileno(), rig.agent.poll.fileno()]

    def main(_: object) -> int:
        rig.agent.run()
        return 0

    child = fork_child("nsu test: agent", main, hearts=rig.wiring.hearts, heart_row=0, keep=keep)
    status = Path(f"/proc/{child.pid}/status")
    wait_for(lambda: not rig.wiring.disks[0].reports.empty())  # it has said that it is available
    assert not has_locked(status)
    rig.wiring.in_write_back[0] = 1
    wait_for(lambda: has_locked(status))
    child.kill_and_reap()
    child.close()
    rig.close()


def has_locked(status: Path) -> bool:
    return "VmLck:\t       0 kB" not in status.read_text()
