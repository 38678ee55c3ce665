"""What blocks, beside the loop: a function in a thread of its own, whose outcome comes back as a turn of the loop.

Why threads at all, in a house that has none: the kernel's ways to show a disk (a FUSE library that waits for requests,
loop devices whose ioctls read from the very disk that this process serves) block until the loop has served them. In the
loop's own thread each would wait for itself for ever.

Rules
  * Such a function touches neither the driver nor the loop, and changes nothing that the loop's thread looks at.
  * It starts after the process's own fork, and the process forks no more.
  * It is joined before the loop is closed: its last act is a byte in the loop's pipe. (A process that ends needs not.)
  * Nobody waits for it without an end: `join` has a time, and a thread that never ends dies with its process.
"""

import threading
from collections.abc import Callable

from ipc.loop import Loop


class Aside:
    """`function()` in a thread; `error` is what it raised. `on_done` is called by the loop, if one is given."""

    def __init__(
        self, function: Callable[[], object], loop: Loop | None = None, on_done: Callable[[], None] | None = None
    ) -> None:
        self.error: Exception | None = None
        self._function = function
        self._loop = loop
        self._on_done = on_done
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._function()
        except Exception as error:  # noqa: BLE001 — the outermost line of this thread: whoever waits for it is told
            self.error = error
        finally:
            if self._loop is not None and self._on_done is not None:
                self._loop.enqueue(self._on_done)

    def join(self, timeout_s: float) -> bool:
        """Wait for its end; False: it goes on."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()


class Answer:
    """Made by one thread, waited for by that one, given by another: once."""

    __slots__ = ("_gate",)

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._gate.acquire()

    def give(self) -> None:
        """Let the waiting thread go on. Once."""
        self._gate.release()

    def wait(self, timeout_s: float = -1) -> bool:
        """Wait until it is given; False: `timeout_s` have passed."""
        return self._gate.acquire(timeout=timeout_s)
