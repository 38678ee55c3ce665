"""The sample file and the reference page, printed from the declarations in `keys.py`.

`python -m nsu.conf.reference FOLDER` prints both into the project's folder; a test asserts that they are
current.
"""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from nsu.conf.keys import BLOCKS, BlockKind, Key, keys_of

SAMPLE_PATH = Path("etc/nsu.conf")
PAGE_PATH = Path("docs/reference/nsu.conf.md")
_SAMPLE_COLUMNS = 100

_SAMPLE_HEAD = """\
# The configuration of one machine: an NSU (block server), a host that uses NSUs, or both.
# Lines are `BLOCK name`, `KEY = value` or `# comment`; indentation says what belongs to which block.
# Lines that are commented out show the default, or an example where there is none.
# Check a change with `nsu check`; run the machine with `nsu run`. All keys: docs/reference/nsu.conf.md
"""

_PAGE_HEAD = """\
# nsu.conf

One file, `/etc/nsu.conf`, says what roles a machine has: NSU (it serves blocks), host (it uses them), or
both. `nsu check` tells whether it is good, and names every error with its file, line and key.

The syntax is that of patent WO 02/15018, Appendix D:

- A line is `BLOCK name`, `KEY = value` or `# comment`. A comment may also follow a blank at the end of a
  line.
- Indentation, by spaces or tabs (a tab reaches to the next multiple of eight), says what belongs to a block.
  How deep is free; the lines of one block are indented alike.
- A value is written as it is: there are no quotation marks and no escapes.
- A key that is marked "repeatable" may stand on several lines; their order counts.
- The file is UTF-8. Lines may end as on Unix or as on Windows.

`nsu check` also looks at the machine: is there a folder for each drive that is to be made, may the user who
asks write where disks are shown, has the machine the addresses of the ports. A running server does not: a good
file is good for it.

## When a change takes effect

A running server looks at the file every second, and at once on SIGHUP (to the supervisor, `nsu run`). A bad file
changes nothing; it is told in the foreground and by `nsu status`, with the lines, and the settings before it stay in
force. `nsu apply` and `nsu partition` say beforehand what a change means, and wait until it is in force.

| what changes | when |
|---|---|
| HOST blocks with all that is in them, UNITs too; `PRIVILEGED_PORT` | at once; only the hosts it concerns notice |
| `DATA_PORT` of a HOST, `LISTEN` | at once; paths over other ports go on (0x01 is cut off for a moment) |
| ARRAY blocks, `CONFIG_PORT`, the name of NSU | at the next start of `nsu run`; until then a warning |
| SERVER and DISK blocks: all of the host role | at the next start of `nsu run`; until then a warning |
| MACHINE: its name, `STATE`, `WEB` with its certificate | at the next start of `nsu run`; until then a warning |
| INTERFACE blocks | at the next start of `nsu run`, which takes no address away; `nsu configure` sets them at once |
| the contents of a `SECRET_FILE` of a HOST | at once by `nsu key`; by hand, once nsu.conf is touched after it |
| the contents of a `SECRET_FILE` of a SERVER | at the next login |

"""


def sample_text() -> str:
    """The commented sample, `etc/nsu.conf`."""
    blocks = (_sample_block(kind, "") for kind in BLOCKS if not kind.inside)
    return "\n".join([_SAMPLE_HEAD, *("\n".join(block) + "\n" for block in blocks)])


def reference_page() -> str:
    """The reference page, in Markdown."""
    sections = "\n".join("\n".join(_page_block(kind)) + "\n" for kind in BLOCKS)
    return f"{_PAGE_HEAD}{sections}\n## A sample\n\n```\n{sample_text()}```\n"


def _sample_block(kind: BlockKind, indent: str) -> Iterator[str]:
    yield from _comment(kind.sentence, indent)
    yield f"{indent}{kind.name} {kind.example}"
    for key in keys_of(kind.name):
        yield from _sample_key(key, indent + "  ")
    for inner in BLOCKS:
        if inner.inside == kind.name:
            yield ""
            yield from _sample_block(inner, indent + "  ")


def _sample_key(key: Key[object], indent: str) -> Iterator[str]:
    yield ""
    default = f" Default: {_default_words(key)}." if _default_words(key) else ""
    repeated = " May be repeated." if key.repeatable else ""
    yield from _comment(key.sentence, indent)
    yield from _comment(f"Value: {key.type.right}.{repeated}{default}", indent)
    mark = "" if key.required or key.in_use else "# "
    for value in key.example if mark == "" or key.default is None else (key.default,):
        yield f"{indent}{mark}{key.name} = {value}"


def _page_block(kind: BlockKind) -> Iterator[str]:
    yield f"## {kind.name}" + (f" (in {kind.inside})" if kind.inside else "")
    yield ""
    yield kind.sentence + (" One in a file at most." if kind.once else "")
    yield ""
    yield "| key | value | default | meaning |"
    yield "|---|---|---|---|"
    for key in keys_of(kind.name):
        repeatable = ", repeatable" if key.repeatable else ""
        default = "required" if key.required else _default_words(key)
        yield f"| `{key.name}` | {_cell(key.type.right)}{repeatable} | {default} | {_cell(key.sentence)} |"


def _default_words(key: Key[object]) -> str:
    return key.default_words if key.default is None else key.default


def _comment(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text,
        _SAMPLE_COLUMNS,
        initial_indent=f"{indent}# ",
        subsequent_indent=f"{indent}# ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def main(folder: Path) -> None:
    """Print both into the project's folder."""
    for path, text in ((SAMPLE_PATH, sample_text()), (PAGE_PATH, reference_page())):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
