"""The server process: sessions, the partition table (it is their single writer), and the forking of SRWs.

It has no threads, because it forks. The order in which things happen to a session is the heart of it:

  login proven ─▶ every older session of that host is buried (srws.py) ─▶ granted
  data socket's first 512 bytes good ─▶ place counted, port perhaps closed ─▶ fork ─▶ the SRW answers the login
  SRW reaped ─▶ its seat drained at the drivers ─▶ place free, port perhaps listening again
  configuration socket closed ─▶ its SRWs killed and reaped (Appendix D, note 2)
  FENCE of a path ─▶ its SRW killed, reaped, its seat drained ─▶ answered
  settings changed ─▶ only hosts whose units changed: 0x01 cut off (note 3), 0x02 told and its SRWs renewed

Whoever waited for something may find, when it has come, that the session ended meanwhile: each callback asks first.
"""

import resource
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from ipc.child import Life
from ipc.control import ControlServer
from ipc.exits import Exit
from ipc.interfaces import Link
from ipc.loop import Loop
from ipc.say import say, say_held
from ipc.tls import Tls, TlsIdentity
from ipc.watch import Watch
from protocol import events, timers
from protocol.config_base import units_mark
from protocol.discovery.answer import Answer
from protocol.events import Event, Notice
from protocol.limits import BLOCK_BYTES
from protocol.records import DataPort as PortRecord
from protocol.status import DETAILS, Detail
from serverside.address_watch import AddressWatch
from serverside.array_orders import ArrayOrders
from serverside.changes import can_stay, differences, disturbed, is_key_known, possible, renewed
from serverside.config_port import ConfigLine, ConfigPort
from serverside.data_login import Refusal, judge
from serverside.data_ports import DataPorts, Failures, FirstHeader
from serverside.discovery import Discovery, interfaces_told
from serverside.drives.base import DriveError
from serverside.errors import SettingsError, StateError
from serverside.evictions import Evictions
from serverside.sessions import Session
from serverside.settings import HostSettings, ServerSettings
from serverside.srws import Srws
from serverside.status import describe_server
from serverside.storage import Storage
from serverside.tls_entry import objection

SIGHUP, SIGKILL, SIGTERM, SIGCHLD = 1, 9, 15, 17
LOOK_EVERY_S = 1.0
DRAIN_MOST_S = 5.0
DRAIN_TOLD_S = 0.5
"""A drain that takes longer than this is told of."""
CHANGED = "its HOST has changed in nsu.conf"
RETIRED = "the key that it was proven by holds no more"
SEATS_SPARE = 32
"""Seats beyond the data ports' places, for hosts and places that a changed nsu.conf adds."""

Reload = Callable[[], ServerSettings | None]
"""Gives the settings of a changed nsu.conf, or None when there is nothing new or nothing good."""
DescribeConf = Callable[[], dict[str, Any]]
"""Tells which text of nsu.conf was looked at last, and what is wrong with it."""
NoteInForce = Callable[[], None]
"""Hears that the settings which `Reload` gave last are in force."""


def describe_nothing() -> dict[str, Any]:
    """For a server whose settings come from no file."""
    return {}


def note_nothing() -> None:
    """For a server whose settings come from no file."""


