"""Reads the keys of one block by their declarations, and finds what does not belong there."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Generic, TypeVar

from nsu.conf.errors import Findings
from nsu.conf.keys import BLOCKS, KEYS, BlockKind, Key, keys_of
from nsu.conf.secrets import NextSecret, read_next, read_secret
from nsu.conf.syntax import Block
from nsu.conf.values import ValueType, ValueWrong

T = TypeVar("T")

_KEY_NAMES = frozenset(key.name for key in KEYS)


@dataclass(frozen=True, slots=True)
class Given(Generic[T]):
    """A value and the line it was given on; a default has the block's own line."""

    line: int
    value: T


class BlockReader:
    """One block, read key by key. Wrong values become errors, and the reading goes on without them."""

    def __init__(self, block: Block, findings: Findings) -> None:
        self.block = block
        self._findings = findings
        self._check_keys()

    def many(self, key: Key[T], same: Callable[[T], object] = lambda value: value) -> tuple[Given[T], ...]:
        """All good values of a repeatable key; two for which `same` answers alike are an error."""
        given = [
            Given(entry.line, value)
            for entry in self.block.entries
            if entry.key == key.name
            for value in _read(key.type, entry.value, entry.line, key.name, self._findings)
        ]
        seen: dict[object, int] = {}
        for item in given:
            first = seen.setdefault(same(item.value), item.line)
            if first != item.line:
                self._findings.error(item.line, key.name, f"is the same as on line {first}", "give it once")
        return tuple(given)

    def one(self, key: Key[T]) -> Given[T] | None:
        """The value of a key that may be absent; None also when it is wrong."""
        entry = next((entry for entry in self.block.entries if entry.key == key.name), None)
        if entry is None:
            return None
        values = _read(key.type, entry.value, entry.line, key.name, self._findings)
        return Given(entry.line, values[0]) if values else None

    def one_or_default(self, key: Key[T]) -> T:
        """The value of a key with a default; the default also when what is given is wrong."""
        given = self.one(key)
        return default_of(key) if given is None else given.value

    def secret(self, key: Key[Path]) -> bytes | None:
        """The secret in the file a key names; None: no key, or a file that cannot be used, which is an
        error.
        """
        given = self.one(key)
        if given is None:
            return None
        try:
            return read_secret(given.value)
        except ValueWrong as error:
            self._findings.error(given.line, key.name, error.wrong, error.right)
            return None

    def next_secret(self, key: Key[Path]) -> NextSecret | None:
        """What is to follow the secret, in a file beside its own; None: no rotation is open, or an error was found."""
        given = self.one(key)
        try:
            return None if given is None else read_next(given.value)
        except ValueWrong as error:
            assert given is not None
            self._findings.error(given.line, key.name, error.wrong, error.right)
            return None

    def has(self, key: Key[T]) -> bool:
        """Is the key given at all, rightly or wrongly?"""
        return any(entry.key == key.name for entry in self.block.entries)

    def _check_keys(self) -> None:
        declared = {key.name: key for key in keys_of(self.block.kind)}
        meant = set(declared) & {entry.key for entry in self.block.entries}
        # `DRIVE /dev/sdb`, without its `=`, looks like a block.
        meant |= {block.kind for block in self.block.blocks}
        meant |= {key for key in declared if self._findings.is_spoilt(self.block.line, key)}
        for entry in self.block.entries:
            if entry.key not in declared:
                near, right = _right_key(entry.key, self.block.kind)
                meant.add(near)
                self._findings.error(entry.line, entry.key, f"is not a key of {self.block.kind}", right)
        for key in declared.values():
            if not key.repeatable:
                self._check_once(key)
            # A slip in a required key's name is one error, not two.
            if key.required and key.name not in meant:
                wrong = f"is missing in {self.block.label}"
                self._findings.error(self.block.line, key.name, wrong, f"{key.name} = {key.example[0]}, for example")

    def _check_once(self, key: Key[object]) -> None:
        entries = [entry for entry in self.block.entries if entry.key == key.name]
        for entry in entries[1:]:
            wrong = f"was given on line {entries[0].line} already"
            self._findings.error(entry.line, key.name, wrong, "it has one value: remove one of the lines")


def default_of(key: Key[T]) -> T:
    """The value of a key nobody gave."""
    assert key.default is not None, key.name
    return key.type.read(key.default)


def check_names(blocks: Sequence[Block], name_type: ValueType[str], findings: Findings) -> None:
    """Names of blocks that stand beside each other: well formed, and no two of one kind the same."""
    seen: dict[str, int] = {}
    for block in blocks:
        _read(name_type, block.name, block.line, block.kind, findings)
        first = seen.setdefault(block.label, block.line)
        if first != block.line:
            findings.error(
                block.line,
                block.kind,
                f"{block.name} is the name of the {block.kind} on line {first} already",
                "give each its own name",
            )


def check_kinds(blocks: Iterable[Block], inside: str, findings: Findings) -> None:
    """Blocks that stand where they cannot, or that do not exist; `inside` is the kind of block around
    them.
    """
    kinds = {kind.name: kind for kind in BLOCKS}
    for block in blocks:
        kind = kinds.get(block.kind)
        if kind is None and block.kind in _KEY_NAMES:
            right = f"{block.kind} = {block.name}" + _where_keys(block.kind, inside)
            findings.error(block.line, block.kind, "is a key, and has no `=`", right)
        elif kind is None:
            findings.error(block.line, block.kind, "is not a kind of block", _right_kind(block.kind))
        elif kind.inside != inside and not (inside == "" and _may_be_outermost(kind, block)):
            where = f"inside {inside}" if inside else "outside any block"
            findings.error(block.line, block.kind, f"stands {where}", _right_place(kind))
        else:
            check_kinds(block.blocks, block.kind, findings)


def _may_be_outermost(kind: BlockKind, block: Block) -> bool:
    return any(entry.key == kind.outermost_with for entry in block.entries)


def _read(kind: ValueType[T], text: str, line: int, key: str, findings: Findings) -> list[T]:
    try:
        return [kind.read(text)]
    except ValueWrong as error:
        findings.error(line, key, error.wrong, error.right or kind.right)
        return []


def _right_place(kind: BlockKind) -> str:
    if kind.inside:
        return f"indent it below the {kind.inside} it belongs to"
    return f"begin the line of {kind.name} without indentation"


def _where_keys(key: str, inside: str) -> str:
    """Where a key stands that is not one of `inside`; empty when it is one."""
    kinds = sorted({known.block for known in KEYS if known.name == key})
    return "" if inside in kinds else f", in {' or '.join(kinds)}"


def meant_kind(word: str) -> str:
    """The kind of block that a word is or nearly is; empty when it is like none."""
    near = get_close_matches(word.upper(), [kind.name for kind in BLOCKS], n=1)
    return near[0] if near else ""


def _right_kind(wrong: str) -> str:
    near = meant_kind(wrong)
    return f"did you mean {near}?" if near else "the blocks are " + ", ".join(kind.name for kind in BLOCKS)


def _right_key(wrong: str, block: str) -> tuple[str, str]:
    """The key that was meant (empty: none is near), and what would be right."""
    elsewhere = sorted({key.block for key in KEYS if key.name == wrong})
    if elsewhere:
        return "", f"it is a key of {' and '.join(elsewhere)}"
    names = [key.name for key in keys_of(block)]
    near = get_close_matches(wrong.upper(), names, n=1)
    if near:
        return near[0], f"did you mean {near[0]}?"
    return "", f"the keys of {block} are " + ", ".join(names)
