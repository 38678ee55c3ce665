"""Pipes, epoll and poll, as far as the product uses them."""

import select as real_select
from errno import EEXIST, ENOENT, EPERM

from tests.sim.kernel.kernel import SECOND, Description, Kernel, Process, Watcher

IN, OUT, ERR, HUP = real_select.EPOLLIN, real_select.EPOLLOUT, real_select.EPOLLERR, real_select.EPOLLHUP
PIPE_BUF = 4096
PIPE_BYTES = 65536


class Pipe:
    """The bytes between the two ends."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.size_bytes = PIPE_BYTES
        self.reader = PipeReader(self)
        self.writer = PipeWriter(self)


class PipeReader(Description):
    """The end to read from."""

    def __init__(self, pipe: Pipe) -> None:
        super().__init__()
        self.pipe = pipe

    def events(self) -> int:
        return (IN if self.pipe.content else 0) | (0 if self.pipe.writer.references else HUP)

    def read(self, count: int) -> bytes:
        """BlockingIOError when it is empty and there is a writer; b"" at the end."""
        content = self.pipe.content
        if not content and self.pipe.writer.references:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        data = bytes(content[:count])
        del content[:count]
        if data:
            self.pipe.writer.tell()
        return data

    def released(self) -> None:
        self.pipe.writer.tell()


class PipeWriter(Description):
    """The end to write to."""

    def __init__(self, pipe: Pipe) -> None:
        super().__init__()
        self.pipe = pipe

    def events(self) -> int:
        pipe = self.pipe
        room = len(pipe.content) + PIPE_BUF <= pipe.size_bytes
        return (OUT if room else 0) | (0 if pipe.reader.references else ERR)

    def write(self, data: bytes) -> int:
        """Write whole or not at all (pipe(7), up to PIPE_BUF)."""
        pipe = self.pipe
        if not pipe.reader.references:
            raise BrokenPipeError(32, "Broken pipe")
        if len(pipe.content) + len(data) > pipe.size_bytes:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        pipe.content += data
        pipe.reader.tell()
        return len(data)

    def released(self) -> None:
        self.pipe.reader.tell()


class ProcessEnd(Description):
    """A pidfd: readable when the process is dead."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self.process = process

    def events(self) -> int:
        return 0 if self.process.is_alive else IN


class Epoll(Watcher):
    """select.epoll. It is no descriptor here: nobody watches it, and no child keeps it."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.closed = False
        self._owner = kernel.current
        self._interest: dict[int, tuple[Description, int]] = {}

    def look(self) -> None:
        if self._owner is not None:
            self.kernel.wake(self._owner)

    def register(self, descriptor: object, events: int) -> None:
        number, description = self._find(descriptor)
        known = self._interest.get(number)
        if known is not None and known[0] is description:
            raise FileExistsError(EEXIST, "File exists")
        if not isinstance(description, Description):
            raise PermissionError(EPERM, "Operation not permitted")
        self._interest[number] = (description, events)
        description.watchers[self] = None

    def modify(self, descriptor: object, events: int) -> None:
        number, description = self._find(descriptor)
        known = self._interest.get(number)
        if known is None or known[0] is not description:
            raise FileNotFoundError(ENOENT, "No such file or directory")
        self._interest[number] = (description, events)

    def unregister(self, descriptor: object) -> None:
        number, description = self._find(descriptor)
        known = self._interest.get(number)
        if known is None or known[0] is not description:
            raise FileNotFoundError(ENOENT, "No such file or directory")
        del self._interest[number]
        if all(description is not other for other, _ in self._interest.values()):
            description.watchers.pop(self, None)

    def _find(self, descriptor: object) -> tuple[int, Description]:
        process = self.kernel.enter()
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()  # type: ignore[attr-defined]
        return number, process.find(number)

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        del maxevents
        kernel = self.kernel
        kernel.enter()
        until_ns = None if timeout is None or timeout < 0 else kernel.now_ns + int(timeout * SECOND) + 1
        while True:
            found = self._found()
            if found or timeout == 0 or (until_ns is not None and kernel.now_ns >= until_ns):
                return found
            kernel.wait(until_ns)

    def _found(self) -> list[tuple[int, int]]:
        found = []
        for number, (description, wanted) in list(self._interest.items()):
            if not description.references:
                del self._interest[number]  # closed for good: the kernel forgets it by itself
                continue
            events = description.events() & (wanted | ERR | HUP)
            if events:
                found.append((number, events))
        if len(found) > 1:
            self.kernel.chance.shuffle(found)
        return found

    def close(self) -> None:
        self.closed = True
        for description, _ in self._interest.values():
            description.watchers.pop(self, None)
        self._interest.clear()


class Poll(Watcher):
    """select.poll, for one call."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self._owner = kernel.current
        self._interest: list[tuple[int, Description, int]] = []

    def look(self) -> None:
        if self._owner is not None:
            self.kernel.wake(self._owner)

    def register(self, number: int, events: int) -> None:
        process = self.kernel.enter()
        self._interest.append((number, process.find(number), events))

    def poll(self, timeout_ms: float | None = None) -> list[tuple[int, int]]:
        kernel = self.kernel
        kernel.enter()
        until_ns = None if timeout_ms is None else kernel.now_ns + int(timeout_ms * SECOND / 1000) + 1
        for _, description, _ in self._interest:
            description.watchers[self] = None
            if isinstance(description, ProcessEnd):
                description.process.buried.append(self)
        try:
            while True:
                found = [(n, e) for n, d, wanted in self._interest if (e := d.events() & (wanted | ERR | HUP))]
                if found or timeout_ms == 0 or (until_ns is not None and kernel.now_ns >= until_ns):
                    return found
                kernel.wait(until_ns)
        finally:
            for _, description, _ in self._interest:
                description.watchers.pop(self, None)
