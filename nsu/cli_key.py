"""`nsu key`: the keys that hosts and NSUs share. A key comes in by a pipe or a file, never as an argument,
which others see.

Keys change in their files; nsu.conf is touched after it, which is how a running server knows to look (`nsu/roles.py`).
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from ipc.control import ControlError, control_call
from ipc.exits import Exit
from nsu.cli_base import ConfCommand, conf_option, fail, json_option
from nsu.cli_change import change, echo, force_option, yes_option
from nsu.conf.edit import add_key
from nsu.conf.errors import ConfErrors
from nsu.conf.load import read_text, state_dir_of
from nsu.conf.syntax import Document
from nsu.key_files import (
    HOST,
    SERVER,
    TEXT_MOST_BYTES,
    KeyRefusedError,
    Keys,
    Place,
    abandon_rotation,
    default_path,
    finish_rotation,
    given_secret,
    keys_of,
    new_secret,
    open_rotation,
    place_of,
    places,
    put,
    write_new,
)
from nsu.say import say
from protocol.v2.login import fingerprint

SERVER_WITHIN_S = 5.0

of_option = click.option(
    "--of", "kind", type=click.Choice(["host", "server"]), help="Which, when NAME is a HOST and a SERVER."
)


@click.group("key")
def key_verbs() -> None:
    """Keys that hosts and NSUs share: made, carried, rotated."""


@key_verbs.command("create", cls=ConfCommand)
@click.argument("host")
@yes_option
@force_option
@conf_option
def create_key(host: str, yes: bool, force: bool, conf_path: Path) -> None:
    """Make the key of HOST, in its SECRET_FILE; never over one that is there.

    A HOST without SECRET_FILE gets one, nsu.d/HOST.key beside FILE: from then on it speaks 0x02 only. Take the key to
    the host by: nsu key show HOST | ssh HOST nsu key install SERVER
    """
    secret = new_secret()
    place = place_or_exit(conf_path, host, (HOST,))
    keep(conf_path, place, secret, yes=yes, force=force, verb="key create")
    echo(f"{place.label} has a key, {fingerprint(secret)}, in {place.path or default_path(conf_path, host)}")


@key_verbs.command("show", cls=ConfCommand)
@click.argument("name")
@click.option("--fingerprint", "is_short", is_flag=True, help="Print what both sides can compare, and not the key.")
@of_option
@conf_option
def show_key(name: str, is_short: bool, kind: str | None, conf_path: Path) -> None:
    """Print the key of the HOST or SERVER NAME; while a rotation is open the new one, which the host is to have.

    Only who may read the file can. --fingerprint prints one line for each key that holds.
    """
    held = keys_or_exit(place_or_exit(conf_path, name, kinds_of(kind)))
    if not is_short:
        click.echo(held.newest.hex())
        return
    click.echo(fingerprint(held.secret))
    if held.follows is not None:
        click.echo(f"{fingerprint(held.follows.secret)} next")


@key_verbs.command("install", cls=ConfCommand)
@click.argument("name")
@click.option("--from", "source", type=click.File("rb"), default="-", help="A file; else standard input.")
@yes_option
@force_option
@of_option
@conf_option
def install_key(name: str, source: Any, yes: bool, force: bool, kind: str | None, conf_path: Path) -> None:
    """Put a key that was made elsewhere into the SECRET_FILE of the HOST or SERVER NAME.

    Of a SERVER it takes the place of the one that is there, and is proven at the next login; what runs goes on. Of a
    HOST it is never written over one that is there: see nsu key rotate.
    """
    place = place_or_exit(conf_path, name, kinds_of(kind))
    if source.isatty():
        say("nsu: paste the 64 digits, then press Return and Control-D")
    try:
        secret = given_secret(source.read(TEXT_MOST_BYTES))
        if place.path is not None and os.path.lexists(place.path):
            replace_key(place, place.path, secret)
            nudge(conf_path)
        else:
            keep(conf_path, place, secret, yes=yes, force=force, verb="key install")
    except KeyRefusedError as error:
        fail(str(error))
    echo(f"{place.label} has the key {fingerprint(secret)}")


@key_verbs.command("rotate", cls=ConfCommand)
@click.argument("host")
@click.option("--finish", is_flag=True, help="The new key takes the old one's place, which holds no more.")
@click.option("--abandon", is_flag=True, help="The old key stays, and the new one holds no more.")
@force_option
@conf_option
def rotate_key(host: str, finish: bool, abandon: bool, force: bool, conf_path: Path) -> None:
    """Make a new key of HOST that holds beside the old one, until --finish. Nobody is cut off.

    Take it to the host by: nsu key show HOST | ssh HOST nsu key install SERVER. The host proves it at its next login;
    nsu status shows which one its session has proven. --finish is refused before that, unless --force: a session that
    has proven the old key only is then ended, and the host comes back with the new one, if it has it.
    """
    if finish and abandon:
        raise click.UsageError("--finish or --abandon, not both")
    place = place_or_exit(conf_path, host, (HOST,))
    used = used_key(conf_path, host) if finish or abandon else None
    try:
        if finish:
            said = f"{place.label} has the key {finish_rotation(place, used, force=force)} alone now"
        elif abandon:
            said = f"{place.label} keeps the key {abandon_rotation(place, used, force=force)} alone"
        else:
            said = f"{place.label}: a new key, {open_rotation(place)}, holds beside the old one; see: nsu status"
    except KeyRefusedError as error:
        fail(str(error))
    nudge(conf_path)
    echo(said)


@key_verbs.command("list", cls=ConfCommand)
@conf_option
@json_option
def list_keys(conf_path: Path, as_json: bool) -> None:
    """All HOSTs and SERVERs with the fingerprints of their keys, and what is wrong with a key's file."""
    try:
        found = [described(place) for place in places(text_or_exit(conf_path))]
    except KeyRefusedError as error:
        fail(str(error))
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for each in found:
        words = each["wrong"] or each["current"] or "no key: version 0x01, not protected"
        follows = f", {each['next']} is to follow" if each["next"] else ""
        echo(f"{each['kind']} {each['name']}: {words}{follows}")


