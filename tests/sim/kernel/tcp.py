"""TCP between machines: bytes that take their time, and connections that break in every way that they can.

What is kept of the real thing, because the product's correctness hangs on it
  * What a dead process has sent still arrives, and is still acted on by whoever reads it.
  * Bytes of one direction arrive in their order or not at all; between sockets there is no order.
  * A close with unread input resets the connection; one without ends its direction only (FIN).
  * While a network is cut nothing arrives and nobody is told; what was under way arrives when it is mended, unless an
    end has given up before: by TCP_USER_TIMEOUT when it has sent something, by keepalive when it is idle.
  * A machine without power says nothing; when it is back it resets what it does not know.
  * Windows are finite: who reads nothing stops who sends.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from errno import ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ENOTCONN, EPIPE, ETIMEDOUT
from os import strerror

from tests.sim.kernel.kernel import SECOND, Description, Kernel, Machine
from tests.sim.kernel.pipes import ERR, HUP, IN, OUT

Address = tuple[str, int]
CONNECT_TIMEOUT_S = 20.0


def error_of(number: int) -> OSError:
    return OSError(number, strerror(number))


@dataclass(slots=True, eq=False)
class Network:
    """One of the ways between the machines: all addresses that begin with `prefix`."""

    prefix: str
    delay_s: float
    is_cut: bool = False
    lines: list["Line"] = field(default_factory=list)


class Segment:
    """What travels: bytes, the end of a direction, or a reset."""

    __slots__ = ("data", "is_end", "is_reset")

    def __init__(self, data: bytes = b"", *, is_end: bool = False, is_reset: bool = False) -> None:
        self.data = data
        self.is_end = is_end
        self.is_reset = is_reset


class Line:
    """One direction of one connection."""

    def __init__(self, net: "Net", network: Network, sender: "Endpoint", receiver: "Endpoint") -> None:
        self.net = net
        self.network = network
        self.sender = sender
        self.receiver = receiver
        self.delay_s = network.delay_s * net.kernel.chance.choice((0.5, 1, 1, 3))
        self.arrives_ns = 0
        """When what was sent last arrives."""
        self.parked: deque[Segment] = deque()
        self.is_stalled = False
        """Nothing gets through this way, though the network is well."""
        self.is_dead = False
        self.under_way_bytes = 0
        self.blocked_ns = net.kernel.now_ns
        """Since when nothing gets through, when nothing does."""
        network.lines.append(self)

    @property
    def is_open(self) -> bool:
        return self.receiver.machine.is_up and not self.network.is_cut and not self.is_stalled

    def send(self, segment: Segment) -> None:
        if self.is_dead:
            return
        self.under_way_bytes += len(segment.data)
        if self.parked or not self.is_open:
            self.parked.append(segment)
            self.sender.wait_for_peer()
            return
        chance, kernel = self.net.kernel.chance, self.net.kernel
        delay_ns = int(SECOND * self.delay_s * (0.5 + chance.random()))
        self.arrives_ns = max(self.arrives_ns, kernel.now_ns + delay_ns)
        if len(segment.data) > 1 and chance.random() < self.net.cut_up:
            at = chance.randrange(1, len(segment.data))
            first, segment = Segment(segment.data[:at]), Segment(segment.data[at:])
            kernel.at(self.arrives_ns, lambda: self.arrive(first))
            self.arrives_ns += delay_ns // 2 if chance.random() < 0.5 else 0
        kernel.at(self.arrives_ns, lambda: self.arrive(segment))

    def arrive(self, segment: Segment) -> None:
        if self.is_dead:
            return
        if self.parked or not self.is_open:
            self.parked.append(segment)
            self.sender.wait_for_peer()
            return
        self.under_way_bytes -= len(segment.data)
        self.receiver.take(segment)

    def mend(self) -> None:
        """The way is free again: what had waited is sent once more, in its order."""
        if not self.is_open or self.is_dead:
            return
        waiting, self.parked = self.parked, deque()
        for segment in waiting:
            self.under_way_bytes -= len(segment.data)
            self.send(segment)

    def end(self) -> None:
        """Nothing arrives any more."""
        self.is_dead = True
        self.parked.clear()
        if self in self.network.lines:
            self.network.lines.remove(self)


class Endpoint(Description):
    """One end of a connection."""

    def __init__(self, net: "Net", machine: Machine) -> None:
        super().__init__()
        self.net = net
        self.machine = machine
        self.out: Line | None = None
        """To the peer; None before the connection stands."""
        self.back: Line | None = None
        self.inbox = bytearray()
        self.window_bytes = net.kernel.chance.choice((8192, 32768, 131072))
        self.error = 0
        self.is_connecting = False
        self.is_over = False
        """The kernel has forgotten the connection at this end."""
        self.has_ended = False
        """The peer's FIN is here."""
        self.is_shut_out = False
        self.is_shut_in = False
        self.user_timeout_s = 900.0
        self.keepalive = False
        self.idle_s, self.interval_s, self.probes = 7200.0, 75.0, 9
        self.looks_at_ns = 0

    def events(self) -> int:
        if self.is_connecting:
            return 0
        found = ERR | HUP | IN if self.error or self.is_over else 0
        if self.inbox or self.has_ended or self.is_shut_in:
            found |= IN
        return found | (OUT if self.room_bytes() > 0 or self.is_over else 0)

    def room_bytes(self) -> int:
        if self.out is None:
            return 0
        return self.window_bytes - self.out.under_way_bytes - len(self.out.receiver.inbox)

    # -- what the process does -----------------------------------------------------------------------------------

    def raise_error(self) -> None:
        if self.error:
            number, self.error = self.error, 0
            raise error_of(number)

    def receive(self, count: int) -> bytes:
        """BlockingIOError when there is nothing yet; b"" at the end."""
        if self.inbox:
            data = bytes(self.inbox[:count])
            del self.inbox[:count]
            if self.back is not None:
                self.back.sender.tell()
            return data
        self.raise_error()
        if self.has_ended or self.is_shut_in or self.is_over:
            return b""
        if self.out is None:
            raise error_of(ENOTCONN)
        raise BlockingIOError(11, "Resource temporarily unavailable")

    def send(self, parts: Sequence[memoryview | bytes]) -> int:
        """Take as much as there is room for; BlockingIOError when there is none."""
        self.raise_error()
        if self.is_over or self.is_shut_out:
            raise error_of(EPIPE)
        if self.out is None:
            raise error_of(ENOTCONN)
        room = self.room_bytes()
        if room <= 0:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        data = b"".join(parts)[:room]
        self.out.send(Segment(data))
        return len(data)

    def shut_out(self) -> None:
        if self.is_over or self.out is None:
            raise error_of(ENOTCONN)
        if not self.is_shut_out:
            self.is_shut_out = True
            self.out.send(Segment(is_end=True))

    def shut_in(self) -> None:
        """What is there can still be read; Linux even goes on to receive."""
        if self.is_over or self.out is None:
            raise error_of(ENOTCONN)
        self.is_shut_in = True
        self.tell()

    def released(self) -> None:
        """The last process has let go of it."""
        if self.out is None or not self.machine.is_up:
            self.is_over = True
            self.is_connecting = False
            return
        if self.is_over:
            return
        self.is_over = True
        if self.inbox:
            self.reset_peer()
        elif not self.is_shut_out:
            self.is_shut_out = True
            self.out.send(Segment(is_end=True))

    # -- what the network does -----------------------------------------------------------------------------------

    def take(self, segment: Segment) -> None:
        if segment.is_reset:
            self.break_off(ECONNRESET)
        elif self.is_over:
            if segment.data and self.out is not None:
                self.reset_peer()  # nobody here knows this connection
        elif segment.is_end:
            self.has_ended = True
            self.tell()
        else:
            self.inbox += segment.data
            self.tell()

    def reset_peer(self) -> None:
        """RST: it may overtake what was sent before it."""
        assert self.out is not None
        line, kernel = self.out, self.net.kernel
        if kernel.chance.random() < 0.5:
            line.send(Segment(is_reset=True))
        else:
            kernel.later(line.delay_s / 2, lambda: line.arrive(Segment(is_reset=True)))

    def break_off(self, number: int) -> None:
        """Give the connection up at this end."""
        if self.is_over and not self.references:
            return
        self.is_over = True
        self.is_connecting = False
        if not self.error:
            self.error = number
        if number == ECONNRESET and self.net.kernel.chance.random() < 0.5:
            self.inbox.clear()
        if self.out is not None and self.net.kernel.chance.random() < 0.5:
            self.out.end()
        self.tell()

    def wait_for_peer(self) -> None:
        """Something is sent and not acknowledged: TCP_USER_TIMEOUT runs."""
        self._look_after(self.user_timeout_s, busy=True)

    def mind_silence(self) -> None:
        """The way was cut: keepalive, if it is on, finds that."""
        if self.keepalive:
            self._look_after(self.idle_s + self.interval_s * self.probes, busy=False)

    def ask_for_peer(self) -> None:
        """The way is free again: keepalive, if it is on, gets an answer now, or a reset from who knows nothing."""

        def ask() -> None:
            if self.is_over or self.out is None or self.back is None:
                return
            if self.out.is_open and self.back.is_open and self.out.receiver.is_over:
                self.break_off(ECONNRESET)

        if self.keepalive:
            self.net.kernel.later(self.idle_s + self.interval_s, ask)

    def silence(self) -> tuple[int, int, int]:
        """TCP_INFO: keepalive's probes without an answer, unacknowledged segments, milliseconds since it was heard."""
        if self.out is None or self.back is None:
            return 0, 0, 0
        since = [line.blocked_ns for line in (self.out, self.back) if not line.is_open]
        if not since:
            return 0, 0, 0
        silent_s = (self.net.kernel.now_ns - min(since)) / SECOND
        probes = int(max(0.0, silent_s - self.idle_s) / self.interval_s) if self.keepalive else 0
        return min(probes, 255), int(bool(self.out.parked or self.out.under_way_bytes)), int(silent_s * 1000)

    def _look_after(self, seconds: float, *, busy: bool) -> None:
        kernel = self.net.kernel
        at_ns = kernel.now_ns + int(seconds * SECOND)

        def look() -> None:
            if self.is_over or self.out is None or self.back is None:
                return
            silent = not self.out.is_open or not self.back.is_open
            if silent and (bool(self.out.parked) or not busy):
                self.break_off(ETIMEDOUT)

        kernel.at(at_ns, look)


