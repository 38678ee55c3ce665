"""Proves that blocks are shared on purpose or not at all, by comparing the sweep with every pair of ranges."""

from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsu.conf.errors import ConfErrors, Findings
from nsu.conf.sharing import Cut, capacity_most, check_cuts
from nsu.conf.values import LbaRange
from serverside.settings import ArraySettings, DriveSettings
from tests.nsu.conf.conftest import ARRAYS, load, warnings_of

ranges = st.tuples(st.integers(0, 30), st.integers(0, 8)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def is_refused(cuts: list[Cut]) -> bool:
    findings = Findings(Path("nsu.conf"))
    array = ArraySettings("unit0", "jbod", (DriveSettings(Path("/dev/sdb")),))
    check_cuts(cuts, [array], findings)
    try:
        findings.raise_if_any()
    except ConfErrors:
        return True
    return False


@given(st.lists(ranges, max_size=6))
def test_a_partial_overlap_is_refused_wherever_it_is(spans: list[tuple[int, int]]) -> None:
    cuts = [Cut(f"HOST h{n}", "UNIT u", n, LbaRange("unit0", *span), True) for n, span in enumerate(spans)]
    overlap = any(a != b and a[0] <= b[1] and b[0] <= a[1] for a, b in combinations(spans, 2))
    assert is_refused(cuts) == overlap


HOST = "HOST h{}\n  ADDRESS = 10.1.1.2{}\n  DATA_PORT = 10.1.1.1:10002(10)\n{}"
UNIT = "  UNIT u{}\n    LBA = unit0({},{})\n"
UUIDS = ("0f5c1c62-6b4e-4c1e-9d3a-2f6f6f0c8e11", "7c9e6679-7425-40de-944b-e07fc1f90ae7")


def hosts(*lines: str) -> str:
    """A file whose hosts have the same ten blocks, each with these lines more."""
    unit = UNIT.format("", 0, 9)
    return ARRAYS + "".join(HOST.format(n, n, unit + more) for n, more in enumerate(lines, 1))


def test_two_writers_are_refused_unless_both_say_so() -> None:
    said = "    SHARED_WRITE = yes\n"
    assert "is written by more than one host" in warnings_of(hosts(said, said))
    assert "is written by" not in warnings_of(hosts("", "    ACCESS = read-only\n"))
    for one, other in (("", ""), (said, "")):
        with pytest.raises(ConfErrors, match="is written by UNIT u of HOST h") as refused:
            load(hosts(one, other))
        assert len(refused.value.errors) == [one, other].count(""), "each that does not say so is named"


def test_one_uuid_is_one_range_and_one_range_one_uuid() -> None:
    first, second = (f"    UUID = {uuid}\n" for uuid in UUIDS)
    read_only = "    ACCESS = read-only\n"
    load(hosts(first, first + read_only))
    with pytest.raises(ConfErrors, match="the same UUID in every UNIT"):
        load(hosts(first, second + read_only))
    with pytest.raises(ConfErrors, match="another partition has another UUID"):
        load(hosts(first) + UNIT.format("2", 10, 19) + first)


def test_a_unit_outside_any_host_is_nobodys_when_it_has_a_uuid() -> None:
    nobodys = "UNIT u\n  LBA = unit0({},{})\n"
    uuid = f"  UUID = {UUIDS[0]}\n"
    loaded = load(hosts("") + nobodys.format(10, 19) + uuid).server
    assert loaded is not None
    assert [(unit.name, unit.blocks, unit.uuid) for unit in loaded.unassigned] == [("u", 10, UUIDS[0])]
    assert [holder.name for holder in loaded.holders] == ["h1", ""]
    with pytest.raises(ConfErrors, match="indent it below the HOST"):
        load(hosts("") + nobodys.format(10, 19))
    with pytest.raises(ConfErrors, match="is nobody's here"):
        load(hosts("") + nobodys.format(0, 9) + uuid)
    with pytest.raises(ConfErrors, match="overlaps"):
        load(hosts("") + nobodys.format(5, 14) + uuid)


def test_a_host_has_sixteen_units_at_most() -> None:
    units = [UNIT.format(n, n * 10, n * 10 + 9) for n in range(17)]
    load(ARRAYS + HOST.format(1, 1, "".join(units[:16])))
    with pytest.raises(ConfErrors, match="is partition number 17 of HOST h1"):
        load(ARRAYS + HOST.format(1, 1, "".join(units)))


def test_one_secret_for_two_hosts_is_warned_of(folder: Path) -> None:
    host = "HOST {}\n  DATA_PORT = 10.1.1.1:10002(10)\n  SECRET_FILE = {}/{}.key\n"
    same = host.format("a", folder, "host1") + host.format("b", folder, "host1")
    assert "HOST b and HOST a have the same secret" in warnings_of(same)
    assert "secret" not in warnings_of(host.format("a", folder, "host1") + host.format("b", folder, "host2"))


def test_capacity_is_known_only_when_every_size_is() -> None:
    one, two, unknown = (DriveSettings(Path(f"/srv/{n}"), n and n * 100_000 * 512) for n in (1, 2, None))
    assert capacity_most(ArraySettings("a", "jbod", (one, two))) == 300_000
    assert capacity_most(ArraySettings("a", "raid0", (one, two))) == 2 * (100_000 // 128 * 128)
    assert capacity_most(ArraySettings("a", "jbod", (one, unknown))) is None
    assert capacity_most(ArraySettings("a", "jbod", ())) is None
