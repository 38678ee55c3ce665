"""Proves what a session counts: paths and tickets; and when it may be told something."""

import pytest

from protocol.dialogue import HostDialogue, ServerDialogue
from protocol.errors import RemoteProtocolError
from protocol.events import LoginProven
from serverside.sessions import TICKET_LIFE_S, Session
from tests.serverside.rig import SECRET, host

NONCE = bytes(32)


def proven_dialogue(version: int = 2) -> tuple[ServerDialogue, HostDialogue]:
    """Give both ends of a configuration socket, at step (5)."""
    server = ServerDialogue(version, 12345, NONCE, "box1", lambda login: SECRET if login == "a" else None)
    client = HostDialogue(version, "a", SECRET if version == 2 else None, NONCE)
    client.receive(server.data_to_send())
    events = server.receive(client.data_to_send())
    assert [type(event) for event in events] == [LoginProven]
    return server, client


def session_of(dialogue: ServerDialogue, *, places: int = 4, version: int = 2) -> Session:
    return Session(
        number=7,
        epoch=1 << 32,
        version=version,
        host=host("a", ports=[(10002, places - 1), (10003, 1)]),
        peer_address="127.0.0.1",
        dialogue=dialogue,
        send=lambda: None,
        close_socket=lambda: None,
        finish_socket=lambda: None,
        began_s=0.0,
    )


def test_it_may_be_told_something_once_it_is_granted() -> None:
    dialogue, _ = proven_dialogue()
    session = session_of(dialogue)
    assert (session.awaits_grant, session.is_open) == (True, False)
    dialogue.grant(7, 1 << 32)
    assert (session.awaits_grant, session.is_open) == (False, True)
    session.ended = True
    assert (session.awaits_grant, session.is_open) == (False, False)


def test_a_host_that_broke_the_dialogue_while_it_waited_is_not_granted() -> None:
    dialogue, _ = proven_dialogue()
    session = session_of(dialogue)
    with pytest.raises(RemoteProtocolError):
        dialogue.receive(bytes(512))
    assert (session.awaits_grant, session.is_open) == (False, False)


def test_places_are_those_of_all_its_ports() -> None:
    assert session_of(proven_dialogue()[0], places=4).places == 4


def test_there_are_no_more_tickets_than_places() -> None:
    session = session_of(proven_dialogue()[0], places=4)
    for path in range(4):
        assert session.may_open(path, 0.0)
        session.give_ticket(path, NONCE, 0.0)
    assert not session.may_open(4, 1.0)
    assert session.may_open(3, 1.0), "asking again for the same path takes no more room"


def test_a_ticket_that_nobody_used_is_forgotten() -> None:
    session = session_of(proven_dialogue()[0], places=4)
    for number in range(1000):
        now_s = number * TICKET_LIFE_S
        assert session.may_open(number, now_s)
        session.give_ticket(number, NONCE, now_s)
    assert list(session.tickets) == [999]


def test_a_v1_path_gets_the_lowest_free_number() -> None:
    session = session_of(proven_dialogue(1)[0], version=1)
    session.srws = dict.fromkeys([0, 1, 3])  # type: ignore[assignment]  # only the numbers count here
    assert session.free_path() == 2
