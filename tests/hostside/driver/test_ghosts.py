"""Proves what becomes of requests that a path holds when there has been no path for too long: they fail, in order."""

from errno import EIO, ESHUTDOWN

from hostside.driver.ghosts import Ghosts
from hostside.driver.request import Request
from hostside.packets import Report
from protocol.ops import Op
from tests.hostside.driver.rig import Command, Rig

FAIL_AFTER_S = 60.0


def make_rig(*, paths: int = 1, window: int = 64, fail_after_s: float | None = FAIL_AFTER_S) -> Rig:
    rig = Rig(fail_after_s=fail_after_s)
    for path in range(paths):
        rig.available(path, window=window)
    return rig


def reap(rig: Rig, *paths: int) -> None:
    for path in paths:
        rig.available(path, window=0)


def run_out_of_patience(rig: Rig) -> None:
    due_s = rig.driver.next_tick()
    assert due_s == rig.now_s + FAIL_AFTER_S
    rig.now_s = due_s
    rig.driver.tick(rig.now_s)


def release_all(rig: Rig) -> None:
    for request in rig.done:
        rig.driver.release(request)


def make_write() -> Request:
    return Request(Op.WRITE, 0, 4096, False, lambda request: None, [], [], [])


def given_up(rig: Rig) -> tuple[Request, Command]:
    """Give a write to block 0 that was sent, and has failed since; and its command."""
    request = rig.submit(Op.WRITE)
    (command,) = rig.sent()
    reap(rig, 0)
    run_out_of_patience(rig)
    return request, command


def test_all_fail_with_the_sentence_and_slots_come_back() -> None:
    rig = make_rig(paths=2, window=3)
    writes = [rig.submit(Op.WRITE, number * 65536) for number in range(6)]
    assert len(rig.sent()) == 6
    queued, blocked, blocked_read = rig.submit(Op.READ, 1 << 20), rig.submit(Op.WRITE), rig.submit(Op.READ)
    flush = rig.flush()
    reap(rig, 0, 1)
    rig.driver.tick(rig.now_s + FAIL_AFTER_S - 0.1)
    assert rig.done == []
    run_out_of_patience(rig)
    everything = [*writes, queued, blocked, blocked_read, flush]
    assert sorted(map(id, rig.done)) == sorted(map(id, everything)), "each once"
    assert {(r.status, r.sentence) for r in everything} == {
        (EIO, "unit_1: there has been no path to the server for 60 s")
    }
    assert rig.driver.idle
    release_all(rig)
    assert rig.pool.free_count == rig.pool.slots
    assert rig.submit(Op.READ).status == EIO


def test_one_path_not_reaped_is_a_path() -> None:
    rig = make_rig(paths=2, window=1)
    rig.submit(Op.WRITE)
    rig.submit(Op.WRITE, 65536)
    rig.sent()
    reap(rig, 1)
    assert rig.driver.next_tick() is None
    rig.lost(1)
    assert rig.driver.next_tick() is None
    reap(rig, 0)
    run_out_of_patience(rig)
    assert len(rig.done) == 2


def test_without_a_limit_what_a_reaped_path_holds_waits_for_its_fence() -> None:
    rig = make_rig(fail_after_s=None)
    request = rig.submit(Op.WRITE)
    rig.sent()
    reap(rig, 0)
    rig.driver.tick(1e9)
    assert not request.finished
    rig.lost(0)
    rig.available(1)
    rig.end(rig.sent()[0])
    assert (request.finished, request.status) == (True, 0)


def test_no_write_and_no_read_overtakes_a_ghost() -> None:
    rig = make_rig()
    given_up(rig)
    rig.available(1)
    write, read = rig.submit(Op.WRITE), rig.submit(Op.READ, 0, 512)
    beside = rig.submit(Op.WRITE, 4096)
    assert [command.slot for command in rig.sent()] == [beside.slots[0]]
    rig.lost(0)
    (command,) = rig.sent()
    assert command.slot == write.slots[0]
    rig.end(command)
    (command,) = rig.sent()
    assert command.slot == read.slots[0]


def test_fence_sends_nothing_again_and_leaves_nothing_behind() -> None:
    rig = make_rig()
    request, command = given_up(rig)
    rig.lost(0)
    rig.available(1)
    assert rig.sent() == []
    rig.end(command)
    assert rig.done == [request]
    assert rig.driver._ranges.is_free


def test_fence_of_another_incarnation_is_no_fence() -> None:
    rig = make_rig()
    given_up(rig)
    rig.available(0, 2)
    rig.submit(Op.WRITE)
    rig.lost(1)
    rig.lost(0, 2)
    rig.available(0, 3)
    assert rig.sent() == []
    rig.lost(0, 1)
    assert len(rig.sent()) == 1


