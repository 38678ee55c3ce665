"""The FUSE front-end: the disk as a file, in a mount of its own.

```
 user ──▶ kernel ──▶ a thread of the FUSE library ──Handover──▶ the loop: Flow ──▶ host driver
          (fuse)       fuse_session, fuse_folder    fuse_calls       fuse_flow
```

Rules
  * The library's threads hand over and wait; the driver is touched by the loop's thread only.
  * Every open file is direct: the kernel caches nothing, so requests come as large as the user makes them (1 MiB at
    most), errors are those of the very request, and there is never a dirty page that only we can write out.
  * The folder must be empty; what a killed process has left mounted is taken away at the next start.
  * `close` always returns: whoever waits is answered, the mount is taken away by force.
  * Only the user it runs as reaches the mount, unless MODE and OWNER name others; then the kernel asks these two.
"""

import os
from collections.abc import Callable
from pathlib import Path

from hostside.driver.unit import UnitFlag
from hostside.frontends.aside import Answer
from hostside.frontends.base import OWN, Driver, Frontend
from hostside.frontends.fuse_flow import Flow
from hostside.frontends.fuse_folder import FILE_MODE, Folder, Shown
from hostside.frontends.fuse_mount import prepare
from hostside.frontends.fuse_session import Session
from ipc.loop import Loop, Timer


class FuseFrontend(Frontend):
    """Show the disk that `driver` carries as the file `at`; its folder is the mount.

    Args:
        loop: the process's event loop.
        driver: the host driver below (its `on_room` is taken).
        at: the file.
        mode: its permission bits.
        owner: its (uid, gid); -1: this process's own.

    Raises:
        OSError: EADDRINUSE, ENOTEMPTY: the folder is not ours to take; ENOSYS, ENODEV: FUSE cannot be had here.

    """

    def __init__(
        self, loop: Loop, driver: Driver, at: Path, *, mode: int = FILE_MODE, owner: tuple[int, int] = OWN
    ) -> None:
        self.file = at.absolute()
        self._loop = loop
        self._driver = driver
        self._flow = Flow(loop, driver)
        self._shown = Shown(at.name, driver.unit.size_bytes, mode, *_known(owner))
        self._on_drained: Callable[[], None] | None = None
        self._drain_timer: Timer | None = None
        self._is_closed = False
        prepare(self.file.parent)
        up = Answer()
        self._folder = Folder(self._shown, self._flow.handover, up.give)
        read_only = bool(driver.unit.flags & UnitFlag.READ_ONLY)
        self._session = Session(
            self._folder, self.file.parent, up, read_only=read_only, for_others=self._shown.is_for_others
        )
        self._session.wait_up()
        loop.after_each(self._look)

    @property
    def client_count(self) -> int:
        """How often the file is open now."""
        return len(self._folder.handles)

    def users(self) -> list[str]:
        """See base.Frontend."""
        count = self.client_count
        return [f"{self.file} is open {count} time{'s' if count > 1 else ''}"] if count else []

    def _look(self) -> None:
        """Once a turn: a unit may have changed its size, and a drain may be over."""
        self._shown.size_bytes = self._driver.unit.size_bytes
        if self._on_drained is not None and self._flow.idle:
            self._loop.call_later(0, self._note_drained)

    def drain(self, on_drained: Callable[[], None], *, timeout_s: float, forced: bool = False) -> None:
        """See base.Frontend. What comes while others are finished fails with ESHUTDOWN."""
        del forced  # the mount goes in any case
        self._shown.is_shut = True
        self._flow.draining = True
        self._on_drained = on_drained
        self._drain_timer = self._loop.call_later(timeout_s, self._note_drained)

    def _note_drained(self) -> None:
        on_drained, self._on_drained = self._on_drained, None
        if self._drain_timer is not None:
            self._drain_timer.cancel()
        if on_drained is not None:
            self.close()
            on_drained()

    def close(self) -> None:
        """See base.Frontend. Waits two seconds for the library, at most."""
        if self._is_closed:
            return
        self._is_closed = True
        self._shown.is_shut = True
        self._flow.handover.close()
        self._session.end()


def _known(owner: tuple[int, int]) -> tuple[int, int]:
    uid, gid = owner
    return os.geteuid() if uid < 0 else uid, os.getegid() if gid < 0 else gid
