#!/usr/bin/env python3
"""Print docs/protocol/v1.md and v2.md from the declarations of protocol/.

    python docs/build_protocol_pages.py            writes both pages
    python docs/build_protocol_pages.py --check    exit status 1 when a page is not current

Field tables come from the construct declarations, pictures from the state tables, operations, flags, details
and bounds from their tables; "obeyed at" is every place in the tree whose text quotes that step of
Appendix D. What is prose here is only what no declaration can say.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from protocol import limits, path_login, versions  # noqa: E402 - the tree must be found first
from protocol.events import Notice  # noqa: E402
from protocol.ops import OP_MEANINGS, Flag  # noqa: E402
from protocol.records import UnitFlag  # noqa: E402
from protocol.states import CONFIG_HOST, CONFIG_SERVER, DATA, Happening  # noqa: E402
from protocol.status import DETAILS, Detail, Status  # noqa: E402
from protocol.v1 import layout as v1_layout  # noqa: E402
from protocol.v2 import config, data, layout, login  # noqa: E402

PAGES = ROOT / "docs" / "protocol"
ROOMS = ("protocol", "serverside", "hostside", "nsu")
GENERATED = "<!-- Printed by docs/build_protocol_pages.py from the declarations: change those, not this. -->"

STEPS = {
    1: "The host connects to the configuration port from a privileged port.",
    2: "Port 1024 up: the NSU closes. Else it sends Z_GET_VERSION: mask in `zn_version`, a number in `zn_reqsz_lo`.",
    3: "The host replies with the highest version both have and the number's 1's complement, or closes and tells.",
    4: "No reply within five seconds: the NSU closes.",
    5: "The NSU answers status 0, or -1 and closes.",
    6: "The host may ask Z_GET_STARTTIME.",
    7: "The NSU answers with an opaque cookie that changes exactly when the configuration does.",
    8: "The host asks Z_GET_CAPACITIES.",
    9: "The NSU answers with the number of units, then 8 bytes for each: its capacity in bytes.",
    10: "The host asks Z_GET_DATAPORT.",
    11: "The NSU answers with the number of data ports, then 28 bytes for each.",
    12: "The NSU listens on those ports.",
    13: "The host connects as often as it likes, up to `max_connections` of a port.",
    14: "On each data socket the host first sends the number of step 2 in `zn_reqsz_lo`.",
    15: "The NSU answers status 0, or -1.",
    16: "Requests and answers flow.",
}

NOTES = {
    1: "Each data port takes requests for any unit.",
    2: "When the configuration socket closes, the NSU closes every data socket of that host.",
    3: "When nsu.conf changes, the NSU closes the configuration sockets of changed hosts; 0x02 pushes a notice.",
}

ERRATA = (
    "**Short reads.** Appendices A and B read once and call a short count an error; TCP delivers parts of a header "
    "all the time. Here 512 bytes are collected, under a deadline.",
    "**`sizeof(pointer)`.** `read(fd, nrpp, sizeof(nrpp))` reads 8 bytes and compares with 512; Appendix B answers "
    "on `s-box.socket_fd`, the wrong end. Not followed.",
    "**Lost framing.** Both listings `continue` after a bad header or a failed transfer and leave the payload in "
    "the stream, where the next 512 bytes of a user's data are taken for a request. Here a frame in doubt closes "
    "the socket, and the payload of a refused write whose size is certain is read to its end. Version 0x02 adds a "
    "random marker and a header CRC.",
    "**Sizes.** Section II splits above 64 KB, Appendix C allows 128 KB, the listings hold 128 KiB. Here a host "
    "splits at 65536 bytes and an NSU takes 131072. Nothing is allocated by an unchecked length; every list has its"
    " bound.",
    '**High words "not yet used".** Ignoring `zn_lba_hi` would send a write past 2 TiB to a wrong place. Here they '
    "must be 0 in version 0x01, or the request is refused; version 0x02 uses them.",
    "**Data after an error.** On error no data follows the answer. The host checks status, unit, operation, size "
    "and request id against the request that is due before it reads a byte.",
    "**`z_get_dataport_t`.** Its union has members of 4 and 16 bytes; the record is 28 bytes for either family.",
)

V1_TROUBLE = (
    ("Unit that does not exist", "ENXIO", "goes on; a write's payload is drained"),
    ("Size 0, unaligned, over 131072, or past the end", "EINVAL", "goes on; a write's payload is drained"),
    ("Write to a read-only unit", "EROFS", "goes on; the payload is drained"),
    ("`zn_lba_hi` not 0; `zn_reqsz_hi` not 0 in a read", "EINVAL", "goes on; a write's payload is drained"),
    ("`zn_reqsz_hi` not 0 in a write", "EINVAL", "closes: nobody knows how much follows"),
    ("Unknown operation", "EINVAL", "goes on when the size is 0, else closes"),
    ("`zn_type` or `zn_version` not 1", "EINVAL", "closes"),
    ("Wrong complement (step 3), wrong token (step 14)", "-1", "closes"),
    ("Unknown question on the configuration socket", "none", "closes"),
)

V2_TROUBLE = (
    ("Header CRC, session, epoch, path, marker or sequence wrong", "none", "closes"),
    ("Generation of the unit is another", "ESTALE", "goes on; a write's payload is drained"),
    ("Write of more than 32 bits of size; unknown operation with a size", "EINVAL", "closes"),
    ("Unknown question on the configuration socket", "EINVAL", "goes on"),
    ("Proof does not fit, or login unknown: one sentence for both", "-1", "closes"),
)


def table(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    """Give a Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def fields(struct: Any) -> str:
    """Give the OFFSET/SIZE/FIELD/MEANING table of a construct declaration."""
    rows, offset = [], 0
    for field in struct.subcons:
        rows.append((offset, field.sizeof(), f"`{field.name}`", field.docs))
        offset += field.sizeof()
    return table(("offset", "size", "field", "meaning"), rows)


