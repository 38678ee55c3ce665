"""The command line (click's one door). Names of the verbs are fixed: people and checks depend on them.

Exit status: 0 good, 1 failed, 2 wrong use. `--json` wherever a person would script.
"""

import json
import sys
from pathlib import Path

import click
from rich.console import Console

from ipc.control import ControlError
from ipc.exits import Exit
from nsu import __version__
from nsu.conf.errors import ConfErrors
from nsu.conf.load import Loaded, load_file
from nsu.demo import run_demo
from nsu.gather import gather
from nsu.ladder import NotFollowedError, follow, ladder
from nsu.roles import mains, stamp
from nsu.show import show_status
from nsu.supervisor import StateUnusableError, Supervisor

DEFAULT_CONF = Path("/etc/nsu.conf")
TRACE_MOST_S = 86_400

conf_option = click.option(
    "-c",
    "--conf",
    "conf_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_CONF,
    show_default=True,
    help="The machine's nsu.conf.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nsu")
def main() -> None:
    """NSU: network block storage over many TCP sockets."""


@main.command()
@conf_option
def run(conf_path: Path) -> None:
    """Run the supervisor, in the foreground.

    It runs whatever roles FILE gives this machine, until Control-C or SIGTERM. SIGHUP: look at FILE again now.
    """
    seen = stamp(conf_path)
    loaded = load_or_exit(conf_path)
    for warning in loaded.warnings:
        click.echo(f"nsu: warning: {warning}", err=True)
    roles = mains(conf_path, loaded, seen)
    if not roles:
        click.echo(f"nsu: {conf_path} gives this machine no role: add NSU and HOST blocks, or SERVER blocks", err=True)
        sys.exit(Exit.FAILED)
    machine = loaded.machine
    try:
        supervisor = Supervisor(machine.name, machine.state_dir, roles, loaded.warnings)
    except StateUnusableError as error:
        click.echo(f"nsu: {error}", err=True)
        sys.exit(Exit.FAILED)
    sys.exit(supervisor.run())


@main.command()
@conf_option
def check(conf_path: Path) -> None:
    """Say whether FILE is good.

    Prints every error, with its line, what is wrong and what would be right. Nothing is changed or started.
    """
    loaded = load_or_exit(conf_path)
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}")
    roles = [name for name, role in (("server", loaded.server), ("host", loaded.host)) if role is not None]
    click.echo(f"{conf_path} is good: machine {loaded.machine.name}, {' and '.join(roles) or 'no role'}")


@main.command()
@conf_option
@json_option
def status(conf_path: Path, as_json: bool) -> None:
    """Sessions, paths, disks, arrays, timers in force, warnings."""
    found = gather_or_exit(conf_path)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        show_status(Console(), found)


@main.command()
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
    loaded = load_or_exit(conf_path)
    if loaded.host is None:
        click.echo(f"nsu: {conf_path} has no SERVER block, so this machine has no disks to trace", err=True)
        sys.exit(Exit.FAILED)
    try:
        found = follow(loaded.machine.state_dir, disk, op, timeout_s)
    except NotFollowedError as error:
        click.echo(f"nsu: {error}", err=True)
        sys.exit(Exit.FAILED)
    except ControlError as error:
        click.echo(f"nsu: {unanswered(error, conf_path)}", err=True)
        sys.exit(Exit.FAILED)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        click.echo(ladder(found))


@main.command()
@click.option("--once", is_flag=True, help="End after the tour; exit status 0 when all of it held.")
def demo(once: bool) -> None:
    """Show both sides on loopback, with file drives.

    No root needed, nothing to edit, nothing left behind. Copies a file in and out while an agent and an SRW are
    killed, compares checksums, shows Figure 5, then stays up until Control-C.
    """
    sys.exit(run_demo(once=once))


def load_or_exit(conf_path: Path) -> Loaded:
    """Load nsu.conf, or print all that is wrong with it and exit with 1."""
    try:
        return load_file(conf_path)
    except ConfErrors as errors:
        click.echo(str(errors), err=True)
        sys.exit(Exit.FAILED)


def gather_or_exit(conf_path: Path) -> dict[str, object]:
    """Ask the running processes, or say that none runs and exit with 1."""
    state_dir = load_or_exit(conf_path).machine.state_dir
    try:
        return gather(state_dir)
    except ControlError as error:
        click.echo(f"nsu: {unanswered(error, conf_path)}", err=True)
        sys.exit(Exit.FAILED)


def unanswered(error: ControlError, conf_path: Path) -> str:
    """Say what to do when nobody answers."""
    if isinstance(error.__cause__, PermissionError):
        return f"{error}; ask as the user who runs it"
    return f"{error}; is it running? Start it with: nsu run -c {conf_path}"
