"""States of the conversations as tables: state -> event -> next state. What a table lacks is illegal.

`docs/build_protocol_pages.py` prints the pictures of the protocol pages from these tables. The
configuration socket (`dialogue.py`) has one for each role; the data socket (`path_login.py`, then `data.py`)
looks the same from both ends.
"""

from enum import Enum


class Config(Enum):
    """States of a configuration socket, as either role sees it."""

    AWAIT_GREETING = "host awaits the offer of versions, step 2"
    AWAIT_REPLY = "server awaits the choice and the proof, step 3"
    AWAIT_VERDICT = "host awaits the answer to its proof, step 5"
    PROVEN = "server knows who it is and decides"
    OPEN = "questions and answers, steps 6 to 11"
    CLOSED = "over"


class Happening(Enum):
    """What moves a conversation from state to state."""

    GREETING = "greeting"
    MISMATCH = "no common version"
    LOGIN_GOOD = "login good"
    LOGIN_BAD = "login bad"
    GRANT = "grant"
    REFUSE = "refuse"
    ASK = "question"
    ANSWER = "answer"
    NOTICE = "notice"
    REQUEST = "request, refused or not"
    DOUBT = "frame in doubt"


class Data(Enum):
    """States of a data socket, as either role sees it."""

    AWAIT_LOGIN = "the first 512 bytes, steps 14 and 15"
    OPEN = "requests and answers, step 16"
    CLOSED = "over"


ConfigTable = dict[Config, dict[Happening, Config]]

CONFIG_SERVER: ConfigTable = {
    Config.AWAIT_REPLY: {
        Happening.LOGIN_GOOD: Config.PROVEN,
        Happening.LOGIN_BAD: Config.CLOSED,
        Happening.DOUBT: Config.CLOSED,
    },
    Config.PROVEN: {
        Happening.GRANT: Config.OPEN,
        Happening.REFUSE: Config.CLOSED,
        Happening.DOUBT: Config.CLOSED,
    },
    Config.OPEN: {
        Happening.ASK: Config.OPEN,
        Happening.ANSWER: Config.OPEN,
        Happening.NOTICE: Config.OPEN,
        Happening.DOUBT: Config.CLOSED,
    },
    Config.CLOSED: {},
}

CONFIG_HOST: ConfigTable = {
    Config.AWAIT_GREETING: {
        Happening.GREETING: Config.AWAIT_VERDICT,
        Happening.MISMATCH: Config.CLOSED,
        Happening.DOUBT: Config.CLOSED,
    },
    Config.AWAIT_VERDICT: {
        Happening.GRANT: Config.OPEN,
        Happening.REFUSE: Config.CLOSED,
        Happening.DOUBT: Config.CLOSED,
    },
    Config.OPEN: {
        Happening.ASK: Config.OPEN,
        Happening.ANSWER: Config.OPEN,
        Happening.NOTICE: Config.OPEN,
        Happening.DOUBT: Config.CLOSED,
    },
    Config.CLOSED: {},
}

DataTable = dict[Data, dict[Happening, Data]]

DATA: DataTable = {
    Data.AWAIT_LOGIN: {
        Happening.LOGIN_GOOD: Data.OPEN,
        Happening.LOGIN_BAD: Data.CLOSED,
    },
    Data.OPEN: {
        Happening.REQUEST: Data.OPEN,
        Happening.ANSWER: Data.OPEN,
        Happening.DOUBT: Data.CLOSED,
    },
    Data.CLOSED: {},
}
