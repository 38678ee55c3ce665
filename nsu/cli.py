"""The command line (click's one door). Names of the verbs are fixed: people and checks depend on them.

Exit status: 0 good, 1 failed, 2 wrong use. `--json` wherever a person would script.

A verb imports what it needs when it is called: who asks for help, or mistypes, waits for no server and no disk driver.
"""

import json
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ipc.control import ControlError
from ipc.exits import Exit
from nsu import __version__
from nsu.cli_base import (
    ConfCommand,
    conf_option,
    fail,
    json_option,
    load_here_or_exit,
    running_state_or_exit,
    unanswered,
)
from nsu.compiled import in_use
from nsu.say import columns_of, say, wrapped, write_json

if TYPE_CHECKING:
    from hostside.settings import HostRoleSettings

TRACE_MOST_S = 86_400
SHOWS = ("socket", "fuse", "loop", "nbd")
"""Those of `nsu.conf.host_role.DEFAULT_AT`."""


ELSEWHERE: Final = {
    "apply": ("nsu.cli_apply", "apply_file", "Bring FILE into force, all of it or nothing."),
    "configure": ("nsu.cli_configure", "configure_nsu", "Set up an unclaimed NSU, by Ethernet frames, without IP."),
    "discover": ("nsu.cli_discover", "discover", "Find the NSUs on this machine's networks."),
    "history": ("nsu.cli_apply", "history", "The last versions of nsu.conf: when, who, what."),
    "key": ("nsu.cli_key", "key_verbs", "Keys that hosts and NSUs share: made, carried, rotated."),
    "partition": ("nsu.cli_partition", "partition_verbs", "Partitions: cut, given to hosts, shared, changed."),
    "password": ("nsu.cli_web", "password", "Set the password of USER (admin, when not given) for the pages."),
    "rollback": ("nsu.cli_apply", "rollback", "Bring an earlier version of nsu.conf into force."),
    "tls": ("nsu.cli_tls", "tls", "Certificates for TLS between hosts and NSUs."),
    "token": ("nsu.cli_web", "token", "Tokens, with which programs use REST and /metrics."),
    "top": ("nsu.cli_top", "top", "What moves now, and what is wrong."),
}
"""Verb -> its module, its name there, and the sentence that the list of verbs has for it."""


class Verbs(click.Group):
    """Verbs of which some have a module of their own, imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names of all."""
        return sorted({*self.commands, *ELSEWHERE})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Give the verb itself."""
        if cmd_name in ELSEWHERE and cmd_name not in self.commands:
            module, attribute, _ = ELSEWHERE[cmd_name]
            self.add_command(getattr(import_module(module), attribute))
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List all, without an import."""
        told = {name: click.Command(name, help=sentence) for name, (_, _, sentence) in ELSEWHERE.items()}
        click.Group(commands={**told, **self.commands}).format_commands(ctx, formatter)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nsu", message=f"%(prog)s, version %(version)s, {in_use()}")
def main() -> None:
    """NSU: network block storage over many TCP sockets."""


@main.command(cls=ConfCommand)
@click.option(
    "--log",
    "log_form",
    type=click.Choice(["words", "json"]),
    default="words",
    show_default=True,
    help="How each line of the log is written.",
)
@conf_option
def run(conf_path: Path, log_form: str) -> None:
    """Run the supervisor, in the foreground.

    It runs whatever roles FILE gives this machine, until Control-C or SIGTERM. SIGHUP: look at FILE again now. The
    server role follows changes of FILE; SERVER and MACHINE blocks take effect at the next start.
    """
    from ipc.say import voice
    from nsu.last_words import LastWords
    from nsu.roles import HostWatch, mains, stamp
    from nsu.supervisor import StateUnusableError, Supervisor

    write_json(on=log_form == "json")
    seen = stamp(conf_path)
    loaded, here = load_here_or_exit(conf_path)
    for warning in (*loaded.warnings, *here.warnings):
        say(f"nsu: warning: {warning}")
    for obstacle in here.obstacles:
        if obstacle.key != "STATE":  # that ends it, with a sentence of its own
            say(f"nsu: {obstacle}")
    voice.write = say  # of every process that is forked from here: wrapped at a terminal
    words = LastWords(("server", "host", "web", "setup"))
    roles = mains(conf_path, loaded, seen, words)
    if not roles:
        fail(f"{conf_path} gives this machine no role: add NSU and HOST blocks, or SERVER blocks")
    machine, watch = loaded.machine, HostWatch(conf_path, loaded, seen)
    try:
        supervisor = Supervisor(
            machine.name, machine.state_dir, roles, loaded.warnings, words=words, later_warnings=watch.warnings
        )
    except StateUnusableError as error:
        fail(str(error))
    sys.exit(supervisor.run())


