"""One NSU as this host uses it: the session, its paths, and the disks of its partitions, joined.

The thinking is elsewhere: the dialogue in `protocol/`, the life of a path in `paths.py`. Here events become verbs: fork
an agent, ask for a fence, tell the disks. One rule holds it together: whatever happens, a disk hears LOST for a path
only by `PathTable.told_lost`, and so only when the path is buried (see paths.py).
"""

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from hostside.agent import PathOrder, run_agent
from hostside.balance import next_at, next_closing, next_opening, overdue
from hostside.config_client import ConfigClient, Newest, newest_known
from hostside.disks import WINDOW, Disks, DiskState
from hostside.growth import Growth
from hostside.load_meter import LoadMeter
from hostside.networks import REST_FIRST_S, REST_MOST_S
from hostside.paths import NEXT, Path, PathEvent, PathState, PathTable
from hostside.settings import ServerEntry
from hostside.wiring import Wiring, make_wiring
from ipc.backoff import Backoff
from ipc.child import Child, Life, fork_child
from ipc.confinement import User, confine_to_socket
from ipc.endpoints import endpoint
from ipc.exits import Exit, describe_exit
from ipc.loop import Loop, Timer
from ipc.say import say
from protocol import events
from protocol.events import Event
from protocol.records import UnitFlag, UnitRecord
from protocol.timers import ANSWER_WITHIN_S

SIGTERM, SIGKILL = 15, 9
V1_BLOCKS_MAX = 1 << 32
"""Appendix C, zn_lba_hi "not yet used": 0x01 can name no block from 2 TiB on."""
REASONS_TOLD_MAX = 16


