"""`nsu discover`: which NSUs are on the networks of this machine. Exit status: 0 some, 1 none."""

import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from hostside.catalogue import Row
from hostside.discovery import search
from ipc.exits import Exit
from ipc.link_socket import mac_text
from nsu.cli_base import json_option
from nsu.say import say
from protocol.discovery.ways import UDP_PORT, Way

NOTHING = (
    "no NSU answers. Check that `nsu run` runs there and its DISCOVERY is not no, that both machines are on one"
    " segment (a router passes none of this on), and that UDP port {port} and EtherType 0x88B5 are let through"
)
SHORT = {Way.MULTICAST_V4: "multicast", Way.MULTICAST_V6: "IPv6"}


@click.command()
@click.option("--interface", "interfaces", metavar="IF", multiple=True, help="Look on this interface only; repeatable.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 60),
    default=2.0,
    show_default=True,
    help="Seconds to wait for answers.",
)
@json_option
def discover(interfaces: tuple[str, ...], timeout_s: float, as_json: bool) -> None:
    """Find the NSUs on this machine's networks.

    Those without an address too. Asks by Ethernet frames (as root, or with CAP_NET_RAW), UDP broadcast and multicast.
    Anybody can answer: that an NSU is the one that you mean is proved by the login of version 0x02, not here.
    """
    found = search(interfaces, timeout_s)
    for trouble in found.troubles:
        say(f"nsu: {trouble}")
    rows = found.catalogue.rows()
    if found.catalogue.left_out:
        say(f"nsu: more NSUs answer than are shown ({len(rows)}): somebody may make them up")
    if as_json:
        click.echo(json.dumps([plain(row) for row in rows], indent=1))
    elif rows:
        Console().print(table(rows))
    if not rows:
        say(f"nsu: {NOTHING.format(port=UDP_PORT)}")
        sys.exit(Exit.FAILED)


def plain(row: Row) -> dict[str, Any]:
    """Give a row for JSON."""
    told = row.answer
    return {
        "instance": str(told.instance),
        "name": told.name,
        "mac": mac_text(told.mac),
        "config_port": told.config_port,
        "versions": versions_of(row),
        "is_set_up": told.is_set_up,
        "interfaces": [
            {
                "name": one.name,
                "mac": mac_text(one.mac),
                "addresses": [{"address": each.address, "config_port_open": each.is_open} for each in one.addresses],
            }
            for one in told.interfaces
        ],
        "found_by": sorted(way.value for way in row.ways),
        "found_on": sorted(row.interfaces),
    }


def versions_of(row: Row) -> list[int]:
    """Give the protocol versions that it offers."""
    return [version for version in range(1, 33) if row.answer.versions & 1 << (version - 1)]


def table(rows: list[Row]) -> Table:
    """Give the rows for people."""
    made = Table(box=None, pad_edge=False)
    for title in ("name", "MAC", "addresses", "versions", "set up", "found by"):
        made.add_column(title, overflow="fold", no_wrap=title == "MAC")
    for row in rows:
        told = row.answer
        addresses = [f"{one.name} {each.address}" for one in told.interfaces for each in one.addresses]
        versions = " ".join(f"0x{version:02x}" for version in versions_of(row))
        ways = "\n".join(SHORT.get(way, way.value) for way in Way if way in row.ways)
        set_up = "yes" if told.is_set_up else "no"
        made.add_row(told.name, mac_text(told.mac), "\n".join(addresses) or "none", versions or "none", set_up, ways)
    return made
