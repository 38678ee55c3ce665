"""Proves that asking for a trace answers with what was measured of the next such request, and of no other."""

import pytest

from hostside.trace import Tracer
from ipc.control import ControlError, Deferred
from protocol.ops import Flag, Op
from tests.hostside.driver.rig import Rig


def answers_of(later: Deferred) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    later._deliver_to(found.append)
    return found


@pytest.mark.parametrize(("op", "name", "other"), [(Op.READ, "read", Op.WRITE), (Op.WRITE, "write", Op.READ)])
def test_the_next_of_its_kind_is_followed_and_told_once(op: Op, name: str, other: Op) -> None:
    rig = Rig()
    rig.available(path=3, incarnation=2)
    told = answers_of(Tracer(rig.driver).trace({"op": name}))
    rig.submit(other, 0)
    rig.submit(op, 65536, 4096)
    rig.submit(op, 131072, 4096)
    one, traced, two = rig.sent()
    assert [bool(command.flags & Flag.TRACE) for command in (one, traced, two)] == [False, True, False]
    rig.notes.stamp_named(traced.tag, "2H", 12345)
    rig.end(one)
    rig.end(two)
    assert told == []
    rig.end(traced)
    (trace,) = told
    stamps = trace.pop("stamps")
    assert trace == {"op": name, "path": 3, "offset_bytes": 65536, "length_bytes": 4096, "status": 0}
    assert isinstance(stamps, dict)
    assert (stamps["2H"], set(stamps)) == (12345, {"1H", "2H", "7H"})


def test_a_read_is_meant_when_nothing_is_said() -> None:
    rig = Rig()
    rig.available()
    told = answers_of(Tracer(rig.driver).trace({}))
    rig.submit(Op.READ)
    rig.end(rig.sent()[0])
    assert [trace["op"] for trace in told] == ["read"]


@pytest.mark.parametrize("op", ["flush", "", 3, None])
def test_what_cannot_be_traced_is_refused_with_what_can(op: object) -> None:
    with pytest.raises(ControlError, match="read or write"):
        Tracer(Rig().driver).trace({"op": op})
