"""The supervisor: `nsu run`. It forks the processes of whatever roles nsu.conf gives this machine, and minds them.

It reads as a list of verbs over a pure plan (`ipc.supervision`): spawn what is wanted, reap what ended, kill what is
silent. Signal handlers only enqueue. It owns no data path: when it is killed, the kernel kills its children with it
(PR_SET_PDEATHSIG), and the next start clears what files they left.

SIGTERM: the pages go first, then the host role drains, while the server it may be using on this same machine still
answers; then the server. SIGHUP is passed on: the server role reads a changed nsu.conf again (it also looks by itself
every second).
A role that must not be started again ends the whole, in the same order, with status 1: whoever started us is told.
"""

import fcntl
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ipc.backoff import Backoff
from ipc.child import Child, Life, fork_child, name_process
from ipc.control import ControlError, ControlServer
from ipc.counters import CounterTable
from ipc.exits import Exit, describe_exit
from ipc.loop import Loop, Timer
from ipc.supervision import GiveUp, Kill, Plan, Policy, Spawn, State, Stop, Verb
from nsu.compiled import in_use
from nsu.last_words import LastWords
from nsu.say import say

SIGHUP, SIGINT, SIGTERM, SIGCHLD = 1, 2, 15, 17
BEATS_EVERY_S = 1.0
POLICY = Policy(
    backoff=Backoff(0.2, 10.0, random=random.random), silent_after_s=60.0, stop_within_s=20.0, steady_after_s=10.0
)
STOP_ORDER = ("setup", "web", "host", "server")

Main = Callable[[Life], int]


class StateUnusableError(Exception):
    """The STATE folder cannot be used; the text is a sentence for people."""


