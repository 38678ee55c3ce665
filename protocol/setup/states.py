"""States of a set-up as tables: state -> event -> next state. What a table lacks changes nothing."""

from enum import Enum


class Nsu(Enum):
    """States of the NSU's end, one for all who talk to it."""

    UNCLAIMED = "hears everybody"
    PAUSED = "has heard too many wrong proofs, and waits"
    APPLYING = "does what it was ordered to do"
    CLAIMED = "says so, and repeats the result of the order that claimed it"


class NsuEvent(Enum):
    """What moves it."""

    TOO_MANY_WRONG = "the last of the tries was wrong"
    PAUSE_OVER = "the pause is over"
    ORDER = "a sealed order"
    DONE = "the order was carried out"
    FAILED = "the order could not be carried out, and nothing has changed"


NSU: dict[Nsu, dict[NsuEvent, Nsu]] = {
    Nsu.UNCLAIMED: {NsuEvent.TOO_MANY_WRONG: Nsu.PAUSED, NsuEvent.ORDER: Nsu.APPLYING},
    Nsu.PAUSED: {NsuEvent.PAUSE_OVER: Nsu.UNCLAIMED},
    Nsu.APPLYING: {NsuEvent.DONE: Nsu.CLAIMED, NsuEvent.FAILED: Nsu.UNCLAIMED},
    Nsu.CLAIMED: {},
}


class Admin(Enum):
    """States of the administrator's end, of one talk."""

    AWAIT_OFFER = "has said hello"
    AWAIT_PROVEN = "has proved itself"
    AWAIT_RESULT = "has ordered"
    FINISHED = "has the result"
    REFUSED = "was refused before it ordered anything"


class AdminEvent(Enum):
    """What moves it. Proofs and results that are not right are no events: anybody can send them."""

    OFFER = "offer"
    PROVEN = "the NSU's proof, right"
    RESULT = "the sealed result, right"
    REFUSAL = "refusal"


ADMIN: dict[Admin, dict[AdminEvent, Admin]] = {
    Admin.AWAIT_OFFER: {AdminEvent.OFFER: Admin.AWAIT_PROVEN, AdminEvent.REFUSAL: Admin.REFUSED},
    Admin.AWAIT_PROVEN: {AdminEvent.PROVEN: Admin.AWAIT_RESULT, AdminEvent.REFUSAL: Admin.REFUSED},
    # Once the order is on its way, only a sealed result tells what became of it: a refusal may be anybody's.
    Admin.AWAIT_RESULT: {AdminEvent.RESULT: Admin.FINISHED},
    Admin.FINISHED: {},
    Admin.REFUSED: {},
}
