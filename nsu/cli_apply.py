"""`nsu apply`, `nsu history` and `nsu rollback`: whole versions of nsu.conf."""

import json
import sys
from datetime import datetime
from difflib import unified_diff
from pathlib import Path

import click
from rich.console import Console

from nsu.cli_base import ConfCommand, conf_option, fail, json_option, running_state_or_exit
from nsu.cli_change import change, echo, force_option, yes_option
from nsu.conf.load import read_text
from nsu.history import History, Version
from nsu.partitions.apply import Ground
from nsu.partitions.errors import Refused
from nsu.show import add_row, plain_table


@click.command("apply")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@yes_option
@force_option
@conf_option
@json_option
def apply_file(file: Path, yes: bool, force: bool, conf_path: Path, as_json: bool) -> None:
    """Bring FILE into force, all of it or nothing.

    Shows the difference, says whom it disturbs, asks, and comes back when the running server goes by it. FILE is
    copied; - is standard input.
    """

    def make(at: Ground) -> str:
        new = sys.stdin.read() if str(file) == "-" else read_text(file)
        if not as_json:
            show_difference(at.text, new)
        return new

    if str(file) == "-" and not yes:
        fail("standard input is FILE, so nobody can be asked there: say --yes")
    change(conf_path, make, yes=yes, force=force, as_json=as_json, verb="nsu apply", always_asks=True, source=file)


@click.command("history", cls=ConfCommand)
@click.argument("number", type=int, required=False)
@conf_option
@json_option
def history(number: int | None, conf_path: Path, as_json: bool) -> None:
    """The last versions of nsu.conf: when, who, what.

    With NUMBER, that one and what it changed.
    """
    versions = History(running_state_or_exit(conf_path)).versions()
    if number is not None:
        show_version(versions, number, as_json=as_json)
    elif as_json:
        click.echo(json.dumps([told(version) for version in versions], indent=1))
    else:
        show_versions(versions)


@click.command("rollback", cls=ConfCommand)
@click.argument("number", type=int, required=False)
@yes_option
@force_option
@conf_option
@json_option
def rollback(number: int | None, yes: bool, force: bool, conf_path: Path, as_json: bool) -> None:
    """Bring an earlier version of nsu.conf into force.

    It is the one before this, or NUMBER of nsu history. The same as nsu apply with that text.
    Where nsu.conf is not good now, the one before this is the one that is still in force.
    """

    def make(at: Ground) -> str:
        new = wanted_version(at, number).text
        if not as_json:
            show_difference(at.text, new)
        return new

    words = "nsu rollback" if number is None else f"nsu rollback {number}"
    change(conf_path, make, yes=yes, force=force, as_json=as_json, verb=words, always_asks=True)


def wanted_version(at: Ground, number: int | None) -> Version:
    """Give what to go back to. Raises Refused."""
    versions = History(at.state_dir).versions()
    if number is not None:
        found = next((version for version in versions if version.number == number), None)
    else:
        others = [version for version in versions if version.text != at.text]
        found = others[-1] if others else None
    if found is None:
        raise Refused(f"there is no version {number or 'before this one'}; see: nsu history")
    return found


def show_difference(old: str, new: str) -> None:
    lines = unified_diff(old.splitlines(), new.splitlines(), "in force", "new", lineterm="", n=2)
    for line in lines:
        click.echo(line)


def show_versions(versions: list[Version]) -> None:
    table = plain_table("versions of nsu.conf", "number", "when", "who", "what")
    for version in versions:
        what = version.what[0] if version.what else ""
        more = f" (and {len(version.what) - 1} more)" if len(version.what) > 1 else ""
        add_row(table, str(version.number), when_words(version.at_s), version.who, what + more)
    Console().print(table)


def show_version(versions: list[Version], number: int, *, as_json: bool) -> None:
    at = next((place for place, version in enumerate(versions) if version.number == number), None)
    if at is None:
        fail(f"there is no version {number}; see: nsu history")
    version = versions[at]
    if as_json:
        click.echo(json.dumps({**told(version), "text": version.text}, indent=1))
        return
    echo(f"version {number}, {when_words(version.at_s)}, {version.who}")
    for sentence in version.what:
        echo(sentence)
    show_difference(versions[at - 1].text if at else "", version.text)


def when_words(at_s: float) -> str:
    """Give a time as people here read it."""
    return datetime.fromtimestamp(at_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def told(version: Version) -> dict[str, object]:
    return {"number": version.number, "at_s": version.at_s, "who": version.who, "what": list(version.what)}
