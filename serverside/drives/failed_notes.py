"""Which drives have failed, noted in STATE: a mark in memory ends with the server process, and the loss does not.

After a failed write or sync the kernel has thrown data away and calls the drive good again (see `health.py`). A server
that was killed, or that nsu has started again by itself, must not believe that. So whoever marks a drive notes it,
and a drive with a note is a failed one from the start. People take the note away, when they have seen to the drive.
"""

import hashlib
import json
import time
from errno import EIO
from pathlib import Path

from serverside.identity import write_atomically

NAME_BYTES_MAX = 100


class FailedNotes:
    """The notes in `folder`, one file for each drive that has failed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path_of(self, drive: str) -> Path:
        """Give the file that is the note of `drive`: removed, the drive is trusted again at the next start."""
        name = drive.strip("/").replace("/", "-")
        if len(name.encode()) > NAME_BYTES_MAX:
            name = hashlib.sha256(drive.encode()).hexdigest()
        return self.folder / name

    def put(self, drive: str, errno: int) -> None:
        """Note that `drive` has failed. Raises OSError: it could not be noted; then a restart forgets it."""
        note = {"drive": drive, "errno": errno, "at": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
        write_atomically(self.path_of(drive), json.dumps(note).encode() + b"\n")

    def errno(self, drive: str) -> int:
        """Give the errno that ended `drive` in a former run; 0: there is no note."""
        try:
            note = json.loads(self.path_of(drive).read_bytes())
            return int(note["errno"]) if note["drive"] == drive else 0  # two paths may share a name
        except FileNotFoundError:
            return 0
        except (ValueError, LookupError, TypeError):
            return EIO  # somebody noted something
