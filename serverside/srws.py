"""The SRW processes of all sessions: forked, counted, minded, and buried. Here a fence becomes true.

"Nothing of it can still be applied" (traps 8, 22) ends in three steps, always in this order: the SRW is killed, it is
REAPED (a killed process inside pwrite is gone only then), and the arrays' driver processes have worked off what it had
posted to them. Until the third, its place and its seat are taken. Nothing here waits for any of it: whoever needs to
know hands in a callback.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable

from ipc.child import HEART_NAMES, Child, Life, fork_child
from ipc.counters import CounterTable
from ipc.endpoints import endpoint
from ipc.exits import Exit, describe_exit
from ipc.latency import LATENCY_CELLS
from ipc.loop import Loop
from ipc.say import say
from protocol.data import UnitLimits, server_data
from serverside.admission import Admission
from serverside.burials import Burials, Done, Drain
from serverside.data_login import Login
from serverside.data_ports import FirstHeader
from serverside.sessions import Srw
from serverside.settings import HostSettings
from serverside.srw import ServerReaderWriter
from serverside.storage import Storage
from serverside.tally import Tallies

SIGKILL, SIGTERM = 9, 15
CLOSE_MOST_S = 10.0
FENCED = "fenced"
"""Beside what is counted, in what is told of a host: those of its SRWs that are buried."""


class Srws:
    """All SRWs that are not buried yet. `on_places` is called when a place was taken or has become free."""

    def __init__(self, loop: Loop, storage: Storage, seats: int, on_places: Done) -> None:
        self.loop = loop
        self.storage = storage
        self.on_places = on_places
        self.seats = seats
        self.admission = Admission(seats)
        self.hearts = CounterTable(seats, HEART_NAMES)
        self.tallies = Tallies(seats)
        self.latencies = CounterTable(seats, LATENCY_CELLS)
        self.seated: dict[int, Srw] = {}
        """By seat."""
        self.drains: dict[int, Drain] = {}
        self.burials = Burials()
        self.fenced: Counter[str] = Counter()
        """By host: how many of its SRWs are buried."""

    # -- birth ---------------------------------------------------------------------------------------------------

    def free_places(self, host: HostSettings, key: tuple[str, int]) -> int:
        """Give how many more data sockets `host` may have on a port now."""
        most = sum(port.connections_max for port in host.data_ports if (port.address, port.port) == key)
        return min(most - self.admission.taken(host.name, key), len(self.admission.free))

    def fork(self, login: Login, first: FirstHeader) -> None:
        """Fork the pair's server end; without a process or a descriptor for it, close the socket."""
        session, port = login.session, first.port.key
        seat = self.admission.take(session.host.name, port)
        assert seat is not None, "the caller has asked for free places"
        self.on_places()  # the port stops listening before the answer goes out, when this was the last place
        sock = first.take()
        title = f"nsu: srw {session.host.name} {endpoint(*port)} #{login.path}"
        main = self.main_of(login, first, seat)
        keep = [sock.fileno(), *self.storage.descriptors(seat)]
        self.latencies.row(seat).clear()
        try:
            child = fork_child(title, main, hearts=self.hearts, heart_row=seat, keep=keep)
        except OSError as error:
            say(f"{title} can't be started: {error.strerror}")
            self.tallies.end(seat)
            self.admission.give(session.host.name, port, seat)
        else:
            srw = Srw(child, session, login.path, seat, port, first.peer_address, time.time())
            self.seated[seat] = session.srws[login.path] = srw
        sock.close()

    def main_of(self, login: Login, first: FirstHeader, seat: int) -> Callable[[Life], int]:
        """Give the life of an SRW process."""
        session, storage, sock = login.session, self.storage, first.sock
        view = storage.view_of(session.host)
        row = self.tallies.begin(seat, session.host.name, [str(each.uuid) for each in view.partitions])
        latencies = self.latencies.row(seat)

        def main(life: Life) -> int:
            def alive() -> bool:
                life.beat()
                return True

            storage.reopen()
            storage.confine()
            machine = server_data(
                session.version,
                session=session.number,
                epoch=session.epoch,
                path=login.path,
                marker=login.marker,
                units=[UnitLimits(p.blocks, p.read_only, p.generation) for p in view.partitions],
            )
            doors = storage.doors(seat, alive)
            through = session.version == 1
            srw = ServerReaderWriter(
                sock, machine, view, doors, writes_through=through, life=life, counters=row, latencies=latencies
            )
            life.ready()
            return srw.run(login.answer)

        return main

    # -- death ---------------------------------------------------------------------------------------------------

    def bury(self, srws: Iterable[Srw], done: Done) -> None:
        """Kill `srws`; call `done` when nothing of them can be applied any more, at once when there are none."""
        self.burials.begin(srws, done)

    def of_ended(self, host_name: str) -> list[Srw]:
        """Give those of the host's sessions that have ended."""
        return [srw for srw in self.seated.values() if srw.host_name == host_name and srw.session.ended]

    def of_hosts(self, host_names: frozenset[str]) -> list[Srw]:
        return [srw for srw in self.seated.values() if srw.host_name in host_names]

    def reap(self) -> None:
        """Reap those that have ended."""
        for srw in list(self.seated.values()):
            if not srw.reaped and srw.child.poll() is not None:
                srw.reaped = True
                srw.child.close()
                self.tell_death(srw)
                self.drain(srw)

    def tell_death(self, srw: Srw) -> None:
        """Say when one died that should not: neither its host nor we have ended it."""
        status = srw.child.status
        assert status is not None
        if status != Exit.OK and not srw.killed:
            title = srw.child.title.removeprefix("nsu: ")
            say(f"nsu: server: {title} (pid {srw.child.pid}): {describe_exit(status)}; its host opens the path again")

    def drain(self, srw: Srw) -> None:
        """Wait for what it had posted to the drivers."""
        drain = Drain(self.loop, self.storage.begin_drain(srw.seat), lambda: self.drained(srw))
        self.drains[srw.seat] = drain
        drain.look()

    def drained(self, srw: Srw) -> None:
        """The last of the three steps is done."""
        del self.drains[srw.seat]
        del self.seated[srw.seat]
        if srw.session.srws.get(srw.path) is srw:
            del srw.session.srws[srw.path]
        self.tallies.end(srw.seat)
        self.fenced[srw.host_name] += 1
        self.admission.give(srw.host_name, srw.port, srw.seat)
        self.burials.buried(srw)
        self.on_places()

    # -- telling -------------------------------------------------------------------------------------------------

    def totals_of(self, host_name: str) -> dict[str, int]:
        """Give what all SRWs of a host have counted since this process began, those that are gone included."""
        return {**self.tallies.of_host(host_name), FENCED: self.fenced[host_name]}

    # -- the end -------------------------------------------------------------------------------------------------

    def ask_to_stop(self) -> None:
        """Let each answer what has arrived, and go."""
        for srw in self.seated.values():
            srw.killed = True
            srw.child.signal(SIGTERM)

    def children(self) -> list[Child]:
        """Give those that are not reaped."""
        return [srw.child for srw in self.seated.values() if not srw.reaped]

    @property
    def busy(self) -> bool:
        """Whether a process is left."""
        return any(not srw.reaped for srw in self.seated.values())

    def close(self) -> None:
        """Kill and reap all. The drivers work off what they had posted before they stop."""
        for srw in self.seated.values():
            srw.killed = True
            srw.child.signal(SIGKILL)
        deadline_s = time.monotonic() + CLOSE_MOST_S
        for srw in self.seated.values():
            if srw.child.wait(max(0.0, deadline_s - time.monotonic())) is None:
                # It dies as soon as its drive lets it; until then its lock keeps the next start from the drives.
                say(f"nsu: server: {srw.child.title.removeprefix('nsu: ')} can't be ended: a drive holds it")
        for drain in self.drains.values():
            drain.cancel()