class ListenPoint(Description):
    """A bound socket that may listen."""

    def __init__(self, net: "Net", machine: Machine, address: Address) -> None:
        super().__init__()
        self.net = net
        self.machine = machine
        self.address = address
        self.is_listening = False
        self.waiting: deque[tuple[Endpoint, Address]] = deque()

    def events(self) -> int:
        return IN if self.waiting else 0

    def refuse(self) -> None:
        self.is_listening = False
        for endpoint, _ in self.waiting:
            if self.machine.is_up:
                endpoint.reset_peer()
            endpoint.is_over = True
        self.waiting.clear()

    def released(self) -> None:
        self.refuse()
        if self.net.bound.get(self.address) is self:
            del self.net.bound[self.address]


class Net:
    """All networks, and who listens where."""

    def __init__(self, kernel: Kernel, networks: Sequence[Network]) -> None:
        self.kernel = kernel
        self.networks = list(networks)
        self.machines: dict[str, Machine] = {}
        """Address -> machine."""
        self.bound: dict[Address, ListenPoint] = {}
        self.cut_up = kernel.chance.choice((0.0, 0.1, 0.5))
        """How likely what is sent arrives in two parts."""

    def network_of(self, address: str) -> Network:
        return next(network for network in self.networks if address.startswith(network.prefix))

    def address_in(self, machine: Machine, network: Network) -> str:
        return next(a for a, m in self.machines.items() if m is machine and a.startswith(network.prefix))

    def connect(self, endpoint: Endpoint, address: Address, source_port: int) -> None:
        """Begin: `endpoint` says when it is done, or broken."""
        network = self.network_of(address[0])
        endpoint.is_connecting = True
        kernel, machine = self.kernel, self.machines[address[0]]
        source = (self.address_in(endpoint.machine, network), source_port)

        def arrive() -> None:
            if endpoint.is_over or network.is_cut or not machine.is_up or not endpoint.machine.is_up:
                return  # silence; the connecting end gives up in time
            listener = self.bound.get(address)
            if listener is None or not listener.is_listening:
                kernel.later(network.delay_s, lambda: self._fail(endpoint, ECONNREFUSED))
                return
            far = Endpoint(self, machine)
            far.out, far.back = Line(self, network, far, endpoint), Line(self, network, endpoint, far)
            listener.waiting.append((far, source))
            listener.tell()
            kernel.later(network.delay_s, lambda: established(far))

        def established(far: Endpoint) -> None:
            if endpoint.is_over:
                far.break_off(ECONNRESET)
                return
            endpoint.out, endpoint.back = far.back, far.out
            endpoint.is_connecting = False
            endpoint.tell()
            assert endpoint.back is not None
            endpoint.back.mend()

        kernel.later(network.delay_s * (0.5 + kernel.chance.random()), arrive)
        error = EHOSTUNREACH if network.is_cut and kernel.chance.random() < 0.5 else ETIMEDOUT
        give_up_s = 3.0 if error == EHOSTUNREACH else min(CONNECT_TIMEOUT_S, endpoint.user_timeout_s)
        kernel.later(give_up_s, lambda: self._fail(endpoint, error))

    def _fail(self, endpoint: Endpoint, number: int) -> None:
        if endpoint.is_connecting:
            endpoint.break_off(number)

    # -- bad luck ------------------------------------------------------------------------------------------------

    def lines(self) -> list[Line]:
        return [line for network in self.networks for line in network.lines]

    def cut(self, network: Network) -> None:
        network.is_cut = True
        self._mind(network.lines)

    def mend(self, network: Network) -> None:
        network.is_cut = False
        self._free(network.lines)

    def stall(self, line: Line) -> None:
        line.is_stalled = True
        self._mind([line])

    def go_on(self, line: Line) -> None:
        line.is_stalled = False
        self._free([line])

    def arrive_now(self, line: Line) -> None:
        """What was stalled goes on at once."""
        line.is_stalled = False
        line.mend()

    def power_changed(self, machine: Machine) -> None:
        """A machine went dark, or is back."""
        lines = [line for line in self.lines() if machine in (line.sender.machine, line.receiver.machine)]
        if machine.is_up:
            self._free(lines)
        else:
            for line in lines:
                if line.sender.machine is machine:
                    line.parked.clear()
            self._mind(lines)

    def _mind(self, lines: Sequence[Line]) -> None:
        for line in list(lines):
            line.blocked_ns = self.kernel.now_ns
            line.sender.mind_silence()
            line.receiver.mind_silence()
            if line.under_way_bytes:
                line.sender.wait_for_peer()

    def _free(self, lines: Sequence[Line]) -> None:
        for line in list(lines):
            delay_s = self.kernel.chance.choice((0.0, 0.2, 1.0))  # TCP tries again after ever longer pauses
            self.kernel.later(delay_s, line.mend)
            line.sender.ask_for_peer()
            line.receiver.ask_for_peer()

    def reset(self, line: Line) -> None:
        """Somebody between the two ends breaks the connection: each is told in its own time."""
        for endpoint in (line.sender, line.receiver):
            pause_s = self.kernel.chance.choice((0.0, line.delay_s, 0.05))
            self.kernel.later(pause_s, lambda endpoint=endpoint: endpoint.take(Segment(is_reset=True)))  # type: ignore[misc]

    def half_close(self, line: Line) -> None:
        """A FIN that the sender has not sent: its direction ends, the other lives."""
        line.receiver.take(Segment(is_end=True))