@main.command(cls=ConfCommand)
@conf_option
def check(conf_path: Path) -> None:
    """Say whether FILE is good.

    Prints every error, with its line, what is wrong and what would be right; also what this machine lacks for it, and
    this user may not: ask as the user who runs it. Nothing is changed or started.
    """
    from nsu.cli_tls import expiry_warnings

    loaded, here = load_here_or_exit(conf_path)
    for obstacle in here.obstacles:
        say(str(obstacle))
    if here.obstacles:
        fail(f"{conf_path} is well written, but cannot be run here and now as it is")
    for warning in (*loaded.warnings, *here.warnings, *expiry_warnings(loaded)):
        click.echo(wrapped(f"warning: {warning}", columns_of(sys.stdout)))
    roles = [name for name, role in (("server", loaded.server), ("host", loaded.host)) if role is not None]
    click.echo(f"{conf_path} is good: machine {loaded.machine.name}, {' and '.join(roles) or 'no role'}")


@main.command(cls=ConfCommand)
@conf_option
@json_option
def status(conf_path: Path, as_json: bool) -> None:
    """What is wrong; sessions, paths, disks, arrays, timers.

    What is wrong stands first, with what to do. Timers are those in force, and who has set them.
    """
    from nsu.cli_tls import expiry_warnings
    from nsu.conf.errors import ConfErrors
    from nsu.conf.load import load_text, read_text
    from nsu.confined import confined_processes
    from nsu.smart import add_smart

    found = gather_or_exit(conf_path)
    add_smart(found["server"]["arrays"] if found["server"] else ())
    found["processes"] = confined_processes(found["supervisor"]["pid"])
    with suppress(ConfErrors):  # nsu check tells what is wrong with the file
        found["supervisor"]["warnings"] += expiry_warnings(
            load_text(read_text(conf_path), conf_path, resolve=lambda _: ())
        )
    if as_json:
        from nsu.alarms import alarms_of

        click.echo(json.dumps({**found, "alarms": [alarm._asdict() for alarm in alarms_of(found)]}, indent=1))
    else:
        from rich.console import Console

        from nsu.show import show_status

        show_status(Console(), found)


@main.command("attach", cls=ConfCommand)
@click.argument("name")
@click.option("--show", type=click.Choice(SHOWS), help="As what; else as the DISK block says, or socket.")
@click.option("--at", type=click.Path(path_type=Path), help="Where; else as the DISK block says, or in /run/nsu.")
@click.option("--server", metavar="SERVER", help="Which SERVER has it, when no DISK block tells.")
@conf_option
@json_option
def attach_disk(
    name: str, show: str | None, at: Path | None, server: str | None, conf_path: Path, as_json: bool
) -> None:
    """Attach the partition NAME to this machine, as a disk.

    Takes its DISK block in FILE as it is now, or, when it has none, a partition that the server gives this host. Comes
    back when the disk can be used. FILE is not changed: what is to be there after the next start has a DISK block.
    """
    from nsu.attach import NotAttachedError, attach, attached_words, wanted_disk

    loaded = load_running_or_exit(conf_path)
    try:
        entry, disk = wanted_disk(loaded, name, server=server, show=show, at=None if at is None else at.absolute())
        shown = attach(running_state_or_exit(conf_path), entry, disk)
    except NotAttachedError as error:
        fail(str(error))
    except ControlError as error:
        fail(unanswered(error, conf_path))
    click.echo(json.dumps(shown, indent=1) if as_json else wrapped(attached_words(shown), columns_of(sys.stdout)))


@main.command("detach", cls=ConfCommand)
@click.argument("name")
@click.option("--force", is_flag=True, help="Even if it is in use or hangs; comes back within 10 s.")
@conf_option
@json_option
def detach_disk(name: str, force: bool, conf_path: Path, as_json: bool) -> None:
    """Detach the disk NAME from this running machine.

    A disk that somebody uses stays, and its users are named. With --force it goes whatever happens: what its users have
    not yet written is lost to them. FILE is not changed: what has a DISK block in it is there again after a restart.
    """
    from nsu.attach import detach, detached_words

    state_dir = running_state_or_exit(conf_path)
    try:
        answer = detach(state_dir, name, force=force)
    except ControlError as error:
        fail(unanswered(error, conf_path))
    words = detached_words(name, answer, is_named=is_named(conf_path, name))
    click.echo(json.dumps(answer, indent=1) if as_json else wrapped(words, columns_of(sys.stdout)))


@main.command(cls=ConfCommand)
@click.argument("disk")
@click.option("--op", type=click.Choice(["read", "write"]), default="read", show_default=True, help="What to follow.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0, TRACE_MOST_S, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds to wait for such a request.",
)
@conf_option
@json_option
def trace(disk: str, op: str, timeout_s: float, conf_path: Path, as_json: bool) -> None:
    """Follow one request of DISK through Figures 5 and 6.

    Prints messages 1H-7H and 1S-6S with times. A read is made when nobody else reads; a write is never made, only
    waited for.
    """
    from nsu.ladder import NotFollowedError, follow, ladder

    try:
        found = follow(running_state_or_exit(conf_path, needs_disks=True), disk, op, timeout_s)
    except NotFollowedError as error:
        fail(str(error))
    except ControlError as error:
        fail(unanswered(error, conf_path))
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        click.echo(ladder(found))


