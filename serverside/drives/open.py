"""The register of the kinds of drive, and the one way to open one."""

import errno
import stat

from serverside.drives.base import Drive, DriveError, cannot_open
from serverside.drives.block import BlockDrive
from serverside.drives.file import FileDrive
from serverside.drives.health import DriveHealth
from serverside.settings import DriveSettings

KINDS: dict[str, type[Drive]] = {
    "file": FileDrive,
    "block": BlockDrive,
}


def kind_of(settings: DriveSettings) -> str:
    """Tell the kind of a drive by what its path is now; an absent path is a file to be made."""
    try:
        mode = settings.path.stat().st_mode
    except FileNotFoundError:
        return "file"
    except OSError as error:
        raise cannot_open(settings.path, error) from error
    if stat.S_ISBLK(mode):
        return "block"
    if stat.S_ISREG(mode):
        return "file"
    raise DriveError(errno.EINVAL, f"drive {settings.path} is neither a file nor a block device: name one of these")


def open_drive(settings: DriveSettings, health: DriveHealth, index: int) -> Drive:
    """Open a drive, with its failed mark at `index` of `health`. Raise DriveError with a sentence."""
    return KINDS[kind_of(settings)].open(settings, health, index)
