"""How a change of nsu.conf is made from the command line: shown, asked for, carried out; the same for every verb."""

import getpass
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from ipc.exits import Exit
from nsu.cli_base import fail
from nsu.conf.errors import ChangeRefused, ConfErrors
from nsu.partitions.apply import Applied, Ground, apply, ground
from nsu.partitions.errors import Refused
from nsu.partitions.plan import Plan, plan, plan_lines
from nsu.say import columns_of, say, wrapped

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
force_option = click.option("--force", is_flag=True, help="Even where somebody uses it or data is lost; it is told.")


def change(
    conf_path: Path,
    make: Callable[[Ground], str],
    *,
    yes: bool,
    force: bool,
    as_json: bool,
    verb: str,
    always_asks: bool = False,
    source: Path | None = None,
) -> None:
    """Make a new text, show what it changes, ask, and bring it into force; exit with 1 when that can't be.

    `source`: where the new text stands, when it is a file of its own. Asks when data is lost or somebody is cut off.
    """
    try:
        at = ground(conf_path)
        found = plan(at.base, make(at), at.facts, path=source or conf_path)
        done = carry_out(found, at, yes=yes, force=force, as_json=as_json, verb=verb, always_asks=always_asks)
    except ConfErrors as errors:
        say(str(errors))
        sys.exit(Exit.FAILED)
    except ChangeRefused as refusal:
        refuse(refusal, as_json=as_json)
    if as_json:
        click.echo(json.dumps(told(found, done), indent=1))
    else:
        echo(done.sentence if done.version is None else f"{done.sentence}; version {done.version} of nsu history")


def carry_out(
    found: Plan, at: Ground, *, yes: bool, force: bool, as_json: bool, verb: str, always_asks: bool
) -> Applied:
    """Show and ask, then apply."""
    if not as_json:
        for line in plan_lines(found):
            echo(line)
    Refused.unless_empty(each.sentence for each in found.standing(force=force))
    asks = found.new_text != at.text and (always_asks or found.loses or found.cuts_off)
    if asks and not yes:
        if not sys.stdin.isatty():
            fail("nobody can be asked here whether to do it: say --yes")
        click.confirm("Do it?", abort=True, err=as_json)
    return apply(found, at, who=f"{user()} ({verb})", when_s=time.time(), force=force)


def refuse(refusal: ChangeRefused, *, as_json: bool) -> NoReturn:
    """Say all that stands in the way, and exit with 1."""
    sentences = refusal.sentences if isinstance(refusal, Refused) else (str(refusal),)
    if as_json:
        click.echo(json.dumps({"refused": list(sentences)}, indent=1))
    for sentence in sentences:
        say(f"nsu: {sentence}")
    sys.exit(Exit.FAILED)


def told(found: Plan, done: Applied) -> dict[str, Any]:
    """Give what was done, for JSON."""
    return {"plan": found.as_dict(), "version": done.version, "in_force": done.in_force, "sentence": done.sentence}


def echo(line: str) -> None:
    """Print a line, wrapped at a terminal."""
    click.echo(wrapped(line, columns_of(sys.stdout)))


def user() -> str:
    """Who asks: also behind sudo."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a number without a name
        return f"user {os.getuid()}"
