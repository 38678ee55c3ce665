"""The syntax of nsu.conf (Appendix D) turned into configobj's, line by line, and back. The one door to
configobj.

    Appendix D                              configobj
                                            0 syntax = 1
    HOST host1                              #1|HOST host1|
                                            [1 HOST host1]
      # the fast network                    #2|  # the fast network|
      DATA_PORT    = 10.1.1.1:10002(10)     #3|  DATA_PORT    = 10.1.1.1:10002(10)|
                                            3 DATA_PORT = "10.1.1.1:10002(10)"
      UNIT unit_1                           #4|  UNIT unit_1|
                                            [[4 UNIT unit_1]]
        LBA = unit0(0,99)                   #5|    LBA = unit0(0,99)|
                                            5 LBA = "unit0(0,99)"

Rules:
- A name begins with the number of its line. So repeated keys and blocks are distinct for configobj, and the
  order of the file can always be told again, though configobj writes the keys of a section before its
  sub-sections.
- What configobj keeps faithfully, comments, carries what it does not: each line as it was written, layout and
  all. An entry that still says what its line said is written back as that line, to the byte.
- The first entry (`0 syntax`) keeps configobj from taking the first block's comments for the file's.
- A line that cannot be understood is a `Problem` and travels as a comment. So any text at all survives the
  way there and back: `Document(text).text == text`.
- Indentation decides what belongs where. The first line below a block sets the column for the others. Blocks
  nest two deep, as UNIT in HOST does.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from configobj import ConfigObj, Section

from nsu.conf.lines import BlockLine, Broken, KeyLine, column_of, meaning_of, with_value

Tree: TypeAlias = ConfigObj
"""The whole of a document in configobj's hands."""
Branch: TypeAlias = Section
"""The tree, or one block of it."""

_HEADER = "0 syntax = 1"
_DEPTH_MOST = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """A key as it was given."""

    line: int
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Block:
    """A block with its keys and the blocks inside it, each in the order of the file."""

    line: int
    kind: str
    name: str
    entries: tuple[Entry, ...]
    blocks: tuple["Block", ...]

    @property
    def label(self) -> str:
        """The block's own line: `HOST host1`."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that does not follow the syntax."""

    line: int
    subject: str
    wrong: str
    right: str


class Document:
    """The text of an nsu.conf, read. It is never changed: a change makes a new one (`edit.py`)."""

    def __init__(self, text: str) -> None:
        arranger = _Arranger()
        for number, line in enumerate(text.split("\n"), 1):
            arranger.take(number, line)
        self.problems: tuple[Problem, ...] = tuple(arranger.problems)
        self._source = arranger.configobj_lines()
        self.blocks: tuple[Block, ...] = tuple(_blocks_of(self.tree()))

    def tree(self) -> Tree:
        """A fresh configobj tree of the document, to be changed and given to `from_tree`."""
        return ConfigObj(self._source, interpolation=False, raise_errors=True)

    @classmethod
    def from_tree(cls, tree: Tree) -> "Document":
        """The document a (changed) tree stands for."""
        return cls(_text_of(tree))

    @property
    def text(self) -> str:
        """The document as configobj writes it, turned back: byte for byte what was read."""
        return _text_of(self.tree())


def name_of(serial: int | str, rest: str) -> str:
    """The name of an entry in the tree: the number of its line, then `KEY` or `BLOCK name`."""
    return f"{serial} {rest}"


def carried(serial: int | str, line: str) -> str:
    """A line of the file as it travels in a configobj comment; the bars keep blanks at its ends."""
    return f"#{serial}|{line}|"


def is_line(comment: str, serial: int) -> bool:
    """Does this configobj comment carry the line of that number?"""
    return comment.startswith(f"#{serial}|")


# From Appendix D's syntax to configobj's


@dataclass(slots=True)
class _Node:
    label: str
    comments: list[str]
    scalars: list[tuple[list[str], str]] = field(default_factory=list)
    children: list["_Node"] = field(default_factory=list)

    def configobj_lines(self, depth: int) -> Iterator[str]:
        yield from self.comments
        yield "[" * depth + self.label + "]" * depth
        for comments, line in self.scalars:
            yield from comments
            yield line
        for child in self.children:
            yield from child.configobj_lines(depth + 1)


@dataclass(slots=True)
class _Level:
    """A block that is open for lines indented deeper than its own."""

    header_column: int
    node: _Node | None
    """None: the block was refused, and what is inside it is passed over."""
    says: str
    body_column: int | None = None


