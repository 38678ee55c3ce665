"""Other users, and children: a function or a command run by one, a folder that all may look into. Root alone can."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


def errno_in_child(what: Callable[[], object]) -> int:
    """Run it in a process of its own: 0, or the errno of what it raised; 255: no OSError."""
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            what()
            code = 0
        except OSError as error:
            code = error.errno or 254
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def as_user(uid: int, gids: Sequence[int], say: Callable[[], str]) -> str:
    """Give what `say()` returns in a child that is `uid`, with the group `gids[0]` and the others beside it."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "it failed"
        try:
            os.setgroups(gids[1:])
            os.setresgid(gids[0], gids[0], gids[0])
            os.setresuid(uid, uid, uid)
            said = say()
        finally:
            os.write(theirs, said.encode())
            os._exit(0)
    os.close(theirs)
    with open(ours, encoding="utf-8") as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return said


def command_of(uid: int, gids: Sequence[int], *command: str) -> tuple[str, ...]:
    """The command, to be run as `uid` with the group `gids[0]` and the others beside it (setpriv(1))."""
    others = f"--groups={','.join(map(str, gids[1:]))}" if gids[1:] else "--clear-groups"
    return "setpriv", f"--reuid={uid}", f"--regid={gids[0]}", others, *command


@contextmanager
def public_folder(mode: int = 0o755) -> Iterator[Path]:
    """A folder that everybody may look into; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="nsu-t-", dir="/tmp"))
    try:
        folder.chmod(mode)
        yield folder
    finally:
        shutil.rmtree(folder)
