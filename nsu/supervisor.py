"""The supervisor: `nsu run`. It forks the processes of whatever roles nsu.conf gives this machine, and minds them.

It reads as a list of verbs over a pure plan (`ipc.supervision`): spawn what is wanted, reap what ended, kill what is
silent. Signal handlers only enqueue. It owns no data path: when it is killed, the kernel kills its children with it
(PR_SET_PDEATHSIG), and the next start clears what files they left.

SIGTERM: the host role drains first, while the server it may be using on this same machine still answers; then the
server. SIGHUP is passed on: the server role reads a changed nsu.conf again (it also looks by itself every second).
"""

import fcntl
import os
import random
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ipc.backoff import Backoff
from ipc.child import Child, Life, fork_child, name_process
from ipc.control import ControlServer
from ipc.counters import CounterTable
from ipc.exits import Exit
from ipc.loop import Loop, Timer
from ipc.supervision import GiveUp, Kill, Plan, Policy, Spawn, Stop, Verb

SIGHUP, SIGINT, SIGTERM, SIGCHLD = 1, 2, 15, 17
BEATS_EVERY_S = 1.0
POLICY = Policy(
    backoff=Backoff(0.2, 10.0, random=random.random), silent_after_s=60.0, stop_within_s=20.0, steady_after_s=10.0
)
STOP_ORDER = ("host", "server")

Main = Callable[[Life], int]


class AlreadyRunning(Exception):
    """Another supervisor has this STATE folder."""


class Supervisor:
    """The parent of the roles' processes. `roles` maps a role's name to the main of its process."""

    def __init__(self, machine: str, state_dir: Path, roles: Mapping[str, Main], warnings: tuple[str, ...]) -> None:
        self.machine = machine
        self.state_dir = state_dir
        self.roles = dict(roles)
        self.warnings = warnings
        self.started_at = time.time()
        state_dir.mkdir(parents=True, exist_ok=True)
        self.lock = lock_state(state_dir)
        self.loop = Loop()
        self.plan = Plan()
        self.hearts = CounterTable(len(self.roles), ("beat",))
        self.children: dict[str, Child] = {}
        self.timer: Timer | None = None
        self.stopping = False
        self.control = ControlServer(
            self.loop, state_dir / "supervisor.sock", {"status": lambda _: self.status()}
        )

    def run(self) -> Exit:
        """Mind the roles until SIGTERM or SIGINT."""
        for number in (SIGTERM, SIGINT):
            self.loop.on_signal(number, self.stop)
        self.loop.on_signal(SIGCHLD, self.reap_children)
        name_process("nsu: supervisor")
        self.loop.on_signal(SIGHUP, self.pass_on_hup)
        for name in self.roles:
            self.plan.want(name, POLICY)
        self.take_beats()
        self.loop.run()
        self.control.close()
        os.close(self.lock)
        gave_up = any(self.plan.why(name) for name in self.plan.names())
        return Exit.FAILED if gave_up else Exit.OK

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
            say(f"nsu: {verb.name} is not started again: {verb.why}")
            self.stop()

    def spawn(self, name: str) -> None:
        main = self.roles[name]
        row = list(self.roles).index(name)
        child = fork_child(f"nsu: {name}", main, hearts=self.hearts, heart_row=row)
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
        self.carry_on()

    def take_beats(self) -> None:
        for name, child in self.children.items():
            self.plan.beat(name, child.last_beat_s)
        self.reap_children()
        self.loop.call_later(BEATS_EVERY_S, self.take_beats)

    def pass_on_hup(self) -> None:
        for child in self.children.values():
            child.signal(SIGHUP)

    # -- ending --------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Drain: host, then server."""
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
            "warnings": list(self.warnings),
            "processes": [
                {
                    "name": name,
                    "state": self.plan.state(name).name.lower(),
                    "pid": self.children[name].pid if name in self.children else None,
                }
                for name in self.plan.names()
            ],
        }


def lock_state(state_dir: Path) -> int:
    """Lock the STATE folder, so that no second supervisor works on it; the kernel unlocks it whatever happens."""
    lock = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise AlreadyRunning(
            f"another supervisor is running with STATE = {state_dir}; stop it first, or give this one another STATE"
        ) from None
    return lock


def say(sentence: str) -> None:
    """Log a line; whoever runs us (systemd, a terminal) keeps it."""
    print(sentence, file=sys.stderr, flush=True)
