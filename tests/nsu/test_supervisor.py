"""Proves that the supervisor forks, restarts, kills, gives up and stops its roles in order, and leaves no child."""

import os
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from ipc.control import ControlError, control_call
from nsu.last_words import LastWords
from nsu.supervisor import StateUnusableError, Supervisor, lock_state
from tests.nsu.small_roles import SmallSupervisor, wait_until

pytestmark = pytest.mark.system


def status(small: SmallSupervisor) -> dict[str, Any]:
    return control_call(small.state / "supervisor.sock", "status")


def states(small: SmallSupervisor) -> dict[str, str]:
    try:
        return {process["name"]: process["state"] for process in status(small)["processes"]}
    except ControlError:
        return {}  # it is starting


def wait_states(small: SmallSupervisor, **wanted: str) -> None:
    small.wait_for(*(f"{role} up" for role in wanted))
    wait_until(lambda: states(small) == wanted, lambda: states(small))


def test_a_failing_role_is_started_again_after_rests_that_grow(small: SmallSupervisor) -> None:
    small.start(server="failing", host="steady")
    diary = small.wait_for("server up", count=6)
    starts = [entry.at_s for entry in diary if entry.role == "server"]
    rests = [after - before for before, after in pairwise(starts)]
    # Each rest is at least half of its step: 0.05, 0.1, 0.2, 0.4, 0.4.
    assert all(rest >= step / 2 for rest, step in zip(rests, (0.05, 0.1, 0.2, 0.4, 0.4), strict=False)), rests
    resting = next(process for process in status(small)["processes"] if process["name"] == "server")
    assert "exit status 1" in resting["why"]
    assert small.words().count("host up") == 1
    assert small.end()[0] == 0


def test_a_killed_role_is_started_again(small: SmallSupervisor) -> None:
    small.start(server="steady")
    first = small.wait_for("server up")[0].pid
    wait_states(small, server="ready")
    os.kill(first, signal.SIGKILL)
    second = small.wait_for("server up", count=2)[-1].pid
    assert second != first
    wait_states(small, server="ready")
    assert [process["pid"] for process in status(small)["processes"]] == [second]
    code, said = small.end()
    assert code == 0
    assert f"nsu: server (pid {first}) ended: it was killed by signal 9; it is started again" in said


def test_a_role_that_must_not_be_started_again_ends_all_in_order_with_1(small: SmallSupervisor) -> None:
    small.start(host="steady", server="never_again")
    code, said = small.end(None)
    assert code == 1
    assert "server is not started again: a person has to act first; its last words are above" in said
    assert small.words().count("server up") == 1
    assert small.words()[-2:] == ["host asked", "host gone"] or "host up" not in small.words()
    assert "Traceback" not in said


def test_a_silent_child_is_killed_and_started_again(small: SmallSupervisor) -> None:
    small.start(server="silent", host="steady")
    diary = small.wait_for("server up", count=2)
    first, again = (entry for entry in diary if entry.role == "server")
    assert 2.0 <= again.at_s - first.at_s < 6.0
    assert not psutil.pid_exists(first.pid)
    code, said = small.end()
    assert code == 0
    assert "server is killed: it was silent for 2.0 s" in said
    assert small.words().count("host up") == 1, "one that beats is left alone"


def test_the_host_is_gone_before_the_server_is_asked(small: SmallSupervisor) -> None:
    small.start(server="steady", host="steady")
    wait_states(small, server="ready", host="ready")
    code, said = small.end()
    assert code == 0
    assert small.words()[-4:] == ["host asked", "host gone", "server asked", "server gone"]
    assert not (small.state / "supervisor.sock").exists()
    assert "small runs as server and host" in said


def test_control_c_ends_it_as_sigterm_does(small: SmallSupervisor) -> None:
    small.start(server="steady", host="steady")
    wait_states(small, server="ready", host="ready")
    assert small.end(signal.SIGINT)[0] == 0
    assert small.words()[-4:] == ["host asked", "host gone", "server asked", "server gone"]


def test_sigterm_while_the_roles_start_is_obeyed(small: SmallSupervisor) -> None:
    small.start(server="starting", host="starting")
    wait_states(small, server="starting", host="starting")
    code, said = small.end()
    assert (code, "Traceback" in said) == (0, False)
    assert small.words()[-4:] == ["host asked", "host gone", "server asked", "server gone"]


