"""Which children are forked and killed next: a pure plan over what is wanted and what was seen.

The caller says what it wants (`want`, `dismiss`) and what it saw (`spawned`, `ready`, `beat`, `exited`, each
with the time), and gets verbs back. It carries out each verb and reports before it asks again:

    plan.want("web", Policy(silent_after_s=10, backoff=Backoff(0.1, 5, random=random)))
    for verb in plan.verbs(now): ...fork, kill or log...
    loop.call_at(plan.next_at(), ...)

Rules:
- Silence is death: a child that has not beaten for `silent_after_s` is killed, whether it was ready or not.
- An exit status speaks (`ipc.exits`): MISUSE and NEVER_AGAIN are final, all else is followed by a rest and a
  new start. The rest grows with every failure; a child that was ready for `steady_after_s` begins again at
  the first.
- A child that is not wanted any more is asked to stop, killed after `stop_within_s`, and forgotten once
  reaped.
- There is never a second child of a name while the first is not reaped.

Times are seconds on one clock of the caller's choice. States and their changes are a table (`ipc.lifecycle`);
what it lacks is a bug of the caller and is asserted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ipc.backoff import Backoff
from ipc.exits import Exit, describe_exit
from ipc.lifecycle import RUNNING, TRANSITIONS, Event, State

__all__ = ["GiveUp", "Kill", "Plan", "Policy", "Spawn", "State", "Stop", "Verb"]

_HEARD: Final = frozenset({State.STARTING, State.READY})
_FINAL_STATUSES: Final = frozenset({Exit.MISUSE, Exit.NEVER_AGAIN})


@dataclass(frozen=True, slots=True)
class Policy:
    """How a child is kept. `backoff` is only a pattern: each child gets a fresh one."""

    backoff: Backoff
    restart: bool = True
    """False: it runs once, and however it ends it is given up."""
    silent_after_s: float | None = None
    """Kill it when it has not beaten for so long; None: never."""
    stop_within_s: float = 10.0
    """Kill it when it has not ended so long after it was asked to stop."""
    steady_after_s: float = 10.0
    """Ready for so long, its next failure counts as a first one."""


@dataclass(frozen=True, slots=True)
class Spawn:
    """Fork it, then report `spawned` or `not_spawned`. Said again until one of them is."""

    name: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask it to stop (SIGTERM). Said once."""

    name: str


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL it, then report `exited` once it is reaped. Said once."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It will not be forked again. Said once, for people."""

    name: str
    why: str


Verb = Spawn | Stop | Kill | GiveUp


class _Ward:
    """One child that is, or was, wanted."""

    __slots__ = ("backoff", "due_s", "is_wanted", "policy", "ready_s", "state", "told", "why")

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.backoff = policy.backoff.fresh()
        self.state = State.WANTED
        self.is_wanted = True
        self.due_s: float | None = None
        """When the state is over by itself: silence, patience or rest has an end."""
        self.ready_s: float | None = None
        self.told = True
        """The verb that this state asks for was said."""
        self.why = ""

    def move(self, event: Event) -> None:
        following = TRANSITIONS[self.state]
        assert event in following, f"{event.name} cannot happen to a child that is {self.state.name}"
        self.state = following[event]
        self.due_s = None


