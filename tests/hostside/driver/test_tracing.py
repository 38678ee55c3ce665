"""Proves that a traced constituent carries the flag, and that its stamps are handed over once."""

from hostside.driver.notes import Trace
from protocol.ops import Flag, Op
from tests.hostside.driver.rig import Rig


def test_next_of_the_operation_is_traced() -> None:
    rig = Rig()
    rig.available(3, 7)
    traces: list[Trace] = []
    rig.driver.trace_next(Op.WRITE, traces.append)
    rig.submit(Op.READ)
    rig.submit(Op.WRITE, 8192)
    rig.submit(Op.WRITE, 65536)
    read, write, other = rig.sent()
    assert [c.flags for c in (read, write, other)] == [0, Flag.TRACE, 0]
    rig.notes.stamp_named(write.tag, "2H", int(100.5e9))
    rig.notes.stamp_named(write.tag, "4S", 1500)
    rig.now_s = 101
    for command in (read, write, other):
        rig.end(command)
    (trace,) = traces
    assert (trace.op, trace.offset_bytes, trace.length_bytes) == (Op.WRITE, 8192, 4096)
    assert (trace.path, trace.incarnation, trace.status) == (3, 7, 0)
    assert trace.stamps == {"1H": 100 * 10**9, "2H": int(100.5e9), "7H": 101 * 10**9, "4S": 1500}


def test_lost_and_sent_again_begins_anew() -> None:
    rig = Rig(tags_max=1)
    rig.available()
    traces: list[Trace] = []
    rig.driver.trace_next(Op.READ, traces.append)
    rig.submit(Op.READ)
    rig.notes.stamp_named(rig.sent()[0].tag, "2H", 1)
    rig.lost()
    rig.available(1)
    again = rig.sent()[0]
    assert again.flags == Flag.TRACE
    rig.end(again)
    assert set(traces[0].stamps) == {"1H", "7H"}
