"""Proves that what is made before the forks is all that a child needs, and that an agent's last words arrive whole."""

from pathlib import Path

from hostside.packets import PACKET_BYTES
from hostside.settings import DiskSettings, ServerEntry
from hostside.wiring import REASON_BYTES, REQUEST_SLOTS_MAX, SLOT_BYTES, TAGS_MAX, make_wiring
from ipc.child import fork_child
from protocol.limits import SPLIT_BYTES
from tests.hostside import agent_rig


def test_there_is_one_of_each_for_each_place() -> None:
    disks = tuple(DiskSettings(name, n, "socket", Path("/nowhere")) for n, name in enumerate(("a", "b")))
    wiring = make_wiring(ServerEntry("box1", ("127.0.0.1",), 1, "host1", None, 3, None, disks))
    assert [(disk.name, disk.index) for disk in wiring.disks] == [("a", 0), ("b", 1)]
    assert (len(wiring.commands), wiring.paths, wiring.counters.rows, wiring.reasons.slots) == (3, 3, 3, 3 + 2)
    assert wiring.hearts.rows == 3 + 2
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
