"""The server process: sessions, the partition table (it is their single writer), and the forking of SRWs.

It has no threads, because it forks. It also kills AND reaps the SRWs: that is what makes a fence true. The order in
which things happen to a session is the heart of it:

  login proven ─▶ every older session of that host is buried (sessions.py) ─▶ granted
  data socket's first 512 bytes good ─▶ place counted, port perhaps closed ─▶ fork ─▶ the SRW answers the login
  SRW reaped ─▶ seat drained at the drivers ─▶ place free, port perhaps listening again
  configuration socket closed ─▶ its SRWs killed and reaped (Appendix D, note 2)
  FENCE of a path ─▶ its SRW killed, reaped, its seat drained ─▶ answered
  settings changed ─▶ only hosts whose units changed: 0x01 cut off (note 3), 0x02 told and its SRWs renewed
"""

import secrets
import socket
import sys
import time
from collections.abc import Callable

from ipc.child import Life, fork_child
from ipc.control import ControlServer
from ipc.counters import CounterTable
from ipc.exits import Exit
from ipc.loop import Loop
from protocol import events
from protocol.data import UnitLimits, server_data
from protocol.events import Event, Notice
from protocol.path_login import (
    V1Token,
    V2Token,
    parse_first,
    path_token,
    v1_login_answer,
    v1_login_refusal,
    v2_login_answer,
    v2_login_refusal,
)
from protocol.records import DataPort as PortRecord
from protocol.status import Detail
from serverside.admission import Admission
from serverside.config_port import ConfigLine, ConfigPort
from serverside.data_ports import DataPort, Failures
from serverside.drives.base import DriveError
from serverside.errors import SettingsError, StateError
from serverside.sessions import TICKET_LIFE_S, Burials, Session, Srw, Ticket
from serverside.settings import HostSettings, ServerSettings
from serverside.srw import COUNTERS, ServerReaderWriter
from serverside.status import describe_server
from serverside.storage import Storage

SIGHUP, SIGTERM, SIGCHLD = 1, 15, 17
LOOK_EVERY_S = 1.0
SRW_SILENT_MOST_S = 60.0
DRAIN_MOST_S = 5.0
SEATS_SPARE = 4
"""Places for SRWs that have ended and are not yet reaped while their successors already live."""

Reload = Callable[[], ServerSettings | None]
"""Gives the settings of a changed nsu.conf, or None when there is nothing new or nothing good."""


