"""Proves that what a running server and STATE say is taken as it is, and nothing made up where nobody answers."""

import socket
import threading
from pathlib import Path

import pytest

from nsu.partitions.errors import Refused
from nsu.partitions.facts import Facts, facts_of, look
from serverside.identity import Identity
from tests.serverside.rig import host, unit

STATUS = {
    "arrays": [{"name": "unit0", "capacity_bytes": 1 << 20}],
    "sessions": [{"host": "a", "version": 2, "attached": ["one"]}, {"host": "b", "version": 1, "attached": None}],
    "hosts": [{"units": [{"uuid": "u1", "written_blocks": 8}, {"uuid": "u2", "written_blocks": None}]}],
    "unassigned": [{"uuid": "u3", "written_blocks": 0}],
}


def test_what_a_running_server_says() -> None:
    facts = facts_of(STATUS, {})
    assert (facts.runs, facts.capacities, facts.sessions) == (True, {"unit0": 2048}, {"a": 2, "b": 1})
    assert facts.written == {"u1": 8, "u3": 0}
    assert facts.uses("a", "one")
    assert not facts.uses("a", "two"), "it says what it uses"
    assert facts.uses("b", "two"), "who does not say may use all"
    assert not facts.uses("c", "one"), "who is not logged in uses nothing"


def test_state_is_read_without_a_start(tmp_path: Path) -> None:
    identity = Identity(tmp_path)
    planned, _ = identity.plan([host("a", units=[unit("one", 8, 16)])])
    planned.prepare()
    identity.take(planned)
    facts = look(tmp_path)
    assert not facts.runs
    assert facts.uuid_of("a", "one", "unit0", 16) == str(identity.unit("a", "one").uuid)
    assert facts.uuid_of("a", "one", "unit0", 8) is None, "it began elsewhere"
    assert Identity(tmp_path).boot == 2, "looking was no start"


def test_nothing_is_known_of_a_machine_that_never_ran(tmp_path: Path) -> None:
    assert look(tmp_path / "nowhere") == Facts()
    (tmp_path / "identity.json").write_text("{")
    assert look(tmp_path) == Facts(), "the server says itself that it is damaged"


def test_a_server_that_does_not_answer_is_not_one_that_does_not_run(tmp_path: Path) -> None:
    """Stopped, or too busy, it still serves: whatever is decided without it may take a disk from who uses it."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "server.sock"))
        assert not look(tmp_path).runs, "the socket of a process that is gone"
        silent.listen()
        silent.settimeout(10)

        def hang_up() -> None:
            silent.accept()[0].close()

        answer = threading.Thread(target=hang_up)
        answer.start()
        with pytest.raises(Refused, match="who uses what can't be told"):
            look(tmp_path)
        answer.join()


def test_a_silent_server_refuses_in_time(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "server.sock"))
        silent.listen()
        with pytest.raises(Refused, match="no answer from"):
            look(tmp_path, within_s=0.05)
