"""Proves what single lines mean, and that a changed value leaves the rest of its line where it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsu.conf.lines import BlockLine, Broken, KeyLine, column_of, meaning_of, split_comment, with_value


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("", None),
        (" \t\r", None),
        ("  # LBA = unit0(0,1)", None),
        ("HOST host1", BlockLine("HOST", "host1")),
        ("\tUNIT\tunit_1\t# ours\r", BlockLine("UNIT", "unit_1")),
        ("HOST fe80::1", BlockLine("HOST", "fe80::1")),
        ("  LBA=unit0(0,1)", KeyLine("LBA", "unit0(0,1)")),
        ("  LBA \t= unit0(0,1)  # first", KeyLine("LBA", "unit0(0,1)")),
        ("DRIVE = /srv/a=b#c d.img", KeyLine("DRIVE", "/srv/a=b#c d.img")),
    ],
)
def test_good_lines(text: str, meaning: KeyLine | BlockLine | None) -> None:
    assert meaning_of(text) == meaning


@pytest.mark.parametrize(
    ("text", "wrong", "opens"),
    [
        ("HOST", "is a line of one word", True),
        ("HOST a b", "has more than one name and no `=`", True),
        ("HOST [a]", "cannot be named [a]", True),
        ("= 3", "is not the name of a key", False),
        ("LBA =   # later", "has no value", False),
        ('NAME = "x"', "quotation marks are not used here", False),
        ("LBA = unit0(0,\t1)", "has a tab inside its value", False),
        ("LBA = unit0(0,1)\x00", "holds the character U+0000, which cannot be printed", False),
        ("HOST\xa0x", "holds the character U+00A0, which cannot be printed", True),
    ],
)
def test_broken_lines(text: str, wrong: str, opens: bool) -> None:
    meaning = meaning_of(text)
    assert isinstance(meaning, Broken)
    assert (meaning.wrong, meaning.opens) == (wrong, opens)


def test_a_tab_reaches_to_the_next_multiple_of_eight() -> None:
    assert [column_of(text) for text in ("x", "  x", "\tx", "   \tx", "\t x")] == [0, 2, 8, 8, 9]


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        ("  PORT    = 1 \r", "22", "  PORT    = 22 \r"),
        ("\tPORT=1", "22", "\tPORT=22"),
        ("  PORT = 1      # why", "10001", "  PORT = 10001  # why"),
        ("  PORT = 10001  # why", "1", "  PORT = 1      # why"),
        ("  PORT = 1 # why", "10001", "  PORT = 10001 # why"),
    ],
)
def test_a_new_value_keeps_the_layout(before: str, value: str, after: str) -> None:
    assert with_value(before, value) == after


@given(st.text(alphabet=st.sampled_from("HOST k=#\t\r\"\\'[],-\x00ä \n")))
def test_any_line_has_a_meaning_and_its_comment_is_its_end(text: str) -> None:
    meaning_of(text)
    assert "".join(split_comment(text)) == text
