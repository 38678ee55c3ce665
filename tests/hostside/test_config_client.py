"""Proves the host's end of the configuration socket against real dialogues over TCP: it logs in, notices every way in
which a socket ends, tells it once, and comes again at the server's other addresses.
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

import hostside.config_client
from hostside.config_client import ConfigClient, bind_privileged
from hostside.settings import ServerEntry
from ipc.loop import Loop
from ipc.silence import Silence
from protocol import events
from protocol.dialogue import ServerDialogue
from protocol.errors import ProtocolError
from protocol.events import Event, LoginFailed, LoginProven
from protocol.timers import FOUND_WITHIN_S, UNANSWERED_MOST_S
from protocol.v2.login import fingerprint

SECRET = bytes(range(32))
DEADLINE_S = 5.0


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for what people may wait for."""
    for name, seconds in (("RECONNECT_FIRST_S", 0.01), ("RECONNECT_MOST_S", 0.02), ("REFUSED_PAUSE_S", 0.05)):
        monkeypatch.setattr(hostside.config_client, name, seconds)


class Nsu:
    """A configuration port in the test's own loop; it grants at once, and does as it is told otherwise."""

    def __init__(self, loop: Loop, version: int, *, dribble: bool, mute: bool, secret: bytes) -> None:
        self.loop = loop
        self.version = version
        self.secret = secret
        self.dribble = dribble
        self.mute = mute
        """Accepts and says nothing."""
        self.deaf = False
        """Answers nothing from now on."""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connected: list[socket.socket] = []
        self.peers: list[tuple[str, int]] = []
        self.asked: list[Event] = []
        self.dialogue: ServerDialogue | None = None
        self.sessions = 0
        loop.watch(self.listener, on_readable=self.accept)

    def accept(self) -> None:
        sock, peer = self.listener.accept()
        self.connected.append(sock)
        self.peers.append(peer)
        if self.mute:
            return
        dialogue = ServerDialogue(self.version, 5, bytes(32), "box1", lambda _: self.secret)
        self.dialogue = dialogue
        self.loop.watch(sock, on_readable=lambda: self.readable(sock, dialogue))
        self.send(sock, dialogue)

    def readable(self, sock: socket.socket, dialogue: ServerDialogue) -> None:
        data = sock.recv(65536)
        if not data:
            self.loop.forget(sock)
            return
        try:
            for event in dialogue.receive(data):
                if isinstance(event, LoginProven):
                    self.sessions += 1
                    dialogue.grant(self.sessions, self.sessions)
                elif not isinstance(event, LoginFailed):
                    self.asked.append(event)
        except ProtocolError:
            pass  # it wrote nonsense: the test looks at the other end
        if not self.deaf:
            self.send(sock, dialogue)

    def send(self, sock: socket.socket, dialogue: ServerDialogue) -> None:
        data = dialogue.data_to_send()
        for at in range(0, len(data), 1 if self.dribble else 65536):
            sock.sendall(data[at : at + (1 if self.dribble else 65536)])

    def hang_up(self) -> None:
        for sock in self.connected:
            self.loop.forget(sock)
            sock.close()
        self.connected.clear()

    def close(self) -> None:
        self.hang_up()
        self.loop.forget(self.listener)
        self.listener.close()


