"""One line of nsu.conf: what it means, and how it is laid out again when its value changes.

The grammar is Appendix D's, which shows it by its sample only; what the sample leaves open is fixed here:

    BLOCK name          two words                          HOST host1
    KEY = value         the first `=` divides              DATA_PORT    = 10.1.1.1:10002(10)
    # comment           at the start, or after a blank     LBA = unit0(0,99)   # the first hundred blocks

Blanks are spaces and tabs (a tab reaches to the next multiple of eight columns). A carriage return at the end
of a line is a blank, so files with CRLF load. There are no quotation marks and no escapes: a value is what
stands there. Nothing here knows which blocks and keys exist (`keys.py`) or how lines nest (`syntax.py`).
"""

import re
from dataclasses import dataclass

BLANKS = " \t\r"
_COMMENT = re.compile(r"(?:^|(?<=[ \t]))#")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_NOT_IN_NAMES = frozenset("[]'\",")
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class KeyLine:
    """`KEY = value`."""

    key: str
    value: str


@dataclass(frozen=True, slots=True)
class BlockLine:
    """`BLOCK name`."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Broken:
    """A line that is none of the three."""

    subject: str
    """What the error speaks of: the key, or the start of the line."""
    wrong: str
    right: str
    opens: bool = False
    """It looks like a block, so what is indented below it is no error of its own."""


Meaning = KeyLine | BlockLine | Broken | None


def meaning_of(text: str) -> Meaning:
    """What one line says; None: nothing (blank or comment). Never raises."""
    code = split_comment(text)[0].strip(BLANKS)
    if not code:
        return None
    subject = code.partition("=")[0].strip(BLANKS)[:_SHOWN_CHARACTERS] or code[:_SHOWN_CHARACTERS]
    subject = "".join(c if c.isprintable() else "?" for c in subject)
    foreign = next((c for c in code if not c.isprintable() and c != "\t"), None)
    if foreign is not None:
        return Broken(
            subject,
            f"holds the character U+{ord(foreign):04X}, which cannot be printed",
            "letters, digits and signs that can be seen; blanks are spaces or tabs",
            "=" not in code,
        )
    if '"' in code:
        return Broken(subject, "quotation marks are not used here", "write the value as it is, without them")
    return _key_line(code, subject) if "=" in code else _block_line(code)


def split_comment(text: str) -> tuple[str, str]:
    """The line in two: what it says, and its comment with the `#`; joined they are the line."""
    found = _COMMENT.search(text)
    return (text, "") if found is None else (text[: found.start()], text[found.start() :])


def column_of(text: str) -> int:
    """How far the line is indented, in columns; a tab reaches to the next multiple of eight."""
    return len(indent_of(text).expandtabs(8))


def indent_of(text: str) -> str:
    """The blanks the line begins with."""
    return text[: len(text) - len(text.lstrip(" \t"))]


def with_value(text: str, value: str) -> str:
    """The key line `text` with another value: indentation, spacing and comment stay, its column too if there
    is room.
    """
    code, comment = split_comment(text)
    head, divider, tail = code.partition("=")
    assert divider, text
    before = tail[: len(tail) - len(tail.lstrip(BLANKS))]
    old = tail.strip(BLANKS)
    after = tail[len(before) + len(old) :]
    if comment:
        gap = len(after) + len(old) - len(value)
        after = after if len(value) == len(old) else " " * max(gap, 1)
    return head + divider + before + value + after + comment


def _key_line(code: str, subject: str) -> KeyLine | Broken:
    key, _, value = code.partition("=")
    key, value = key.strip(BLANKS), value.strip(BLANKS)
    if not _WORD.fullmatch(key):
        return Broken(subject, "is not the name of a key", "KEY = value, with a key of letters and underscores")
    if not value:
        return Broken(key, "has no value", f"{key} = value, or leave the line out")
    if "\t" in value:
        return Broken(key, "has a tab inside its value", "spaces within a value, or none")
    return KeyLine(key, value)


def _block_line(code: str) -> BlockLine | Broken:
    words = code.split()
    right = "a line is `BLOCK name`, `KEY = value` or `# comment`"
    if len(words) == 1:
        return Broken(words[0][:_SHOWN_CHARACTERS], "is a line of one word", right, opens=True)
    if len(words) > 2:
        return Broken(words[0][:_SHOWN_CHARACTERS], "has more than one name and no `=`", right, opens=True)
    kind, name = words
    if not _WORD.fullmatch(kind):
        return Broken(kind[:_SHOWN_CHARACTERS], "is neither a block nor a key", right, opens=True)
    if _NOT_IN_NAMES & set(name):
        return Broken(
            kind,
            f"cannot be named {name[:_SHOWN_CHARACTERS]}",
            "a name without brackets, commas and quotation marks; a key has a `=`",
            opens=True,
        )
    return BlockLine(kind, name)
