"""What every front-end is, and what it may ask of the host driver below it.

A front-end shows one disk to its users (a socket, a kernel device, a file) and turns what they ask into
requests of the host driver. It knows nothing of paths, constituents or servers: it sees the unit (what the
server really does), `request`, `submit` and `release`, and the event loop of its process.

The life of one request, whoever asks:

1. `driver.request(op, offset, length, on_done=...)` gives a request with `views`, slots of the shared
   buffer pool, or None when there is no room now: the front-end stops reading its user and asks again after
   `on_room`.
2. For a write the front-end fills the views, in order. A request it can no longer fill (its user has
   vanished) it releases without submitting: nothing of it was given to a path.
3. `driver.submit(request)`. From here until `on_done(request)` the views belong to the driver, whatever
   happens to the user: a slot that a path may still write into is never given away.
4. `on_done(request)` with `status` (0 or an errno number) and `sentence`. It may come during `submit`.
5. `driver.release(request)`, once, when the views are no longer needed: for a read, after its bytes were
   sent.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hostside.driver.request import Request
from hostside.driver.unit import UnitInfo

OWN = (-1, -1)
"""(uid, gid) of what is shown, as chown(2) takes them: the process's own."""


class Driver(Protocol):
    """The host driver, as far as a front-end looks at it (hostside/driver/driver.py is the one that runs)."""

    on_room: Callable[[], None] | None
    """Called when a `request` that got None is worth asking again; the front-end sets it."""

    @property
    def unit(self) -> UnitInfo:
        """What the server last said of the unit."""

    def request(
        self,
        op: int,
        offset_bytes: int,
        length_bytes: int,
        *,
        fua: bool = False,
        on_done: Callable[[Request], None],
    ) -> Request | None:
        """Take slots for a request; None when there is no room now."""

    def submit(self, request: Request) -> None:
        """Hand the request over; `on_done(request)` will come, perhaps at once."""

    def release(self, request: Request) -> None:
        """End the request, submitted and finished or never submitted: its slots go back."""


class Frontend(ABC):
    """One way to show one disk to its users."""

    @property
    def is_shown(self) -> bool:
        """Users can reach the disk now. A device may need a moment longer than its maker's constructor."""
        return True

    @property
    def device(self) -> Path | None:
        """The block device, where there is one: /dev/loop3."""
        return None

    @property
    @abstractmethod
    def client_count(self) -> int:
        """Clients, open files, or users of the device, now."""

    @abstractmethod
    def users(self) -> list[str]:
        """Name who uses the disk, each in words: "mounted at /mnt"; empty: nobody. Takes milliseconds."""

    def notices(self) -> list[str]:
        """Say what people should know of the disk as it is shown; empty: all is well."""
        return []

    @abstractmethod
    def drain(self, on_drained: Callable[[], None], *, timeout_s: float, forced: bool = False) -> None:
        """Take no new users and no new requests, finish and answer what is in flight, then let the users go.

        `on_drained` is called from the loop, once, when the last user is gone: after `timeout_s` seconds at
        the latest, because a user who does not read their answers must not keep a machine from shutting
        down. `forced`: what outlives this process otherwise, such as a device in use, is taken away too.
        """

    @abstractmethod
    def close(self) -> None:
        """Let everybody go at once and remove what was put into the file system. Harmless twice."""
