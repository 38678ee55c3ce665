"""What every verb of the command line needs: its options, the file it is about, and how it fails.

Exit status: 0 good, 1 failed, 2 wrong use.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from ipc.control import ControlError, RefusedError
from ipc.exits import Exit
from nsu.say import say

if TYPE_CHECKING:
    from nsu.conf.here import Here
    from nsu.conf.load import Loaded

DEFAULT_CONF = Path("/etc/nsu.conf")

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


class ConfCommand(click.Command):
    """A verb that takes the file by -c, and says so to whoever gives it without."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if "unexpected extra argument" not in error.message:
                raise
            raise click.UsageError(f"{error.message}. A file is named by -c FILE.", ctx) from error


def load_here_or_exit(conf_path: Path) -> "tuple[Loaded, Here]":
    """Load nsu.conf and look around, or print all that is wrong with it and exit with 1."""
    from nsu.conf.errors import ConfErrors
    from nsu.conf.here import look_here
    from nsu.conf.load import load_text, read_text

    try:
        text = read_text(conf_path)
        return load_text(text, conf_path), look_here(text, conf_path)
    except ConfErrors as errors:
        say(str(errors))
        sys.exit(Exit.FAILED)


def running_state_or_exit(conf_path: Path, *, needs_disks: bool = False) -> Path:
    """Give STATE, where those who run are asked. A file that has become bad is no reason not to ask them."""
    from nsu.conf.errors import ConfErrors
    from nsu.conf.load import load_text, read_text, state_dir_of

    try:
        text = read_text(conf_path)
    except ConfErrors as errors:
        say(str(errors))
        sys.exit(Exit.FAILED)
    try:
        loaded = load_text(text, conf_path, resolve=lambda _: ())
    except ConfErrors:
        say(f"nsu: warning: {conf_path} is not good now; who runs, runs by what it said before. See: nsu check")
        return state_dir_of(text)
    if needs_disks and loaded.host is None:
        fail(f"{conf_path} has no SERVER block, so this machine has no disks to trace")
    return loaded.machine.state_dir


def fail(sentence: str) -> NoReturn:
    """Say what is wrong, and exit with 1."""
    say(f"nsu: {sentence}")
    sys.exit(Exit.FAILED)


def unanswered(error: ControlError, conf_path: Path) -> str:
    """Say what to do when nobody answers; who refuses has said it."""
    if isinstance(error, RefusedError):
        return str(error)
    if isinstance(error.__cause__, PermissionError):
        return f"{error}; ask as the user who runs it"
    return f"{error}; is it running? Start it with: nsu run -c {conf_path}"
