"""Proves that who uses a partition keeps it, that nothing written is cut off, and that --force can overrule both."""

import pytest

from nsu.partitions.facts import Facts
from nsu.partitions.guards import Refusal, refusals_of
from nsu.partitions.size import Size
from nsu.partitions.verbs import Creation, Grant, chown, create, delete, rename, resize, set_access, set_zero, unassign
from nsu.partitions.view import partitions_of
from tests.nsu.partitions.conftest import CONF, facts, uuid

V1_ALONE = {"host1": 1, "host2": 1}


def refusals(old: str, new: str, known: Facts | None = None, versions: dict[str, int] | None = None) -> list[Refusal]:
    found = refusals_of(partitions_of(old), partitions_of(new), known or facts(), versions=versions or {"host1": 2})
    return list(found)


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (delete(CONF, "first"), "taken away"),
        (unassign(CONF, "first", facts=facts()), "taken away"),
        (chown(CONF, "first", "host2", facts()), "taken away"),
        (rename(CONF, "first", "new", facts()), "renamed"),
        (set_access(CONF, "first", read_only=True), "read-only"),
        (CONF.replace("HOST host1", "HOST host9"), "taken away"),
    ],
)
def test_what_is_in_use_stays(new: str, words: str) -> None:
    refusal = refusals(CONF, new)[0]
    assert refusal.can_force
    assert f"host1/first is in use by host1, and would be {words}" in refusal.sentence
    assert "nsu detach first" in refusal.sentence
    assert refusals(CONF, new, facts(sessions={})) == [], "nobody is logged in"
    assert refusals(CONF, new, facts(attached={"host1": frozenset()})) == [], "it is detached there"
    assert words in refusals(CONF, new, facts(attached={"host1": None}))[0].sentence, (
        "a host that does not say may use all"
    )


def test_growing_and_what_concerns_others_is_never_refused() -> None:
    assert refusals(CONF, resize(CONF, "second", Size.parse("+1MiB"), facts())) == []
    assert refusals(CONF, create(CONF, Creation("data", Size.parse("1MiB"), grants=[Grant("host1")]), facts())) == []
    assert refusals(CONF, delete(CONF, "second")) == [], "host1 says that it uses the first only"


def test_nothing_is_shrunk_below_what_was_written() -> None:
    smaller = resize(CONF, "second", Size.parse("1MiB"), facts())
    (unknown,) = refusals(CONF, smaller)
    assert "nobody here knows what is on its end" in unknown.sentence
    (written,) = refusals(CONF, smaller, facts(written={uuid(102): 2049}))
    assert "it was written up to 1 MiB (2049 blocks)" in written.sentence
    assert unknown.can_force
    assert refusals(CONF, smaller, facts(written={uuid(102): 2048})) == []


def test_other_blocks_and_other_zeros_take_a_word() -> None:
    (moved,) = refusals(CONF, CONF.replace("unit0(0,2047)", "unit0(10000,12047)"))
    (zeroed,) = refusals(CONF, set_zero(CONF, "first", zero=True))
    (shown,) = refusals(CONF, set_zero(CONF, "second", zero=False))
    assert all(each.can_force for each in (moved, zeroed, shown))
    assert "perhaps another's data" in shown.sentence


def test_what_the_running_server_does_not_have_cannot_be_forced() -> None:
    beyond, new_array = CONF.replace("unit0(2048,6143)", "unit0(2048,40000)"), CONF.replace("unit0(2", "unit1(2")
    for text, words in ((beyond, "ends beyond unit0, whose last block is 32767"), (new_array, "unit1 is new")):
        last = refusals(CONF, text)[-1]
        assert words in last.sentence
        assert not last.can_force
        assert all(words not in each.sentence for each in refusals(CONF, text, facts(runs=False)))


def test_0x01_finds_no_other_unit_under_a_number() -> None:
    v1 = facts(sessions={"host1": 1}, attached={"host1": frozenset()})
    (refusal,) = refusals(CONF, delete(CONF, "first"), v1, V1_ALONE)
    assert "host1/second would be number 0 instead of 1" in refusal.sentence
    assert "knows units by their number alone" in refusal.sentence
    assert refusals(CONF, delete(CONF, "second"), v1, V1_ALONE) == [], "the last one leaves no gap"
    assert refusals(CONF, delete(CONF, "first"), facts(sessions={}), V1_ALONE) == []


def test_0x02_shows_a_disk_anew_under_another_number_so_one_in_use_keeps_its_own() -> None:
    (refusal,) = refusals(CONF, delete(CONF, "first"), facts(attached={"host1": frozenset({"second"})}))
    assert "its disk there would begin anew" in refusal.sentence
    assert refusals(CONF, delete(CONF, "first"), facts(attached={"host1": frozenset()})) == []
