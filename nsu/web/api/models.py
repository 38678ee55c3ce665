"""What REST answers: the shapes, from which the OpenAPI document is made. Times are seconds since 1970."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

Severity = Literal["urgent", "warning", "note"]
Access = Literal["read-write", "read-only"]


class Problem(BaseModel):
    """Why something was not done, in a sentence; with all reasons when there are several."""

    error: str
    details: list[str] = []


class Process(BaseModel):
    """The process of a role."""

    name: str
    state: str
    pid: int | None
    why: Annotated[str, Field(description="why it ended last; empty: it never did")]


class Alarm(BaseModel):
    """Something is wrong now."""

    severity: Severity
    about: str
    sentence: str
    to_do: Annotated[str, Field(description="empty: it mends itself, or the sentence says it")]


class Event(BaseModel):
    """Something happened."""

    severity: Severity
    about: str
    sentence: str

    at: float


class Overview(BaseModel):
    """The machine at a glance."""

    machine: str
    version: str
    started_at: float
    processes: list[Process]
    alarms: list[Alarm]
    size_bytes: Annotated[int, Field(description="of all arrays")]
    free_bytes: Annotated[int, Field(description="in no partition")]
    sessions: int
    paths: Annotated[int, Field(description="that hosts have open here")]
    disks: int


class Drive(BaseModel):
    """A drive of an array."""

    name: str
    state: str
    size_bytes: int
    place: Annotated[int | None, Field(description="null: the array has no places, or the drive is a spare")] = None
    rebuilt_percent: int | None = None
    repaired_blocks: int = 0
    operations: int = 0
    mean_us: int = 0
    slowest_us: int = 0
    why_out: str = ""


class Piece(BaseModel):
    """A range of an array, both ends included: who has it, or that it is free."""

    first_lba: int
    last_lba: int
    names: list[str]
    hosts: list[str]
    is_free: bool


class Redundancy(BaseModel):
    """What an array that keeps things twice has to tell."""

    stopped: bool
    scrubbed_percent: Annotated[int | None, Field(description="null: it is not being compared")]
    scrubs: int
    mismatches: int
    repaired: int
    reconstructed: int
    replayed: int


class Array(BaseModel):
    """Drives joined."""

    name: str
    level: str
    capacity_bytes: int
    free_bytes: int
    drives: list[Drive]
    pieces: list[Piece]
    redundancy: Redundancy | None = None


class Totals(BaseModel):
    """What was done since the server process began."""

    reads: int
    writes: int
    others: int
    refused: int
    read_bytes: int
    written_bytes: int


class Use(BaseModel):
    """A partition as one host has it."""

    host: str
    unit: str
    number: int
    access: Access
    shared_write: bool
    totals: Annotated[Totals | None, Field(description="null: the server process does not know of it (yet)")]


class Partition(BaseModel):
    """A range of an array, and who has it."""

    title: Annotated[str, Field(description="names it in every request: HOST/UNIT, or UNIT when it is nobody's")]
    name: str
    array: str
    first_lba: int
    last_lba: int
    blocks: int
    size_bytes: int
    zero: bool
    uuid: str | None
    uses: list[Use]


class Srw(BaseModel):
    """The server's end of a path."""

    path: int
    pid: int
    port: str
    peer: str
    began_at: float
    reads: int
    writes: int
    others: int
    refused: int
    read_bytes: int
    written_bytes: int


class Session(BaseModel):
    """A host that has logged in."""

    session: int
    epoch: int
    version: int
    host: str
    peer: str
    began_at: float
    srws: list[Srw]


class HostTotals(Totals):
    """What was done for a host since the server process began."""

    fenced: int


class Host(BaseModel):
    """A machine that may use this NSU."""

    name: str
    version: int
    partitions: int
    sessions: int
    totals: HostTotals


class Path(BaseModel):
    """A path of this host to a server."""

    path: int
    state: str
    network: str
    pid: int | None
    incarnation: int
    since_s: float
    reason: str
    requests: int
    errors: int
    read_bytes: int
    written_bytes: int
    waited_ms: int
    round_trip_us: int


class Network(BaseModel):
    """A data port of a server, as this host sees it."""

    at: str
    places: int
    state: str
    trouble: str


class Server(BaseModel):
    """An NSU that this machine uses."""

    name: str
    nsu: str | None
    address: str | None
    version: int
    session: int | None
    trouble: str
    connections: int
    paths_up: int
    paths: list[Path]
    networks: list[Network]


class Disk(BaseModel):
    """A partition as this machine shows it to its users."""

    name: str
    server: str
    show: str
    at: str
    uri: str | None
    shown: bool
    detached: bool
    size_bytes: int | None
    read_only: bool | None
    trouble: str


class Timer(BaseModel):
    """A time in force."""

    role: str
    name: str
    value_s: Annotated[float | None, Field(description="null: for ever")]
    source: str


class Rate(BaseModel):
    """What something does, per second."""

    operations_s: float
    read_bytes_s: float
    written_bytes_s: float
    latency_us: float | None


class Point(BaseModel):
    """The rates between two looks at the machine."""

    at: float
    rates: Annotated[
        dict[str, Rate],
        Field(description="by key: host:NAME, srw:HOST:PATH, server:NAME, path:SERVER:PATH, drive:ARRAY:PLACE"),
    ]


class Series(BaseModel):
    """The rates of the last minutes, the oldest first."""

    every_s: float
    points: list[Point]


class AuditEntry(BaseModel):
    """Who did what."""

    at: float
    who: str
    how: str
    address: str
    what: str
    outcome: str
    details: list[str]


class Version(BaseModel):
    """A former nsu.conf."""

    number: int
    at_s: float
    who: str
    what: list[str]


class Conf(BaseModel):
    """nsu.conf."""

    text: str
    digest: Annotated[str, Field(description="names this text; a change can be bound to it by `base`")]


class Change(BaseModel):
    """What becomes of a partition."""

    kind: str
    partition: str
    sentence: str
    loses: Annotated[str, Field(description="whose data is gone after it; empty: nobody's")]


class Disturbance(BaseModel):
    """What a host notices."""

    host: str
    version: int | None
    how: str
    sentence: str


class Refusal(BaseModel):
    """A reason against it."""

    sentence: str
    can_force: bool


class Plan(BaseModel):
    """What a change would do."""

    is_empty: bool
    changes: list[Change]
    disturbed: list[Disturbance]
    refusals: list[Refusal]
    loses: list[str]
    warnings: list[str]
    later: list[str]


class Outcome(BaseModel):
    """A change that was planned, and perhaps carried out."""

    plan: Plan
    base: Annotated[str, Field(description="names the nsu.conf it was planned from")]
    against: Annotated[str, Field(description="names all that speaks against it; `force` can be bound to it")]
    applied: bool
    in_force: bool
    version: Annotated[int | None, Field(description="its number in the history")]
    sentence: str


class Replacement(BaseModel):
    """A drive that is being replaced."""

    array: str
    place: int
    new: str | None


class Done(BaseModel):
    """An order that was taken."""

    sentence: str