class ServerLink:
    """One SERVER block at work. `start_disk` forks a disk process: given by the host process. `user`: of its agents."""

    def __init__(
        self,
        loop: Loop,
        entry: ServerEntry,
        start_disk: Callable[["ServerLink", DiskState], Child],
        newest: Newest = newest_known,
        user: User | None = None,
    ) -> None:
        self.loop = loop
        self.entry = entry
        self.user = user
        self.start_disk = start_disk
        self.wiring: Wiring = make_wiring(entry)
        self.disks = Disks(self, self.wiring, entry.disks)
        self.client = ConfigClient(
            loop,
            entry,
            on_event=self.on_event,
            on_lost=self.on_lost,
            is_served=self.is_served,
            used=self.disks.used,
            newest=newest,
        )
        self.paths = PathTable(
            self.wiring.paths,
            entry.connections,
            lambda: Backoff(REST_FIRST_S, REST_MOST_S, random=random.random),
            self.disks.tell_lost,
        )
        self.growth = Growth(entry.connections, WINDOW[self.version])
        self.load_meter = LoadMeter(self.wiring)
        self.agents: dict[int, Child] = {}
        self.killed: dict[Child, str] = {}
        """Children that we have killed and not yet reaped, and why."""
        self.told: set[str] = set()
        """What has been said of why there is no session."""
        self.has_path = False
        self.no_path_since_s: float | None = None
        self.granted: events.Granted | None = None
        self.verifier = 0
        """The write verifier that the NSU told last (protocol/v2/config.py)."""
        self.nsu_name = ""
        self.cookie: int | None = None
        self.session_key: bytes | None = None
        self.challenge = 0
        self.timer: Timer | None = None
        self.stopping = False
        self.sessions = 0
        """Sessions granted so far."""

    def start(self) -> None:
        self.client.connect()

    # -- the configuration socket's events -----------------------------------------------------------------------

    def on_event(self, event: Event) -> None:
        handler = self.HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)
        self.client.send()

    def on_granted(self, event: events.Granted) -> None:
        """Step (5) went well: nothing of an older session of ours can still be applied."""
        dialogue = self.client.dialogue
        assert dialogue is not None
        self.granted = event
        self.nsu_name = event.nsu_name
        self.session_key = dialogue.session_key
        self.challenge = dialogue.challenge
        self.client.hold()
        self.compare_verifier(event.verifier)  # before any path comes home, and a FLUSH could be sent again
        now_s = self.loop.now()
        for path in self.paths.paths:
            if path.state in (PathState.IDLE, PathState.DYING, PathState.ORPHANED):
                self.paths.move(path, PathEvent.SESSION_GRANTED, now_s)
        self.paths.begin(now_s)
        self.sessions += 1
        self.told.clear()
        say(f"nsu: host: logged in to {self.entry.name} at {self.client.where()} (version 0x{event.version:02x})")
        dialogue.ask_starttime()  # Appendix D (6)
        if event.version == 1:
            dialogue.ask_capacities()  # (8)
        else:
            dialogue.ask_units()
        dialogue.ask_dataports()  # (10)

    def compare_verifier(self, verifier: int) -> None:
        """Tell the disks when the NSU may have lost writes that it acknowledged. 0 says nothing."""
        if verifier and self.verifier and verifier != self.verifier:
            say(
                f"nsu: host: the machine of {self.entry.name} went down and may have lost what was not flushed: "
                "disks that wrote since their last flush fail the next one"
            )
            self.disks.tell_forgotten()
        self.verifier = verifier or self.verifier

    def on_starttime(self, event: events.StartTime) -> None:
        self.cookie = event.cookie

    def on_capacities(self, event: events.Capacities) -> None:
        """0x01 knows units by number and size only: `NUMBER`, or the order of the DISK blocks."""
        records = [
            UnitRecord(number, 0, min(size // 512, V1_BLOCKS_MAX), UnitFlag(0), bytes(16), f"number {number}")
            for number, size in enumerate(event.sizes_bytes)
        ]
        self.disks.take(records)

    def on_units(self, event: events.Units) -> None:
        self.disks.take(list(event.units))

    def on_dataports(self, event: events.DataPorts) -> None:
        """Whatever made the server tell them may also have brought one back."""
        now_s = self.loop.now()
        self.paths.set_ports(event.ports, now_s)
        self.paths.try_now(now_s)
        self.tend_paths()

    def on_ticket(self, event: events.PathTicket) -> None:
        path = self.paths.paths[event.path]
        if path.state is PathState.TICKET:
            self.fork_agent(path, event.nonce)

    def on_path_refused(self, event: events.PathRefused) -> None:
        path = self.paths.paths[event.path]
        if path.state is PathState.TICKET:
            self.note_end(path, event.sentence)
            self.paths.move(path, PathEvent.REFUSED, self.loop.now())
            self.tend_paths()

    def on_fenced(self, event: events.Fenced) -> None:
        path = self.paths.paths[event.path]
        if path.state is PathState.FENCING:
            self.paths.move(path, PathEvent.FENCED, self.loop.now())
            self.tend_paths()

    def on_notified(self, event: events.Notified) -> None:
        """A change need not cut anyone off: ask again for what changed."""
        if event.kind is events.Notice.EVICTED:
            self.client.evict(event.sentence)
            return
        dialogue = self.client.dialogue
        assert dialogue is not None
        if event.kind in (events.Notice.UNITS_CHANGED, events.Notice.PORTS_CHANGED):
            dialogue.ask_starttime()
            dialogue.ask_units()
            dialogue.ask_dataports()

    HANDLERS: Mapping[type[Event], Callable[[Any, Any], None]] = {
        events.Granted: on_granted,
        events.StartTime: on_starttime,
        events.Capacities: on_capacities,
        events.Units: on_units,
        events.DataPorts: on_dataports,
        events.PathTicket: on_ticket,
        events.PathRefused: on_path_refused,
        events.Fenced: on_fenced,
        events.Notified: on_notified,
    }

    def on_lost(self, sentence: str) -> None:
        """The configuration socket is gone, and with it, on the server, all data sockets of this host (note 2)."""
        had_session = self.granted is not None
        self.granted = None
        self.tell_no_session(sentence, had_session=had_session)
        if not had_session:
            return
        now_s = self.loop.now()
        for path in self.paths.paths:
            if path.state is PathState.FENCED_DYING:
                continue
            if path.state in (PathState.STARTING, PathState.UP, PathState.CLOSING):
                self.kill(self.agents[path.number], "its session ended")
            if path.state is not PathState.IDLE:
                self.paths.move(path, PathEvent.SESSION_LOST, now_s)
        self.tell_paths()

    def is_served(self) -> bool:
        """Whether requests are answered though the server's configuration socket is silent, and nothing waits for it.

        Then its process stands still and its reader/writers work: to end the session would only cut off what goes well.
        """
        now_ns = time.monotonic_ns()
        served = any(
            path.state is PathState.UP and now_ns - self.wiring.heard_ns(path.number) < ANSWER_WITHIN_S * 1e9
            for path in self.paths.paths
        )
        waits = any(path.state is PathState.FENCING for path in self.paths.paths)
        if served and not waits:
            self.tell_once(f"{self.entry.name} is silent on the configuration socket; its paths go on")
        return served and not waits

    def tell_once(self, sentence: str) -> None:
        """Say what is found again and again, once in a session."""
        if sentence not in self.told:
            self.told.add(sentence)
            say(f"nsu: host: {sentence}")

    def tell_no_session(self, sentence: str, *, had_session: bool) -> None:
        """Say why there is none, each reason once, though it is tried again every second."""
        if self.stopping or sentence in self.told:
            return
        if len(self.told) < REASONS_TOLD_MAX:
            self.told.add(sentence)
        what = f"the session with {self.entry.name} has ended" if had_session else f"no session with {self.entry.name}"
        say(f"nsu: host: {what}: {sentence}", about=f"session {self.entry.name}")

    # -- paths ---------------------------------------------------------------------------------------------------

    def tend_paths(self) -> None:
        """Open what is missing and close what is too much; come again when time alone may change the answer."""
        if self.granted is None or self.stopping:
            return
        now_s = self.loop.now()
        while (opening := next_opening(self.paths, now_s)) is not None:
            path, network = opening
            path.network = network
            self.paths.move(path, PathEvent.ASK, now_s)
            self.ask_ticket(path)
        closing = next_closing(self.paths, now_s)
        if closing is not None:
            self.paths.move(closing, PathEvent.CLOSE, now_s)
            self.agents[closing.number].signal(SIGTERM)
        for path in overdue(self.paths, now_s):
            self.kill(self.agents[path.number], "it was told to close, and did not end")
        self.client.send()
        self.wake_for_paths(now_s)

    def look_at_load(self) -> None:
        """Once a second: have more paths while that helps, and fewer when they are not needed."""
        now_s = self.loop.now()
        up = [path.number for path in self.paths.paths if path.state is PathState.UP]
        load = self.load_meter.look(now_s, [disk.index for disk in self.disks if disk.child is not None], up)
        most = min(self.entry.connections + self.entry.extra_connections, self.paths.places)
        wanted = self.growth.tick(load, len(up), most, now_s)
        if wanted != self.paths.wanted:
            self.paths.wanted = wanted
            self.tend_paths()

    def try_networks(self) -> None:
        """An interface of this machine has come up: what does not work may work now.

        Who is waiting for an answer over such a network may wait for seconds, until TCP asks again; so he begins anew.
        """
        for path in self.paths.paths:
            if path.state is PathState.STARTING and path.network is not None and path.network.in_doubt:
                self.kill(self.agents[path.number], "an interface came up: it is tried anew")
        self.paths.try_now(self.loop.now())
        self.tend_paths()

    def ask_ticket(self, path: Path) -> None:
        assert self.client.dialogue is not None
        if self.version == 1:
            self.fork_agent(path, b"")  # 0x01: step (14) sends the configuration socket's own number
        else:
            self.client.dialogue.ask_path(path.number)

    def wake_for_paths(self, now_s: float) -> None:
        """Come again when a rest ends. `now_s` is the moment for which paths were opened: with a later one, a rest
        that ended in between would be neither opened nor waited for.
        """
        at_s = next_at(self.paths, now_s)
        if self.timer is not None:
            self.timer.cancel()
        self.timer = None if at_s is None else self.loop.call_at(at_s, self.tend_paths)

    def fork_agent(self, path: Path, nonce: bytes) -> None:
        assert self.granted is not None
        assert path.port is not None
        self.paths.move(path, PathEvent.TICKET, self.loop.now())
        self.wiring.write_reason(path.number, "")
        order = PathOrder(
            path=path.number,
            incarnation=path.incarnation,
            version=self.version,
            address=path.port.address,
            port=path.port.port,
            session=self.granted.session,
            epoch=self.granted.epoch,
            session_key=self.session_key,
            nonce=nonce,
            challenge=self.challenge,
            window=WINDOW[self.version],
            payload_crc=self.entry.payload_crc,
            server=self.entry.name,
            tls=self.client.identity,
        )
        title = f"nsu: agent {self.entry.name} {endpoint(order.address, order.port)} #{path.number}"
        wiring, user = self.wiring, self.user

        def main(life: Life) -> int:
            confine_to_socket(user)
            return run_agent(life, order, wiring)

        try:
            child = fork_child(
                title,
                main,
                hearts=wiring.hearts,
                heart_row=path.number,
                keep=wiring.descriptors(),
            )
        except OSError as error:  # no process or no descriptor is left: a path that failed, nothing worse
            self.path_ended(path, f"its agent can't be forked: {error.strerror}")
            return
        self.agents[path.number] = child
        self.loop.watch(child.ready_fd, on_readable=lambda: self.agent_spoke(path, child))

    def agent_spoke(self, path: Path, child: Child) -> None:
        self.agent_ready(path, child)
        self.tend_paths()

    def agent_ready(self, path: Path, child: Child) -> None:
        """It said ready; or its end of the pipe is closed because it died, which `reap` will tell."""
        self.loop.forget(child.ready_fd)
        known = self.agents.get(path.number) is child and PathEvent.READY in NEXT[path.state]
        if child.is_ready and known:
            self.paths.move(path, PathEvent.READY, self.loop.now())
            self.tell_paths()

    def reap(self) -> None:
        """Bury agents that have ended."""
        for number, child in list(self.agents.items()):
            status = child.poll()
            if status is not None:
                self.agent_ready(self.paths.paths[number], child)  # it may have said so and died at once
                child.close()
                del self.agents[number]
                self.agent_exited(self.paths.paths[number], child, status)
        self.disks.reap()

    def agent_exited(self, path: Path, child: Child, status: int) -> None:
        last_words, why_killed = self.wiring.read_reason(path.number), self.killed.pop(child, "")
        in_order = path.state is PathState.CLOSING and status == Exit.OK
        if in_order:
            last_words = "closed: there are enough without it"
        if not (last_words or why_killed or self.stopping):
            what = f"the agent of path {path.number} to {self.entry.name} (pid {child.pid})"
            say(f"nsu: host: {what}: {describe_exit(status)}; the path is opened again")
        words = last_words or why_killed or f"its agent ended: {describe_exit(status)}"
        self.path_ended(path, words, in_order=in_order)
        self.tend_paths()

    def kill(self, child: Child, why: str) -> None:
        """End a process of ours; `why` is then told instead of the signal."""
        if child.poll() is None and child not in self.killed:
            self.killed[child] = why
            child.signal(SIGKILL)

    def path_ended(self, path: Path, reason: str, *, in_order: bool = False) -> None:
        """There is no agent any more. `in_order`: it ended as asked, and no answer to it is outstanding."""
        self.note_end(path, reason)
        may_hold = path.state in (PathState.UP, PathState.CLOSING) and not in_order
        self.disks.tell_unavailable(path)
        self.paths.move(path, PathEvent.EXITED, self.loop.now())
        self.tell_paths()
        if path.state is PathState.FENCING:
            self.fence(path, may_hold=may_hold)

    def note_end(self, path: Path, reason: str) -> None:
        path.reason = reason
        if path.network is not None:
            path.network.trouble = reason

    def fence(self, path: Path, *, may_hold: bool) -> None:
        """Ask that nothing of `path` can still be applied.

        0x02 has a verb for it. In 0x01 an agent that never came up held nothing, nor did one that has its answers, so
        there is nothing to fence; any other takes the session with it (see paths.py).
        """
        assert self.client.dialogue is not None
        if self.version == 2:
            self.client.dialogue.ask_fence(path.number)
            self.client.send()
        elif not may_hold:
            self.paths.move(path, PathEvent.FENCED, self.loop.now())
        else:
            # Where another address failed, this one is no worse for it, and may be the only one that works.
            stays = path.port is not None and path.port.address != self.client.address
            sentence = f"path {path.number} was lost ({path.reason}); 0x01 can only be fenced by a new session"
            self.client.lose(sentence, stays=stays)

    def tell_paths(self) -> None:
        """Say when the last path has gone, and when there is one again."""
        has_path = self.paths.up_count > 0
        if has_path == self.has_path or self.stopping:
            return
        self.has_path, now_s, name = has_path, self.loop.now(), self.entry.name
        if not has_path:
            self.no_path_since_s = now_s
            limit_s = self.entry.fail_after_s
            then = "requests wait for one" if limit_s is None else f"requests fail when that lasts {limit_s:g} s"
            say(f"nsu: host: all paths to {name} are down: {then}")
        else:
            since_s = self.no_path_since_s
            pause = "" if since_s is None else f" again, after {now_s - since_s:.1f} s without one"
            say(f"nsu: host: a path to {name} is up{pause}", about=f"path {name}")

    # -- ending --------------------------------------------------------------------------------------------------

    def close(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.client.close()
        for child in self.children():
            child.kill_and_reap()
            child.close()
        self.agents.clear()

    def children(self) -> list[Child]:
        """Every live process of this link."""
        return [*self.agents.values(), *self.disks.children()]

    @property
    def version(self) -> int:
        return 1 if self.entry.secret is None else 2
