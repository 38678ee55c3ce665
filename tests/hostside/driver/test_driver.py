"""Proves the host driver's promises one by one; tests/sim proves them together."""

from errno import EIO

import pytest

from hostside.driver.driver import LOST_POWER
from hostside.driver.request import Request
from hostside.packets import COMMAND, NO_SLOT, PACKET_BYTES, Report
from protocol.ops import Flag, Op
from tests.hostside.driver.rig import Command, Rig, make_unit


def test_command_says_all() -> None:
    rig = Rig()
    rig.available(4, 77)
    request = rig.submit(Op.WRITE, 1 << 20, 4096, fua=True)
    (command,) = rig.sent()
    assert (command.path, command.incarnation, command.disk, command.unit) == (4, 77, 2, 5)
    assert (command.op, command.flags, command.lba, command.length_bytes) == (3, Flag.FUA, 2048, 4096)
    assert (command.slot, command.generation) == (request.slots[0], 9)
    assert rig.sent() == [], "a packet is given once"


def test_packets_of_a_path_are_joined() -> None:
    rig = Rig()
    rig.available(0)
    for number in range(5):
        rig.submit(Op.READ, number * 4096)
    ((path, packets),) = rig.driver.outgoing()
    assert path == 0
    assert len(packets) == 5 * PACKET_BYTES
    assert [fields[8] for fields in COMMAND.iter_unpack(packets)] == [0, 8, 16, 24, 32]


def test_parent_ends_with_its_last_constituent() -> None:
    rig = Rig()
    rig.available(0, window=2)
    rig.available(1, window=2)
    request = rig.submit(Op.READ, 0, 3 * 65536)
    commands = rig.sent()
    assert {command.path for command in commands} == {0, 1}
    assert sorted(command.slot for command in commands) == sorted(request.slots)
    for command in commands:
        assert not request.finished
        rig.end(command)
    assert rig.done == [request]
    rig.end(commands[0])
    assert rig.done == [request], "a report that comes twice is believed once"


def test_fua_goes_with_each_constituent() -> None:
    rig = Rig()
    rig.available()
    rig.submit(Op.WRITE, 0, 3 * 65536, fua=True)
    assert [command.flags for command in rig.sent()] == [Flag.FUA] * 3


def test_lost_path_gives_back_what_it_held_and_nothing_else() -> None:
    rig = Rig()
    rig.available(0, window=1)
    rig.available(1, window=2)
    requests = [rig.submit(Op.WRITE, number * 65536) for number in range(3)]
    commands = rig.sent()
    lost = next(command for command in commands if command.path == 0)
    kept = [command for command in commands if command.path == 1]
    rig.lost(0)
    assert rig.sent() == []
    rig.available(0, 2)
    (again,) = rig.sent()
    assert (again.lba, again.slot, again.incarnation) == (lost.lba, lost.slot, 2)
    rig.end(lost)
    assert not rig.done, "the report of a lost incarnation"
    for command in [again, *kept]:
        rig.end(command)
    assert {id(r) for r in rig.done} == {id(r) for r in requests}


def test_newer_incarnation_does_not_free_what_the_older_holds() -> None:
    rig = Rig()
    rig.available(0, 1)
    rig.submit(Op.WRITE)
    assert len(rig.sent()) == 1
    rig.available(0, 2)
    assert rig.sent() == []
    rig.lost(0, 2)
    assert rig.sent() == []
    rig.available(0, 3)
    rig.lost(0, 1)
    assert rig.sent()[0].incarnation == 3


def test_range_is_held_through_a_loss() -> None:
    rig = Rig()
    rig.available(0)
    old = rig.submit(Op.WRITE)
    rig.submit(Op.WRITE)
    assert len(rig.sent()) == 1
    rig.lost(0)
    rig.available(1)
    (again,) = rig.sent()
    assert again.slot == old.slots[0]
    rig.end(again)
    assert rig.done == [old]
    assert len(rig.sent()) == 1, "now the newer one goes"


def test_for_how_long_something_waited_for_room_and_how_much_was_in_flight() -> None:
    rig = Rig()
    rig.available(window=2)
    requests = [rig.submit(Op.READ, number * 65536) for number in range(3)]
    commands = rig.sent()
    assert len(commands) == 2
    rig.now_s += 1.5
    rig.end(commands[0])
    commands += rig.sent()
    rig.now_s += 10
    rig.end(commands[1])
    rig.sent()
    assert rig.driver.waited.total_s == 1.5, "only while one waited that no window had room for"
    assert (rig.driver.take_held_most(), rig.driver.take_held_most()) == (2, 1)
    rig.end(commands[2])
    assert all(request.finished for request in requests)
    assert (rig.driver.take_held_most(), rig.driver.take_held_most()) == (1, 0)