class Plan:
    """What is wanted, what was seen, and what follows from it."""

    def __init__(self) -> None:
        self._wards: dict[str, _Ward] = {}

    # What is wanted

    def want(self, name: str, policy: Policy) -> None:
        """Keep a child of this name.

        Wanted again, it gets this policy (the limit of silence from its next beat on), and one that was given
        up is tried anew.
        """
        ward = self._wards.get(name)
        if ward is None:
            self._wards[name] = _Ward(policy)
            return
        ward.is_wanted = True
        ward.policy = policy
        ward.backoff = policy.backoff.fresh()
        if ward.state is State.GIVEN_UP:
            ward.move(Event.WANTED_ANEW)

    def dismiss(self, name: str, now: float) -> None:
        """Want it no more: stop it if it runs, and forget it. Harmless when nothing of the name is wanted."""
        ward = self._wards.get(name)
        if ward is None or not ward.is_wanted:
            return
        ward.is_wanted = False
        if ward.state not in RUNNING:
            self._leave(name, ward)
        elif ward.state in _HEARD:
            ward.move(Event.STOPPED)
            ward.due_s = now
            ward.told = False

    def dismiss_all(self, now: float) -> None:
        """Want nothing any more."""
        for name in tuple(self._wards):
            self.dismiss(name, now)

    # What was seen

    def spawned(self, name: str, now: float) -> None:
        """It was forked."""
        ward = self._wards[name]
        ward.move(Event.SPAWNED)
        ward.ready_s = None
        self._heard(ward, now)

    def not_spawned(self, name: str, now: float) -> None:
        """It could not be forked: no process or no memory is left. It is tried again after a rest."""
        ward = self._wards[name]
        ward.move(Event.NOT_SPAWNED)
        ward.due_s = now + ward.backoff.next()

    def ready(self, name: str, now: float) -> None:
        """It said ready. Of no interest once it was told to stop or killed."""
        ward = self._wards[name]
        if ward.state in _HEARD:
            if ward.state is State.STARTING:
                ward.move(Event.SAID_READY)
                ward.ready_s = now
            self._heard(ward, now)

    def beat(self, name: str, beat_s: float) -> None:
        """Its last beat was at `beat_s`. Older news than the last is harmless."""
        ward = self._wards[name]
        if ward.state in _HEARD:
            self._heard(ward, beat_s)

    def exited(self, name: str, status: int, now: float) -> None:
        """It was reaped; `status` as from `Child.poll`: negative for a signal."""
        ward = self._wards[name]
        assert ward.state in RUNNING, f"{name} exited, but is {ward.state.name}"
        was_stopped = ward.state is State.STOPPING
        if not ward.is_wanted:
            self._leave(name, ward)
        elif was_stopped:
            ward.move(Event.REPLACED)
        else:
            self._judge(ward, status, now)

    # What follows

    def verbs(self, now: float) -> list[Verb]:
        """What to do now. Carry out all of it and report before asking again."""
        return [verb for name, ward in self._wards.items() for verb in self._verbs_for(name, ward, now)]

    def next_at(self) -> float | None:
        """When `verbs` will have something new to say if nothing else is seen until then; None: never."""
        return min((ward.due_s for ward in self._wards.values() if ward.due_s is not None), default=None)

    # What is known

    def names(self) -> tuple[str, ...]:
        """Everything that is wanted, or not reaped yet."""
        return tuple(self._wards)

    def state(self, name: str) -> State:
        """Where it is; GONE when nothing of the name is wanted or running."""
        ward = self._wards.get(name)
        return State.GONE if ward is None else ward.state

    def why(self, name: str) -> str:
        """Why it ended last, in words; empty when it never did."""
        ward = self._wards.get(name)
        return "" if ward is None else ward.why

    @property
    def running(self) -> tuple[str, ...]:
        """Names of the children that are forked and not reaped."""
        return tuple(name for name, ward in self._wards.items() if ward.state in RUNNING)

    # How

    def _verbs_for(self, name: str, ward: _Ward, now: float) -> Iterator[Verb]:
        if ward.state is State.STOPPING and not ward.told:
            ward.told = True
            # Its time to stop begins when it is told, not when it was dismissed: nobody is killed unasked.
            ward.due_s = now + ward.policy.stop_within_s
            yield Stop(name)
            return
        if ward.due_s is not None and ward.due_s <= now:
            self._time_is_over(ward)
        if ward.state is State.WANTED:
            yield Spawn(name)
        elif not ward.told:
            ward.told = True
            if ward.state is State.DYING:
                yield Kill(name, ward.why)
            elif ward.state is State.GIVEN_UP:
                yield GiveUp(name, ward.why)

    @staticmethod
    def _time_is_over(ward: _Ward) -> None:
        if ward.state is State.RESTING:
            ward.move(Event.RESTED)
            return
        if ward.state is State.STOPPING:
            ward.why = f"it did not stop within {ward.policy.stop_within_s} s"
        else:
            ward.why = f"it was silent for {ward.policy.silent_after_s} s"
        ward.move(Event.KILLED)
        ward.told = False

    @staticmethod
    def _heard(ward: _Ward, heard_s: float) -> None:
        if ward.policy.silent_after_s is None:
            ward.due_s = None
            return
        due_s = heard_s + ward.policy.silent_after_s
        ward.due_s = due_s if ward.due_s is None else max(ward.due_s, due_s)

    def _leave(self, name: str, ward: _Ward) -> None:
        ward.move(Event.LEFT)
        del self._wards[name]

    @staticmethod
    def _judge(ward: _Ward, status: int, now: float) -> None:
        """Decide by its exit status what becomes of a child that is still wanted."""
        if ward.state is not State.DYING:  # else it is known already why
            ward.why = describe_exit(status)
        if status in _FINAL_STATUSES or not ward.policy.restart:
            ward.move(Event.ENDED)
            ward.told = False
            return
        if ward.ready_s is not None and now - ward.ready_s >= ward.policy.steady_after_s:
            ward.backoff.reset()
        ward.move(Event.FAILED)
        ward.due_s = now + ward.backoff.next()
