"""Proves when everything is refused: a unit that is gone, no path for too long, a stop; and when no longer."""

from errno import EIO, ENXIO, ESHUTDOWN

from hostside.packets import Report
from protocol.ops import Op
from tests.hostside.driver.rig import Rig


def test_without_a_limit_requests_wait_for_ever() -> None:
    rig = Rig()
    request = rig.submit(Op.READ)
    rig.driver.tick(1e9)
    assert rig.driver.next_tick() is None
    assert not request.finished
    rig.available()
    assert len(rig.sent()) == 1


def test_fails_after_so_long_without_a_path() -> None:
    rig = Rig(fail_after_s=60)
    request, behind, flush = rig.submit(Op.WRITE), rig.submit(Op.WRITE), rig.flush()
    assert rig.driver.next_tick() == 160
    rig.driver.tick(159.9)
    assert not request.finished
    rig.driver.tick(160)
    assert [r.status for r in (request, behind, flush)] == [EIO] * 3
    assert "60 s" in request.sentence
    assert rig.submit(Op.READ).status == EIO
    assert rig.driver.next_tick() is None
    rig.available()
    assert not rig.submit(Op.READ).finished


def test_clock_runs_only_while_no_path_exists() -> None:
    rig = Rig(fail_after_s=60)
    rig.now_s = 130
    rig.available()
    rig.now_s = 500
    assert rig.driver.next_tick() is None
    rig.lost()
    assert rig.driver.next_tick() == 560


def test_unit_that_is_gone_fails_all_but_what_ends_well() -> None:
    rig = Rig()
    rig.available(window=1)
    held, queued = rig.submit(Op.WRITE), rig.submit(Op.READ, 65536)
    command = rig.sent()[0]
    rig.notes.write_unit("The partition unit_1 was deleted.")
    rig.unit_changed(status=ENXIO)
    assert (queued.status, queued.sentence) == (ENXIO, "The partition unit_1 was deleted.")
    assert rig.submit(Op.READ).status == ENXIO
    rig.end(command)
    assert (held.finished, held.status) == (True, 0)
    rig.unit_changed(generation=11)
    rig.submit(Op.READ)
    assert rig.sent()[0].generation == 11


def test_stop_serves_the_old_and_takes_nothing_new() -> None:
    rig = Rig()
    rig.available()
    old = rig.submit(Op.READ)
    rig.report(Report.STOP)
    assert rig.driver.stop_asked
    assert rig.submit(Op.READ).status == ESHUTDOWN
    assert not rig.driver.idle
    rig.end(rig.sent()[0])
    assert old.status == 0
    assert rig.driver.idle
