"""Changes to an nsu.conf: a key set, added or removed; a block added, removed, renamed or moved. A change makes a new
`Document`.

Each change is made in the configobj tree; only the lines it is about differ afterwards. What is added is laid
out as its neighbours are: their indentation, the column of their `=`, their line ends. A comment is removed
only with the block it stands in: words of a person outlive the line below them.

A block is found by its own line and those around it: `("HOST host1", "UNIT unit_1")`. Whether a change makes
sense is not asked here: `save.py` loads the result before it is kept.
"""

from collections.abc import Sequence

from nsu.conf.errors import ChangeRefused
from nsu.conf.lines import BlockLine, KeyLine, Meaning, column_of, indent_of, meaning_of, split_comment
from nsu.conf.syntax import Block, Branch, Document, Tree, carried, is_line, name_of

Where = tuple[str, ...]
Pairs = Sequence[tuple[str, str]]


def find(document: Document, where: Where) -> Block:
    """The block at `where`; raises `ChangeRefused` when there is none."""
    around: Block | Document = document
    for label in where:
        found = next((block for block in around.blocks if block.label == label), None)
        if found is None:
            raise ChangeRefused(f"There is no {label}" + (f" in {around.label}." if isinstance(around, Block) else "."))
        around = found
    assert isinstance(around, Block), "an empty `where` names no block"
    return around


def set_key(document: Document, where: Where, key: str, value: str) -> Document:
    """Give a key its one value: the line is changed, or added when there is none."""
    entries = [entry for entry in find(document, where).entries if entry.key == key]
    if not entries:
        return add_key(document, where, key, value)
    if len(entries) > 1:
        raise ChangeRefused(f"{where[-1]} has {len(entries)} lines of {key}: add or remove one of them.")
    _check(f"{key} = {value}", KeyLine(key, value))
    tree = document.tree()
    _branch(tree, document, where)[name_of(entries[0].line, key)] = value
    return Document.from_tree(tree)


def add_key(document: Document, where: Where, key: str, value: str) -> Document:
    """Add a line `KEY = value`, below those of the same key if there are any."""
    block = find(document, where)
    lines = document.text.split("\n")
    first_block = min((inner.line for inner in block.blocks), default=len(lines) + 1)
    alike = [entry.line for entry in block.entries if entry.key == key]
    above = [entry.line for entry in block.entries if entry.line < first_block]
    after = max(alike or above or [block.line])
    if after == block.line:
        line = f"{_body_indent(block, lines)}{key} = {value}"
    else:
        line = _beside(lines[after - 1], key, value)
    tree = document.tree()
    _put_key(_branch(tree, document, where), f"{after}.001", key, value, line + _line_end(lines))
    return Document.from_tree(tree)


def remove_key(document: Document, where: Where, key: str, value: str | None = None) -> Document:
    """Remove the lines of a key; with `value`, only those with that value."""
    doomed = [entry for entry in find(document, where).entries if entry.key == key and value in (None, entry.value)]
    if not doomed:
        raise ChangeRefused(f"{where[-1]} has no {key}" + (f" = {value}." if value else "."))
    tree = document.tree()
    branch = _branch(tree, document, where)
    for entry in doomed:
        _drop(tree, branch, entry.line, entry.key)
    return Document.from_tree(tree)


def add_block(document: Document, where: Where, label: str, pairs: Pairs) -> Document:
    """Add a block with its keys inside the one at `where` (empty: at the outermost level).

    It goes below the last of its kind, so the units a host has already keep their numbers (Appendix D numbers
    them in the order of the file).
    """
    parent = find(document, where) if where else None
    kind, _, name = label.partition(" ")
    _check(label, BlockLine(kind, name))
    siblings = parent.blocks if parent else document.blocks
    if label in (block.label for block in siblings):
        raise ChangeRefused(f"There is a {label} already.")
    lines = document.text.split("\n")
    after = _place_of(kind, parent, siblings, lines)
    outer = _body_indent(parent, lines) if parent else ""
    inner = next((_body_indent(block, lines) for block in siblings if block.kind == kind), outer + _indent_unit(lines))
    tree = document.tree()
    if parent is None and after:
        tree.final_comment.append(carried(f"{after}.001", _line_end(lines)))
    _put_block(_branch(tree, document, where), after, outer + label, inner, pairs, _line_end(lines))
    return Document.from_tree(tree)


def remove_block(document: Document, where: Where) -> Document:
    """Remove a block with all that is in it."""
    block = find(document, where)
    tree = document.tree()
    _drop(tree, _branch(tree, document, where[:-1]), block.line, block.label)
    return _ended_as(document, Document.from_tree(tree))


def rename_block(document: Document, where: Where, name: str) -> Document:
    """Give a block another name; its line keeps its layout and its comment."""
    block = find(document, where)
    around = find(document, where[:-1]).blocks if where[:-1] else document.blocks
    label = f"{block.kind} {name}"
    if label in (other.label for other in around):
        raise ChangeRefused(f"There is a {label} already.")
    lines = document.text.split("\n")
    code, comment = split_comment(lines[block.line - 1])
    head, old, tail = code.rpartition(block.name)
    assert old, lines[block.line - 1]
    lines[block.line - 1] = _checked_line(head + name + tail + comment, BlockLine(block.kind, name))
    return Document("\n".join(lines))


