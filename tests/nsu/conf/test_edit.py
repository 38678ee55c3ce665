"""Proves that a change touches the lines it is about and no other, and looks as if a careful person had made it."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsu.conf.edit import (
    Where,
    add_block,
    add_key,
    find,
    move_block,
    remove_block,
    remove_key,
    rename_block,
    set_key,
)
from nsu.conf.errors import ChangeRefused
from nsu.conf.syntax import Document
from tests.nsu.conf.conftest import APPENDIX_D, ARRAYS

TEXT = """\
# our hosts
HOST host1   # the first
  # the fast network
  DATA_PORT    = 10.1.1.1:10002(10)   # ten
  DATA_PORT    = 10.1.2.1:10002(12)

  UNIT unit_1
    LBA = unit0(0,99)
    # ACCESS = read-only

# those of the cellar
SERVER box2
\tADDRESS=10.1.1.1

# the end"""
HOST: Where = ("HOST host1",)
UNIT: Where = ("HOST host1", "UNIT unit_1")


def changed(before: str, after: Document) -> str:
    """What a change did, as lines that went (-) and came (+)."""
    old, new = before.split("\n"), after.text.split("\n")
    start = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    most = min(len(old), len(new)) - start
    end = next((i for i in range(most) if old[-1 - i] != new[-1 - i]), most)
    return "\n".join(
        [f"-{line}" for line in old[start : len(old) - end]] + [f"+{line}" for line in new[start : len(new) - end]]
    )


def test_set_changes_one_line_and_keeps_its_comment() -> None:
    text = TEXT.replace("LBA = unit0(0,99)", "LBA   = unit0(0,99)      # a hundred")
    after = set_key(Document(text), UNIT, "LBA", "unit0(0,1999)")
    assert changed(text, after) == (
        "-    LBA   = unit0(0,99)      # a hundred\n+    LBA   = unit0(0,1999)    # a hundred"
    )


def test_set_adds_what_is_not_there() -> None:
    after = set_key(Document(TEXT), UNIT, "ACCESS", "read-only")
    assert changed(TEXT, after) == "+    ACCESS = read-only"
    assert find(after, UNIT).entries[1].line == 9, "right below the last key"


def test_add_goes_below_its_like_and_into_its_column() -> None:
    assert changed(TEXT, add_key(Document(TEXT), HOST, "DATA_PORT", "10.1.3.1:10002(1)")) == (
        "+  DATA_PORT    = 10.1.3.1:10002(1)"
    )
    assert changed(TEXT, add_key(Document(TEXT), HOST, "ADDRESS", "10.1.1.20")) == "+  ADDRESS      = 10.1.1.20"
    assert changed(TEXT, add_key(Document(TEXT), HOST, "A_VERY_LONG_KEY", "1")) == "+  A_VERY_LONG_KEY = 1"
    assert changed(TEXT, add_key(Document(TEXT), ("SERVER box2",), "LOGIN", "me")) == "+\tLOGIN  = me"


def test_a_repeated_key_goes_below_its_like_though_others_follow() -> None:
    text = "HOST a\n  DATA_PORT = 1\n  ADDRESS = 2\n"
    assert add_key(Document(text), ("HOST a",), "DATA_PORT", "3").text == (
        "HOST a\n  DATA_PORT = 1\n  DATA_PORT = 3\n  ADDRESS = 2\n"
    )


def test_keys_are_added_above_inner_blocks() -> None:
    text = "HOST a\n    UNIT u\n        LBA = 1\n"
    assert add_key(Document(text), ("HOST a",), "ADDRESS", "::1").text == (
        "HOST a\n    ADDRESS = ::1\n    UNIT u\n        LBA = 1\n"
    )


def test_remove_takes_the_line_and_leaves_the_comments() -> None:
    document = Document(TEXT)
    assert changed(TEXT, remove_key(document, HOST, "DATA_PORT", "10.1.1.1:10002(10)")) == (
        "-  DATA_PORT    = 10.1.1.1:10002(10)   # ten"
    )
    both = remove_key(document, HOST, "DATA_PORT")
    assert both.blocks[0].entries == ()
    assert "  # the fast network\n\n  UNIT" in both.text


def test_a_new_unit_goes_below_the_others_so_that_their_numbers_stay() -> None:
    after = add_block(Document(TEXT), HOST, "UNIT unit_2", [("LBA", "unit0(100,199)"), ("ACCESS", "read-only")])
    assert changed(TEXT, after) == "+  UNIT unit_2\n+    LBA    = unit0(100,199)\n+    ACCESS = read-only"
    assert [unit.name for unit in find(after, HOST).blocks] == ["unit_1", "unit_2"]
    assert "    # ACCESS = read-only\n  UNIT unit_2\n" in after.text, "below the comment that is unit_1's"


def test_a_new_block_stands_apart_below_the_last_of_its_kind() -> None:
    after = add_block(Document(TEXT), (), "HOST host2", [("DATA_PORT", "10.1.1.1:10002(1)")])
    block = "HOST host2\n  DATA_PORT = 10.1.1.1:10002(1)\n\n"
    assert after.text == TEXT.replace("# those of the cellar", block + "# those of the cellar")
    assert [block.label for block in after.blocks] == ["HOST host1", "HOST host2", "SERVER box2"]
    host = add_block(Document(ARRAYS), (), "HOST h", [("ADDRESS", "::1")])
    assert host.text == ARRAYS + "\nHOST h\n  ADDRESS = ::1\n"
    assert add_block(Document(""), (), "HOST h", []).text == "HOST h\n"
    assert add_block(Document("# x"), (), "HOST h", []).text == "# x\n\nHOST h"


