"""Saves nsu.conf, so that a machine never finds itself with a bad one, an empty one, or half of one.

Guarantees, in the order in which they are kept:
- the new text is loaded and checked first; a bad or empty one is refused, and the file is not touched;
- a change that takes the machine's last role away is refused too: that is how files are emptied by mistake;
- what was changed by somebody else meanwhile is not overwritten: the text that was read must still be there;
- the old text is kept as NAME.bak, one backup, written as carefully as the file itself;
- the new text is written beside the file, with the mode and the owner of the old one, and fsynced; it takes
  the name in one step (rename), and the folder is fsynced. After a power cut there is the old file or the new
  one.
A symbolic link stays one: the file it points to is replaced.
"""

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nsu.conf.errors import ChangeRefused
from nsu.conf.load import Loaded, load_text, read_text, resolve_by_system
from nsu.conf.server_role import Resolve
from nsu.conf.syntax import Document

Change = Callable[[Document], Document]

_LOCK_TIMEOUT_S = 5.0
_LOCK_RETRY_S = 0.02
_NEW_FILE_MODE = 0o644
"""The file holds no secrets: those are in files of their own."""


def change_file(path: Path, change: Change, *, resolve: Resolve = resolve_by_system) -> Loaded:
    """Read the file, make a change (`edit.py`), check the result and save it; returns what now holds.

    Raises `ConfErrors` when the result is bad, `ChangeRefused` when the change cannot be made.
    """
    with _locked(path.resolve()):
        old = read_text(path)
        return _replace(path, old, change(Document(old)).text, resolve)


def save_text(path: Path, text: str, *, expected: str | None, resolve: Resolve = resolve_by_system) -> Loaded:
    """Save a whole new text in place of `expected`, the text it was made from; None: there is no file yet.

    Raises `ConfErrors` when the text is bad, `ChangeRefused` when the file is not what was expected.
    """
    with _locked(path.resolve()):
        old = read_text(path) if os.path.lexists(path) else None
        if old != expected:
            raise ChangeRefused(f"{path} was changed by somebody else meanwhile: read it again.")
        return _replace(path, old, text, resolve)


def backup_of(path: Path) -> Path:
    """Where the one backup of a file is."""
    real = path.resolve()
    return real.with_name(real.name + ".bak")


def lock_of(path: Path) -> Path:
    """Where the lock of a file is."""
    real = path.resolve()
    return real.with_name(f".{real.name}.lock")


def _replace(path: Path, old: str | None, text: str, resolve: Resolve) -> Loaded:
    loaded = load_text(text, path, resolve=resolve)
    if text == old:
        return loaded
    real = path.resolve()
    if old is not None and old.strip():
        if _has_role(old) and not _has_role(text):
            raise ChangeRefused(f"This would leave {path} without any role; remove the file if that is what you want.")
        _write(backup_of(path), old, like=real)
    _write(real, text, like=real)
    return loaded


def _has_role(text: str) -> bool:
    return any(block.kind != "MACHINE" for block in Document(text).blocks)


def _write(path: Path, text: str, *, like: Path) -> None:
    """Put `text` in place of `path` in one step, with mode and owner of the file `like`."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            _take_after(descriptor, like)
            file.write(text.encode("utf-8"))
            file.flush()
            os.fsync(descriptor)
        os.rename(name, path)
    except BaseException:
        os.unlink(name)
        raise
    _fsync_folder(path.parent)


def _take_after(descriptor: int, like: Path) -> None:
    try:
        old = like.stat()
    except FileNotFoundError:
        os.fchmod(descriptor, _NEW_FILE_MODE)
        return
    new = os.fstat(descriptor)
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        os.fchown(descriptor, old.st_uid, old.st_gid)
    # After fchown, which clears the set-id bits.
    os.fchmod(descriptor, old.st_mode & 0o7777)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _locked(real: Path) -> Iterator[None]:
    """One writer at a time among ours (command line, web).

    The lock is a file of mode 0600 beside `real`, which stays there: whoever may open a file may lock it, and the
    folder or the file itself may be opened by anybody.
    """
    descriptor = os.open(lock_of(real), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        _give_to_owner(descriptor, real)
        give_up_at = time.monotonic() + _LOCK_TIMEOUT_S
        while not _try_lock(descriptor):
            if time.monotonic() > give_up_at:
                raise ChangeRefused(f"Another change of {real} is being saved: try again.")
            time.sleep(_LOCK_RETRY_S)
        yield
    finally:
        os.close(descriptor)


def _give_to_owner(descriptor: int, real: Path) -> None:
    """Let root's lock be that of whom the file belongs to: he changes it, too."""
    owner = (real if real.exists() else real.parent).stat().st_uid
    if os.geteuid() == 0 and os.fstat(descriptor).st_uid != owner:
        os.fchown(descriptor, owner, -1)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
