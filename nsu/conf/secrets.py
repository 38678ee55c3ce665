"""The secret a host and an NSU share: a file of mode 0600 with 64 hexadecimal digits, which are 256 bits.

Rules: the file is root's or ours, nobody else may open it, and nobody else may put another in its place (its folder).
What is in it is in no error text. While a rotation is open, a file beside it, NAME.next, has the secret to follow.
"""

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from nsu.conf.machine_facts import user_words
from nsu.conf.values import ValueWrong

_HEX = re.compile(rb"[0-9A-Fa-f]{64}")
_READ_BYTES_MOST = 4096
_FORM = "a file of mode 0600 with 64 hexadecimal digits (nsu key makes one)"


@dataclass(frozen=True, slots=True)
class NextSecret:
    """The secret that is to follow another, and since when both hold."""

    secret: bytes = field(repr=False)
    since_s: float
    """In seconds since 1970."""


def next_of(path: Path) -> Path:
    """Give the file of the secret that is to follow the one in `path`."""
    return path.with_name(path.name + ".next")


def read_secret(path: Path) -> bytes:
    """The 32 bytes of the secret in `path`; raises `ValueWrong` when it cannot be used."""
    return _read(path)[0]


def read_next(path: Path) -> NextSecret | None:
    """What is to follow the secret in `path`; None: no rotation is open. Raises `ValueWrong` as `read_secret`."""
    if not os.path.lexists(next_of(path)):
        return None
    secret, changed_s = _read(next_of(path))
    return NextSecret(secret, changed_s)


def parse_secret(text: bytes) -> bytes | None:
    """The 32 bytes that a text says; None: it is not 64 hexadecimal digits."""
    digits = text.strip()
    return bytes.fromhex(digits.decode("ascii")) if _HEX.fullmatch(digits) else None


def check_folder(folder: Path) -> None:
    """See that only root and we can put files in the place of others there; raises `ValueWrong`."""
    try:
        status = folder.stat()
    except OSError as error:
        raise ValueWrong(f"{folder} cannot be looked at ({error.strerror})", _FORM) from error
    if status.st_uid not in (0, os.geteuid()):
        raise ValueWrong(f"{folder} belongs to user {status.st_uid}, who may replace what is in it", _chown(folder))
    # The sticky bit, as of /tmp: only its owner may replace a file.
    if status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX:
        mode = stat.S_IMODE(status.st_mode)
        raise ValueWrong(f"others may replace what is in {folder} (mode {mode:04o})", f"chmod go-w {folder}")


def _read(path: Path) -> tuple[bytes, float]:
    """The secret, and when its file was written."""
    try:
        # O_NONBLOCK: a pipe of that name must not hold up the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        right = f"run as its owner or as root, or chown {user_words()} {path}"
        raise ValueWrong(f"{user_words()} may not read {path}", right) from error
    except OSError as error:
        raise ValueWrong(f"{path} cannot be read ({error.strerror})", _FORM) from error
    try:
        return _checked(path, descriptor), os.fstat(descriptor).st_mtime
    except OSError as error:
        raise ValueWrong(f"{path} cannot be read ({error.strerror})", _FORM) from error
    finally:
        os.close(descriptor)


def _checked(path: Path, descriptor: int) -> bytes:
    status = os.fstat(descriptor)
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        raise ValueWrong(f"{path} is not a file", _FORM)
    if mode & 0o077:
        raise ValueWrong(f"{path} is open to others than its owner (mode {mode:04o})", f"chmod 600 {path}")
    if status.st_uid not in (0, os.geteuid()):
        raise ValueWrong(f"{path} belongs to user {status.st_uid}, who knows what is in it", _chown(path))
    check_folder(path.resolve().parent)
    secret = parse_secret(os.read(descriptor, _READ_BYTES_MOST))
    if secret is None:
        # The file's contents are kept out of the message: it may be a secret with a slip in it.
        raise ValueWrong(f"{path} does not hold 64 hexadecimal digits", _FORM)
    return secret


def _chown(path: Path) -> str:
    return f"run as that user, or chown {user_words()} {path}"