@main.group("array")
def array_verbs() -> None:
    """Arrays of drives: what they are, and what is done to them."""


@array_verbs.command("list", cls=ConfCommand)
@conf_option
@json_option
def list_arrays(conf_path: Path, as_json: bool) -> None:
    """Arrays, their drives, and what is being done to them."""
    from nsu.arrays import array_lines, arrays_of
    from nsu.smart import add_smart

    try:
        found = arrays_of(running_state_or_exit(conf_path))
    except ControlError as error:
        fail(unanswered(error, conf_path))
    add_smart(found)
    words = "\n".join(array_lines(found))
    click.echo(json.dumps(found, indent=1) if as_json else wrapped(words, columns_of(sys.stdout)))


@array_verbs.command("scrub", cls=ConfCommand)
@click.argument("array")
@conf_option
def scrub_array(array: str, conf_path: Path) -> None:
    """Compare everything that ARRAY keeps twice, and mend what does not agree.

    It begins at once, yields to users' requests, and goes on after a restart. See: nsu array list
    """
    from nsu.arrays import begin_scrub

    try:
        begin_scrub(running_state_or_exit(conf_path), array)
    except ControlError as error:
        fail(unanswered(error, conf_path))
    click.echo(f"array {array} is being compared; see: nsu array list")


@array_verbs.command("replace", cls=ConfCommand)
@click.argument("array")
@click.argument("old")
@click.argument("new", required=False, type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Write over what NEW holds.")
@conf_option
def replace_drive(array: str, old: str, new: Path | None, force: bool, conf_path: Path) -> None:
    """Put the drive OLD out of ARRAY, and rebuild its data on NEW, or on a spare when NEW is not given.

    OLD is a path or the number of a place, as nsu array list has them. FILE is not changed: write NEW in OLD's place
    there before the next start.
    """
    from nsu.arrays import replace, replaced_words

    try:
        answer = replace(running_state_or_exit(conf_path), array, old, new, force=force)
    except ControlError as error:
        fail(unanswered(error, conf_path))
    click.echo(wrapped(replaced_words(answer, conf_path), columns_of(sys.stdout)))


@array_verbs.command("create", cls=ConfCommand)
@click.argument("array")
@click.option("--force", is_flag=True, help="Write over whatever the drives hold.")
@conf_option
def create_array(array: str, force: bool, conf_path: Path) -> None:
    """Make ARRAY anew of its drives, as FILE names them, while the NSU does not run.

    Blank drives need no such order: the first start makes the array. With --force all that the drives hold is lost.
    """
    from nsu.arrays import create
    from serverside.drives.base import DriveError
    from serverside.errors import SettingsError

    loaded, _ = load_here_or_exit(conf_path)
    try:
        words = create(loaded.server, array, force=force)
    except (SettingsError, DriveError) as error:
        fail(str(error))
    click.echo(words)


@main.command()
@click.option("--once", is_flag=True, help="End after the tour; exit status 0 when all of it held.")
def demo(once: bool) -> None:
    """Show both sides on loopback, with file drives.

    No root needed, nothing to edit, nothing left behind. Copies a file in and out while an agent and an SRW are
    killed, compares checksums, shows Figure 5, then stays up until Control-C.
    """
    from nsu.demo import run_demo

    sys.exit(run_demo(once=once))


def load_running_or_exit(conf_path: Path) -> "HostRoleSettings":
    """Load the host role's part of nsu.conf, as it is now."""
    from nsu.conf.errors import ConfErrors
    from nsu.conf.load import load_text, read_text

    try:
        host = load_text(read_text(conf_path), conf_path, resolve=lambda _: ()).host
    except ConfErrors as errors:
        say(str(errors))
        sys.exit(Exit.FAILED)
    if host is None:
        fail(f"{conf_path} has no SERVER block, so this machine has no disks")
    return host


def is_named(conf_path: Path, name: str) -> bool:
    """Whether nsu.conf has a DISK of this name."""
    from nsu.conf.errors import ConfErrors
    from nsu.conf.load import load_text, read_text

    try:
        host = load_text(read_text(conf_path), conf_path, resolve=lambda _: ()).host
    except ConfErrors:
        return False
    return host is not None and any(disk.name == name for entry in host.servers for disk in entry.disks)


def gather_or_exit(conf_path: Path) -> dict[str, Any]:
    """Ask the running processes, or say that none runs and exit with 1."""
    from nsu.gather import gather

    try:
        return gather(running_state_or_exit(conf_path))
    except ControlError as error:
        fail(unanswered(error, conf_path))