def test_who_waits_for_a_ghost_fails_too_when_there_is_no_path_again() -> None:
    rig = make_rig()
    given_up(rig)
    rig.available(1)
    write, behind, read, flush = rig.submit(Op.WRITE), rig.submit(Op.WRITE, 0, 8192), rig.submit(Op.READ), rig.flush()
    reap(rig, 1)
    run_out_of_patience(rig)
    assert [r.status for r in (write, behind, read, flush)] == [EIO] * 4
    rig.report(Report.STOP)
    assert len(rig.done) == 5, "a report that comes later fails nobody twice"


def test_who_has_failed_keeps_nobody_waiting() -> None:
    rig = make_rig()
    given_up(rig)
    rig.available(1)
    rig.submit(Op.WRITE, 0, 8192)
    reap(rig, 1)
    run_out_of_patience(rig)
    rig.available(2)
    last = rig.submit(Op.WRITE, 4096)
    assert [command.slot for command in rig.sent()] == [last.slots[0]], "only the ghost is waited for"
    rig.lost(0)
    assert rig.sent() == [], "what has failed does not start"
    assert len(rig.done) == 2, "nor is it reported again"


def test_long_row_of_failed_ones_is_no_deep_recursion() -> None:
    rig = Rig(slots=2000, fail_after_s=FAIL_AFTER_S)
    rig.available()
    for _ in range(2000):
        rig.submit(Op.WRITE)
    rig.sent()
    reap(rig, 0)
    run_out_of_patience(rig)
    assert len(rig.done) == 2000
    rig.lost()
    assert rig.driver._ranges.is_free


def test_parent_on_two_paths_is_held_until_both_are_fenced() -> None:
    rig = make_rig(paths=2, window=1)
    rig.submit(Op.WRITE, 0, 2 * 65536)
    assert {command.path for command in rig.sent()} == {0, 1}
    reap(rig, 0, 1)
    run_out_of_patience(rig)
    assert len(rig.done) == 1
    rig.available(2)
    rig.submit(Op.WRITE)
    rig.lost(0)
    assert rig.sent() == []
    rig.lost(1)
    assert len(rig.sent()) == 1


def shut_down_path(rig: Rig) -> tuple[Request, Command]:
    """Give a write whose path has been closed by its server, though its agent lives."""
    rig.submit(Op.READ, 1 << 20)
    request = rig.submit(Op.WRITE)
    read, write = rig.sent()
    rig.end(read, ESHUTDOWN)
    run_out_of_patience(rig)
    assert not request.finished, "its agent may still read and write its slots"
    return request, write


def test_agent_that_lives_keeps_what_it_holds_until_it_is_reaped() -> None:
    rig = make_rig()
    request, _ = shut_down_path(rig)
    reap(rig, 0)
    assert (request.finished, request.status) == (True, EIO)
    rig.available(1)
    rig.submit(Op.WRITE)
    assert rig.sent() == []
    rig.lost(0)
    assert len(rig.sent()) == 1


def test_agent_that_lives_may_still_end_well() -> None:
    rig = make_rig()
    request, command = shut_down_path(rig)
    rig.end(command)
    assert (request.finished, request.status) == (True, 0)


def test_older_incarnation_can_be_given_up_too() -> None:
    rig = make_rig()
    request = rig.submit(Op.WRITE)
    rig.sent()
    rig.available(0, 2)
    reap(rig, 0)
    assert rig.driver.next_tick() is None, "incarnation 2 is a path"
    rig.available(0, 2, window=0)
    run_out_of_patience(rig)
    assert request.status == EIO


def test_path_in_time_saves_what_waits() -> None:
    rig = make_rig()
    request = rig.submit(Op.WRITE)
    rig.sent()
    reap(rig, 0)
    rig.now_s += FAIL_AFTER_S - 1
    rig.available(1)
    rig.now_s += 10 * FAIL_AFTER_S
    rig.driver.tick(rig.now_s)
    assert not request.finished
    rig.lost(0)
    rig.end(rig.sent()[0])
    assert (request.finished, request.status) == (True, 0)


def test_flush_on_the_wire_fails_and_leaves_no_ghost() -> None:
    rig = make_rig()
    flush = rig.flush()
    rig.sent()
    reap(rig, 0)
    run_out_of_patience(rig)
    assert flush.status == EIO
    rig.available(1)
    after = rig.flush()
    rig.end(rig.sent()[0])
    assert (after.finished, after.status) == (True, 0)


def test_ghost_is_over_when_finished_and_fenced() -> None:
    ghosts = Ghosts()
    both, unfinished = make_write(), make_write()
    both.finished = True
    ghosts.add(both, (0, 1))
    ghosts.add(both, (1, 1))
    ghosts.add(unfinished, (0, 1))
    assert ghosts.lost(0, 1) == []
    assert both in ghosts
    assert unfinished not in ghosts, "when it finishes, it leaves like any other"
    assert ghosts.lost(1, 1) == [both]
    assert ghosts.lost(1, 1) == []


def test_reaped_is_given_once_and_not_after_its_fence() -> None:
    ghosts = Ghosts()
    ghosts.reaped(0, 1)
    ghosts.reaped(1, 1)
    ghosts.lost(1, 1)
    assert ghosts.take_reaped() == [(0, 1)]
    assert ghosts.take_reaped() == []