def picture(states: dict[Any, dict[Happening, Any]]) -> str:
    """Give a state table as a Mermaid diagram, then what its states mean."""
    first = next(iter(states))
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first.name}"]
    for state, moves in states.items():
        lines += [f"    {state.name} --> {after.name}: {event.value}" for event, after in moves.items()]
        if not moves:
            lines.append(f"    {state.name} --> [*]")
    lines.append("```")
    return "\n".join([*lines, "", *(f"- `{state.name}`: {state.value}." for state in states)])


def operations(version: int) -> str:
    """Give the operations a version has."""
    rows = [(f"0x{op:x}", f"`{op.name}`", text) for op, (since, text) in OP_MEANINGS.items() if since <= version]
    return table(("zn_op", "name", "meaning"), rows)


def details() -> str:
    """Give the table of detail numbers."""
    rows = []
    for detail in Detail:
        status, sentence = DETAILS[detail]
        number = "0xFFFFFFFF (-1)" if status is Status.REFUSED else f"{status.name} {int(status)}"
        rows.append((int(detail), f"`{detail.name}`", number, sentence))
    return table(("zn_flags", "detail", "zn_status", "sentence"), rows)


def bounds() -> str:
    """Give the numbers of limits.py with their reasons."""
    tree = ast.parse(Path(limits.__file__).read_text())
    rows = []
    for node, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr):
            assert isinstance(node.target, ast.Name)
            assert isinstance(after.value, ast.Constant)
            name = node.target.id
            rows.append((f"`{name}`", getattr(limits, name), " ".join(str(after.value.value).split())))
    return table(("bound", "value", "reason"), rows)


def numbers(members: Iterable[Any]) -> str:
    """Give the members of an enumeration in one line."""
    return ", ".join(f"`{member.name}` 0x{member.value:x}" for member in members)


def places(path: Path) -> Iterator[tuple[str, str]]:
    """Give name and text of each function of a file, comments included, and of each docstring around them."""
    source = path.read_text()
    lines, module = source.splitlines(), ast.parse(source)
    yield "", ast.get_docstring(module) or ""
    for node in module.body:
        prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        if isinstance(node, ast.ClassDef):
            yield node.name, ast.get_docstring(node) or ""
        for item in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(item, ast.FunctionDef):
                yield prefix + item.name, "\n".join(lines[item.lineno - 1 : item.end_lineno])


def cited(text: str) -> Iterator[str]:
    """Give the steps ("3") and notes ("note 3") of Appendix D that a text names, in each of our ways."""
    number = r"\(?\d+\)?"
    for match in re.finditer(rf"Appendix D,? (note )?(?:steps? )?({number}(?:(?:, | and | to ){number})*)", text):
        for first, last in re.findall(r"(\d+)(?:\)? to \(?(\d+))?", match[2]):
            for found in range(int(first), int(last or first) + 1):
                yield f"{match[1] or ''}{found}"


@cache
def obeyed() -> dict[str, list[str]]:
    """Give, for each step and note of Appendix D, the places that quote it."""
    found: dict[str, list[str]] = {}
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        for name, text in places(path):
            for key in sorted(set(cited(text))):
                found.setdefault(key, []).append(f"`{path.relative_to(ROOT)}` {name}".rstrip())
    return found