def move_block(document: Document, where: Where, into: Where) -> Document:
    """Move a block, with its comments, into the one at `into` (empty: to the outermost level), below the last of its
    kind there.
    """
    block = find(document, where)
    lines = document.text.split("\n")
    end = _end_of(block, lines)
    moved = lines[block.line - 1 : end]
    rest = Document("\n".join(lines[: block.line - 1] + lines[end:]))
    parent = find(rest, into) if into else None
    siblings = parent.blocks if parent else rest.blocks
    if block.label in (other.label for other in siblings):
        raise ChangeRefused(f"There is a {block.label} already" + (f" in {into[-1]}." if into else "."))
    lines = rest.text.split("\n")
    after = _place_of(block.kind, parent, siblings, lines)
    was, now = indent_of(moved[0]), _body_indent(parent, lines) if parent else ""
    moved = [now + (line.removeprefix(was) if line.startswith(was) else line.lstrip(" \t")) for line in moved]
    gap = [] if parent or not after else [_line_end(lines)]
    return _ended_as(document, Document("\n".join(lines[:after] + gap + moved + lines[after:])))


def _ended_as(before: Document, after: Document) -> Document:
    """Take away the blank lines that stood between what is gone and what was above it, when the file now ends so."""
    lines, was = after.text.split("\n"), before.text.split("\n")
    if was[-1] == "" and "".join(was[-2:]).strip():
        while len(lines) > 2 and lines[-1] == "" and not lines[-2].strip():
            del lines[-2]
    return Document("\n".join(lines))


def _branch(tree: Tree, document: Document, where: Where) -> Branch:
    branch: Branch = tree
    for depth, label in enumerate(where, 1):
        branch = branch[name_of(find(document, where[:depth]).line, label)]
    return branch


def _put_key(branch: Branch, serial: str, key: str, value: str, line: str) -> None:
    _check(line, KeyLine(key, value))
    name = name_of(serial, key)
    branch[name] = value
    branch.comments[name] = [carried(serial, line)]


def _put_block(branch: Branch, after: int, header: str, indent: str, pairs: Pairs, line_end: str) -> None:
    serial = f"{after}.002"
    name = name_of(serial, header.strip())
    branch[name] = {}
    branch.comments[name] = [carried(serial, header + line_end)]
    width = max((len(key) for key, _ in pairs), default=0)
    for number, (key, value) in enumerate(pairs, 3):
        line = f"{indent}{key:{width}} = {value}{line_end}"
        _put_key(branch[name], f"{after}.{number:03d}", key, value, line)


def _drop(tree: Tree, branch: Branch, line: int, rest: str) -> None:
    """Take an entry out of the tree; the comments above it stay in the file."""
    name = name_of(line, rest)
    tree.final_comment.extend(comment for comment in branch.comments[name] if not is_line(comment, line))
    del branch[name]


def _check(line: str, meant: Meaning) -> None:
    """A line that would be read as something else than was meant is not written."""
    if "\n" in line or meaning_of(line) != meant:
        raise ChangeRefused(f"{line.strip()!r} cannot be written: it would not be read back as that.")


def _checked_line(line: str, meant: Meaning) -> str:
    _check(line, meant)
    return line


def _place_of(kind: str, parent: Block | None, siblings: Sequence[Block], lines: Sequence[str]) -> int:
    """The number of the line below which a new block goes."""
    alike = [block for block in siblings if block.kind == kind]
    if alike:
        return _end_of(alike[-1], lines)
    if parent is not None:
        return _end_of(parent, lines)
    return max((number for number, line in enumerate(lines, 1) if line.strip()), default=0)


def _end_of(block: Block, lines: Sequence[str]) -> int:
    """The last line of a block, with the comments right below it that are indented as if they were inside."""
    end = max(
        [
            block.line,
            *(entry.line for entry in block.entries),
            *(_end_of(inner, lines) for inner in block.blocks),
        ]
    )
    column = column_of(lines[block.line - 1])
    while end < len(lines) and lines[end].strip() and meaning_of(lines[end]) is None and column_of(lines[end]) > column:
        end += 1
    return end


def _beside(neighbour: str, key: str, value: str) -> str:
    """A key line with its `=` below the neighbour's, if the key is not too long for that."""
    column = len(neighbour.partition("=")[0])
    start = indent_of(neighbour) + key
    return f"{start.ljust(column)}= {value}" if len(start) < column else f"{start} = {value}"


def _body_indent(block: Block, lines: Sequence[str]) -> str:
    inside = [entry.line for entry in block.entries] + [inner.line for inner in block.blocks]
    if inside:
        return indent_of(lines[min(inside) - 1])
    return indent_of(lines[block.line - 1]) + _indent_unit(lines)


def _indent_unit(lines: Sequence[str]) -> str:
    first = next((line for line in lines if indent_of(line) and meaning_of(line)), "")
    return "\t" if first.startswith("\t") else "  "


def _line_end(lines: Sequence[str]) -> str:
    return "\r" if lines[0].endswith("\r") else ""
