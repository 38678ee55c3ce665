"""Proves that what changes between two looks is an event, and so is an alarm that comes or goes."""

import pytest

from nsu.alarms import NOTE, Alarm, alarms_of
from nsu.events import events_between
from tests.nsu.found import drive, found, path, unit
from tests.nsu.test_alarms import CASES, Change


@pytest.mark.parametrize(("_severity", "_about", "_words", "change"), CASES)
def test_an_alarm_that_comes_or_goes_is_an_event(_severity: str, _about: str, _words: str, change: Change) -> None:
    changed = found()
    change(changed)
    (alarm,) = alarms_of(changed)
    assert alarm in events_between(found(), changed)
    assert any("nothing is wrong" in each.sentence for each in events_between(changed, found()))


def test_sessions_partitions_and_paths_come_change_and_go() -> None:
    after = found()
    after["server"]["sessions"] = []
    after["server"]["hosts"][0]["units"] = [unit("data", 0, 0, 599), unit("new", 1, 700, 799)]
    after["host"]["servers"][0]["paths"][1] = path(1, state="fencing")
    after["server"]["arrays"][0]["drives"][0] = drive(0, operations=5)
    assert set(events_between(found(), after)) == {
        Alarm(NOTE, "session host1 0x7", "it is gone"),
        Alarm(NOTE, "partition data of host1", "it is unit0(0,599) read-write; it was unit0(0,499) read-write"),
        Alarm(NOTE, "partition new of host1", "it is new: unit0(700,799) read-write"),
        Alarm(NOTE, "partition logs of host1", "it is gone"),
        Alarm(NOTE, "path box2 1", "it is fencing on 10.1.1.1:10002; it was up on 10.1.1.1:10002"),
    }
    assert events_between(found(), found()) == []
