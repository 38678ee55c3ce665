"""Proves that what a server did not do, and is not to blame for, is sent again: and not for ever."""

from errno import EIO, ESHUTDOWN, ESTALE

from hostside.driver.requeue import REFUSALS_MAX, RETRY_S
from protocol.ops import Op
from tests.hostside.driver.rig import Rig


def test_shutting_down_server_is_left_for_another_path() -> None:
    rig = Rig()
    rig.available(0, rate=10**9)
    rig.available(1, rate=10**6)
    request = rig.submit(Op.WRITE)
    command = rig.sent()[0]
    assert command.path == 0
    rig.end(command, ESHUTDOWN, "The NSU is shutting down.")
    again = rig.sent()[0]
    assert (again.path, again.lba) == (1, command.lba)
    rig.end(again)
    assert (request.finished, request.status, request.sentence) == (True, 0, "")


def test_stale_waits_for_the_unit_report() -> None:
    rig = Rig()
    rig.available()
    request = rig.submit(Op.READ)
    rig.end(rig.sent()[0], ESTALE)
    assert rig.sent() == []
    rig.unit_changed(generation=10)
    again = rig.sent()[0]
    assert again.generation == 10
    rig.end(again)
    assert request.status == 0


def test_report_that_overtook_the_refusal() -> None:
    rig = Rig()
    rig.available()
    request = rig.submit(Op.READ)
    command = rig.sent()[0]
    rig.unit_changed(generation=10)
    rig.end(command, ESTALE)
    rig.end(rig.sent()[0])
    assert request.status == 0


def test_report_that_overtook_the_refusal_counts() -> None:
    rig = Rig()
    rig.available()
    request = rig.submit(Op.READ)
    command = rig.sent()[0]
    rig.unit_changed(generation=10)
    rig.end(command, ESTALE)
    rig.end(rig.sent()[0], ESTALE)
    assert request.status == ESTALE


def test_stale_again_after_the_report_fails() -> None:
    rig = Rig()
    rig.available()
    request = rig.submit(Op.READ)
    rig.end(rig.sent()[0], ESTALE)
    rig.unit_changed(generation=10)
    rig.end(rig.sent()[0], ESTALE, "The unit has changed; ask for the units again.")
    assert (request.status, request.sentence) == (ESTALE, "The unit has changed; ask for the units again.")
    assert rig.driver.idle


def test_without_a_report_it_is_tried_again_but_not_for_ever() -> None:
    rig = Rig()
    rig.available()
    request = rig.submit(Op.READ)
    for _ in range(REFUSALS_MAX):
        rig.end(rig.sent()[0], ESTALE)
        due_s = rig.driver.next_tick()
        assert due_s == rig.now_s + RETRY_S
        rig.now_s = due_s
        rig.driver.tick(rig.now_s)
    assert not request.finished
    rig.end(rig.sent()[0], ESTALE)
    assert request.status == ESTALE
    assert rig.driver.next_tick() is None


def test_other_errors_fail_when_all_siblings_are_done() -> None:
    rig = Rig()
    rig.available()
    request = rig.submit(Op.WRITE, 0, 3 * 65536)
    commands = rig.sent()
    rig.end(commands[1], EIO, "A drive of the array failed.")
    rig.end(commands[0])
    assert not request.finished
    rig.end(commands[2])
    assert (request.status, request.sentence) == (EIO, "A drive of the array failed.")


def test_minus_one_is_an_error_too() -> None:
    rig = Rig()
    rig.available()
    request = rig.submit(Op.WRITE)
    rig.end(rig.sent()[0], 0xFFFFFFFF)
    assert request.status == EIO
    assert "unit_1" in request.sentence


def test_sentence_is_not_read_for_the_next_use_of_the_tag() -> None:
    rig = Rig(tags_max=1)
    rig.available()
    rig.submit(Op.WRITE)
    rig.end(rig.sent()[0], EIO, "A drive of the array failed.")
    request = rig.submit(Op.WRITE)
    rig.end(rig.sent()[0], EIO)
    assert "drive" not in request.sentence
