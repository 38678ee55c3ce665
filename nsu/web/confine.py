"""Gives up what the pages' process does not need of the file system, by Landlock (`ipc/landlock.py`).

Afterwards it can open no drive: it may write below STATE and in nsu.conf's folder alone, and read there, in the folders
of the system's programs, in /etc and /proc, where secrets and certificates are, and where Python and we are. This holds
for root too, for all threads that are made later, and for whatever might take the process over. A kernel without
Landlock leaves it out; we say so.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ipc.landlock import restrict_files
from nsu.conf import keys
from nsu.conf.load import read_text
from nsu.conf.settings import MachineSettings
from nsu.conf.syntax import Document
from nsu.say import say


class Needed(NamedTuple):
    """Folders and files that stay open."""

    to_read: Sequence[Path]
    to_write: Sequence[Path]


def folders_needed(conf_path: Path, machine: MachineSettings) -> Needed:
    """Give what the process of this machine needs; of secrets and certificates the folders, for they are renewed."""
    ours = Path(__file__).resolve().parents[2]
    python = (sys.prefix, sys.base_prefix, sys.exec_prefix, *(folder for folder in sys.path if folder))
    to_read = [ours, *map(Path, ("/usr", "/lib", "/lib64", "/etc", "/proc", "/sys", "/run/systemd/resolve", *python))]
    devices = [Path("/dev/null"), Path("/dev/urandom")]
    to_read += [path.parent for path in (*(machine.web_tls or ()), *secret_files(conf_path))]
    return Needed(to_read, [machine.state_dir, conf_path.resolve().parent, *devices])


def secret_files(conf_path: Path) -> list[Path]:
    """Give the SECRET_FILEs that nsu.conf names now: a change of it is checked with them."""
    blocks = Document(read_text(conf_path)).blocks
    entries = [entry for block in blocks for entry in block.entries if entry.key == keys.HOST_SECRET_FILE.name]
    return [Path(entry.value) for entry in entries]


def confine(needed: Needed) -> bool:
    """Give up all else. False: the kernel has no Landlock, and nothing has changed. Raises OSError."""
    if restrict_files(needed.to_read, needed.to_write):
        return True
    say("nsu: web: this kernel has no Landlock: that the pages' process opens no drive is only its habit")
    return False