class _Arranger:
    """Takes the lines one by one and hangs each where its indentation puts it."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._root = _Node("", [])
        self._levels = [_Level(-1, self._root, "the file")]
        self._newest: _Node | None = None
        self._loose: list[str] = []

    def take(self, number: int, line: str) -> None:
        meaning = meaning_of(line)
        self._loose.append(carried(number, line))
        if meaning is None:
            return
        column = column_of(line)
        if isinstance(meaning, Broken):
            self._refuse(number, meaning.subject, meaning.wrong, meaning.right)
            if meaning.opens:
                self._pass_over(column)
            return
        while self._levels[-1].header_column >= column:
            self._levels.pop()
        if self._levels[-1].node is None:
            return
        if isinstance(meaning, KeyLine):
            self._take_key(number, meaning, column)
        else:
            self._take_block(number, meaning, column)

    def configobj_lines(self) -> list[str]:
        lines = [_HEADER]
        for child in self._root.children:
            lines.extend(child.configobj_lines(1))
        return lines + self._loose

    def _take_key(self, number: int, meaning: KeyLine, column: int) -> None:
        level = self._levels[-1]
        node = level.node
        if node is self._root:
            self._refuse(number, meaning.key, "stands outside any block", "indent it below the block it belongs to")
            node = self._newest
        else:
            self._fits(number, meaning.key, column)
        if node is not None:
            line = f'{name_of(number, meaning.key)} = "{meaning.value}"'
            node.scalars.append((self._loosened(), line))

    def _take_block(self, number: int, meaning: BlockLine, column: int) -> None:
        if len(self._levels) > _DEPTH_MOST:
            self._refuse(
                number,
                meaning.kind,
                f"is a block inside {self._levels[-1].says}, which is inside another",
                "blocks nest two deep at most: indent it less; a key has a `=`",
            )
            self._pass_over(column)
        elif self._fits(number, meaning.kind, column):
            label = f"{meaning.kind} {meaning.name}"
            node = _Node(name_of(number, label), self._loosened())
            parent = self._levels[-1].node
            assert parent is not None
            parent.children.append(node)
            self._levels.append(_Level(column, node, label))
            self._newest = node
        else:
            self._pass_over(column)

    def _fits(self, number: int, subject: str, column: int) -> bool:
        level = self._levels[-1]
        if level.body_column is None:
            level.body_column = column
        if column == level.body_column:
            return True
        self._refuse(
            number,
            subject,
            f"is indented by {column} columns, where the lines of {level.says} above are"
            f" indented by {level.body_column}",
            f"indent it by {level.body_column}",
        )
        return False

    def _pass_over(self, column: int) -> None:
        while self._levels[-1].header_column >= column:
            self._levels.pop()
        self._levels.append(_Level(column, None, ""))

    def _refuse(self, number: int, subject: str, wrong: str, right: str) -> None:
        self.problems.append(Problem(number, subject, wrong, right))

    def _loosened(self) -> list[str]:
        loose, self._loose = self._loose, []
        return loose


# From configobj's tree to blocks, and back to text


def _blocks_of(section: Branch) -> Iterator[Block]:
    for name in section.sections:
        line, kind, title = name.split(" ")
        child = section[name]
        yield Block(int(line), kind, title, tuple(_entries_of(child)), tuple(_blocks_of(child)))


def _entries_of(section: Branch) -> Iterator[Entry]:
    for name in section.scalars:
        line, key = name.split(" ")
        yield Entry(int(line), key, section[name])


def _text_of(tree: Tree) -> str:
    lines: dict[float, str] = {}
    values: dict[float, KeyLine] = {}
    for written in tree.write()[1:]:
        if written.startswith("#"):
            serial, _, line = written[1:-1].partition("|")
            lines[float(serial)] = line
        elif not written.startswith("["):
            name, _, value = written.partition(" = ")
            serial, key = name.split(" ")
            values[float(serial)] = KeyLine(key, value.removeprefix('"').removesuffix('"'))
    return "\n".join(_laid_out(lines[serial], values.get(serial)) for serial in sorted(lines))


def _laid_out(line: str, wanted: KeyLine | None) -> str:
    if wanted is None or meaning_of(line) == wanted:
        return line
    return with_value(line, wanted.value)


def same_kind(blocks: Sequence[Block], kind: str) -> tuple[Block, ...]:
    """Those of the blocks that are of one kind, in the order of the file."""
    return tuple(block for block in blocks if block.kind == kind)
