"""`nsu top`."""

import json
import time
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from ipc.control import ControlError
from nsu.cli_base import ConfCommand, conf_option, fail, json_option, running_state_or_exit, unanswered
from nsu.top import look, picture, told

EVERY_LEAST_S, EVERY_MOST_S = 0.2, 60.0


@click.command(cls=ConfCommand)
@click.option("--once", is_flag=True, help="One picture, and end.")
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(EVERY_LEAST_S, EVERY_MOST_S),
    default=2.0,
    show_default=True,
    help="Seconds between two looks.",
)
@conf_option
@json_option
def top(once: bool, every_s: float, conf_path: Path, as_json: bool) -> None:
    """What moves now, and what is wrong.

    Hosts, paths, drives and processes, until Control-C. With --json one object on each line.
    """
    state_dir = running_state_or_exit(conf_path)
    try:
        before = look(state_dir)
        with Live(console=Console(), auto_refresh=False, transient=False) as live:
            while True:
                time.sleep(every_s)
                now = look(state_dir)
                if as_json:
                    click.echo(json.dumps(told(before, now)))
                else:
                    live.update(picture(before, now), refresh=True)
                if once:
                    return
                before = now
    except KeyboardInterrupt:
        return
    except ControlError as error:
        fail(unanswered(error, conf_path))
