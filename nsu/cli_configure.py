"""`nsu configure`: set up an unclaimed NSU without IP (docs/setup.md). The claim key is never an argument."""

import re
import socket
import sys
from pathlib import Path

import click

from hostside.setup import SetupError, configure
from ipc.link_socket import LinkSocket
from nsu.cli_base import fail
from nsu.cli_web import asked_password
from nsu.say import columns_of, wrapped
from protocol.setup.claim_key import read_claim_key
from protocol.setup.order import ADDRESSES_MAX, Order, TooLongError
from serverside.interface_address import AddressError, read_interface_address

_KEY_CHARACTERS_MAX = 200


@click.command("configure")
@click.argument("mac")
@click.option(
    "--address", "addresses", multiple=True, required=True, help="Address with prefix: 10.0.0.5/24; repeatable."
)
@click.option("--interface", help="Of this machine, to send from; else its only one.")
@click.option("--name", help="The NSU's name from its next start on; else it keeps the one it has.")
@click.option("--on", "on_interface", help="The NSU's interface; else the one that has MAC.")
@click.option("--admin", help="Its first administrator; the password is asked for.")
@click.option(
    "--claim-key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Holds the claim key; else it is asked for.",
)
def configure_nsu(
    mac: str,
    addresses: tuple[str, ...],
    interface: str | None,
    name: str | None,
    on_interface: str | None,
    admin: str | None,
    claim_key_file: Path | None,
) -> None:
    """Set up an unclaimed NSU, by Ethernet frames, without IP.

    MAC is that of its interface on this network. Asks for its claim key, which stands in STATE/claim.key there, and for
    the password of --admin; takes them line by line when they are given by a pipe. Once it is done, that NSU takes no
    more such orders.
    """
    nsu_mac = read_mac(mac)
    if len(addresses) > ADDRESSES_MAX:
        raise click.UsageError(f"{len(addresses)} addresses; {ADDRESSES_MAX} at most")
    try:
        for address in addresses:
            read_interface_address(address)
        link = LinkSocket(interface or only_interface())
    except AddressError as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        fail(str(error.strerror or error))
    key = asked_claim_key(claim_key_file)
    order = Order(name or "", addresses, on_interface or "", admin or "", asked_password() if admin else "")
    try:
        result = configure(link, nsu_mac, key, order)
    except (SetupError, TooLongError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{link.interface}: {error.strerror}")
    finally:
        link.close()
    if not result.done:
        fail(f"{mac} is not set up, and is as it was: {result.sentence}")
    click.echo(wrapped(f"{mac} is set up: {result.sentence}", columns_of(sys.stdout)))


def read_mac(text: str) -> bytes:
    """Read `02:00:5e:00:53:01`."""
    if not re.fullmatch(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}", text):
        raise click.UsageError(f"{text} is no MAC, such as 02:00:5e:00:53:01; see: nsu discover")
    return bytes.fromhex(text.replace("-", ":").replace(":", ""))


def only_interface() -> str:
    """Give this machine's only Ethernet interface; with more, one has to be named."""
    names = [name for _, name in socket.if_nameindex() if name != "lo"]
    if len(names) != 1:
        fail(f"say --interface: this machine has {', '.join(names) or 'none but its loopback'}")
    return names[0]


def asked_claim_key(path: Path | None) -> bytes:
    """Read it from the file, or ask for it; what is typed is not shown."""
    if path is not None:
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                text = file.read(_KEY_CHARACTERS_MAX + 1)
        except OSError as error:
            fail(f"{path} can't be read: {error.strerror}")
    elif sys.stdin.isatty():
        text = str(click.prompt("Claim key", hide_input=True, err=True))
    else:
        text = sys.stdin.readline()
    key = read_claim_key(text)
    if key is None:
        fail("that is no claim key: it has eight groups of four letters A to Z and digits 2 to 7")
    return key
