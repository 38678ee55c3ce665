"""`nsu partition`: the verbs of `nsu.partitions.verbs`, and the list (patent, Section III)."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from ipc.exits import Exit
from nsu.cli_base import ConfCommand, conf_option, json_option
from nsu.cli_change import change, force_option, refuse, yes_option
from nsu.conf.errors import ConfErrors
from nsu.partitions import verbs
from nsu.partitions.apply import Ground, ground
from nsu.partitions.errors import Refused
from nsu.partitions.listing import listing
from nsu.partitions.size import Size
from nsu.partitions.verbs import Creation, Grant
from nsu.say import say
from nsu.show_partitions import show_partitions

Verb = Callable[..., None]

shared_write_option = click.option(
    "--shared-write", is_flag=True, help="Several hosts may write it. Nothing protects their data from each other."
)
read_only_option = click.option("--read-only", is_flag=True, help="The host may only read it.")


class SizeType(click.ParamType[Size]):
    """A size, read at the border."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Size:
        """Read it; a wrong one is wrong use."""
        try:
            return value if isinstance(value, Size) else Size.parse(value)
        except Refused as refusal:
            self.fail(str(refusal), param, ctx)


SIZE = SizeType()


def changing(verb: Verb) -> Verb:
    """Give a verb the options that all have that change something."""
    for option in (json_option, conf_option, force_option, yes_option):
        verb = option(verb)
    return verb


def do(name: str, make: Callable[[Ground], str], conf_path: Path, *, yes: bool, force: bool, as_json: bool) -> None:
    change(conf_path, make, yes=yes, force=force, as_json=as_json, verb=f"nsu partition {name}")


@click.group("partition")
def partition_verbs() -> None:
    """Partitions: cut, given to hosts, shared, changed.

    All of it while the NSU runs.

    NAME is a UNIT's name, HOST/NAME where several hosts have one, or a UUID. Each verb changes nsu.conf as a careful
    hand would, says what it changes and whom it disturbs, and comes back when the running server goes by it. It asks
    when data is lost or a host is cut off.
    """


@partition_verbs.command("list", cls=ConfCommand)
@conf_option
@json_option
def list_partitions(conf_path: Path, as_json: bool) -> None:
    """Partitions, their hosts, and what is free."""
    try:
        at = ground(conf_path)
    except ConfErrors as errors:
        say(str(errors))
        sys.exit(Exit.FAILED)
    except Refused as refusal:
        refuse(refusal, as_json=as_json)
    found = listing(at.base, at.facts)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        show_partitions(Console(), found)


@partition_verbs.command("create", cls=ConfCommand)
@click.argument("name")
@click.option("--size", type=SIZE, required=True, help="2048blocks, 100MiB, 20GiB, or 50% of what is free.")
@click.option("--array", default="", help="Which array; needed when there are several.")
@click.option("--read-write", "writers", metavar="HOST", multiple=True, help="A host that may read and write it.")
@click.option("--read-only", "readers", metavar="HOST", multiple=True, help="A host that may read it.")
@click.option("--no-zero", is_flag=True, help="Blocks not yet written show what was there before, not zeros.")
@shared_write_option
@changing
def create(
    name: str,
    size: Size,
    array: str,
    writers: tuple[str, ...],
    readers: tuple[str, ...],
    no_zero: bool,
    shared_write: bool,
    **how: Any,
) -> None:
    """Cut a partition from free space.

    It goes where it fits best. Without hosts it is nobody's. --read-write and --read-only may be repeated: "read-only
    from host A, read-write from host B".
    """
    grants = [Grant(host, read_only=True) for host in readers] + [Grant(host) for host in writers]
    wanted = Creation(name, size, array, grants, not no_zero, shared_write)
    do("create", lambda at: verbs.create(at.editable, wanted, at.facts), **how)