def test_what_fails_waits_no_more() -> None:
    rig = Rig()
    rig.submit(Op.READ)
    rig.sent()
    rig.now_s += 1.0
    rig.report(Report.UNIT, status=EIO)
    rig.sent()
    rig.now_s += 100.0
    rig.sent()
    assert rig.driver.waited.total_s == 1.0


def test_no_tag_no_sending() -> None:
    rig = Rig(tags_max=2)
    rig.available()
    for number in range(5):
        rig.submit(Op.READ, number * 4096)
    first = rig.sent()
    assert len(first) == 2
    rig.end(first[0])
    assert len(rig.sent()) == 1


def test_flush_drains_first_and_is_one() -> None:
    rig = Rig()
    rig.available()
    rig.submit(Op.WRITE)
    one, two = rig.flush(), rig.flush()
    (write,) = rig.sent()
    rig.end(write)
    (flush,) = rig.sent()
    assert (flush.op, flush.slot, flush.length_bytes) == (Op.FLUSH, NO_SLOT, 0)
    three = rig.flush()
    assert rig.sent() == []
    rig.end(flush)
    assert [r.finished for r in (one, two, three)] == [True, True, False]
    (flush,) = rig.sent()
    rig.end(flush, EIO, "A drive of the array failed.")
    assert (three.status, three.sentence) == (EIO, "A drive of the array failed.")
    assert rig.driver.idle


def test_flush_is_sent_again_like_any_other() -> None:
    rig = Rig()
    rig.available()
    request = rig.flush()
    rig.sent()
    rig.lost()
    rig.available(1)
    rig.end(rig.sent()[0])
    assert (request.finished, request.status) == (True, 0)


def written(rig: Rig, op: Op = Op.WRITE, *, fua: bool = False) -> None:
    rig.submit(op, fua=fua)
    (command,) = rig.sent()
    rig.end(command)


def nsu_loses_power(rig: Rig, incarnation: int = 2) -> None:
    """As the host process tells it: the loss first, then the end of the path; then there is a new one."""
    rig.report(Report.FORGOTTEN)
    rig.lost(incarnation=incarnation - 1)
    rig.available(incarnation=incarnation)


def flushed(rig: Rig) -> tuple[int, str]:
    request = rig.flush()
    (command,) = rig.sent()
    rig.end(command)
    assert request.finished
    return request.status, request.sentence


GOOD = (0, "")
TOLD = (EIO, LOST_POWER)


@pytest.mark.parametrize("op", [Op.WRITE, Op.TRIM, Op.WRITE_ZEROES])
def test_a_lost_cache_is_told_once(op: Op) -> None:
    rig = Rig()
    rig.available()
    written(rig, op)
    nsu_loses_power(rig)
    assert [flushed(rig), flushed(rig)] == [TOLD, GOOD]


def test_what_lost_nothing_is_told_nothing() -> None:
    """Nothing written; flushed; FUA; a read; not acknowledged before the loss; and no loss at all."""
    rig = Rig()
    rig.available()
    nsu_loses_power(rig)
    assert flushed(rig) == GOOD
    written(rig)
    assert flushed(rig) == GOOD
    written(rig, fua=True)
    written(rig, Op.READ)
    late = rig.submit(Op.WRITE)
    rig.sent()
    nsu_loses_power(rig, 3)
    (command,) = rig.sent()
    rig.end(command)
    assert late.finished
    assert flushed(rig) == GOOD
    written(rig)
    rig.lost(incarnation=3)
    rig.available(incarnation=4)
    assert flushed(rig) == GOOD


def test_fua_does_not_speak_for_what_was_lost_before_it() -> None:
    rig = Rig()
    rig.available()
    written(rig)
    nsu_loses_power(rig)
    written(rig, fua=True)
    assert rig.done[-1].status == 0
    assert flushed(rig) == TOLD


def test_a_write_whose_first_half_was_lost_is_told_after_its_end() -> None:
    rig = Rig()
    rig.available()
    rig.submit(Op.WRITE, 0, 2 * 65536)
    first, _ = rig.sent()
    rig.end(first)
    nsu_loses_power(rig)
    (second,) = rig.sent()
    rig.end(second)
    assert [flushed(rig), flushed(rig)] == [TOLD, GOOD]


def test_an_answer_from_before_the_loss_that_comes_after_it_is_lost_too() -> None:
    rig = Rig()
    rig.available()
    rig.submit(Op.WRITE)
    (command,) = rig.sent()
    rig.report(Report.FORGOTTEN)
    rig.end(command)
    rig.lost()
    rig.available(incarnation=2)
    assert flushed(rig) == TOLD


def test_a_flush_that_was_done_before_the_loss_is_good_however_late_its_answer() -> None:
    rig = Rig()
    rig.available()
    written(rig)
    flush = rig.flush()
    (command,) = rig.sent()
    rig.report(Report.FORGOTTEN)
    rig.end(command)
    assert (flush.finished, flush.status) == (True, 0)


