"""The loop front-end: the disk as /dev/loopN, over the file of another front-end; `at` is a symbolic link to it.

Rules
  * Whatever touches the device runs beside the loop: the kernel reads partitions and writes dirty pages meanwhile, from
    and to the very disk that this loop serves.
  * The link is there when the device is; a moment after the process has said that it is ready.
  * Going: first the device is let go, while the disk still serves, so that what the kernel holds dirty arrives; then
    the file. A device that somebody has mounted is not let go by the kernel; when the time is up the file goes anyway,
    its user gets errors, and the device vanishes when it is unmounted.
  * What a killed process has left attached is let go at the next start.
  * A unit that has changed its size is seen in the same turn, and the device told.
"""

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hostside.driver.unit import UnitFlag
from hostside.frontends import loop_device
from hostside.frontends.aside import Aside
from hostside.frontends.base import Driver, Frontend
from hostside.frontends.device_users import users_of
from ipc.loop import Loop

_LOOK_EVERY_S = 0.02
_FOR_THE_FILE = 0.2
"""The part of a drain's time that is kept for the file, when the device does not go."""
_STALE_S = 3.0
_LAST_S = 1.0


class FileFrontend(Protocol):
    """What a device is laid over: a front-end whose disk is a file."""

    file: Path

    def drain(self, on_drained: Callable[[], None], *, timeout_s: float) -> None:
        """See base.Frontend."""

    def close(self) -> None:
        """See base.Frontend."""


class LoopFrontend(Frontend):
    """Show the disk that `driver` carries as a loop device, and a link `at` to it.

    Args:
        loop: the process's event loop.
        driver: looked at for its unit only; the file's front-end has the rest.
        at: the link; what is there already must be a link.
        file: where `show_file` will show the disk.
        show_file: makes the file; called after what a killed process left was cleared away.

    Raises:
        FileExistsError: something that is no link is at `at`.
        OSError: `show_file`'s; in the loop's turn: no device could be attached.

    """

    def __init__(
        self, loop: Loop, driver: Driver, at: Path, file: Path, show_file: Callable[[Path], FileFrontend]
    ) -> None:
        self.at = at
        self._device: Path | None = None
        """The device, once it is attached."""
        self.trouble = ""
        """What the kernel said last when the device could not be told of something."""
        self._loop = loop
        self._driver = driver
        self._path = file
        self._aside: Aside | None = None
        """What is done beside the loop now: one thing at a time."""
        self._on_drained: Callable[[], None] | None = None
        self._drain_end_s = 0.0
        self._file_from_s = 0.0
        self._let_go_asked = False
        self._is_linked = False
        self._is_closed = False
        if os.path.lexists(at) and not at.is_symlink():
            raise FileExistsError(errno.EEXIST, f"{at} is no link and stays; name another place, or move it away")
        Aside(self._clear).join(_STALE_S)
        self._size_bytes = driver.unit.size_bytes
        self._read_only = bool(driver.unit.flags & UnitFlag.READ_ONLY)
        self._file = show_file(file)
        self._do(self._attach, self._attached)
        loop.after_each(self._look)

    @property
    def is_shown(self) -> bool:
        """The link leads to the device."""
        return self._is_linked

    @property
    def device(self) -> Path | None:
        """The device, once it is attached."""
        return self._device

    @property
    def client_count(self) -> int:
        """Mounts, swap, devices stacked on it, and processes that have it open."""
        return len(self.users())

    def users(self) -> list[str]:
        """See base.Frontend."""
        return users_of(self.device.name) if self.device is not None else []

    def notices(self) -> list[str]:
        """See base.Frontend."""
        return [self.trouble] if self.trouble else []

    # -- beside the loop -----------------------------------------------------------------------------------------

    def _do(self, function: Callable[[], None], then: Callable[[Exception | None], None]) -> None:
        aside = self._aside = Aside(function, self._loop, lambda: self._done(aside, then))

    def _done(self, aside: Aside, then: Callable[[Exception | None], None]) -> None:
        self._aside = None
        then(aside.error)

    def _clear(self) -> None:
        for device in loop_device.left_behind(self._path, self.at):
            loop_device.detach(device)

    def _attach(self) -> None:
        self._device = loop_device.attach(self._path, read_only=self._read_only)

    def _grow(self) -> None:
        if self.device is not None:
            loop_device.grow(self.device, self._path)

    def _let_go(self) -> None:
        if self.device is not None:
            loop_device.detach(self.device)

    # -- in the loop ---------------------------------------------------------------------------------------------

    def _attached(self, error: Exception | None) -> None:
        if error is not None:
            raise error
        if self.device is not None and not self._is_closed:
            point(self.at, self.device)
            self._is_linked = True

    def _noted(self, error: Exception | None) -> None:
        """The device could not be told: the disk serves on, and `trouble` says so."""
        self.trouble = "" if error is None else f"{self.device}: {error}"

    def _look(self) -> None:
        """Once a turn: has the unit changed its size?"""
        if self._size_bytes != self._driver.unit.size_bytes:
            self.resized()

    def resized(self) -> None:
        """The unit has another size: tell the device. While something else is done beside the loop, later."""
        if self._aside is None and not self._let_go_asked:
            self._size_bytes = self._driver.unit.size_bytes
            self._do(self._grow, self._noted)

    def drain(self, on_drained: Callable[[], None], *, timeout_s: float, forced: bool = False) -> None:
        """See base.Frontend. The disk serves on until the device is gone, or most of the time is up."""
        del forced  # the file below the device goes in any case
        self._on_drained = on_drained
        self._drain_end_s = self._loop.now() + timeout_s
        self._file_from_s = self._drain_end_s - _FOR_THE_FILE * timeout_s
        self._drain_on()

    def _drain_on(self) -> None:
        """Let the device go, wait until it is gone, then drain the file."""
        if self._on_drained is None:
            return
        now_s = self._loop.now()
        if self._aside is None and not self._let_go_asked:
            self._let_go_asked = True
            self._do(self._let_go, self._noted)
        is_gone = self._let_go_asked and self._aside is None and not self._is_attached
        if not is_gone and now_s < self._file_from_s:
            self._loop.call_later(_LOOK_EVERY_S, self._drain_on)
            return
        self._file.drain(self._note_drained, timeout_s=max(0.0, self._drain_end_s - now_s))

    @property
    def _is_attached(self) -> bool:
        return self.device is not None and loop_device.is_attached(self.device)

    def _note_drained(self) -> None:
        on_drained, self._on_drained = self._on_drained, None
        self._remove_link()
        if on_drained is not None:
            on_drained()

    def close(self) -> None:
        """See base.Frontend. Waits a few seconds at most: a device in use goes when its user does."""
        if self._is_closed:
            return
        self._is_closed = True
        self._on_drained = None
        self._remove_link()
        ending = Aside(self._end_device)
        ending.join(_LAST_S)  # while the loop stands still, only what needs no answer from the disk gets done
        self._file.close()
        ending.join(_LAST_S)
        with contextlib.suppress(OSError):  # the hidden folder of the file, unless something else lies in it
            self._path.parent.rmdir()

    def _end_device(self) -> None:
        if self._aside is not None:
            self._aside.join(_LAST_S)
        if self._is_attached:
            self._let_go()

    def _remove_link(self) -> None:
        if self.device is not None and self.at.is_symlink() and self.at.readlink() == self.device:
            self.at.unlink()


def point(at: Path, device: Path) -> None:
    """Have the link `at` lead to `device`, without a moment in which it leads nowhere."""
    new = at.with_name(f".{at.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(device)
    new.replace(at)
