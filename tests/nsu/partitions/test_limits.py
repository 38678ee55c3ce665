"""Proves that the hundredth partition and a host's sixteenth can be had, and one more can't."""

from nsu.partitions.limits import limits_broken
from tests.nsu.partitions.conftest import CONF


def units(count: int, first: int = 6144) -> str:
    return "".join(f"  UNIT u{n}\n    LBA = unit0({first + n},{first + n})\n" for n in range(count))


def test_a_host_has_sixteen_at_most() -> None:
    assert list(limits_broken(CONF + units(15), more=1, hosts=["host2"])) == []
    (sentence,) = limits_broken(CONF + units(16), more=1, hosts=["host1", "host2"])
    assert sentence == "host2 has 16 partitions, the most a host has: unassign one first"


def test_an_nsu_has_a_hundred_at_most() -> None:
    assert list(limits_broken(CONF + units(97), more=1, hosts=[])) == []
    assert list(limits_broken(CONF + units(98), more=0, hosts=[])) == []
    (sentence,) = limits_broken(CONF + units(98), more=1, hosts=[])
    assert "100 partitions" in sentence
