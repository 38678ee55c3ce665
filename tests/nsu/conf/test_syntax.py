"""Proves that any text comes back from configobj byte for byte, and that indentation puts lines where they belong."""

from hypothesis import example, given
from hypothesis import strategies as st

from nsu.conf.syntax import Block, Document, Entry
from tests.nsu.conf.conftest import APPENDIX_D

words = st.sampled_from(["HOST", "UNIT", "LBA", "DATA_PORT", "host1", "x"])
blanks = st.text(alphabet=" \t", min_size=1, max_size=3)
indents = st.sampled_from(["", "  ", "    ", "\t", " "])
comments = st.one_of(st.just(""), st.text(alphabet="# [=]'\"ä|", max_size=8).map(lambda text: " #" + text))
values = st.text(alphabet="ab,()[]'%$#=:/ 0", min_size=1, max_size=12)
key_lines = st.builds("{}{}{}={}{}{}".format, indents, words, blanks, blanks, values, comments)
block_lines = st.builds("{}{}{}{}{}".format, indents, words, blanks, words, comments)
lines = st.one_of(key_lines, key_lines, block_lines, comments, indents, st.text(max_size=12))
texts = st.builds(lambda end, some: end.join(some), st.sampled_from(["\n", "\r\n"]), st.lists(lines, max_size=12))


@given(texts)
@example(APPENDIX_D)
@example("")
@example("\n\n")
@example("HOST a\n  K = ',\n  K = '#'\n  K = [x]\n  K = %(y)s, $z\n")
def test_round_trip_is_byte_identical(text: str) -> None:
    assert Document(text).text == text


@given(st.text())
def test_any_text_comes_back(text: str) -> None:
    assert Document(text).text == text


@given(st.lists(values.map(str.strip).filter(lambda v: v and "#" not in v), min_size=1))
def test_values_arrive_as_they_stand(some: list[str]) -> None:
    document = Document("HOST a\n" + "".join(f"  K = {value}\n" for value in some))
    assert [entry.value for entry in document.blocks[0].entries] == some


def test_appendix_d_is_read_as_it_means() -> None:
    units = tuple(
        Block(line, "UNIT", name, (Entry(line + 1, "LBA", lba),), ())
        for line, name, lba in (
            (4, "unit_1", "unit0(0,25429823)"),
            (6, "unit_2", "unit1(0,1000)"),
            (8, "unit_3", "unit1(1001,25429823)"),
        )
    )
    ports = (Entry(2, "DATA_PORT", "10.1.1.1:10002(10)"), Entry(3, "DATA_PORT", "10.1.2.1:10002(12)"))
    document = Document(APPENDIX_D)
    assert document.problems == ()
    assert document.blocks == (Block(1, "HOST", "host1", ports, units),)


def test_tabs_crlf_and_other_indentation_mean_the_same() -> None:
    plain = Document(APPENDIX_D).blocks
    for other in (
        APPENDIX_D.replace("  ", "\t"),
        APPENDIX_D.replace("\n", "\r\n"),
        "\n".join("      " + line for line in APPENDIX_D.split("\n")),
        APPENDIX_D.replace("    LBA", "       LBA"),
    ):
        document = Document(other)
        assert (document.blocks, document.problems) == (plain, ())


def test_keys_may_follow_inner_blocks() -> None:
    document = Document("HOST a\n  UNIT u\n    LBA = 1\n  # c\n  DATA_PORT = 2\n")
    assert document.blocks[0].entries == (Entry(5, "DATA_PORT", "2"),)
    assert document.text == "HOST a\n  UNIT u\n    LBA = 1\n  # c\n  DATA_PORT = 2\n"


def problems_of(text: str) -> list[tuple[int, str]]:
    return [(problem.line, problem.wrong) for problem in Document(text).problems]


def test_misindented_lines_are_told_and_cost_no_second_error() -> None:
    assert problems_of("HOST a\n  X = 1\n   Y = 2\n Z = 3\n") == [
        (3, "is indented by 3 columns, where the lines of HOST a above are indented by 2"),
        (4, "is indented by 1 columns, where the lines of HOST a above are indented by 2"),
    ]
    assert problems_of("HOST a\nX = 1\n") == [(2, "stands outside any block")]
    assert problems_of("HOST a\n  X = 1\n HOST b\n  X = 1\n") == [
        (3, "is indented by 1 columns, where the lines of HOST a above are indented by 2")
    ]


def test_what_is_below_a_broken_block_is_no_error_of_its_own() -> None:
    assert problems_of("HOST\n  X = 1\n  UNIT u\n    LBA = 2\nHOST b\n") == [(1, "is a line of one word")]


def test_blocks_nest_two_deep() -> None:
    assert problems_of("A a\n  B b\n    C c\n      D d\n        X = 1\n") == [
        (3, "is a block inside B b, which is inside another")
    ]