@partition_verbs.command("delete", cls=ConfCommand)
@click.argument("name")
@changing
def delete(name: str, **how: Any) -> None:
    """Delete a partition: its blocks are free.

    One in use stays, but for --force.
    """
    do("delete", lambda at: verbs.delete(at.editable, name), **how)


@partition_verbs.command("resize", cls=ConfCommand)
@click.argument("name")
@click.argument("size", type=SIZE)
@changing
def resize(name: str, size: Size, **how: Any) -> None:
    """Give a partition another SIZE, or +SIZE more.

    Such as 30GiB, +10GiB, or +100% of the space behind it. Growing interrupts nothing. Shrinking below what was
    written, or where nobody knows that, needs --force.
    """
    do("resize", lambda at: verbs.resize(at.editable, name, size, at.facts), **how)


@partition_verbs.command("rename", cls=ConfCommand)
@click.argument("name")
@click.argument("new_name")
@changing
def rename(name: str, new_name: str, **how: Any) -> None:
    """Call a partition otherwise.

    At every host that has it; HOST/NAME: at that host only.
    """
    do("rename", lambda at: verbs.rename(at.editable, name, new_name, at.facts), **how)


@partition_verbs.command("assign", cls=ConfCommand)
@click.argument("name")
@click.argument("host")
@read_only_option
@changing
def assign(name: str, host: str, read_only: bool, **how: Any) -> None:
    """Give a partition that is nobody's to HOST."""
    do("assign", lambda at: verbs.assign(at.editable, name, Grant(host, read_only), at.facts), **how)


@partition_verbs.command("unassign", cls=ConfCommand)
@click.argument("name")
@click.argument("host", required=False)
@changing
def unassign(name: str, host: str | None, **how: Any) -> None:
    """Take a partition from HOST, or from all.

    What is on it is kept.
    """
    do("unassign", lambda at: verbs.unassign(at.editable, name, host, at.facts), **how)


@partition_verbs.command("chown", cls=ConfCommand)
@click.argument("name")
@click.argument("host")
@changing
def chown(name: str, host: str, **how: Any) -> None:
    """Give a partition to HOST instead of its owner.

    What is on it is kept, and its UUID.
    """
    do("chown", lambda at: verbs.chown(at.editable, name, host, at.facts), **how)


@partition_verbs.command("share", cls=ConfCommand)
@click.argument("name")
@click.argument("host")
@read_only_option
@click.option("--name", "new_name", default="", help="What HOST calls it, when it has another of that name.")
@shared_write_option
@changing
def share(name: str, host: str, read_only: bool, new_name: str, shared_write: bool, **how: Any) -> None:
    """Let HOST have a partition too.

    One host may write it, unless --shared-write says otherwise.
    """
    grant = Grant(host, read_only)
    do(
        "share",
        lambda at: verbs.share(at.editable, name, grant, shared_write=shared_write, new_name=new_name, facts=at.facts),
        **how,
    )


@partition_verbs.command("access", cls=ConfCommand)
@click.argument("name")
@click.argument("access", type=click.Choice(["read-only", "read-write"]))
@click.option("--host", help="Which of the hosts that share it.")
@shared_write_option
@changing
def set_access(name: str, access: str, host: str | None, shared_write: bool, **how: Any) -> None:
    """Let a host only read a partition, or write it too."""
    read_only = access == "read-only"
    do(
        "access",
        lambda at: verbs.set_access(at.editable, name, read_only=read_only, host=host, shared_write=shared_write),
        **how,
    )


@partition_verbs.command("zero", cls=ConfCommand)
@click.argument("name")
@click.argument("zero", type=click.Choice(["yes", "no"]))
@changing
def set_zero(name: str, zero: str, **how: Any) -> None:
    """Have what was never written read as zeros, or not.

    yes: all that is on it is lost. no: its blocks show what they held before. Both need --force.
    """
    do("zero", lambda at: verbs.set_zero(at.editable, name, zero=zero == "yes"), **how)