class Supervisor:
    """The parent of the roles' processes.

    Args:
        machine: its name.
        state_dir: STATE.
        roles: the main of each role's process, by role.
        warnings: what was found at the start.
        policy: how the roles are kept.
        words: where the roles leave their last words.
        later_warnings: asked every second for what has come since the start.

    Raises:
        StateUnusableError: another supervisor has the STATE folder, or it cannot be made or written.

    """

    def __init__(
        self,
        machine: str,
        state_dir: Path,
        roles: Mapping[str, Main],
        warnings: tuple[str, ...],
        policy: Policy = POLICY,
        *,
        words: LastWords | None = None,
        later_warnings: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self.machine = machine
        self.state_dir = state_dir
        self.roles = dict(roles)
        self.warnings = warnings
        self.policy = policy
        self.words = words
        self.later_warnings = later_warnings
        self.started_at = time.time()
        self.lock = lock_state(state_dir)
        self.loop = Loop()
        self.plan = Plan()
        self.hearts = CounterTable(len(self.roles), ("beat",))
        self.children: dict[str, Child] = {}
        self.timer: Timer | None = None
        self.stopping = False
        self.gave_up = False
        try:
            self.control = ControlServer(self.loop, state_dir / "supervisor.sock", {"status": lambda _: self.status()})
        except (ControlError, OSError) as error:
            raise StateUnusableError(f"STATE = {state_dir} cannot be used: {error}") from error

    def run(self) -> Exit:
        """Mind the roles until SIGTERM or SIGINT."""
        for number in (SIGTERM, SIGINT):
            self.loop.on_signal(number, self.stop)
        self.loop.on_signal(SIGCHLD, self.reap_children)
        name_process("nsu: supervisor")
        self.loop.on_signal(SIGHUP, self.pass_on_hup)
        say(f"nsu: machine {self.machine} runs as {' and '.join(self.roles)}; Control-C or SIGTERM ends it in order")
        for name in self.roles:
            self.plan.want(name, self.policy)
        self.take_beats()
        self.loop.run()
        self.control.close()
        self.loop.close()
        os.close(self.lock)
        return Exit.FAILED if self.gave_up else Exit.OK

    # -- verbs ---------------------------------------------------------------------------------------------------

    def carry_on(self) -> None:
        """Carry out what the plan says until it has no more to say, and come again when it will."""
        while verbs := self.plan.verbs(self.loop.now()):
            for verb in verbs:
                self.carry_out(verb)
        if self.timer is not None:
            self.timer.cancel()
        at_s = self.plan.next_at()
        self.timer = None if at_s is None else self.loop.call_at(at_s, self.carry_on)
        if self.stopping:
            self.stop_next()

    def carry_out(self, verb: Verb) -> None:
        if isinstance(verb, Spawn):
            self.spawn(verb.name)
        elif isinstance(verb, Stop):
            self.children[verb.name].signal(SIGTERM)
        elif isinstance(verb, Kill):
            say(f"nsu: {verb.name} is killed: {verb.why}")
            self.children[verb.name].signal(9)
        elif isinstance(verb, GiveUp):
            by_itself = verb.why == describe_exit(Exit.NEVER_AGAIN)
            why = "a person has to act first; its last words are above" if by_itself else verb.why
            say(f"nsu: {verb.name} is not started again: {why}")
            self.gave_up = True
            # Not at once: the plan's other verbs of this turn are still to be carried out.
            self.loop.enqueue(self.stop)

    def spawn(self, name: str) -> None:
        main = self.roles[name]
        row = list(self.roles).index(name)
        try:
            child = fork_child(f"nsu: {name}", main, hearts=self.hearts, heart_row=row)
        except OSError as error:
            say(f"nsu: {name} cannot be forked, it is tried again: {error.strerror}")
            self.plan.not_spawned(name, self.loop.now())
            return
        self.children[name] = child
        self.plan.spawned(name, self.loop.now())
        self.loop.watch(child.ready_fd, on_readable=lambda: self.hear_ready(name, child))

    def hear_ready(self, name: str, child: Child) -> None:
        self.loop.forget(child.ready_fd)
        if child.is_ready and child.poll() is None:
            self.plan.ready(name, self.loop.now())
            self.carry_on()

    def reap_children(self) -> None:
        for name, child in list(self.children.items()):
            status = child.poll()
            if status is not None:
                self.loop.forget(child.ready_fd)
                child.close()
                del self.children[name]
                self.plan.exited(name, status, self.loop.now())
                if status < 0 and not self.stopping and self.plan.state(name) is State.RESTING:
                    say(f"nsu: {name} (pid {child.pid}) ended: {describe_exit(status)}; it is started again")
        self.carry_on()

    def take_beats(self) -> None:
        for name, child in self.children.items():
            self.plan.beat(name, child.last_beat_s)
        self.reap_children()
        self.later_warnings()  # it speaks for itself
        self.loop.call_later(BEATS_EVERY_S, self.take_beats)

    def pass_on_hup(self) -> None:
        """Tell those who can hear it: a role that is still starting reads the file anyway, and SIGHUP would end it."""
        for name, child in self.children.items():
            if self.plan.state(name) is State.READY:
                child.signal(SIGHUP)

    # -- ending --------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Drain: web, host, then server."""
        if not self.stopping:
            self.stopping = True
            self.carry_on()

    def stop_next(self) -> None:
        """Ask the next role to stop once the one before it is gone."""
        for name in STOP_ORDER:
            if name in self.children:
                self.plan.dismiss(name, self.loop.now())
                for verb in self.plan.verbs(self.loop.now()):
                    self.carry_out(verb)
                return
            if name in self.roles:
                self.plan.dismiss(name, self.loop.now())
        self.loop.stop()

    # -- telling -------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Give what the supervisor itself knows."""
        return {
            "machine": self.machine,
            "pid": os.getpid(),
            "started_at": self.started_at,
            "code": in_use(),
            "warnings": [*self.warnings, *self.later_warnings()],
            "processes": [
                {
                    "name": name,
                    "state": self.plan.state(name).name.lower(),
                    "pid": self.children[name].pid if name in self.children else None,
                    "why": self.why(name),
                }
                for name in self.plan.names()
            ],
        }

    def why(self, name: str) -> str:
        """Why it ended last, in its own words if it left any; empty when it never did."""
        said = "" if self.words is None else self.words.get(name)
        return said or self.plan.why(name)


def lock_state(state_dir: Path) -> int:
    """Make and lock the STATE folder; the kernel unlocks it whatever happens. Raises StateUnusableError."""
    try:
        # For its owner alone: what stands in it says who may use which blocks. A folder of the user's is left as it is.
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateUnusableError(
            f"STATE = {state_dir} cannot be used ({error.strerror}: {error.filename}); "
            f"name a folder that this user may make and write"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StateUnusableError(
            f"another supervisor is running with STATE = {state_dir}; stop it first, or give this one another STATE"
        ) from None
    return lock
