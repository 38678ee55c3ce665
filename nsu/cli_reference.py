"""The reference page of the command line, printed from click's own declarations in `cli.py`.

`python -m nsu.cli_reference FOLDER` prints it into the project's folder; a test asserts that it is current. The page
is made of what `--help` is made of, not of its text, whose lines depend on the terminal.
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from ipc.exits import Exit
from nsu.cli import main as nsu

PAGE_PATH = Path("docs/reference/cli.md")

_HEAD = """\
# The command line

Printed from the declarations in `nsu/cli.py`: change those, then `python -m nsu.cli_reference .`

Everything starts with `nsu`; `nsu --help` and `nsu VERB --help` say in short what this page says.

"""

_EXITS = f"""\
## Exit status

| status | meaning |
|---|---|
| {int(Exit.OK)} | good |
| {int(Exit.FAILED)} | failed: a sentence on standard error says what is wrong, and what would be right |
| {int(Exit.MISUSE)} | wrong use: no such verb, option or value |
"""


def reference_page() -> str:
    """Give the page, in Markdown."""
    verbs = every_verb()
    overview = [f"| [`nsu {verb.name}`](#nsu-{verb.name}) | {_first_line(verb)} |" for verb in verbs]
    lines = ["| verb | what it does |", "|---|---|", *overview, "", *_options_of(nsu)]
    for verb in verbs:
        lines += _section(verb, f"nsu {verb.name}")
        for inner in verb.commands.values() if isinstance(verb, click.Group) else ():
            lines += _section(inner, f"nsu {verb.name} {inner.name}")
    return _HEAD + "\n".join(lines) + "\n" + _EXITS


def every_verb() -> list[click.Command]:
    """Give the verbs, by name."""
    context = click.Context(nsu)
    found = [nsu.get_command(context, name) for name in nsu.list_commands(context)]
    return [verb for verb in found if verb is not None]


def _section(verb: click.Command, words: str) -> Iterator[str]:
    yield f"## {words}"
    yield ""
    yield "```"
    yield " ".join([words, *(_usage(parameter) for parameter in verb.params)])
    yield "```"
    yield ""
    yield from inspect.cleandoc(verb.help or "").splitlines()
    yield ""
    yield from _options_of(verb)


def _usage(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        name = (parameter.name or "").upper()
        return name if parameter.required else f"[{name}]"
    value = f" {_value(parameter)}" if _value(parameter) else ""
    return f"[{parameter.opts[0]}{value}]"


def _options_of(verb: click.Command) -> Iterator[str]:
    yield "| option | value | default | meaning |"
    yield "|---|---|---|---|"
    above = None if verb is nsu else click.Context(nsu, **nsu.context_settings)
    for option in verb.get_params(click.Context(verb, parent=above, **verb.context_settings)):
        if isinstance(option, click.Option):
            names = ", ".join(f"`{name}`" for name in option.opts)
            yield f"| {names} | {_cell(_value(option))} | {_default(option)} | {_cell(option.help or '')} |"
    yield ""


def _value(option: click.Parameter) -> str:
    """Give what follows the option; empty for a flag."""
    if isinstance(option, click.Option) and option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return "|".join(map(str, option.type.choices))
    if isinstance(option.type, click.Path):
        return "FILE"
    return option.type.name.upper().removesuffix(" RANGE")


def _default(option: click.Option) -> str:
    """Give what is taken when it is not said; newer versions of click have a mark of their own for nothing."""
    default = option.default
    return "" if option.is_flag or default is None or type(default).__name__ == "Sentinel" else f"`{default}`"


def _first_line(verb: click.Command) -> str:
    return _cell(inspect.cleandoc(verb.help or "").partition("\n")[0])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(folder: Path) -> None:
    """Print the page into the project's folder."""
    (folder / PAGE_PATH).parent.mkdir(parents=True, exist_ok=True)
    (folder / PAGE_PATH).write_text(reference_page(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