def test_remove_block_takes_what_is_in_it_and_nothing_else() -> None:
    assert changed(TEXT, remove_block(Document(TEXT), UNIT)) == "-  UNIT unit_1\n-    LBA = unit0(0,99)"
    gone = remove_block(Document(TEXT), HOST)
    assert gone.text.startswith("# our hosts\n    # ACCESS = read-only\n\n# those of the cellar\nSERVER box2\n")


def test_crlf_files_stay_crlf() -> None:
    text = APPENDIX_D.replace("\n", "\r\n")
    document = add_block(Document(text), HOST, "UNIT unit_4", [("LBA", "unit0(0,1)")])
    document = add_key(document, HOST, "ADDRESS", "10.1.1.20")
    document = set_key(document, UNIT, "LBA", "unit0(7,8)")
    assert document.text.count("\n") == document.text.count("\r\n") == text.count("\n") + 3
    assert document.problems == ()


@pytest.mark.parametrize("value", ["", "a\nHOST evil", "a # b", '"a"', " a", "a\r", "a\tb", "# a", "a\x00"])
def test_what_would_not_be_read_back_is_not_written(value: str) -> None:
    for key in ("LBA", "NEW"):
        with pytest.raises(ChangeRefused):
            set_key(Document(TEXT), UNIT, key, value)
    with pytest.raises(ChangeRefused):
        add_block(Document(TEXT), HOST, "UNIT unit_2", [("LBA", value)])
    with pytest.raises(ChangeRefused):
        add_block(Document(TEXT), HOST, f"UNIT {value}x y", [])


def test_what_is_not_there_is_named() -> None:
    document = Document(TEXT)
    changes: list[tuple[str, Callable[[], Document]]] = [
        (r"There is no UNIT x in HOST host1\.", lambda: set_key(document, ("HOST host1", "UNIT x"), "A", "1")),
        (r"There is no HOST x\.", lambda: remove_block(document, ("HOST x",))),
        (r"HOST host1 has no ADDRESS\.", lambda: remove_key(document, HOST, "ADDRESS")),
        (r"has no DATA_PORT = 1\.", lambda: remove_key(document, HOST, "DATA_PORT", "1")),
        (r"has 2 lines of DATA_PORT", lambda: set_key(document, HOST, "DATA_PORT", "1")),
        (r"There is a UNIT unit_1 already\.", lambda: add_block(document, HOST, "UNIT unit_1", [])),
    ]
    for sentence, change in changes:
        with pytest.raises(ChangeRefused, match=sentence):
            change()


@given(st.text(alphabet="ab01(),.:/'[]%$=# \t", min_size=1).map(str.strip))
def test_a_value_that_was_set_is_read_back_and_setting_it_back_restores_every_byte(value: str) -> None:
    try:
        after = set_key(Document(TEXT), UNIT, "LBA", value)
    except ChangeRefused:
        return
    assert find(after, UNIT).entries[0].value == value
    assert set_key(after, UNIT, "LBA", "unit0(0,99)").text == TEXT


TWO = TEXT.replace("# those of", "HOST host2\n\tDATA_PORT = 10.1.1.1:10002(10)\n\n# those of")


def test_a_block_is_renamed_on_its_line_alone() -> None:
    text = TEXT.replace("UNIT unit_1", "UNIT   unit_1   # unit_1 is old")
    after = rename_block(Document(text), UNIT, "unit_2")
    assert changed(text, after) == "-  UNIT   unit_1   # unit_1 is old\n+  UNIT   unit_2   # unit_1 is old"
    with pytest.raises(ChangeRefused, match="There is a HOST host2 already"):
        rename_block(Document(TWO), HOST, "host2")
    with pytest.raises(ChangeRefused, match="would not be read back"):
        rename_block(Document(TEXT), UNIT, "two words")


def test_a_block_moves_with_its_comments_and_is_indented_as_its_new_neighbours() -> None:
    after = move_block(Document(TWO), UNIT, ("HOST host2",))
    moved = "\tUNIT unit_1\n\t  LBA = unit0(0,99)\n\t  # ACCESS = read-only\n"
    assert moved in after.text
    assert find(after, ("HOST host2", "UNIT unit_1")).entries[0].value == "unit0(0,99)"
    assert sorted(line.strip() for line in after.text.split("\n")) == sorted(line.strip() for line in TWO.split("\n"))
    assert not after.problems
    with pytest.raises(ChangeRefused, match="There is a UNIT unit_1 already in HOST host2"):
        move_block(
            Document(after.text.replace("HOST host1", "HOST host1\n  UNIT unit_1\n    LBA = a(0,1)")),
            UNIT,
            ("HOST host2",),
        )


def test_a_block_moves_out_of_all_others_and_back() -> None:
    out = move_block(Document(TEXT), UNIT, ())
    assert out.text.endswith("# the end\n\nUNIT unit_1\n  LBA = unit0(0,99)\n  # ACCESS = read-only")
    back = move_block(out, ("UNIT unit_1",), HOST)
    assert find(back, UNIT).entries[0].value == "unit0(0,99)"
    assert not back.problems


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_what_is_added_and_removed_or_moved_back_leaves_no_blank_line(line_end: str) -> None:
    text = TEXT.replace("\n\n# the end", "\n").replace("\n", line_end)
    added = add_block(Document(text), (), "UNIT new", [("LBA", "unit0(200,299)")])
    assert remove_block(added, ("UNIT new",)).text == text
    out = move_block(Document(text), UNIT, ())
    assert move_block(out, ("UNIT unit_1",), HOST).text.split() == text.split()
    assert not move_block(out, ("UNIT unit_1",), HOST).text.endswith(line_end * 2)
    blank = text + line_end
    assert remove_block(add_block(Document(blank), (), "UNIT new", []), ("UNIT new",)).text.endswith(line_end * 2)
