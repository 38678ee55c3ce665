"""Proves that the overview adds up, and that a machine of one role is shown too."""

from nsu.web import view
from tests.nsu.found import found, unit


def test_the_overview_adds_up() -> None:
    told = view.overview(found())
    assert (told["size_bytes"], told["free_bytes"]) == (1000 * 512, 400 * 512)
    assert (told["sessions"], told["paths"], told["disks"]) == (1, 1, 1)
    assert told["alarms"] == []


def test_what_is_nobodys_is_not_free() -> None:
    told = found()
    told["server"]["unassigned"] = [unit("spare", 0, 700, 799)]
    assert view.arrays(told)[0]["free_bytes"] == 300 * 512


def test_each_use_of_a_partition_has_what_was_done_with_it() -> None:
    told = found()
    told["server"]["hosts"][0]["units"][1]["totals"]["reads"] = 7
    uses = [{"host": "host1", "unit": "logs"}, {"host": "host1", "unit": "new"}]
    (one,) = view.with_totals([{"name": "logs", "uses": uses}], told)
    assert [use["totals"] and use["totals"]["reads"] for use in one["uses"]] == [7, None]
    assert view.with_totals([{"uses": uses[:1]}], {**told, "server": None})[0]["uses"][0]["totals"] is None


def test_hosts_and_timers() -> None:
    assert [(host["name"], host["partitions"], host["sessions"]) for host in view.hosts(found())] == [("host1", 2, 1)]
    assert [timer["role"] for timer in view.timers(found())] == ["server", "host"]


def test_a_machine_of_one_role() -> None:
    for role in ("server", "host"):
        told = {**found(), role: None}
        assert view.overview(told)["machine"] == "box1"
        assert len(view.timers(told)) == 1
    assert view.arrays({**found(), "server": None}) == view.hosts({**found(), "server": None}) == []
