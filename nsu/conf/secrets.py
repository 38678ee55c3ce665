"""The secret a host and an NSU share: a file of mode 0600 with 64 hexadecimal digits, which are 256 bits."""

import os
import re
import stat
from pathlib import Path

from nsu.conf.machine_facts import user_words
from nsu.conf.values import ValueWrong

_HEX = re.compile(rb"[0-9A-Fa-f]{64}")
_READ_BYTES_MOST = 4096
_FORM = "a file of mode 0600 with 64 hexadecimal digits (for example from `openssl rand -hex 32`)"


def read_secret(path: Path) -> bytes:
    """The 32 bytes of the secret in `path`; raises `ValueWrong` when it cannot be used."""
    try:
        # O_NONBLOCK: a pipe of that name must not hold up the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        right = f"run as its owner or as root, or chown {user_words()} {path}"
        raise ValueWrong(f"{user_words()} may not read {path}", right) from error
    except OSError as error:
        raise ValueWrong(f"{path} cannot be read ({error.strerror})", _FORM) from error
    try:
        return _checked(path, descriptor)
    except OSError as error:
        raise ValueWrong(f"{path} cannot be read ({error.strerror})", _FORM) from error
    finally:
        os.close(descriptor)


def _checked(path: Path, descriptor: int) -> bytes:
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        raise ValueWrong(f"{path} is not a file", _FORM)
    if mode & 0o077:
        raise ValueWrong(
            f"{path} is open to others than its owner (mode {stat.S_IMODE(mode):04o})", f"chmod 600 {path}"
        )
    digits = os.read(descriptor, _READ_BYTES_MOST).strip()
    if not _HEX.fullmatch(digits):
        # The file's contents are kept out of the message: it may be a secret with a slip in it.
        raise ValueWrong(f"{path} does not hold 64 hexadecimal digits", _FORM)
    return bytes.fromhex(digits.decode("ascii"))
