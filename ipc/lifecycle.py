"""The life of a supervised child as a table: state -> event -> next state. What the table lacks cannot
happen.

`ipc.supervision` moves children through it; pictures and tests are made from it.
"""

from enum import Enum, auto
from typing import Final


class State(Enum):
    """Where a wanted child is."""

    WANTED = auto()
    """To be forked now."""
    STARTING = auto()
    """Forked, not ready."""
    READY = auto()
    STOPPING = auto()
    """Asked to stop."""
    DYING = auto()
    """Killed, not reaped."""
    RESTING = auto()
    """To be forked when its rest is over."""
    GIVEN_UP = auto()
    """Never again, until it is wanted anew."""
    GONE = auto()
    """Not wanted and not there: forgotten."""


class Event(Enum):
    """What moves a child from state to state."""

    SPAWNED = auto()
    NOT_SPAWNED = auto()
    SAID_READY = auto()
    STOPPED = auto()
    KILLED = auto()
    FAILED = auto()
    """Reaped, and to be forked again after a rest."""
    ENDED = auto()
    """Reaped, and never to be forked again."""
    LEFT = auto()
    """Reaped, or never there, and not wanted any more."""
    REPLACED = auto()
    """Reaped as it was asked to stop, and wanted again since."""
    RESTED = auto()
    WANTED_ANEW = auto()


TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    State.WANTED: {
        Event.SPAWNED: State.STARTING,
        Event.NOT_SPAWNED: State.RESTING,
        Event.LEFT: State.GONE,
    },
    State.STARTING: {
        Event.SAID_READY: State.READY,
        Event.STOPPED: State.STOPPING,
        Event.KILLED: State.DYING,
        Event.FAILED: State.RESTING,
        Event.ENDED: State.GIVEN_UP,
    },
    State.READY: {
        Event.STOPPED: State.STOPPING,
        Event.KILLED: State.DYING,
        Event.FAILED: State.RESTING,
        Event.ENDED: State.GIVEN_UP,
    },
    State.STOPPING: {
        Event.KILLED: State.DYING,
        Event.LEFT: State.GONE,
        Event.REPLACED: State.WANTED,
    },
    State.DYING: {
        Event.FAILED: State.RESTING,
        Event.ENDED: State.GIVEN_UP,
        Event.LEFT: State.GONE,
    },
    State.RESTING: {
        Event.RESTED: State.WANTED,
        Event.LEFT: State.GONE,
    },
    State.GIVEN_UP: {
        Event.WANTED_ANEW: State.WANTED,
        Event.LEFT: State.GONE,
    },
    State.GONE: {},
}

RUNNING: Final = frozenset({State.STARTING, State.READY, State.STOPPING, State.DYING})
"""States in which there is a process that is not reaped."""