def test_a_flush_on_its_way_and_those_that_wait_behind_it_are_all_told() -> None:
    rig = Rig()
    rig.available()
    written(rig)
    first = rig.flush()
    rig.sent()
    second = rig.flush()
    nsu_loses_power(rig)
    for request in (first, second):
        (command,) = rig.sent()
        rig.end(command)
        assert (request.status, request.sentence) == TOLD
    assert flushed(rig) == GOOD


def test_a_flush_that_failed_has_told_nobody_of_the_loss() -> None:
    rig = Rig()
    rig.available()
    written(rig)
    nsu_loses_power(rig)
    rig.flush()
    (command,) = rig.sent()
    rig.end(command, EIO, "A drive of the array failed.")
    assert flushed(rig) == TOLD


def test_0x01_flush_is_done_when_drained_and_fua_is_implied() -> None:
    rig = Rig(unit=make_unit(version=1))
    rig.available()
    rig.submit(Op.WRITE, fua=True)
    flush = rig.flush()
    (write,) = rig.sent()
    assert write.flags == 0
    assert not flush.finished
    rig.end(write)
    assert (flush.finished, flush.status) == (True, 0)
    assert rig.sent() == []
    assert rig.flush().finished


def test_trim_and_zeroes_have_no_slot() -> None:
    rig = Rig()
    rig.available()
    for op in (Op.TRIM, Op.WRITE_ZEROES):
        rig.submit(op, 0, 100 << 20)
        commands = rig.sent()
        assert [(c.op, c.slot, c.length_bytes) for c in commands] == [
            (op, NO_SLOT, 64 << 20),
            (op, NO_SLOT, 36 << 20),
        ]
        for command in commands:
            rig.end(command)
    assert len(rig.done) == 2


def test_unit_report_renews_generation_and_capacity() -> None:
    rig = Rig()
    rig.submit(Op.READ)
    rig.unit_changed(generation=12, blocks=100)
    rig.available()
    assert rig.sent()[0].generation == 12
    assert rig.driver.unit.blocks == 100
    assert rig.submit(Op.READ, 100 * 512, 512).finished


def test_on_done_may_submit() -> None:
    rig = Rig(slots=1)
    rig.available()
    ended: list[Request] = []

    def next_one(request: Request) -> None:
        ended.append(request)
        rig.driver.release(request)
        if len(ended) < 5:
            follower = rig.driver.request(Op.WRITE, 0, 512, on_done=next_one)
            assert follower is not None
            rig.driver.submit(follower)

    request = rig.driver.request(Op.WRITE, 0, 512, on_done=next_one)
    assert request is not None
    rig.driver.submit(request)
    for _ in range(5):
        (command,) = rig.sent()
        rig.end(command)
    assert len(ended) == 5
    assert rig.driver.idle


def test_unequal_paths_are_measured() -> None:
    rig = Rig(slots=64, tags_max=64)
    rig.available(0, window=32)
    rig.available(1, window=32)
    given = [0, 0]
    due: list[tuple[float, Command]] = []
    free_at_s = [rig.now_s, rig.now_s]
    seconds = [0.0001, 0.0004]
    for number in range(3000):
        if rig.pool.free_count:
            rig.submit(Op.READ, number % 1000 * 65536, 65536)
        for command in rig.sent():
            given[command.path] += 1
            free_at_s[command.path] = max(free_at_s[command.path], rig.now_s) + seconds[command.path]
            due.append((free_at_s[command.path], command))
        if len(due) > 8:
            due.sort(key=lambda item: item[0])
            at_s, command_due = due.pop(0)
            rig.now_s = max(rig.now_s, at_s)
            rig.end(command_due)
            for request in rig.done:
                rig.driver.release(request)
            rig.done.clear()
    assert 3 < given[0] / given[1] < 5, given


def test_late_report_kinds_are_harmless() -> None:
    rig = Rig()
    rig.report(Report.DONE, tag=0x7FFFFFFF)
    rig.report(Report.DONE, tag=3)
    rig.lost(9, 9)
    assert rig.driver.idle


def test_late_report_for_a_former_use_of_the_index() -> None:
    rig = Rig(tags_max=1)
    rig.available()
    rig.submit(Op.READ)
    (first,) = rig.sent()
    rig.end(first)
    second = rig.submit(Op.READ)
    assert len(rig.sent()) == 1
    rig.end(first)
    assert not second.finished


def test_report_under_another_incarnation() -> None:
    rig = Rig()
    rig.available(0, 4)
    request = rig.submit(Op.READ)
    (command,) = rig.sent()
    rig.report(Report.DONE, tag=command.tag, incarnation=3)
    assert not request.finished


def test_what_has_ended_weighs_no_more() -> None:
    rig = Rig()
    rig.available(0, rate=200_000_000)
    rig.available(1, rate=100_000_000)
    for _ in range(10):
        rig.submit(Op.READ)
        (command,) = rig.sent()
        assert command.path == 0
        rig.end(command)
        rig.driver.release(rig.done[-1])