def described(place: Place) -> dict[str, str | None]:
    """Give what a place has, without the keys."""
    told: dict[str, str | None] = {"kind": place.kind, "name": place.name, "file": None}
    told |= {"current": None, "next": None, "wrong": None}
    if place.path is None:
        return told
    told["file"] = str(place.path)
    try:
        held = keys_of(place)
    except KeyRefusedError as error:
        return {**told, "wrong": str(error)}
    follows = None if held.follows is None else fingerprint(held.follows.secret)
    return {**told, "current": fingerprint(held.secret), "next": follows}


def keep(conf_path: Path, place: Place, secret: bytes, *, yes: bool, force: bool, verb: str) -> None:
    """Write a key where none is; have nsu.conf name its file, if it does not. All of it, or nothing."""
    path = place.path or default_path(conf_path, place.name)
    try:
        write_new(path, secret)
    except KeyRefusedError as error:
        fail(str(error))
    if place.path is not None:
        nudge(conf_path)
        return
    where, line = (place.label,), str(path)
    done = False
    try:
        change(
            conf_path,
            lambda at: add_key(Document(at.text), where, "SECRET_FILE", line).text,
            yes=yes,
            force=force,
            as_json=False,
            verb=verb,
        )
        done = True
    finally:
        if not done:
            path.unlink(missing_ok=True)


def replace_key(place: Place, path: Path, secret: bytes) -> None:
    """Have a file hold another key. Raises KeyRefusedError: of a HOST it must be the same, or the one to follow."""
    if place.kind == SERVER:
        put(path, secret)
        return
    held = keys_of(place)
    if secret not in (held.secret, held.newest):
        raise KeyRefusedError(f"{place.label} has a key already; another follows it by: nsu key rotate {place.name}")


def nudge(conf_path: Path) -> None:
    """Have whoever runs by the file look at it again, and read the keys again."""
    try:
        os.utime(conf_path)
        control_call(state_dir_of(read_text(conf_path)) / "server.sock", "reload", timeout_s=SERVER_WITHIN_S)
    except ControlError:
        return  # no server runs here, or it looks by itself within a second
    except OSError as error:
        say(f"nsu: warning: {conf_path} can't be touched ({error.strerror}): what runs reads keys again when it is")


def used_key(conf_path: Path, host: str) -> str | None:
    """Give by which key the session of a host was proven; None: no server runs here, or it has no session."""
    try:
        status = control_call(
            state_dir_of(text_or_exit(conf_path)) / "server.sock", "status", timeout_s=SERVER_WITHIN_S
        )
    except ControlError:
        return None
    return next((session["key"] for session in status["sessions"] if session["host"] == host), None)


def text_or_exit(conf_path: Path) -> str:
    try:
        return read_text(conf_path)
    except ConfErrors as errors:
        say(str(errors))
        sys.exit(Exit.FAILED)


def place_or_exit(conf_path: Path, name: str, kinds: tuple[str, ...]) -> Place:
    try:
        return place_of(text_or_exit(conf_path), name, kinds)
    except KeyRefusedError as error:
        fail(str(error))


def keys_or_exit(place: Place) -> Keys:
    try:
        return keys_of(place)
    except KeyRefusedError as error:
        fail(str(error))


def kinds_of(kind: str | None) -> tuple[str, ...]:
    return (HOST, SERVER) if kind is None else (kind.upper(),)
