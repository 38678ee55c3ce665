"""Proves that a front-end is told the first failure, and sees a request go through its states."""

from protocol.ops import Op
from tests.hostside.driver.rig import Rig


def test_first_failure_stands() -> None:
    rig = Rig()
    rig.available()
    request = rig.submit(Op.WRITE, 0, 2 * 65536)
    first, second = rig.sent()
    rig.end(first, 5, "A drive of the array failed.")
    rig.end(second, 28, "A sparse drive could not grow.")
    assert (request.status, request.sentence) == (5, "A drive of the array failed.")


def test_states() -> None:
    rig = Rig()
    rig.available()
    request = rig.driver.request(Op.READ, 0, 512, on_done=rig.done.append)
    assert request is not None
    states = [(request.in_flight, request.finished)]
    rig.driver.submit(request)
    states.append((request.in_flight, request.finished))
    rig.end(rig.sent()[0])
    states.append((request.in_flight, request.finished))
    assert states == [(False, False), (True, False), (False, True)]
