"""The table of a child's life: every state is reached, none is a trap, processes begin and end in one way."""

from ipc.lifecycle import RUNNING, TRANSITIONS, Event, State


def test_every_state_has_its_row_and_every_event_its_place() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {event for row in TRANSITIONS.values() for event in row} == set(Event)


def test_every_state_is_reached_from_wanted_and_leads_to_gone() -> None:
    def reached_from(start: State) -> set[State]:
        seen, fresh = {start}, [start]
        while fresh:
            following = set(TRANSITIONS[fresh.pop()].values()) - seen
            seen |= following
            fresh += following
        return seen

    assert reached_from(State.WANTED) == set(State)
    assert all(State.GONE in reached_from(state) for state in State)


def test_a_process_begins_by_a_spawn_and_ends_by_being_reaped() -> None:
    """No event but SPAWNED leads into the states with a process, and only those of a reaped one lead out."""
    reaped = {Event.FAILED, Event.ENDED, Event.LEFT, Event.REPLACED}
    for state, row in TRANSITIONS.items():
        for event, following in row.items():
            if state not in RUNNING and following in RUNNING:
                assert event is Event.SPAWNED
            if state in RUNNING and following not in RUNNING:
                assert event in reaped


def test_the_killed_are_killed_once() -> None:
    assert Event.KILLED not in TRANSITIONS[State.DYING]
    assert Event.STOPPED not in TRANSITIONS[State.DYING]
