"""`nsu tls`: a small authority of certificates, for people who have none. It changes files of one folder; nsu need not
run.
"""

import json
import socket
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from nsu.cli_base import fail, json_option
from nsu.conf.load import Loaded
from nsu.conf.values import NAME, ValueWrong
from nsu.say import columns_of, wrapped
from nsu.tls_authority import CA_DAYS, DAYS, AuthorityError, Shown, expiry_words, issue, make_authority, show_all

FOLDER = Path("/etc/nsu.d/tls")
DAYS_MAX = 36_500

folder_option = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=FOLDER,
    show_default=True,
    help="Where the authority is.",
)
days_type = click.IntRange(1, DAYS_MAX)


@click.group()
def tls() -> None:
    """Certificates for TLS between hosts and NSUs."""


@tls.command("init")
@click.option("--days", type=days_type, default=CA_DAYS, show_default=True, help="For how long.")
@folder_option
def init(days: int, folder: Path) -> None:
    """Make the authority: ca.crt, which every machine gets as its TLS_CA, and ca.key, which stays here."""
    try:
        made = make_authority(folder, socket.gethostname(), days=days)
    except AuthorityError as error:
        fail(str(error))
    click.echo(f"{words_of(made)}\nissue a certificate for each machine: nsu tls issue NAME")


@tls.command("issue")
@click.argument("name")
@click.option("--address", "addresses", multiple=True, metavar="ADDRESS", help="An address it has; may be repeated.")
@click.option("--days", type=days_type, default=DAYS, show_default=True, help="For how long.")
@folder_option
def issue_certificate(name: str, addresses: Sequence[str], days: int, folder: Path) -> None:
    """Issue NAME.crt and NAME.key, for the machine that logs in as NAME, or the NSU of that name.

    An NSU needs no addresses in it where the hosts' SERVER blocks have its name. Bring both files there by a safe way,
    with ca.crt, and move the key: nobody else needs it.
    """
    try:
        NAME.read(name)
        made = issue(folder, name, addresses, days=days)
    except ValueWrong as error:
        fail(f"{error}; it must be {NAME.right}")
    except AuthorityError as error:
        fail(str(error))
    click.echo(f"{words_of(made)}\nwith its key {made.path.with_suffix('.key')}")


@tls.command("show")
@folder_option
@json_option
def show_certificates(folder: Path, as_json: bool) -> None:
    """Certificates: whose they are, how long they are good, and their fingerprints."""
    try:
        found = show_all(folder)
    except AuthorityError as error:
        fail(str(error))
    if as_json:
        rows = [
            {"file": str(each.path), "names": each.names, "until": each.until.isoformat(), "sha256": each.fingerprint}
            for each in found
        ]
        click.echo(json.dumps(rows, indent=1))
    elif found:
        click.echo("\n".join(map(words_of, found)))
    else:
        click.echo(wrapped(f"{folder} has no certificates; nsu tls init makes an authority", columns_of(sys.stdout)))


def words_of(shown: Shown) -> str:
    """Give a certificate for a terminal of 80 columns."""
    role = "authority " if shown.is_authority else ""
    ended = ", EXPIRED" if shown.until <= datetime.now(UTC) else ""
    return (
        f"{shown.path}: {role}{', '.join(shown.names)}\n  good until {shown.until:%Y-%m-%d %H:%M} UTC{ended}\n"
        f"  SHA-256 {shown.fingerprint[:32]}\n          {shown.fingerprint[32:]}"
    )


def expiry_warnings(loaded: Loaded) -> list[str]:
    """Warn of certificates of nsu.conf that have ended or soon end."""
    files = [loaded.server.tls] if loaded.server is not None else []
    files += [entry.tls for entry in loaded.host.servers] if loaded.host is not None else []
    now, named = datetime.now(UTC), dict.fromkeys(each.cert for each in files if each is not None)
    return [words for path in named if (words := expiry_words(path, now))]
