"""A relay in user space that harms what passes: TCP as it is when cables, switches and other people's boxes are bad.

    with Relay(doors, seed=1) as relay:
        ...
        with relay.harming(HARM, NO_HARM): ...
        relay.told()                                     # what was done, and how often

Each direction of each connection is a stream with a seeded generator of its own; harm is done at places in the stream
(so many bytes after the last), not in packets, so that it does not depend on how the bytes arrive.

| harm | what becomes of the stream at that place |
|---|---|
| delay | all that follows comes later, by up to 50 ms |
| stall | by 0.2 to 1.5 s |
| dribble | the next kilobytes come in pieces of 1 to 40 bytes |
| flip | one bit of the next byte is turned over |
| double | the last bytes, up to 64 KiB of them, come a second time |
| truncate | nothing more comes but the end of the stream |
| reset | both directions end by a reset |

It has one thread, and works in the process that made it. `armed` does
one harm at one place, for tests that say where.
"""

import random
import selectors
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import NamedTuple, Self

RECEIVE_BYTES = 1 << 16
HELD_BYTES_MAX = 1 << 20
"""A stream that holds so much is not read: the sender is to feel it, as with TCP."""
REMEMBERED_BYTES = 1 << 16
DRIBBLED_BYTES = 2_000
TURN_S = 0.05
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of 0 s: close by a reset."""


class Harm(NamedTuple):
    """How often, and what: `kinds` has the weight of each harm; one comes every `mean_bytes` of a stream."""

    mean_bytes: int
    kinds: Mapping[str, float]


NO_HARM = Harm(1, {})


class Door(NamedTuple):
    """Where the relay listens, where that leads to, and whether data sockets come there or configuration sockets."""

    listener: socket.socket
    address: tuple[str, int]
    is_data: bool


class Stream:
    """One direction of one connection."""

    def __init__(self, source: socket.socket, target: socket.socket, harm: Harm, luck: random.Random) -> None:
        self.source = source
        self.target = target
        self.harm = harm
        self.luck = luck
        self.waiting: deque[tuple[float, bytes]] = deque()
        """(when it may go, bytes), in their order."""
        self.held_bytes = 0
        self.not_before_s = 0.0
        self.remembered = b""
        self.doubled: slice | None = None
        """What of `remembered` comes a second time; None: some of the last."""
        self.harmed: Counter[str] = Counter()
        self.ended = False
        """Nothing more comes from the source, or nothing more is let through."""
        self.end_told = False
        self.reset = False
        self.dribble_bytes = 0
        self.next_kind = ""
        self.until_next_bytes = 0
        self.draw()

    def draw(self) -> None:
        """Say what comes next, and where."""
        kinds = self.harm.kinds
        self.next_kind = self.luck.choices(list(kinds), list(kinds.values()))[0] if kinds else ""
        self.until_next_bytes = int(self.luck.expovariate(1 / self.harm.mean_bytes))

    def take(self, data: bytes) -> None:
        """Take what has come, and do what is due in it."""
        while data and not self.ended:
            if not self.next_kind or self.until_next_bytes >= len(data):
                self.until_next_bytes -= len(data)
                self.put(data)
                return
            whole, data = data[: self.until_next_bytes], data[self.until_next_bytes :]
            self.put(whole)
            kind = self.next_kind
            self.harmed[kind] += 1
            data = self.do(kind, data)
            self.draw()

    def do(self, kind: str, data: bytes) -> bytes:
        """Do harm before `data`, which is not empty; give what of it is still to be taken."""
        luck = self.luck
        if kind in ("delay", "stall"):
            pause_s = luck.uniform(0.001, 0.05) if kind == "delay" else luck.uniform(0.2, 1.5)
            self.not_before_s = max(self.not_before_s, time.monotonic()) + pause_s
        elif kind == "dribble":
            self.dribble_bytes = DRIBBLED_BYTES
        elif kind == "flip":
            self.put(bytes([data[0] ^ 1 << luck.randrange(8)]))
            return data[1:]
        elif kind == "double":
            count = luck.choice((1, 100, 512, 1024, 4608, REMEMBERED_BYTES))
            self.put(self.remembered[self.doubled or slice(-count, None)])
        else:
            self.ended = True
            self.reset = kind == "reset"
            return b""
        return data

    def put(self, data: bytes) -> None:
        """Let it go on, as soon as may be."""
        if not data:
            return
        self.remembered = (self.remembered + data)[-REMEMBERED_BYTES:]
        self.held_bytes += len(data)
        while self.dribble_bytes > 0 and data:
            size = self.luck.randint(1, 40)
            self.waiting.append((self.not_before_s, data[:size]))
            self.dribble_bytes -= size
            data = data[size:]
        if data:
            self.waiting.append((self.not_before_s, data))

    def due_s(self) -> float | None:
        """Give when something is to be sent; None: nothing waits."""
        return self.waiting[0][0] if self.waiting else None

    def send(self, now_s: float) -> None:
        """Send what is due. BlockingIOError: the target has no room; OSError: it is gone."""
        while self.waiting and self.waiting[0][0] <= now_s:
            due_s, data = self.waiting[0]
            sent = self.target.send(data)
            self.held_bytes -= sent
            if sent == len(data):
                self.waiting.popleft()
            else:
                self.waiting[0] = (due_s, data[sent:])
        if self.ended and not self.waiting and not self.end_told:
            self.end_told = True
            self.target.shutdown(socket.SHUT_WR)


class Connection:
    """One accepted connection and the one that was made for it: two streams."""

    def __init__(self, near: socket.socket, far: socket.socket, harm: Harm, seed: str, is_data: bool) -> None:
        self.ends = (near, far)
        self.is_data = is_data
        self.is_armed = False
        self.up = Stream(near, far, harm, random.Random(f"{seed} up"))
        self.down = Stream(far, near, harm, random.Random(f"{seed} down"))
        self.streams = (self.up, self.down)
        for end in self.ends:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setblocking(False)

    def receive(self, end: socket.socket) -> None:
        """Take in what came at `end`."""
        stream = self.up if end is self.ends[0] else self.down
        try:
            data = end.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        if data:
            stream.take(data)
        else:
            stream.ended = True

    @property
    def harm_count(self) -> int:
        return sum(stream.harmed.total() for stream in self.streams)

    @property
    def over(self) -> bool:
        return any(stream.reset for stream in self.streams) or all(stream.end_told for stream in self.streams)

    def close(self) -> None:
        for end in self.ends:
            if any(stream.reset for stream in self.streams):
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            end.close()


class Relay:
    """Relays each connection that comes to one of the `doors` to where that leads; harmlessly, until it is told."""

    def __init__(self, doors: Sequence[Door], *, seed: int) -> None:
        self.doors = {door.listener: door for door in doors}
        self.seed = seed
        self.harms = {True: NO_HARM, False: NO_HARM}
        """By `is_data` of the door."""
        self.connections: dict[socket.socket, Connection] = {}
        """By each of its two ends."""
        self.count = 0
        self.harmed: Counter[str] = Counter()
        """What was done by connections that are over."""
        self.orders: deque[Callable[[], None]] = deque()
        self.selector = selectors.DefaultSelector()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, name="relay", daemon=True)
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self.thread.join(10)
        if self.error is not None and error is None:
            raise self.error

    @contextmanager
    def harming(self, data: Harm, config: Harm) -> Iterator[None]:
        """Do harm meanwhile: to data sockets and to configuration sockets."""
        self.order(lambda: self.change_harm(data, config))
        try:
            yield
        finally:
            self.order(lambda: self.change_harm(NO_HARM, NO_HARM))

    @contextmanager
    def armed(self, direction: str, kind: str, after_bytes: int, doubled: slice | None = None) -> Iterator[None]:
        """Do `kind` once, to the `direction` ("up" or "down") of whichever data socket first carries so many bytes."""
        self.order(lambda: self.arm(direction, kind, after_bytes, doubled))
        try:
            yield
        finally:
            self.order(self.disarm)

    def order(self, act: Callable[[], None]) -> None:
        """Have the thread do it; wait until it is done."""
        done = threading.Event()

        def obey() -> None:
            act()
            done.set()

        self.orders.append(obey)
        assert done.wait(10), "the relay's thread does not answer"

    def told(self) -> str:
        """Say what was done so far."""
        total = self.harmed.copy()
        for stream in self.streams():
            total += stream.harmed
        return ", ".join(f"{kind} {count}" for kind, count in sorted(total.items()))

    def streams(self) -> list[Stream]:
        return [stream for connection in set(self.connections.values()) for stream in connection.streams]

    # -- the thread ----------------------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            for door in self.doors:
                door.setblocking(False)
                self.selector.register(door, selectors.EVENT_READ)
            while not self.stopping.is_set():
                self.turn()
        except BaseException as error:  # noqa: BLE001 - the outermost line of a thread: `__exit__` raises it
            self.error = error
        finally:
            for connection in set(self.connections.values()):
                connection.close()
            for door in self.doors:
                door.close()
            self.selector.close()

    def turn(self) -> None:
        while self.orders:
            self.orders.popleft()()
        for key, _ in self.selector.select(self.sleep_s()):
            end = key.fileobj
            assert isinstance(end, socket.socket)
            if end in self.doors:
                self.accept(self.doors[end])
            elif end in self.connections:
                self.serve(self.connections[end], end)
        for connection in set(self.connections.values()):
            self.serve(connection)

    def change_harm(self, data: Harm, config: Harm) -> None:
        self.harms = {True: data, False: config}
        for connection in set(self.connections.values()):
            for stream in connection.streams:
                stream.harm = self.harms[connection.is_data]
                stream.draw()

    def arm(self, direction: str, kind: str, after_bytes: int, doubled: slice | None) -> None:
        for connection in set(self.connections.values()):
            if connection.is_data:
                connection.is_armed = True
                stream = connection.up if direction == "up" else connection.down
                stream.next_kind, stream.until_next_bytes, stream.doubled = kind, after_bytes, doubled

    def disarm(self) -> None:
        for connection in set(self.connections.values()):
            connection.is_armed = False
            for stream in connection.streams:
                stream.draw()

    def sleep_s(self) -> float:
        """Look again soon where bytes wait for room or for their time."""
        now_s = time.monotonic()
        dues = [stream.due_s() for connection in self.connections.values() for stream in connection.streams]
        return min((max(0.001, due_s - now_s) for due_s in dues if due_s is not None), default=TURN_S)

    def accept(self, door: Door) -> None:
        try:
            near, _ = door.listener.accept()
        except OSError:
            return
        try:
            far = socket.create_connection(door.address, timeout=5)
        except OSError:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            near.close()
            return
        self.count += 1
        connection = Connection(near, far, self.harms[door.is_data], f"{self.seed} {self.count}", door.is_data)
        for end in connection.ends:
            self.connections[end] = connection
            self.selector.register(end, selectors.EVENT_READ)

    def serve(self, connection: Connection, readable: socket.socket | None = None) -> None:
        """Take in what is there, send what is due; end it when it is over or broken."""
        try:
            if readable is not None:
                before = connection.harm_count
                connection.receive(readable)
                if connection.is_armed and connection.harm_count > before:
                    self.disarm()
            for stream in connection.streams:
                with suppress(BlockingIOError):
                    stream.send(time.monotonic())
                self.listen(stream)
        except OSError:
            for stream in connection.streams:
                stream.reset = True  # one side is broken: so the other is to see it too
        if connection.over:
            self.end(connection)

    def listen(self, stream: Stream) -> None:
        """Read a source only while there is room behind it, and until it has ended."""
        wanted = stream.held_bytes < HELD_BYTES_MAX and not stream.ended
        listened = stream.source in self.selector.get_map()
        if wanted and not listened:
            self.selector.register(stream.source, selectors.EVENT_READ)
        elif listened and not wanted:
            self.selector.unregister(stream.source)

    def end(self, connection: Connection) -> None:
        for end in connection.ends:
            del self.connections[end]
            if end in self.selector.get_map():
                self.selector.unregister(end)
        for stream in connection.streams:
            self.harmed += stream.harmed
        connection.close()
