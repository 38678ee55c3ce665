"""The files of the keys that hosts and NSUs share (nsu/conf/secrets.py): made, shown, installed, rotated.

Rules:
- A new file never takes the place of one that is there; one that is replaced has its mode and its owner; each is whole,
  on disk, before it has its name. A power cut leaves the old key or the new one.
- A rotation is a second file, NAME.next. It ends in one step: that file takes the name of the first.
- No sentence of this module has a key in it; a key goes to whoever asked for it, and nowhere else.
"""

import os
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from nsu.conf import keys
from nsu.conf.secrets import NextSecret, check_folder, next_of, parse_secret, read_next, read_secret
from nsu.conf.syntax import Document
from nsu.conf.values import ValueWrong
from protocol.v2.login import fingerprint

HOST, SERVER = "HOST", "SERVER"
SECRET_BYTES = 32
TEXT_MOST_BYTES = 4096


class KeyRefusedError(Exception):
    """What was asked of a key cannot be done, in a sentence."""


@dataclass(frozen=True, slots=True)
class Place:
    """A HOST or SERVER block, and the file of its key."""

    kind: str
    name: str
    path: Path | None
    """None: the block has no SECRET_FILE."""

    @property
    def label(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Keys:
    """What a place has."""

    secret: bytes = field(repr=False)
    follows: NextSecret | None

    @property
    def newest(self) -> bytes:
        return self.secret if self.follows is None else self.follows.secret


def places(text: str) -> list[Place]:
    """Give all HOST and SERVER blocks of an nsu.conf, which may be bad elsewhere. Raises KeyRefusedError."""
    return [
        Place(block.kind, block.name, _path_of([entry.value for entry in block.entries if entry.key == name]))
        for block in Document(text).blocks
        if block.kind in (HOST, SERVER)
        for name in (keys.HOST_SECRET_FILE.name if block.kind == HOST else keys.SERVER_SECRET_FILE.name,)
    ]


def place_of(text: str, name: str, kinds: tuple[str, ...] = (HOST, SERVER)) -> Place:
    """Give the one block of that name. Raises KeyRefusedError: there is none, or there are two."""
    found = [place for place in places(text) if place.name == name and place.kind in kinds]
    if not found:
        raise KeyRefusedError(f"nsu.conf has no {' and no '.join(f'{kind} {name}' for kind in kinds)}")
    if len(found) > 1:
        raise KeyRefusedError(f"{name} is a HOST and a SERVER: say which, by --of host or --of server")
    return found[0]


def default_path(conf: Path, name: str) -> Path:
    """Give where the key of a block goes that names no file: beside nsu.conf, in nsu.d."""
    return conf.resolve().parent / "nsu.d" / f"{name}.key"


def keys_of(place: Place) -> Keys:
    """Read what a place has. Raises KeyRefusedError."""
    if place.path is None:
        raise KeyRefusedError(f"{place.label} has no SECRET_FILE")
    try:
        # Only a HOST has two; and the one to follow first: when it takes the other's name meanwhile, both are that one.
        follows = read_next(place.path) if place.kind == HOST else None
        return Keys(read_secret(place.path), follows)
    except ValueWrong as error:
        raise KeyRefusedError(f"{error.wrong}; {error.right}") from error


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def given_secret(text: bytes) -> bytes:
    """Read a key that somebody gives. Raises KeyRefusedError."""
    secret = parse_secret(text[:TEXT_MOST_BYTES])
    if secret is None:
        raise KeyRefusedError("what was given is not 64 hexadecimal digits, as nsu key show prints them")
    return secret


def write_new(path: Path, secret: bytes, *, like: Path | None = None) -> None:
    """Make a key's file, where none is. Raises KeyRefusedError."""
    _write(path, secret, like, is_new=True)


def put(path: Path, secret: bytes) -> None:
    """Have a key's file hold `secret`, in place of what it held. Raises KeyRefusedError."""
    _write(path, secret, path, is_new=False)


def open_rotation(place: Place) -> str:
    """Make a key that is to follow the one of a HOST; give its fingerprint. Raises KeyRefusedError."""
    held = keys_of(place)
    assert place.path is not None
    if held.follows is not None:
        raise KeyRefusedError(
            f"a rotation of the key of {place.label} is open already: see nsu key list; --finish or --abandon ends it"
        )
    secret = new_secret()
    write_new(next_of(place.path), secret, like=place.path)
    return fingerprint(secret)


def finish_rotation(place: Place, used: str | None, *, force: bool) -> str:
    """Have the new key of a HOST take the old one's place; give its fingerprint. `used`: by which its session came in;
    None: it has none, as far as can be told. Raises KeyRefusedError, unless `force`, when that is not the new one.
    """
    follows, path = _rotation(place)
    key = fingerprint(follows.secret)
    if used != key and not force:
        raise KeyRefusedError(
            f"{place.name} {_why_not_proven(used)}: without the old key it may be cut off. Give it the new one (nsu key"
            " show, there nsu key install) and have it log in again, or say --force"
        )
    os.rename(next_of(path), path)
    _fsync_folder(path.parent)
    return key


def abandon_rotation(place: Place, used: str | None, *, force: bool) -> str:
    """Take the new key of a HOST away, and keep the old one; give the old one's fingerprint. Raises KeyRefusedError,
    unless `force`, when the host uses the new one.
    """
    follows, path = _rotation(place)
    if used == fingerprint(follows.secret) and not force:
        raise KeyRefusedError(f"{place.name} has proven the new key, and would be cut off: say --finish, or --force")
    next_of(path).unlink()
    _fsync_folder(path.parent)
    return fingerprint(read_secret(path))


def _rotation(place: Place) -> tuple[NextSecret, Path]:
    held = keys_of(place)
    assert place.path is not None
    if held.follows is None:
        raise KeyRefusedError(f"no rotation of the key of {place.label} is open")
    return held.follows, place.path


def _why_not_proven(used: str | None) -> str:
    return "has no session now" if used is None else "has a session that was proven by the old key"


def _path_of(values: list[str]) -> Path | None:
    try:
        return keys.HOST_SECRET_FILE.type.read(values[0]) if values else None
    except ValueWrong as error:
        raise KeyRefusedError(f"SECRET_FILE: {error.wrong}; it is an absolute path") from error


def _write(path: Path, secret: bytes, like: Path | None, *, is_new: bool) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_folder(path.parent.resolve())
        # mkstemp makes it of mode 0600.
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with open(descriptor, "wb") as file:
                _take_owner(descriptor, like)
                file.write(secret.hex().encode() + b"\n")
                file.flush()
                os.fsync(descriptor)
            if is_new:
                os.link(name, path)  # fails when there is one: rename(2) would not
            else:
                os.rename(name, path)
        finally:
            Path(name).unlink(missing_ok=True)
        _fsync_folder(path.parent)
    except FileExistsError as error:
        raise KeyRefusedError(
            f"{path} is there already; nothing is written over it: nsu key rotate changes it"
        ) from error
    except ValueWrong as error:
        raise KeyRefusedError(f"{error.wrong}; {error.right}") from error
    except OSError as error:
        raise KeyRefusedError(f"{path} cannot be written: {error.strerror}") from error


def _take_owner(descriptor: int, like: Path | None) -> None:
    if like is None or not like.exists():
        return
    old, new = like.stat(), os.fstat(descriptor)
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        os.fchown(descriptor, old.st_uid, old.st_gid)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