def test_sigterm_while_a_role_rests_starts_nothing_more(small: SmallSupervisor) -> None:
    small.start(server="failing")
    small.wait_for("server up", count=4)
    code, said = small.end()
    assert (code, "Traceback" in said) == (0, False)


def test_a_role_that_does_not_stop_is_killed(small: SmallSupervisor) -> None:
    small.start(server="steady", host="stubborn")
    wait_states(small, server="ready", host="ready")
    code, said = small.end()
    assert code == 0
    assert "host is killed: it did not stop within 0.5 s" in said
    assert small.words()[-2:] == ["server asked", "server gone"]


def test_kill_9_leaves_no_child_and_the_next_one_starts(small: SmallSupervisor) -> None:
    small.start(server="stubborn", host="steady")
    wait_states(small, server="ready", host="ready")
    children = psutil.Process(small.pid).children(recursive=True)
    assert {child.name() for child in children} == {"nsu: server", "nsu: host"}
    assert small.end(signal.SIGKILL)[0] == -9
    assert psutil.wait_procs(children, timeout=5)[1] == []
    assert (small.state / "supervisor.sock").exists(), "what the next one has to clear"
    small.start(server="steady")
    wait_states(small, server="ready")
    assert small.end()[0] == 0


def test_sighup_reaches_the_ready_and_spares_the_starting(small: SmallSupervisor) -> None:
    small.start(server="steady", host="starting")
    wait_states(small, server="ready", host="starting")
    os.kill(small.pid, signal.SIGHUP)
    small.wait_for("server hup")
    assert states(small) == {"server": "ready", "host": "starting"}
    assert small.end()[0] == 0
    assert small.words().count("host up") == 1


def test_it_outlives_whoever_reads_its_log(small: SmallSupervisor) -> None:
    small.start(server="failing", host="steady")
    assert small.process is not None
    assert small.process.stderr is not None
    small.process.stderr.close()
    wait_until(lambda: small.words().count("server up") > 2, small.words)
    small.process.send_signal(signal.SIGTERM)
    assert small.process.wait(20) == 0


def test_status_tells_who_runs(small: SmallSupervisor) -> None:
    small.start(server="steady")
    wait_states(small, server="ready")
    told = status(small)
    assert (told["machine"], told["pid"], told["warnings"]) == ("small", small.pid, ["a warning"])
    assert told["processes"] == [
        {"name": "server", "state": "ready", "pid": small.diary()[0].pid, "why": ""},
    ]
    assert psutil.Process(small.pid).cmdline()[0].rstrip() == "nsu: supervisor"


def test_a_new_state_folder_is_for_its_owner_alone_and_another_is_left_as_it_is(tmp_path: Path) -> None:
    os.close(lock_state(tmp_path / "new"))
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    (tmp_path / "old").mkdir(mode=0o755)
    os.close(lock_state(tmp_path / "old"))
    assert (tmp_path / "old").stat().st_mode & 0o777 == 0o755


def test_last_words_and_later_warnings_are_told(tmp_path: Path) -> None:
    words = LastWords(("server",))
    supervisor = Supervisor(
        "small", tmp_path, {"server": lambda _: 0}, ("a",), words=words, later_warnings=lambda: ["b"]
    )
    try:
        words.put("server", "no room")
        assert (supervisor.why("server"), supervisor.status()["warnings"]) == ("no room", ["a", "b"])
    finally:
        supervisor.control.close()
        supervisor.loop.close()
        os.close(supervisor.lock)


def test_one_state_folder_has_one_supervisor(tmp_path: Path) -> None:
    lock = lock_state(tmp_path / "new" / "state")
    try:
        with pytest.raises(StateUnusableError, match=r"another supervisor is running with STATE = .*; stop it first"):
            lock_state(tmp_path / "new" / "state")
    finally:
        os.close(lock)
    os.close(lock_state(tmp_path / "new" / "state"))


def test_a_state_that_cannot_be_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for state in (tmp_path / "file", tmp_path / "file" / "in", Path("/proc/nsu")):
        with pytest.raises(StateUnusableError, match=f"STATE = {state} cannot be used .*; name a folder"):
            lock_state(state)
    with pytest.raises(StateUnusableError, match="too long for a socket"):
        Supervisor("small", tmp_path / ("x" * 100), {"server": lambda _: 0}, ())
