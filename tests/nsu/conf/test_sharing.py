"""Proves that blocks are shared on purpose or not at all, by comparing the sweep with every pair of ranges."""

from itertools import combinations
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from nsu.conf.errors import ConfErrors, Findings
from nsu.conf.sharing import Cut, capacity_most, check_cuts
from nsu.conf.values import LbaRange
from serverside.settings import ArraySettings, DriveSettings
from tests.nsu.conf.conftest import ARRAYS, warnings_of

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
    cuts = [Cut(f"HOST h{n}", "UNIT u", n, LbaRange("unit0", *span), False) for n, span in enumerate(spans)]
    overlap = any(a != b and a[0] <= b[1] and b[0] <= a[1] for a, b in combinations(spans, 2))
    assert is_refused(cuts) == overlap


def test_sharing_is_warned_of_only_when_both_write() -> None:
    two = ARRAYS + "".join(
        f"HOST h{n}\n  ADDRESS = 10.1.1.2{n}\n  DATA_PORT = 10.1.1.1:10002(10)\n  UNIT u\n    LBA = unit0(0,9)\n"
        for n in (1, 2)
    )
    assert "is written by more than one host" in warnings_of(two)
    assert "is written by" not in warnings_of(two + "    ACCESS = read-only\n")


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
