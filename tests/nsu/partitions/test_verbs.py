"""Proves that each verb changes the lines it is about and no others, keeps the UUID, and refuses nonsense."""

from collections.abc import Callable
from difflib import unified_diff
from pathlib import Path

import pytest

from nsu.conf.load import load_text
from nsu.partitions.errors import Refused
from nsu.partitions.facts import NO_FACTS
from nsu.partitions.size import Size
from nsu.partitions.verbs import (
    Creation,
    Grant,
    assign,
    chown,
    create,
    delete,
    rename,
    resize,
    set_access,
    set_zero,
    share,
    unassign,
)
from nsu.partitions.view import find, partitions_of
from tests.nsu.conf.conftest import no_name
from tests.nsu.partitions.conftest import CONF, facts, uuid

MIB = Size.parse("1MiB")
READER, WRITER = Grant("host2", read_only=True), Grant("host2")


def changed(old: str, new: str) -> list[str]:
    """The lines that went and came, without their indentation."""
    load_text(new, Path("nsu.conf"), resolve=no_name)
    lines = list(unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0))[2:]
    return [line[0] + " ".join(line[1:].split()) for line in lines if line[0] in "+-"]


# -- create and delete


def test_a_new_partition_is_zeroed_and_has_a_uuid() -> None:
    new = create(CONF, Creation("data", MIB, grants=[READER, Grant("host1")]), facts())
    lba, mark = "+LBA = unit0(6144,8191)", f"+UUID = {uuid(1)}"
    assert changed(CONF, new) == [
        *["+UNIT data", lba, "+ACCESS = read-write", "+ZERO = yes", mark],
        *["+UNIT data", lba, "+ACCESS = read-only", "+ZERO = yes", mark],
    ]
    assert find(new, "data").hosts == ("host1", "host2")


def test_without_hosts_it_is_nobodys() -> None:
    new = create(CONF, Creation("data", Size.parse("100%"), zero=False), facts())
    assert changed(CONF, new) == [
        "+",
        "+UNIT data",
        "+LBA = unit0(6144,32767)",
        "+ACCESS = read-write",
        f"+UUID = {uuid(1)}",
    ]
    assert find(new, "data").hosts == ()


def test_the_space_of_a_deleted_one_is_used_again_where_it_fits_best() -> None:
    text = create(CONF, Creation("a", Size.parse("3MiB")), facts())
    text = create(text, Creation("b", MIB), facts())
    text = delete(delete(text, "a"), "first")
    assert find(create(text, Creation("small", MIB), facts()), "small").range.first_lba == 0
    assert find(create(text, Creation("larger", Size.parse("2MiB")), facts()), "larger").range.first_lba == 6144


def test_delete_takes_the_block_with_what_is_in_it_and_nothing_else() -> None:
    assert changed(CONF, delete(CONF, "first")) == ["-UNIT first", "-# do not touch", "-LBA = unit0(0,2047) # 1 MiB"]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (
            Creation("data", Size.parse("14MiB")),
            "no free piece of 14 MiB: 13 MiB are free, and the largest piece has 13",
        ),
        (Creation("data", MIB, "unit7"), "there is no ARRAY unit7; there are: unit0"),
        (Creation("no name", MIB), "a name is up to"),
        (Creation("data", MIB, grants=[Grant("host7")]), "there is no HOST host7 in nsu.conf; there are: host1, host2"),
        (Creation("first", MIB, grants=[Grant("host1")]), "There is a UNIT first already"),
        (Creation("data", MIB, grants=[Grant("host1"), WRITER]), "only one host may write a partition"),
        (Creation("data", Size.parse("+1MiB")), "leave out the"),
    ],
)
def test_what_cannot_be_created(wanted: Creation, words: str) -> None:
    with pytest.raises(Refused, match=words):
        create(CONF, wanted, facts())


def test_all_reasons_are_told_at_once() -> None:
    with pytest.raises(Refused) as refused:
        create(CONF, Creation("no name", MIB, grants=[Grant("host7"), Grant("host8")]), facts())
    assert len(refused.value.sentences) == 4


def test_which_array_has_to_be_said_when_there_are_two() -> None:
    two = CONF.replace("ARRAY unit0", "ARRAY unit1\n  DRIVE = /srv/b(1MiB)\n\nARRAY unit0")
    with pytest.raises(Refused, match="say which array: unit1, unit0"):
        create(two, Creation("data", MIB), NO_FACTS)
    assert find(create(two, Creation("data", MIB, "unit1"), NO_FACTS), "data").range.array == "unit1"


# -- resize


def test_a_partition_grows_and_shrinks_where_it_is() -> None:
    assert changed(CONF, resize(CONF, "second", Size.parse("+1MiB"), facts())) == [
        "-LBA = unit0(2048,6143)",
        "+LBA = unit0(2048,8191)",
    ]
    assert find(resize(CONF, "second", Size.parse("+100%"), facts()), "second").range.last_lba == 32767
    assert find(resize(CONF, "second", MIB, facts()), "second").blocks == 2048