def steps() -> str:
    """Give the sixteen steps and three notes with the places that obey them."""
    found = obeyed()
    rows = [(f"({step})", text, "<br>".join(found.get(str(step), []))) for step, text in STEPS.items()]
    for note, text in NOTES.items():
        rows.append((f"note ({note})", text, "<br>".join(found.get(f"note {note}", []))))
    return table(("step", "what happens", "obeyed at"), rows)


def quoted(module: Any) -> str:
    """Give a module's docstring but its first line, as it stands, drawings and all."""
    text = str(module.__doc__).partition("\n")[2].strip("\n")
    return f"```text\n{text}\n```"


def first_page() -> str:
    """Give docs/protocol/v1.md."""
    parts = [
        GENERATED,
        "# Version 0x01: the patent's protocol",
        "This is the protocol of WO 02/15018, Appendices C and D, to the byte. **It protects nobody:** the "
        "reply of step 3 can be computed by anybody, the token of step 14 is sent in clear. It is spoken only "
        "with hosts whose entry has no secret, and never offered to others.",
        "All numbers are big-endian; data is sent as it is. A data socket has one request on its way.",
        "## The structure: `znreq_t`, `znres_t`",
        fields(v1_layout.ZNREQ),
        "## The data port: `z_get_dataport_t`",
        fields(v1_layout.Z_GET_DATAPORT),
        "## Operations",
        operations(1),
        "## The configuration socket and the login of a data socket, step by step",
        steps(),
        "## States",
        f"### Configuration socket, NSU\n\n{picture(CONFIG_SERVER)}",
        f"### Configuration socket, host\n\n{picture(CONFIG_HOST)}",
        f"### Data socket, both ends\n\n{picture(DATA)}",
        "## What a bad message gets",
        "A refused request costs its sender an error and nothing else, as long as it is certain how many "
        "bytes follow it. A frame in doubt closes the socket.",
        table(("message", "answer", "socket"), V1_TROUBLE),
        "## Status and detail",
        "`zn_status` is an errno number with its Linux value on every platform; `zn_flags` of a failed answer "
        "is the detail number.",
        details(),
        f"## Bounds and timers\n\n{bounds()}",
        "## Errata: where the patent's text is wrong or unsafe",
        "\n".join(f"{number}. {text}" for number, text in enumerate(ERRATA, start=1)),
    ]
    return "\n\n".join(parts) + "\n"


def second_page() -> str:
    """Give docs/protocol/v2.md."""
    parts = [
        GENERATED,
        "# Version 0x02",
        "The same 512-byte header and the same order of steps as [version 0x01](v1.md), with both sides "
        "proven, many requests on their way on a socket, 64 bits for sizes and blocks, and checksums.",
        "## The header",
        fields(layout.HEADER),
        f"Flags of a request: {numbers(Flag)}.",
        "## Operations",
        operations(2),
        "READ and WRITE move at most 131072 bytes. TRIM and WRITE ZEROES may be as large as the unit. FLUSH "
        "covers the whole unit, whatever range it names; PING needs no unit.",
        f"## Choosing the version\n\n{quoted(versions)}",
        f"## The login\n\n{quoted(login)}",
        f"## The configuration socket\n\n{quoted(config)}",
        f"### The unit record of Z_GET_UNITS\n\n{fields(layout.UNIT_RECORD)}",
        f"Flags: {numbers(UnitFlag)}. Notices: {numbers(Notice)}.",
        "The states of both kinds of socket are those of [version 0x01](v1.md#states).",
        f"## The login of a data socket\n\n{quoted(path_login)}",
        f"## The data socket\n\n{quoted(data)}",
        "## What a bad message gets",
        "As in version 0x01, and:",
        table(("message", "answer", "socket"), V2_TROUBLE),
        "Each failed answer has a sentence in `text`; without one of its own it is that of the "
        "[table of details](v1.md#status-and-detail). [Bounds and timers](v1.md#bounds-and-timers) are the same.",
    ]
    return "\n\n".join(parts) + "\n"


def pages() -> dict[Path, str]:
    """Give both pages by their places."""
    return {PAGES / "v1.md": first_page(), PAGES / "v2.md": second_page()}


def main() -> int:
    """Write the pages, or say which is not current."""
    parser = argparse.ArgumentParser(description="Print the protocol pages from the declarations.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a page is stale")
    check = parser.parse_args().check
    stale = {path: text for path, text in pages().items() if not path.exists() or path.read_text() != text}
    for path, text in stale.items():
        if check:
            print(f"{path.relative_to(ROOT)} is stale: run python docs/build_protocol_pages.py")
        else:
            path.write_text(text)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
