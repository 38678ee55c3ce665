"""The link to an NBD device, where users look for it, and the marks of devices that were taken from under their users.

A device that was detached by force stays with whoever has it mounted or open, under its name, until they let go.
Linux 5.15 takes sockets for it again (6.1 refuses): it would go on as if nothing had been, with what its users had
not yet written, and by then the disk may have been used elsewhere. So a mark, a hidden link beside the link, says
that it is not to be taken over. The kernel has no place for such a word.
"""

import contextlib
import errno
import os
from collections.abc import Collection
from pathlib import Path

DEV = Path("/dev")


class DeviceLink:
    """The link at the path `at`.

    Raises:
        FileExistsError: something that is no link to an NBD device is there.

    """

    def __init__(self, at: Path) -> None:
        self.at = at
        if os.path.lexists(at) and not _target(at).startswith(f"{DEV}/nbd"):
            sentence = f"{at} is no link to an NBD device and stays; name another place, or move it away"
            raise FileExistsError(errno.EEXIST, sentence)

    def point(self, index: int) -> None:
        """Lead to device `index`; in one step, so that nobody sees the link missing."""
        fresh = self.at.with_name(f".{self.at.name}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(device(index))
        fresh.replace(self.at)

    def remove(self, index: int | None = None) -> None:
        """Remove the link if it leads to device `index`; None: wherever it leads."""
        if index is None or _target(self.at) == str(device(index)):
            with contextlib.suppress(OSError):
                self.at.unlink()

    def mark(self, index: int) -> None:
        """Note that device `index` is not to be taken over any more."""
        mark = self.at.with_name(f"{self._marks}{index}")
        with contextlib.suppress(FileExistsError):
            mark.symlink_to(device(index))

    def marked(self, attached: Collection[int]) -> set[int]:
        """Give the marked devices among those that are `attached` for this disk, and forget the others."""
        found = set()
        for path in self.at.parent.glob(f"{self._marks}*"):
            index = int(path.name.removeprefix(self._marks))
            if index in attached:
                found.add(index)
            else:
                path.unlink()
        return found

    @property
    def _marks(self) -> str:
        return f".{self.at.name}.taken-away."


def device(index: int) -> Path:
    """/dev/nbdN."""
    return DEV / f"nbd{index}"


def _target(link: Path) -> str:
    """Where it leads; empty: it is no link, or not there."""
    try:
        return os.readlink(link)
    except OSError:
        return ""