class Rig:
    """Client and NSU in one loop, and what the client told."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.told: list[Event] = []
        self.lost: list[str] = []
        self.nsus: list[Nsu] = []
        self.client: ConfigClient

    def nsu(self, version: int, *, dribble: bool = False, mute: bool = False, secret: bytes = SECRET) -> Nsu:
        self.nsus.append(Nsu(self.loop, version, dribble=dribble, mute=mute, secret=secret))
        return self.nsus[-1]

    def connect(self, port: int, version: int = 2, addresses: tuple[str, ...] = ("127.0.0.1",)) -> ConfigClient:
        secret = SECRET if version == 2 else None
        entry = ServerEntry("box1", addresses, port, "host1", secret, 4, None, ())
        self.client = ConfigClient(self.loop, entry, on_event=self.on_event, on_lost=self.lost.append)
        self.client.connect()
        return self.client

    def on_event(self, event: Event) -> None:
        self.told.append(event)
        if isinstance(event, events.Granted):
            self.client.hold()

    def until(self, holds: Callable[[], object]) -> None:
        """Turn the loop until `holds()`."""
        until_s = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < until_s, f"it did not come true; lost: {self.lost[-3:]}"
            self.loop.call_later(0.005, self.loop.stop)
            self.loop.run()

    def for_a_while(self, seconds: float) -> None:
        self.loop.call_later(seconds, self.loop.stop)
        self.loop.run()

    def grants(self) -> int:
        return sum(isinstance(event, events.Granted) for event in self.told)


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    if hasattr(rig, "client"):
        rig.client.close()
    for nsu in rig.nsus:
        nsu.close()
    rig.loop.close()


# -- talking -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dribble", [False, True], ids=["in one piece", "byte by byte"])
@pytest.mark.parametrize("version", [1, 2], ids=["v1", "v2"])
def test_it_logs_in_asks_and_hears(rig: Rig, version: int, dribble: bool) -> None:
    nsu = rig.nsu(version, dribble=dribble)
    client = rig.connect(nsu.port, version)
    assert client.trouble
    rig.until(rig.grants)
    assert client.trouble == ""
    assert client.dialogue is not None
    client.dialogue.ask_starttime()
    client.send()
    rig.until(lambda: nsu.asked)
    assert nsu.asked == [events.AskStartTime()]
    assert nsu.dialogue is not None
    nsu.dialogue.answer_starttime(77)
    nsu.send(nsu.connected[0], nsu.dialogue)
    rig.until(lambda: events.StartTime(77) in rig.told)
    assert rig.lost == []


def test_it_comes_from_a_privileged_port_where_it_may(rig: Rig) -> None:
    """Appendix D (1)."""
    with socket.socket() as probe:
        bind_privileged(probe)
        may = 0 < probe.getsockname()[1] < 1024
    nsu = rig.nsu(2)
    rig.connect(nsu.port)
    rig.until(rig.grants)
    assert (nsu.peers[0][1] < 1024) == may


def test_the_kernel_watches_a_socket_that_0x01_cannot_ping(rig: Rig) -> None:
    nsu = rig.nsu(1)
    client = rig.connect(nsu.port, 1)
    assert client.sock is not None
    assert client.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    idle_s = client.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
    more_s = client.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
    times = client.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT)
    assert idle_s + times * more_s < FOUND_WITHIN_S
    assert client.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) < FOUND_WITHIN_S * 1000


def test_what_came_behind_the_end_of_a_socket_is_not_told(rig: Rig) -> None:
    """A handler ends the socket in the midst of what has arrived; the rest was said in a session that is over."""
    nsu = rig.nsu(2)
    client = rig.connect(nsu.port)
    rig.until(rig.grants)
    assert client.dialogue is not None
    assert nsu.dialogue is not None
    for _ in range(2):
        client.dialogue.ask_starttime()
    client.send()
    rig.until(lambda: len(nsu.asked) == 2)

    def lose_at_the_first(event: Event) -> None:
        rig.told.append(event)
        client.lose("that was enough")

    client.on_event = lose_at_the_first
    for cookie in (1, 2):
        nsu.dialogue.answer_starttime(cookie)
    nsu.send(nsu.connected[0], nsu.dialogue)
    rig.until(lambda: rig.lost)
    client.on_event = rig.on_event
    assert events.StartTime(1) in rig.told
    assert events.StartTime(2) not in rig.told
    assert rig.lost == ["that was enough"]


# -- ending, and coming again ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2], ids=["v1", "v2"])
def test_a_closed_socket_is_told_once_and_a_new_session_follows(rig: Rig, version: int) -> None:
    """Note (3): "use its closure by the NSU as a signal to re-run the configuration protocol"."""
    nsu = rig.nsu(version)
    client = rig.connect(nsu.port, version)
    rig.until(rig.grants)
    nsu.hang_up()
    rig.until(lambda: rig.grants() == 2)
    assert len(rig.lost) == 1
    assert "closed the configuration socket" in rig.lost[0]
    assert client.trouble == ""


def test_addresses_are_tried_in_turn(rig: Rig) -> None:
    """Nobody listens on 127.0.0.2."""
    nsu = rig.nsu(2)
    client = rig.connect(nsu.port, addresses=("127.0.0.2", "127.0.0.1"))
    rig.until(rig.grants)
    assert client.address == "127.0.0.1"
    assert [sentence for sentence in rig.lost if f"127.0.0.2:{nsu.port}: Connection refused" in sentence]


def test_an_address_that_is_not_at_fault_is_tried_again_first(rig: Rig) -> None:
    """A path over another network was lost: the next session is not to begin with a try there."""
    nsu = rig.nsu(2)
    client = rig.connect(nsu.port, addresses=("127.0.0.1", "127.0.0.2"))
    rig.until(rig.grants)
    client.lose("one of its paths was lost", stays=True)
    rig.until(lambda: rig.grants() == 2)
    assert len(rig.lost) == 1
    nsu.hang_up()
    rig.until(lambda: rig.grants() == 3)
    assert [sentence for sentence in rig.lost if f"127.0.0.2:{nsu.port}: Connection refused" in sentence]


def test_a_server_that_says_nothing_is_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostside.config_client, "HANDSHAKE_TIMEOUT_S", 0.05)
    nsu = rig.nsu(2, mute=True)
    rig.connect(nsu.port)
    rig.until(lambda: rig.lost)
    assert "does not answer" in rig.lost[0]
    nsu.mute = False
    rig.until(rig.grants)


def test_a_session_outlives_the_time_of_the_handshake(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostside.config_client, "HANDSHAKE_TIMEOUT_S", 0.1)
    nsu = rig.nsu(2)
    rig.connect(nsu.port)
    rig.until(rig.grants)
    rig.for_a_while(0.15)
    assert rig.lost == []


def test_a_refused_login_says_why_and_waits_for_people(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostside.config_client, "REFUSED_PAUSE_S", 60.0)
    nsu = rig.nsu(2, secret=bytes(32))
    client = rig.connect(nsu.port)
    rig.until(lambda: rig.lost)
    assert client.trouble.count("refused") == 1, "once is enough"
    assert "LOGIN (host1) and SECRET_FILE of SERVER box1" in client.trouble
    assert client.timer is not None
    assert client.timer.when_s - rig.loop.now() > 50
    assert rig.grants() == 0


def test_a_host_with_a_secret_does_not_speak_v1(rig: Rig) -> None:
    """Trap 27, its floor."""
    nsu = rig.nsu(1)
    client = rig.connect(nsu.port, 2)
    rig.until(lambda: rig.lost)
    assert "0x01" in client.trouble
    assert nsu.sessions == 0


def test_nonsense_ends_the_socket(rig: Rig) -> None:
    nsu = rig.nsu(2)
    rig.connect(nsu.port)
    rig.until(rig.grants)
    nsu.connected[0].sendall(b"\xa5" * 512)
    rig.until(lambda: rig.lost)
    rig.until(lambda: rig.grants() == 2)


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("LOOK_EVERY_S", 0.01), ("PING_EVERY_S", 0.02), ("CONFIG_ANSWER_WITHIN_S", 0.1)):
        monkeypatch.setattr(hostside.config_client, name, seconds)


@pytest.mark.usefixtures("impatience")
def test_v2_finds_a_server_that_has_fallen_silent(rig: Rig) -> None:
    nsu = rig.nsu(2)
    rig.connect(nsu.port)
    rig.until(rig.grants)
    rig.for_a_while(0.25)
    assert rig.lost == []  # its answers to pings are enough
    nsu.deaf = True
    rig.until(lambda: rig.lost)
    assert "was silent" in rig.lost[0]


@pytest.mark.usefixtures("impatience")
def test_a_silent_server_is_not_given_up_while_its_paths_serve(rig: Rig) -> None:
    """Nor asked without an end: the answers to what was asked are enough when it goes on."""
    nsu = rig.nsu(2)
    client = rig.connect(nsu.port)
    client.is_served = lambda: True
    rig.until(rig.grants)
    nsu.deaf = True
    rig.until(lambda: client.is_silent)
    rig.for_a_while(0.3)
    assert rig.lost == []
    assert nsu.dialogue is not None
    waiting = nsu.dialogue.data_to_send()
    assert 0 < len(waiting) <= 8 * 512
    nsu.deaf = False
    nsu.connected[0].sendall(waiting)
    rig.until(lambda: not client.is_silent)
    rig.for_a_while(0.2)
    assert rig.lost == []
    nsu.deaf = True
    rig.until(lambda: client.is_silent)
    client.is_served = lambda: False
    rig.until(lambda: rig.lost)


@pytest.mark.parametrize("version", [1, 2], ids=["v1", "v2"])
def test_a_server_out_of_reach_is_given_up_whatever_its_paths_do(
    rig: Rig, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's word is enough; in 0x01, which has no ping, it is all there is."""
    monkeypatch.setattr(hostside.config_client, "LOOK_EVERY_S", 0.01)
    nsu = rig.nsu(version)
    client = rig.connect(nsu.port, version)
    client.is_served = lambda: True
    rig.until(rig.grants)
    client.silence = Silence(1000)
    client.heard_s -= 1000
    rig.for_a_while(0.1)
    assert rig.lost == []
    monkeypatch.setattr(hostside.config_client, "unanswered_s", lambda _sock: UNANSWERED_MOST_S)
    client.heard_s -= 1000
    rig.until(lambda: rig.lost)
    assert "out of reach" in rig.lost[0]