def test_every_host_of_a_shared_one_sees_it_grow() -> None:
    text = resize(share(CONF, "second", READER, facts=facts()), "second", Size.parse("4MiB"), facts())
    assert [(each.blocks, each.hosts) for each in partitions_of(text)][1:] == [(8192, ("host1", "host2"))]


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("first", "2MiB", "nothing is free behind it; for more, create another partition"),
        ("second", "20MiB", "13 MiB are free behind it: it can grow to 15 MiB"),
        ("second", "2MiB", "has 2 MiB already"),
        ("first", "+100%", "nothing is free behind it"),
        ("second", "50%", r"\+50%"),
    ],
)
def test_what_cannot_be_resized(name: str, size: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        resize(CONF, name, Size.parse(size), facts())


# -- who has it


def test_a_partition_goes_to_another_host_with_its_comments_and_its_uuid() -> None:
    new = chown(CONF, "first", "host2", facts())
    block = ["UNIT first", "# do not touch", "LBA = unit0(0,2047) # 1 MiB"]
    assert changed(CONF, new) == [
        *(f"-{line}" for line in block),
        *(f"+{line}" for line in block),
        f"+UUID = {uuid(101)}",
    ]
    assert find(new, "first").hosts == ("host2",)


def test_it_becomes_nobodys_and_somebodys_again() -> None:
    free = unassign(CONF, "second", facts=facts())
    assert (find(free, "second").hosts, find(free, "second").uuid) == ((), uuid(102))
    back = assign(free, "second", READER, facts())
    assert (find(back, "second").hosts, find(back, "second").writers) == (("host2",), ())
    assert find(back, "second").uuid == uuid(102)
    assert changed(CONF, back)


def test_rights_differ_by_host_and_one_writes() -> None:
    text = share(CONF, "second", READER, facts=facts())
    assert find(text, "second").writers == ("host1",)
    assert find(text, "second").uuid == uuid(102), "both are the partition that STATE knows"
    with pytest.raises(Refused, match="only one host may write"):
        set_access(text, "second", read_only=False, host="host2")
    with pytest.raises(Refused, match="say for which host"):
        set_access(text, "second", read_only=True)
    text = set_access(text, "second", read_only=True, host="host1")
    text = set_access(text, "second", read_only=False, host="host2")
    assert find(text, "second").writers == ("host2",)


def test_several_write_when_it_is_said() -> None:
    with pytest.raises(Refused, match="--shared-write"):
        share(CONF, "second", WRITER, facts=facts())
    text = share(CONF, "second", WRITER, shared_write=True, facts=facts())
    assert text.count("SHARED_WRITE = yes") == 2, "each of them says so"
    assert find(text, "second").writers == ("host1", "host2")
    again = set_access(
        share(CONF, "second", READER, facts=facts()), "second", read_only=False, host="host2", shared_write=True
    )
    assert again.count("SHARED_WRITE = yes") == 2
    assert changed(CONF, text)


def test_a_sharer_leaves_and_the_last_one_leaves_it_to_nobody() -> None:
    text = share(CONF, "second", WRITER, shared_write=True, new_name="theirs", facts=facts())
    assert find(unassign(text, "second", "host1"), "theirs").hosts == ("host2",)
    alone = unassign(text, "second", facts=facts())
    assert find(alone, "second").hosts == ()
    assert "SHARED_WRITE" not in alone
    assert changed(CONF, alone)


def test_a_name_is_changed_at_every_host_or_at_one() -> None:
    text = share(CONF, "second", READER, facts=facts())
    assert [use.title for use in find(rename(text, "second", "new", facts()), "new").uses] == ["host1/new", "host2/new"]
    one = rename(text, "host2/second", "new", facts())
    assert [use.title for use in find(one, "new").uses] == ["host1/second", "host2/new"]
    assert find(rename(CONF, "first", "new", facts()), "new").uuid == uuid(101)
    assert "+UNIT new" in changed(CONF, rename(CONF, "first", "new", facts()))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: assign(CONF, "first", WRITER, facts()), "belongs to host1: share it with host2, or chown it"),
        (lambda: chown(CONF, "first", "host1", facts()), "is host1's already"),
        (lambda: chown(CONF, "first", "host7", facts()), "there is no HOST host7"),
        (lambda: chown(unassign(CONF, "first"), "first", "host2"), "is nobody's: assign it"),
        (lambda: chown(share(CONF, "first", READER), "first", "host2"), "is shared by host1 and host2"),
        (lambda: unassign(CONF, "first", "host2", facts()), "host1/first is not host2's"),
        (lambda: unassign(unassign(CONF, "first"), "first"), "is nobody's already"),
        (lambda: share(CONF, "first", Grant("host1", read_only=True), facts=facts()), "host1 has host1/first already"),
        (lambda: rename(CONF, "first", "second", facts()), "There is a UNIT second already"),
        (lambda: rename(CONF, "first", "a/b", facts()), "a name is"),
        (lambda: set_access(CONF, "first", read_only=True, host="host2"), "belongs to host1"),
    ],
)
def test_what_makes_no_sense_is_refused(call: Callable[[], str], words: str) -> None:
    with pytest.raises(Refused, match=words):
        call()


def test_zeros_are_switched_for_all_who_share() -> None:
    text = share(CONF, "first", READER, facts=facts())
    assert all(use.zero for use in find(set_zero(text, "first", zero=True), "first").uses)
    assert not find(set_zero(text, "second", zero=False), "second").zero