class Server:
    """The server role of one machine."""

    def __init__(
        self,
        life: Life,
        settings: ServerSettings,
        reload: Reload,
        describe_conf: DescribeConf = describe_nothing,
        note_in_force: NoteInForce = note_nothing,
    ) -> None:
        self.life = life
        self.settings = settings
        self.reload = reload
        self.describe_conf = describe_conf
        self.note_in_force = note_in_force
        self.loop = Loop()
        self.started_s = time.time()
        seats = places_of(settings) + SEATS_SPARE
        self.storage = Storage(settings, seats)
        self.srws = Srws(self.loop, self.storage, seats, self.update_listening)
        self.sessions: dict[int, Session] = {}
        self.next_session = 1
        self.lines: dict[ConfigLine, Session] = {}
        self.failures = Failures()
        self.turned_away = {"logins": 0, "tokens": 0}
        """Since the start: logins that failed or were not finished, data sockets without a token that was granted."""
        self.evictions = Evictions()
        self.addresses = AddressWatch(say)
        self.discovery = Discovery(self.loop, self.found_as, say)
        self.warnings: list[str] = []
        self.refused = ""
        """Why the newest settings are not in force; empty: they are, or are about to be."""
        self.tls = tls_of(settings)
        self.config_port = ConfigPort(
            self.loop, settings.name, settings.listen, settings.config_port, settings.privileged_port, self
        )
        self.data_ports = DataPorts(self.loop, self.on_first, self.identity)
        self.data_ports.open(settings)
        orders = ArrayOrders(self.storage)
        self.control = ControlServer(
            self.loop,
            settings.state_dir / "server.sock",
            {
                "status": lambda _: describe_server(self),
                "reload": lambda _: self.look_now(),
                "scrub": orders.scrub,
                "replace": orders.replace,
            },
        )
        self.watch = Watch(
            look_every_s=timers.LOOK_EVERY_S,
            missed_s=timers.MISSED_AFTER_S,
            stopped_s=timers.STOPPED_MOST_S,
            spinning_s=timers.SPINNING_MOST_S,
            patience_s=None,
        )
        self.stopping = False
        self.changing: frozenset[str] | None = None
        """New settings wait for the SRWs of these hosts to be buried; meanwhile they get no new ones."""

    def run(self) -> Exit:
        """Serve until SIGTERM; then drain."""
        self.loop.on_signal(SIGTERM, self.stop)
        self.loop.on_signal(SIGCHLD, self.reap)
        self.loop.on_signal(SIGHUP, self.reconsider)
        self.storage.start_drivers()
        if self.life.stop_asked:
            self.loop.call_later(0, self.stop)  # SIGTERM came before the loop could hear it
        self.life.ready()
        self.look()
        self.kill_useless()
        self.loop.run()
        self.close()
        return Exit.OK

    # -- policy of the configuration port ------------------------------------------------------------------------

    def offered(self, peer_address: str) -> int:
        """The bitmask of step (2): 0x01 only to an address whose HOST has no secret (trap 26: off by default)."""
        v1 = any(h.secret is None and peer_address in h.addresses for h in self.settings.hosts)
        v2 = any(h.secret is not None for h in self.settings.hosts)
        return (0x01 if v1 else 0) | (0x02 if v2 else 0)

    def secret_of(self, login: str) -> bytes | None:
        return next((h.secret for h in self.settings.hosts if h.name == login), None)

    def next_secret_of(self, login: str) -> bytes | None:
        """While the rotation of a host's key is open, the new one holds too."""
        return next((h.secret_next for h in self.settings.hosts if h.name == login), None)

    def identity(self) -> TlsIdentity | None:
        """What a socket that is accepted now may begin TLS with."""
        return None if self.tls is None else self.tls.identity()

    def on_event(self, line: ConfigLine, event: Event) -> None:
        if isinstance(event, events.LoginProven):
            self.login(line, event)
            return
        session = self.lines.get(line)
        if session is not None and session.is_open:
            self.ANSWERS[type(event)](self, session, event)

    def on_closed(self, line: ConfigLine) -> None:
        """Note (2): "if the NSU ever detects that a configuration socket has been closed, it will close all data port
        connections associated with that host".
        """
        session = self.lines.pop(line, None)
        if session is not None:
            self.end_session(session, line.why_closed or "the host closed it")

    def on_refused(self, peer_address: str, why: str) -> None:
        """Somebody did not come in. He can try as often as he likes: however he varies it, it counts as one thing."""
        self.turned_away["logins"] += 1
        say(f"nsu: server: login refused from {peer_address}: {why}", about=f"refused {peer_address}")

    # -- sessions ------------------------------------------------------------------------------------------------

    def login(self, line: ConfigLine, event: events.LoginProven) -> None:
        """Step (5) went well. Bury what is old, then grant (trap 21: only an authenticated session evicts)."""
        host = self.host_of(line, event)
        if host is None:
            line.dialogue.refuse(Detail.HOST_UNKNOWN)
            line.finish()
            self.on_refused(line.peer_address, "no HOST of nsu.conf without a SECRET_FILE has this ADDRESS")
            return
        if (detail := objection(host, line.names)) is not None:
            line.dialogue.refuse(detail)
            line.finish()
            self.on_refused(line.peer_address, f"HOST {host.name}: {DETAILS[detail].sentence}")
            return
        session = self.new_session(line, host, event.version)
        old = [s for s in self.sessions.values() if s.host.name == host.name]
        self.sessions[session.number] = session
        self.lines[line] = session
        for session_before in old:
            self.evict(session_before, session.peer_address)
        self.srws.bury(self.srws.of_ended(host.name), lambda: self.grant(session))

    def host_of(self, line: ConfigLine, event: events.LoginProven) -> HostSettings | None:
        if event.version == 1:
            return next((h for h in self.settings.hosts if h.secret is None and line.peer_address in h.addresses), None)
        return next((h for h in self.settings.hosts if h.secret is not None and h.name == event.login), None)

    def new_session(self, line: ConfigLine, host: HostSettings, version: int) -> Session:
        number = self.next_session
        self.next_session = number % 0xFFFFFFFF + 1
        return Session(
            number=number,
            epoch=self.storage.identity.next_epoch(),
            version=version,
            host=host,
            peer_address=line.peer_address,
            dialogue=line.dialogue,
            send=line.send,
            close_socket=line.close,
            finish_socket=line.finish_now,
            began_s=time.time(),
            over_tls=line.names is not None,
            key=line.key,
        )

    def evict(self, session: Session, by_address: str) -> None:
        """Its host has logged in again. Perhaps it lost its connection; perhaps two machines have one login."""
        name = session.host.name
        self.evictions.note(name, session.peer_address, by_address, self.loop.now())
        if session.version == 2 and session.is_open:
            session.dialogue.notify(Notice.EVICTED, sentence=f"another machine logged in as {name} from {by_address}")
            close = session.finish_socket
        else:
            close = session.close_socket
        self.end_session(session, f"{name} logged in again, from {by_address}", close)

    def end_session(self, session: Session, why: str, close: Callable[[], None] | None = None) -> None:
        """Close its configuration socket, at once or as `close` does it, and kill its SRWs."""
        if session.ended:
            return
        session.ended = True
        del self.sessions[session.number]
        (close or session.close_socket)()
        self.srws.bury(session.srws.values(), lambda: None)
        self.update_listening()
        say(f"nsu: server: the session of {session.host.name} from {session.peer_address} has ended: {why}")

    def grant(self, session: Session) -> None:
        """Nothing of older sessions is left; answer step (5)."""
        if session.awaits_grant:
            session.dialogue.grant(session.number, session.epoch, self.storage.identity.verifier)
            session.send()
            version, key = f"version 0x{session.version:02x}", f", key {session.key}" if session.key else ""
            say(f"nsu: server: {session.host.name} logged in from {session.peer_address} ({version}){key}")

    # -- answers to what a session asks --------------------------------------------------------------------------

    def tell_starttime(self, session: Session, event: Event) -> None:
        """Step (7): an opaque cookie that changes exactly when the configuration does."""
        del event
        session.dialogue.answer_starttime(self.storage.cookie)

    def tell_capacities(self, session: Session, event: Event) -> None:
        """Step (9): "these capacities are specified in BYTES"."""
        del event
        session.dialogue.answer_capacities([unit.blocks * BLOCK_BYTES for unit in session.host.units])

    def tell_dataports(self, session: Session, event: Event) -> None:
        """Steps (11) and (12): the ports listen before the host can know of them."""
        del event
        session.asked_ports = True
        self.update_listening()
        ports = [PortRecord(p.address, p.port, p.connections_max) for p in session.host.data_ports]
        session.dialogue.answer_dataports(ports)

    def tell_units(self, session: Session, event: Event) -> None:
        del event
        session.dialogue.answer_units(self.storage.unit_records(session.host))

    def units_used(self, session: Session) -> list[str] | None:
        """Give the names of the units that a host says it uses; None: it does not say, or counts by an older list."""
        units, said = self.storage.unit_records(session.host), session.dialogue.used
        if said is None or said.mark != units_mark(units):
            return None
        return [unit.name for unit in units if said.numbers >> unit.number & 1]

    def tell_path(self, session: Session, event: Event) -> None:
        """Give leave, for a short time and once, to open a path (trap 29)."""
        assert isinstance(event, events.AskPath)
        now_s = self.loop.now()
        if event.path in session.srws:
            session.dialogue.refuse_path(event.path, Detail.PATH_NUMBER)
        elif not session.may_open(event.path, now_s):
            session.dialogue.refuse_path(event.path, Detail.PATH_LIMIT)
        else:
            nonce = secrets.token_bytes(32)
            session.give_ticket(event.path, nonce, now_s)
            session.dialogue.answer_path(event.path, nonce)

    def tell_fence(self, session: Session, event: Event) -> None:
        """Kill, reap and drain the path's SRW, then promise that nothing of it can still be applied."""
        assert isinstance(event, events.AskFence)
        session.tickets.pop(event.path, None)
        srw = session.srws.get(event.path)

        def fenced() -> None:
            if session.is_open:
                session.dialogue.answer_fence(event.path)
                session.send()

        self.srws.bury([srw] if srw else [], fenced)

    ANSWERS: ClassVar[Mapping[type[Event], Callable[["Server", Session, Event], None]]] = {
        events.AskStartTime: tell_starttime,
        events.AskCapacities: tell_capacities,
        events.AskDataPorts: tell_dataports,
        events.AskUnits: tell_units,
        events.AskPath: tell_path,
        events.AskFence: tell_fence,
    }

    # -- data sockets --------------------------------------------------------------------------------------------

    def update_listening(self) -> None:
        """Listen exactly where some session that has been told of the port has a free place."""
        told = [session.host for session in self.sessions.values() if session.asked_ports and not self.stopping]
        for port in self.data_ports:
            port.set_listening(any(self.srws.free_places(host, port.key) > 0 for host in told))

    def on_first(self, first: FirstHeader) -> None:
        """Step (15): judge the first message of a data socket."""
        verdict = judge(first.data, self.sessions, first.port.key, first.peer_address, self.loop.now(), first.names)
        if isinstance(verdict, Refusal):
            stranger = first.peer_address
            self.turned_away["tokens"] += 1
            say(f"nsu: server: a data socket from {stranger} has no token that was granted", about=f"token {stranger}")
            first.refuse(verdict.answer, self.failures.delay_s(first.peer_address, self.loop.now()))
            return
        host = verdict.session.host
        changing = self.changing is not None and host.name in self.changing
        if changing or self.stopping or self.srws.free_places(host, first.port.key) <= 0:
            first.close()  # (13), where another host shares the port: not a byte
        else:
            self.srws.fork(verdict, first)

    # -- children ------------------------------------------------------------------------------------------------

    def reap(self) -> None:
        """Reap SRWs and drivers; whatever waited for them goes on."""
        self.storage.mind_drivers()
        self.srws.reap()

    def look(self) -> None:
        """Once a second: beat, look at the file, reap what a lost SIGCHLD left."""
        self.life.beat()
        self.reap()
        self.reconsider()
        self.look_at_addresses()
        self.config_port.listen()
        self.discovery.look(None if self.stopping else self.settings.discovery)
        self.update_listening()
        say_held()
        self.loop.call_later(LOOK_EVERY_S, self.look)

    def kill_useless(self) -> None:
        """Kill SRWs and drivers that stand still: a host sees a reset, an SRW asks the next driver."""
        for child, why in self.watch.useless([*self.srws.children(), *self.storage.children()]):
            say(f"nsu: server: {child.title.removeprefix('nsu: ')} (pid {child.pid}) is killed: {why}")
            child.signal(SIGKILL)
        self.loop.call_later(timers.LOOK_EVERY_S, self.kill_useless)

    def look_at_addresses(self) -> None:
        """A network that may have come back is told to those who have a port there: they need not wait to try it."""
        ports = {port.key[0] for port in self.data_ports}
        come = self.addresses.look(ports | set(self.settings.listen))
        for session in list(self.sessions.values()):
            is_his = any(port.address in come for port in session.host.data_ports)
            if is_his and session.version == 2 and session.is_open:
                session.dialogue.notify(Notice.PORTS_CHANGED)
                session.send()

    def found_as(self, links: Sequence[Link]) -> Answer:
        """Give what whoever looks for this NSU is told."""
        settings = self.settings
        return Answer(
            instance=self.storage.identity.instance,
            name=settings.name,
            mac=bytes(6),
            config_port=settings.config_port,
            versions=sum({0x01 if host.secret is None else 0x02 for host in settings.hosts}),
            is_set_up=bool(settings.listen),
            interfaces=interfaces_told(links, settings.listen),
        )

    # -- a changed nsu.conf --------------------------------------------------------------------------------------

    def look_now(self) -> dict[str, Any]:
        """Look at nsu.conf for somebody who waits for a change, and say how far it is."""
        self.reconsider()
        return self.told_of_conf()

    def told_of_conf(self) -> dict[str, Any]:
        return {**self.describe_conf(), "refused": self.refused, "changing": self.changing is not None}

    def reconsider(self) -> None:
        """Note (3): an administrator updated the configuration: only hosts whose units changed are disturbed."""
        fresh = None if self.stopping or self.changing is not None else self.reload()
        if fresh is None:
            return
        self.refused = ""
        fresh, sentences = possible(self.settings, fresh)
        if places_of(fresh) > self.srws.seats:
            sentences.append(f"of the {places_of(fresh)} places, {self.srws.seats} are there till the next start")
        self.warnings = []
        for sentence in sentences:
            self.warn(sentence)
        if fresh == self.settings:
            self.note_in_force()
            return
        try:
            self.storage.check(fresh)
            tls = self.tls if fresh.tls == self.settings.tls else tls_of(fresh)
            self.data_ports.open(fresh)
            self.config_port.open(fresh.listen)
        except (SettingsError, OSError) as error:
            self.keep_settings(error)
            return
        self.tls = tls
        self.changing = disturbed(self.settings, fresh)
        for session in self.sessions_of(self.changing):
            if not can_stay(session.host, session.version, host_named(fresh, session.host.name)):
                # "it will close the configuration socket for all hosts that ... changed"
                self.end_session(session, CHANGED)
        leave = renewed(self.settings, fresh)
        keys = {host.name: {(port.address, port.port) for port in host.data_ports} for host in fresh.hosts}
        theirs = self.srws.of_hosts(self.changing)
        ending = [srw for srw in theirs if srw.host_name in leave or srw.port not in keys[srw.host_name]]
        self.srws.bury(ending, lambda: self.adopt(fresh))

    def adopt(self, fresh: ServerSettings) -> None:
        """Nothing works with the old map any more where it changed: take the new one, and tell who stays."""
        changed, self.changing = self.changing or frozenset(), None
        try:
            self.storage.adopt(fresh)
        except (SettingsError, StateError, DriveError, OSError) as error:
            self.keep_settings(error)
        else:
            self.note_in_force()
            say(f"nsu: server: the changed nsu.conf is in force: {'; '.join(differences(self.settings, fresh))}")
        self.settings = self.storage.settings
        self.config_port.privileged = self.settings.privileged_port
        self.data_ports.keep(self.settings)
        self.config_port.close_others(self.settings.listen)
        for session in self.sessions_of(changed):
            self.tell_change(session)
        self.end_retired()
        self.update_listening()

    def end_retired(self) -> None:
        """End the sessions that were proven by a key that holds no more; all others outlive a change of keys."""
        for session in list(self.sessions.values()):
            host = host_named(self.settings, session.host.name)
            if session.version == 2 and not is_key_known(session.key, host):
                self.end_session(session, RETIRED)
            elif host is not None:
                session.host = host

    def tell_change(self, session: Session) -> None:
        """Also to one that logged in while the change was on its way."""
        host = host_named(self.settings, session.host.name)
        if host is None or not can_stay(session.host, session.version, host):
            self.end_session(session, CHANGED)
            return
        only_ports = host.units == session.host.units and host.data_ports != session.host.data_ports
        session.host = host
        if session.is_open:
            session.dialogue.notify(Notice.PORTS_CHANGED if only_ports else Notice.UNITS_CHANGED)
            session.send()

    def sessions_of(self, host_names: frozenset[str]) -> list[Session]:
        return [session for session in self.sessions.values() if session.host.name in host_names]

    def keep_settings(self, error: Exception) -> None:
        """The new settings can't be had."""
        self.data_ports.keep(self.settings)
        self.config_port.close_others(self.settings.listen)
        self.refused = str(error)
        self.warn(f"the changed nsu.conf can't be used, the old settings stay in force: {error}")

    def warn(self, sentence: str) -> None:
        """Say it in the log, and in the status until nsu.conf changes again."""
        self.warnings.append(sentence)
        say(f"nsu: server: {sentence}")

    # -- ending --------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """SIGTERM: nothing new, tell the hosts, let each SRW answer what has arrived, make it durable, go."""
        if self.stopping:
            return
        self.stopping = True
        self.discovery.close()
        self.config_port.close()
        self.update_listening()
        for session in list(self.sessions.values()):
            if session.version == 2 and session.is_open:
                session.dialogue.notify(Notice.SHUTTING_DOWN)
                session.send()
        self.srws.ask_to_stop()
        self.stop_at_s = self.loop.now() + DRAIN_MOST_S
        self.loop.call_later(DRAIN_TOLD_S, self.tell_drain)
        self.stop_when_drained()

    def tell_drain(self) -> None:
        """Whoever pressed Control-C waits by now."""
        say(f"nsu: server: draining: requests are being answered and made durable, {DRAIN_MOST_S:g} s at most")

    def stop_when_drained(self) -> None:
        self.reap()
        if self.srws.busy and self.loop.now() < self.stop_at_s:
            self.loop.call_later(0.01, self.stop_when_drained)
        else:
            self.loop.stop()

    def close(self) -> None:
        self.discovery.close()
        self.data_ports.close()
        self.control.close()
        self.srws.close()
        self.storage.close()


def places_of(settings: ServerSettings) -> int:
    """Give how many data sockets there may be at once."""
    return sum(port.connections_max for host in settings.hosts for port in host.data_ports)


def tls_of(settings: ServerSettings) -> Tls | None:
    """Read the TLS files. OSError: they can't be used."""
    return None if settings.tls is None else Tls(settings.tls, server_side=True)


def host_named(settings: ServerSettings, name: str) -> HostSettings | None:
    return next((host for host in settings.hosts if host.name == name), None)


def run_server(
    life: Life,
    settings: ServerSettings,
    reload: Reload,
    describe_conf: DescribeConf = describe_nothing,
    note_in_force: NoteInForce = note_nothing,
) -> int:
    """Live as `nsu: server`."""
    # Each place costs descriptors here, for every array; the soft limit is meant for programs that use select(2).
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return Server(life, settings, reload, describe_conf, note_in_force).run()