def test_an_address_that_does_not_answer_is_left_for_the_next(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener whose queue is full answers no connection, as no machine would."""
    monkeypatch.setattr(hostside.config_client, "CONNECT_WITHIN_S", 0.1)
    nsu = rig.nsu(2)
    with socket.socket() as full, ExitStack() as waiting:
        full.bind(("127.0.0.2", nsu.port))
        full.listen(0)
        for _ in range(4):
            sock = waiting.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.2", nsu.port))
        began_s = time.monotonic()
        client = rig.connect(nsu.port, addresses=("127.0.0.2", "127.0.0.1"))
        rig.until(rig.grants)
        assert time.monotonic() - began_s < 2.0
        assert client.address == "127.0.0.1"


def test_a_server_that_closes_before_a_word_gets_a_hint(rig: Rig) -> None:
    nsu = rig.nsu(2, mute=True)
    rig.connect(nsu.port)
    rig.until(lambda: nsu.connected)
    nsu.hang_up()
    rig.until(lambda: rig.lost)
    assert "PRIVILEGED_PORT" in rig.lost[0]


def test_a_socket_that_takes_no_more_is_lost(rig: Rig) -> None:
    """Questions are small: a server that reads none of thousands is as good as gone."""
    nsu = rig.nsu(2)
    client = rig.connect(nsu.port)
    rig.until(rig.grants)
    rig.loop.forget(nsu.connected[0])
    for _ in range(100_000):
        if client.dialogue is None:
            break
        client.dialogue.ping()
        client.send()
    assert len(rig.lost) == 1


def test_closed_for_good_it_neither_tells_nor_comes_again(rig: Rig) -> None:
    nsu = rig.nsu(2)
    client = rig.connect(nsu.port)
    rig.until(rig.grants)
    client.close()
    end_s = time.monotonic() + 0.1
    rig.until(lambda: time.monotonic() > end_s)
    assert (rig.grants(), rig.lost) == (1, [])


# -- two machines with one login ---------------------------------------------------------------------------------


def test_who_is_evicted_says_by_whom_and_rests_longer_each_time(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostside.config_client, "EVICTED_FIRST_S", 0.2)
    monkeypatch.setattr(hostside.config_client, "EVICTED_MOST_S", 100.0)
    nsu = rig.nsu(2)
    client = rig.connect(nsu.port)
    rests = []
    for count in range(1, 4):
        rig.until(lambda count=count: rig.grants() == count)  # type: ignore[misc]
        client.evict("another machine logged in as host1 from 10.0.0.9")
        assert client.timer is not None
        rests.append(client.timer.when_s - rig.loop.now())
    assert all(step / 2 <= rest <= step for rest, step in zip(rests, (0.2, 0.4, 0.8), strict=True))
    assert client.evicted == "another machine logged in as host1 from 10.0.0.9"
    assert rig.lost[0].startswith("another machine logged in as host1 from 10.0.0.9; this one comes again in")


def test_a_steady_session_ends_the_fight(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostside.config_client, "EVICTED_FIRST_S", 0.01)
    monkeypatch.setattr(hostside.config_client, "STEADY_SESSION_S", 0.3)
    nsu = rig.nsu(2)
    client = rig.connect(nsu.port)
    rig.until(rig.grants)
    client.evict("")
    assert client.evicted == "another machine logged in as host1"
    rig.until(lambda: rig.grants() == 2)
    client.look()
    assert client.evicted
    rig.until(lambda: client.is_steady)
    client.look()
    assert client.evicted == ""


def test_0x01_that_is_cut_off_again_and_again_rests_too(rig: Rig) -> None:
    """It has no notice: another host of the same HOST looks like this."""
    nsu = rig.nsu(1)
    client = rig.connect(nsu.port, version=1)
    for count in range(1, hostside.config_client.CUTS_MOST + 1):
        assert client.evicted == ""
        rig.until(lambda count=count: rig.grants() == count)  # type: ignore[misc]
        nsu.hang_up()
        rig.until(lambda count=count: len(rig.lost) == count)  # type: ignore[misc]
    assert "does another machine log in" in client.evicted
    assert client.timer is not None
    assert client.timer.when_s - rig.loop.now() > 4


def test_each_login_proves_the_key_that_is_there_then(rig: Rig) -> None:
    new = bytes(reversed(SECRET))
    nsu, keys = rig.nsu(2, secret=new), [SECRET, new]
    client = rig.connect(nsu.port)
    client.newest = lambda entry: keys.pop(0)
    rig.until(lambda: rig.lost)
    assert client.key == fingerprint(SECRET)
    assert "refused the login" in rig.lost[0]
    client.connect()
    rig.until(rig.grants)
    assert client.key == fingerprint(new)
