"""A link between two machines, as `relay.py` plays it: how long and wide it is, and how far a TCP may run ahead.

What is modelled
  * Delay: what enters a wire leaves it `delay_s` later, whole and in order. The round trip is twice that.
  * Bandwidth: a wire carries `bytes_per_s` in each direction, shared by all its connections in turns, as by fair
    queueing. It takes no more than AHEAD_S of work; the rest waits in its sender's socket, where it can still be felt.
    A wire that was full stays full while the relay's process has to wait for a processor: that time is caught up.
  * The window of TCP. The sockets on either side of the relay are on one machine and see no round trip, so that one
    connection could have the whole wire in flight. A real one cannot: its sender stops when so many bytes are sent and
    not acknowledged, and that is at most the window per round trip, however wide the wire is. So a direction of a
    connection has at most `window_bytes` on the wire, or delivered with their acknowledgement on its way back.

Why WINDOW_BYTES is 3 MiB: Linux's tcp_rmem lets a receiver's buffer grow to 6 MiB, half of which is offered as a window
(tcp_adv_win_scale). Newer kernels let that buffer grow to 32 MiB; then the sender's, tcp_wmem, is the bound: 4 MiB, in
which the kernel counts its own overhead for each packet.

What is not: loss, slow start, the bandwidth that acknowledgements use, the round trip of connecting. It is a clean way
in its steady state; the real one is never kinder to few connections.
"""

import math
import socket
import sys
from collections import deque
from dataclasses import dataclass

WINDOW_BYTES = 3 << 20
AHEAD_S = 0.001
TURN_S = 0.0005
"""A connection may send for so long before the next one has its turn."""
CATCH_UP_S = 0.05
TURN_BYTES_LEAST, TURN_BYTES_MOST = 4096, 256 << 10


@dataclass(frozen=True)
class Link:
    """Two wires alike, one for each direction."""

    delay_s: float = 0.0
    """Of one direction."""
    bytes_per_s: float = math.inf
    window_bytes: int = WINDOW_BYTES


class Wire:
    """One direction of the link, shared by all connections."""

    def __init__(self, link: Link) -> None:
        self.link = link
        turn_bytes = min(TURN_BYTES_MOST, link.bytes_per_s * TURN_S)
        self.turn_bytes = max(TURN_BYTES_LEAST, int(turn_bytes))
        self.free_s = 0.0
        """When the last byte that was taken has entered it."""
        self.is_full = False
        """There was more to send than it took, when it was last looked at."""
        self.waiting: deque[Stream] = deque()
        """Those that may have something to send, in turns."""
        self.flying: deque[tuple[float, Stream, int]] = deque()
        """(when it leaves the wire, whose, bytes; 0 is the stream's end), in order."""
        self.acknowledgements: deque[tuple[float, Stream, int]] = deque()
        """(when it is back at the sender, whose, bytes), in order."""
        self.starving = 0
        """Streams that have something to send and wait for an acknowledgement."""
        self.carried_bytes = 0
        self.some_ended = False
        """A stream has ended, or broken, since somebody looked."""

    def take(self, now_s: float) -> None:
        """Take in what fits, in turns."""
        self.free_s = max(self.free_s, now_s - CATCH_UP_S if self.is_full else now_s)
        self.is_full = False
        # Without a bound of bandwidth one turn for each; then what has come is handed out.
        turns = len(self.waiting) if self.link.bytes_per_s == math.inf else sys.maxsize
        while self.waiting and turns:
            if self.free_s > now_s + AHEAD_S:
                self.is_full = True
                return
            turns -= 1
            stream = self.waiting.popleft()
            stream.is_waiting = False
            count = stream.receive(self.turn_bytes)
            if count is None:
                continue
            self.carried_bytes += count
            self.free_s += count / self.link.bytes_per_s
            self.flying.append((self.free_s + self.link.delay_s, stream, count))
            stream.ask()

    def give(self, now_s: float) -> None:
        """Hand out what has come to the wire's end, and let go of what is acknowledged."""
        landed: dict[Stream, None] = {}
        while self.flying and self.flying[0][0] <= now_s:
            _, stream, count = self.flying.popleft()
            stream.land(count)
            landed[stream] = None
        for stream in landed:
            stream.send(now_s)
        while self.acknowledgements and self.acknowledgements[0][0] <= now_s:
            _, stream, count = self.acknowledgements.popleft()
            stream.acknowledged += count
            stream.ask()

    def next_s(self) -> float:
        """Give when there is something to do by time alone."""
        times = [self.free_s - AHEAD_S] if self.waiting else []
        times += [self.flying[0][0]] if self.flying else []
        times += [self.acknowledgements[0][0]] if self.acknowledgements and self.starving else []
        return min(times, default=math.inf)


class Stream:
    """One direction of one connection: a ring of `window_bytes`, which is also all that it may have under way.

    Bytes are counted from the stream's begin: acknowledged <= sent <= landed <= taken <= acknowledged + window.
    """

    def __init__(self, source: socket.socket, target: socket.socket, wire: Wire) -> None:
        self.source = source
        self.target = target
        self.wire = wire
        self.ring = memoryview(bytearray(wire.link.window_bytes))
        self.taken = self.landed = self.sent = self.acknowledged = 0
        self.is_readable = True
        """The source may have something: told by an edge of epoll, until a receive finds nothing."""
        self.is_waiting = self.is_starving = False
        self.has_ended = self.end_landed = self.end_sent = False
        self.is_broken = False

    def ask(self) -> None:
        """Line up for the wire, if there is anything to send and room for it."""
        has_room = self.taken - self.acknowledged < len(self.ring)
        is_willing = self.is_readable and not (self.is_waiting or self.has_ended or self.is_broken)
        self.wire.starving += (is_willing and not has_room) - self.is_starving
        self.is_starving = is_willing and not has_room
        if is_willing and has_room:
            self.is_waiting = True
            self.wire.waiting.append(self)

    def receive(self, most_bytes: int) -> int | None:
        """Take up to `most_bytes` from the source; give how many came, 0 at its end, None when there are none now."""
        if self.is_broken:
            return None
        at = self.taken % len(self.ring)
        room = len(self.ring) - (self.taken - self.acknowledged)
        try:
            count = self.source.recv_into(self.ring[at : at + min(most_bytes, room)])
        except BlockingIOError:
            self.is_readable = False
            return None
        except OSError:
            self.break_off()
            return None
        self.taken += count
        self.has_ended = count == 0
        return count

    def land(self, count: int) -> None:
        self.landed += count
        self.end_landed = self.end_landed or count == 0

    def send(self, now_s: float) -> None:
        """Send what has landed, as far as the target takes it."""
        try:
            while self.sent < self.landed and not self.is_broken:
                at = self.sent % len(self.ring)
                count = self.target.send(self.ring[at : at + self.landed - self.sent])
                self.sent += count
                self.wire.acknowledgements.append((now_s + self.wire.link.delay_s, self, count))
            if self.end_landed and not (self.end_sent or self.is_broken):
                self.end_sent = self.wire.some_ended = True
                self.target.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass  # epoll tells when there is room again
        except OSError:
            self.break_off()

    def break_off(self) -> None:
        self.is_broken = self.wire.some_ended = True
        self.ask()
