"""`nsu password` and `nsu token`: who may use the pages and REST. They change files in STATE; nsu need not run."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from nsu.cli_base import ConfCommand, conf_option, fail, json_option, running_state_or_exit
from nsu.web.passwords import PASSWORD_CHARACTERS_MIN, Users
from nsu.web.roles import ROLE_WORDS, role_of
from nsu.web.store import StoreError
from nsu.web.tokens import Token, Tokens

DAYS_MAX = 3650


@click.command(cls=ConfCommand)
@click.argument("user", default="admin")
@click.option("--role", type=click.Choice(ROLE_WORDS), default="administer", show_default=True, help="What he may do.")
@click.option("--remove", is_flag=True, help="Take the user away.")
@conf_option
def password(user: str, role: str, remove: bool, conf_path: Path) -> None:
    """Set the password of USER (admin, when not given) for the pages.

    Asks for it twice; takes one line when it is given by a pipe. Sessions that began with the former one end at once.
    """
    users = Users(running_state_or_exit(conf_path))
    try:
        if remove:
            users.remove(user)
            click.echo(f"user {user} is gone, and logged out")
            return
        users.put(user, asked_password(), role_of(role))
    except StoreError as error:
        fail(str(error))
    click.echo(f"user {user} may log in; role: {role}")


def asked_password() -> str:
    """Ask at a terminal, twice; else read a line."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\n")
    words = f"Password (at least {PASSWORD_CHARACTERS_MIN} characters)"
    return str(click.prompt(words, hide_input=True, confirmation_prompt="Once more", err=True))


@click.group()
def token() -> None:
    """Tokens, with which programs use REST and /metrics."""


@token.command("create", cls=ConfCommand)
@click.argument("name")
@click.option("--role", type=click.Choice(ROLE_WORDS), default="look", show_default=True, help="What it may do.")
@click.option("--days", type=click.FloatRange(0, DAYS_MAX, min_open=True), help="For how long; else until revoked.")
@conf_option
@json_option
def create_token(name: str, role: str, days: float | None, conf_path: Path, as_json: bool) -> None:
    """Make a token for NAME, whoever uses it, and print it: it is shown this once, and kept nowhere."""
    try:
        made, text = Tokens(running_state_or_exit(conf_path)).create(name, role_of(role), days)
    except StoreError as error:
        fail(str(error))
    click.echo(json.dumps({**plain(made), "token": text}, indent=1) if as_json else text)


@token.command("list", cls=ConfCommand)
@conf_option
@json_option
def list_tokens(conf_path: Path, as_json: bool) -> None:
    """Tokens that are in force: id, role, who uses it, until when."""
    try:
        known = Tokens(running_state_or_exit(conf_path)).known()
    except StoreError as error:
        fail(str(error))
    if as_json:
        click.echo(json.dumps([plain(one) for one in known], indent=1))
    for one in () if as_json else known:
        until = "until revoked" if one.expires_at is None else f"until {day(one.expires_at)}"
        click.echo(f"{one.id}  {one.role.word:<10}  {one.name}  since {day(one.created_at)}, {until}")


@token.command("revoke", cls=ConfCommand)
@click.argument("token_id", metavar="TOKEN")
@conf_option
def revoke_token(token_id: str, conf_path: Path) -> None:
    """Take the token away, by its id or its name. It is refused from now on."""
    try:
        gone = Tokens(running_state_or_exit(conf_path)).revoke(token_id)
    except StoreError as error:
        fail(str(error))
    click.echo(f"token {gone.id} of {gone.name} is revoked")


def plain(one: Token) -> dict[str, object]:
    """Give a token for JSON."""
    return {
        "id": one.id,
        "name": one.name,
        "role": one.role.word,
        "created_at": one.created_at,
        "expires_at": one.expires_at,
    }


def day(at: float) -> str:
    """Give a day for people."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")