class Server:
    """The server role of one machine."""

    def __init__(self, life: Life, settings: ServerSettings, reload: Reload) -> None:
        self.life = life
        self.settings = settings
        self.reload = reload
        self.loop = Loop()
        self.started_s = time.time()
        seats = sum(port.connections_max for host in settings.hosts for port in host.data_ports) + SEATS_SPARE
        self.storage = Storage(settings, seats)
        self.sessions: dict[int, Session] = {}
        self.next_session = 1
        self.lines: dict[ConfigLine, Session] = {}
        self.burials = Burials()
        self.admission = Admission(seats)
        self.failures = Failures()
        self.hearts = CounterTable(seats, ("beat",))
        self.counters = CounterTable(seats, COUNTERS)
        self.dying: dict[int, Srw] = {}
        """SRWs whose session has ended, by pid, until they are reaped."""
        self.warnings: list[str] = []
        self.config_port = ConfigPort(
            self.loop, settings.name, settings.listen, settings.config_port, settings.privileged_port, self
        )
        self.data_ports: dict[tuple[str, int], DataPort] = {}
        self.open_data_ports()
        self.control = ControlServer(
            self.loop, settings.state_dir / "server.sock", {"status": lambda _: describe_server(self)}
        )
        self.stopping = False
        self.changing = False
        """New settings wait for SRWs to be buried; meanwhile no new ones are forked."""

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

    def on_event(self, line: ConfigLine, event: Event) -> None:
        if isinstance(event, events.LoginProven):
            self.login(line, event)
            return
        session = self.lines.get(line)
        if session is not None and not session.ended:
            self.ANSWERS[type(event)](self, session, event)
            self.update_listening()

    def on_closed(self, line: ConfigLine) -> None:
        """Note (2): "if the NSU ever detects that a configuration socket has been closed, it will close all data port
        connections associated with that host".
        """
        session = self.lines.pop(line, None)
        if session is not None:
            self.end_session(session, lambda: None)

    # -- sessions ------------------------------------------------------------------------------------------------

    def login(self, line: ConfigLine, event: events.LoginProven) -> None:
        """Step (5) went well. Bury what is old, then grant (trap 21: only an authenticated session evicts)."""
        host = self.host_of(line, event)
        if host is None or self.stopping:
            line.dialogue.refuse(Detail.HOST_UNKNOWN)
            line.closing = True
            line.send()
            return
        session = self.new_session(line, host, event.version)
        old = [s for s in self.sessions.values() if s.host.name == host.name]
        self.sessions[session.number] = session
        self.lines[line] = session
        self.bury(old, lambda: self.grant(line, session))

    def host_of(self, line: ConfigLine, event: events.LoginProven) -> HostSettings | None:
        if event.version == 1:
            return next(
                (h for h in self.settings.hosts if h.secret is None and line.peer_address in h.addresses), None
            )
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
            close_socket=line.close,
            began_s=time.time(),
        )

    def bury(self, sessions: list[Session], done: Callable[[], None]) -> None:
        """End `sessions`, one after another; call `done` when nothing of them, nor of earlier ones, can be applied."""
        if sessions:
            self.end_session(sessions[0], lambda: self.bury(sessions[1:], done))
        else:
            done()

    def end_session(self, session: Session, done: Callable[[], None]) -> None:
        """Kill and reap everything of `session`. Also waits for SRWs of this host that an earlier end left dying."""
        if not session.ended:
            session.ended = True
            del self.sessions[session.number]
            self.dying |= {srw.child.pid: srw for srw in session.srws.values()}
            session.close_socket()
        rest = [srw for srw in self.dying.values() if srw.host_name == session.host.name]
        self.burials.begin(rest, done)
        self.update_listening()

    def grant(self, line: ConfigLine, session: Session) -> None:
        if not session.ended:
            session.dialogue.grant(session.number, session.epoch)
            line.send()

    # -- answers to what a session asks --------------------------------------------------------------------------

    def tell_starttime(self, session: Session, event: Event) -> None:
        """Step (7): an opaque cookie that changes exactly when the configuration does."""
        del event
        session.dialogue.answer_starttime(self.storage.cookie)

    def tell_capacities(self, session: Session, event: Event) -> None:
        """Step (9): "these capacities are specified in BYTES"."""
        del event
        session.dialogue.answer_capacities([unit.blocks * 512 for unit in session.host.units])

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

    def tell_path(self, session: Session, event: Event) -> None:
        """Give leave, for a short time and once, to open a path (trap 29)."""
        assert isinstance(event, events.AskPath)
        if event.path in session.srws:
            session.dialogue.refuse_path(event.path, Detail.PATH_NUMBER)
            return
        nonce = secrets.token_bytes(32)
        session.tickets[event.path] = Ticket(nonce, self.loop.now() + TICKET_LIFE_S)
        session.dialogue.answer_path(event.path, nonce)

    def tell_fence(self, session: Session, event: Event) -> None:
        """Kill, reap and drain the path's SRW, then promise that nothing of it can still be applied."""
        assert isinstance(event, events.AskFence)
        session.tickets.pop(event.path, None)
        srw = session.srws.get(event.path)
        line = self.line_of(session)

        def fenced() -> None:
            if not session.ended:
                session.dialogue.answer_fence(event.path)
                line.send()

        self.burials.begin([srw] if srw else [], fenced)

    ANSWERS = {
        events.AskStartTime: tell_starttime,
        events.AskCapacities: tell_capacities,
        events.AskDataPorts: tell_dataports,
        events.AskUnits: tell_units,
        events.AskPath: tell_path,
        events.AskFence: tell_fence,
    }

    # -- data sockets --------------------------------------------------------------------------------------------

    def open_data_ports(self) -> None:
        """Bind the ports of all hosts; ports that nobody has any more are closed."""
        wanted = {(p.address, p.port) for host in self.settings.hosts for p in host.data_ports}
        for key in set(self.data_ports) - wanted:
            self.data_ports.pop(key).close()
        for key in sorted(wanted - set(self.data_ports)):
            self.data_ports[key] = DataPort(self.loop, *key, self.on_first)

    def update_listening(self) -> None:
        """Listen exactly where some session that has been told of the port has a free place."""
        for key, port in self.data_ports.items():
            wanted = any(
                session.asked_ports and self.free_places(session.host, key) > 0
                for session in self.sessions.values()
            )
            port.set_listening(wanted and not self.stopping)

    def free_places(self, host: HostSettings, key: tuple[str, int]) -> int:
        most = sum(p.connections_max for p in host.data_ports if (p.address, p.port) == key)
        return most - self.admission.taken(host.name, key)

    def on_first(self, port: DataPort, sock: socket.socket, peer_address: str, header: bytes) -> None:
        """Step (15): judge the first message of a data socket."""
        token = parse_first(header)
        found = self.session_of(token, port.key, peer_address)
        if found is None:
            delay_s = self.failures.delay_s(peer_address, self.loop.now())
            refusal = self.refusal_to(token)
            self.loop.call_later(delay_s, lambda: say_and_close(sock, refusal))
            return
        session, path, answer = found
        if self.changing or self.free_places(session.host, port.key) <= 0:
            sock.close()  # (13), where another host shares the port: not a byte
            return
        self.fork_srw(session, path, port, sock, peer_address, answer)

    def session_of(
        self, token: V1Token | V2Token, key: tuple[str, int], peer_address: str
    ) -> tuple[Session, int, bytes] | None:
        """Find whose data socket this is: (session, path, the login's answer); None when nobody's."""
        if isinstance(token, V1Token):
            for session in self.sessions.values():
                if self.owns_v1(session, token, key, peer_address):
                    return session, session.free_path(), v1_login_answer(0)
            return None
        owner = self.sessions.get(token.session)
        if owner is None or owner.version != 2 or not serves(owner.host, key):
            return None
        return self.redeem(owner, token)

    def owns_v1(self, session: Session, token: V1Token, key: tuple[str, int], peer_address: str) -> bool:
        """Step (14): "the pseudo-random number it received from the NSU in Step (2)", from an address of that host."""
        known = (session.peer_address, *session.host.addresses)
        right = token.challenge == session.dialogue.challenge
        return session.version == 1 and session.asked_ports and right and peer_address in known and serves(session.host, key)

    def redeem(self, session: Session, token: V2Token) -> tuple[Session, int, bytes] | None:
        """Check a single-use token; it is used up by success only, so that a guess can't burn somebody's ticket."""
        ticket = session.tickets.get(token.path)
        key = session.dialogue.session_key
        if ticket is None or key is None or ticket.until_s < self.loop.now() or token.epoch != session.epoch:
            return None
        expected = path_token(key, b"host", session.number, token.path, ticket.nonce)
        if not secrets.compare_digest(expected, token.token) or token.path in session.srws:
            return None
        del session.tickets[token.path]
        proof = path_token(key, b"server", session.number, token.path, ticket.nonce)
        session.marker = secrets.randbits(32)
        return session, token.path, v2_login_answer(session.number, token.path, session.marker, proof)

    def refusal_to(self, token: V1Token | V2Token) -> bytes:
        if isinstance(token, V1Token):
            return v1_login_refusal(Detail.PATH_TOKEN)
        return v2_login_refusal(token.session, token.path, Detail.PATH_TOKEN)

    def fork_srw(
        self, session: Session, path: int, port: DataPort, sock: socket.socket, peer: str, answer: bytes
    ) -> None:
        """Fork the pair's server end. The port stops listening before the answer goes out, when this was the last."""
        seat = self.admission.take(session.host.name, port.key)
        if seat is None:
            sock.close()
            return
        self.update_listening()
        storage = self.storage
        view = storage.view_of(session.host)
        row = self.counters.row(seat)
        row.clear()

        def main(life: Life) -> int:
            def alive() -> bool:
                life.beat()
                return True

            storage.reopen()
            sock.setblocking(True)
            sock.sendall(answer)
            machine = server_data(
                session.version,
                session=session.number,
                epoch=session.epoch,
                path=path,
                marker=session.marker,
                units=[UnitLimits(p.blocks, p.read_only, p.generation) for p in view.partitions],
            )
            life.ready()
            return ServerReaderWriter(
                sock,
                machine,
                view,
                storage.doors(seat, alive),
                writes_through=session.version == 1,
                life=life,
                counters=row,
            ).run()

        title = f"nsu: srw {session.host.name} {port.key[0]}:{port.key[1]} #{path}"
        keep = [sock.fileno(), *storage.descriptors(seat)]
        child = fork_child(title, main, hearts=self.hearts, heart_row=seat, keep=keep)
        sock.close()
        session.srws[path] = Srw(child, path, seat, port.key, peer, session.host.name, time.time())

    # -- children ------------------------------------------------------------------------------------------------

    def reap(self) -> None:
        """Reap SRWs and drivers; whatever waited for them goes on."""
        for session in list(self.sessions.values()):
            for path, srw in list(session.srws.items()):
                if srw.child.poll() is not None:
                    del session.srws[path]
                    self.srw_reaped(srw)
        for pid, srw in list(self.dying.items()):
            if srw.child.poll() is not None:
                del self.dying[pid]
                self.srw_reaped(srw)
        self.storage.mind_drivers()
        self.update_listening()

    def srw_reaped(self, srw: Srw) -> None:
        srw.child.close()
        self.storage.drain(srw.seat)
        self.admission.give(srw.host_name, srw.port, srw.seat)
        self.burials.reaped(srw.child.pid)

    def look(self) -> None:
        """Once a second: beat, look at the file, bury what a lost SIGCHLD left, kill the silent."""
        self.life.beat()
        self.reap()
        self.reconsider()
        now_s = time.monotonic()
        for session in self.sessions.values():
            for srw in session.srws.values():
                if srw.child.silent_s(now_s) > SRW_SILENT_MOST_S:
                    print(f"{srw.child.title} was silent for {SRW_SILENT_MOST_S:g} s: killed", file=sys.stderr)
                    srw.child.signal(9)
        self.loop.call_later(LOOK_EVERY_S, self.look)

    # -- a changed nsu.conf --------------------------------------------------------------------------------------

    def reconsider(self) -> None:
        """Note (3): an administrator updated the configuration: only hosts whose units changed are disturbed."""
        fresh = None if self.stopping or self.changing else self.reload()
        if fresh is None:
            return
        now = {host.name: host for host in fresh.hosts}
        old = {host.name: host for host in self.settings.hosts}
        changed = {name for name in old if old[name] != now.get(name)}
        told = []
        for session in list(self.sessions.values()):
            if session.host.name in changed and stays(session, now):
                told.append(session)
            elif session.host.name in changed:
                session.close_socket()  # 0x01: "it will close the configuration socket for all hosts that changed"
        self.changing = True
        srws = [srw for session in told for srw in session.srws.values()]
        srws += [srw for srw in self.dying.values() if srw.host_name in changed]
        self.burials.begin(srws, lambda: self.adopt(fresh, told))

    def adopt(self, fresh: ServerSettings, told: list[Session]) -> None:
        """Nothing works with the old map any more where it changed: take the new one, and tell who stays."""
        self.changing = False
        try:
            self.warnings = self.storage.adopt(fresh)
        except (SettingsError, StateError, DriveError) as error:
            self.warnings = [f"the changed nsu.conf can't be used, the old settings stay in force: {error}"]
            print(f"nsu: server: {self.warnings[0]}", file=sys.stderr, flush=True)
            self.storage.start_drivers()
            return
        self.settings = self.storage.settings
        self.open_data_ports()
        now = {host.name: host for host in self.settings.hosts}
        for session in told:
            if not session.ended:
                session.host = now[session.host.name]
                session.dialogue.notify(Notice.UNITS_CHANGED)
                self.line_of(session).send()
        self.update_listening()

    def line_of(self, session: Session) -> ConfigLine:
        return next(line for line, its in self.lines.items() if its is session)

    # -- ending --------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """SIGTERM: nothing new, tell the hosts, let each SRW answer what has arrived, make it durable, go."""
        if self.stopping:
            return
        self.stopping = True
        self.update_listening()
        for line, session in list(self.lines.items()):
            if session.version == 2 and not session.ended:
                session.dialogue.notify(Notice.SHUTTING_DOWN)
                line.send()
            for srw in session.srws.values():
                srw.child.signal(SIGTERM)
        self.stop_at_s = self.loop.now() + DRAIN_MOST_S
        self.stop_when_drained()

    def stop_when_drained(self) -> None:
        self.reap()
        busy = any(session.srws for session in self.sessions.values())
        if busy and self.loop.now() < self.stop_at_s:
            self.loop.call_later(0.01, self.stop_when_drained)
        else:
            self.loop.stop()

    def close(self) -> None:
        for session in list(self.sessions.values()):
            for srw in session.srws.values():
                srw.child.kill_and_reap()
                self.storage.drain(srw.seat)
        self.config_port.close()
        for port in self.data_ports.values():
            port.close()
        self.storage.close()
        self.control.close()


def stays(session: Session, now: dict[str, HostSettings]) -> bool:
    """May a session whose host has changed go on, told? 0x02, unless the host or its secret is gone."""
    host = now.get(session.host.name)
    return host is not None and session.version == 2 and host.secret == session.host.secret


def serves(host: HostSettings, key: tuple[str, int]) -> bool:
    """Is `key` a data port of `host`?"""
    return any((p.address, p.port) == key for p in host.data_ports)


def say_and_close(sock: socket.socket, answer: bytes) -> None:
    """Send a refusal and close. The socket's buffer is empty, so 512 bytes always fit."""
    try:
        sock.send(answer)
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the peer did not wait for it
    sock.close()


def run_server(life: Life, settings: ServerSettings, reload: Reload) -> int:
    """Live as `nsu: server`."""
    return Server(life, settings, reload).run()
