"""What the messages of the version 0x02 configuration dialogue say: header to event, and the ones both roles
make.
"""

from protocol.config_base import Greeting
from protocol.errors import RemoteProtocolError
from protocol.events import (
    AskCapacities,
    AskDataPorts,
    AskFence,
    AskPath,
    AskStartTime,
    AskUnits,
    Capacities,
    DataPorts,
    Event,
    Fenced,
    Notice,
    Notified,
    PathTicket,
    Pong,
    StartTime,
    Units,
)
from protocol.ops import Op
from protocol.records import unpack_capacities, unpack_ports
from protocol.status import DETAILS, Detail, Status
from protocol.v2.codec import Header, encode, from_text, to_text, unpack_units


def greeting(said: Greeting) -> bytes:
    """Give the offer of step 2, with what a version 0x02 host needs in the padding a 0x01 host skips."""
    return encode(
        Header(
            zn_version=said.offered,
            zn_op=Op.GET_VERSION,
            zn_reqsz_lo=said.challenge,
            text=said.nsu_name.encode(),
            nonce=said.nonce,
        )
    )


def asked(op: int, path: int) -> Event | None:
    """Say what a question asks; None: this version has no such question."""
    events: dict[int, Event] = {
        Op.GET_STARTTIME: AskStartTime(),
        Op.GET_CAPACITIES: AskCapacities(),
        Op.GET_DATAPORT: AskDataPorts(),
        Op.GET_UNITS: AskUnits(),
        Op.OPEN_PATH: AskPath(path),
        Op.FENCE: AskFence(path),
    }
    return events.get(op)


def path_of(header: Header) -> int:
    """Give the path a question is about, 0 when it is about none."""
    return header.path if header.zn_op in (Op.OPEN_PATH, Op.FENCE) else 0


def answered(header: Header, payload: bytes) -> Event:
    """Say what the answer of a question meant."""
    match header.zn_op:
        case Op.GET_STARTTIME:
            return StartTime(header.zn_reqsz_lo)
        case Op.GET_CAPACITIES:
            return Capacities(unpack_capacities(payload))
        case Op.GET_DATAPORT:
            return DataPorts(unpack_ports(payload))
        case Op.GET_UNITS:
            return Units(unpack_units(payload))
        case Op.OPEN_PATH:
            return PathTicket(header.path, header.nonce)
        case Op.FENCE:
            return Fenced(header.path)
        case _:
            assert header.zn_op == Op.CONFIG_PING, header
            return Pong()


def notified(header: Header) -> Notified:
    """Say what was pushed; RemoteProtocolError for a kind that does not exist."""
    if header.zn_reqsz_lo not in set(Notice):
        raise RemoteProtocolError(f"There is no notice of kind {header.zn_reqsz_lo}.")
    value = header.zn_lba_hi << 32 | header.zn_lba_lo
    return Notified(Notice(header.zn_reqsz_lo), value, from_text(header.text))


def refusal(op: int, status: Status, detail: Detail, sentence: str) -> Header:
    """Give the header of a refusal; without a sentence, that of the table of details."""
    text = to_text(sentence or DETAILS[detail].sentence)
    return Header(zn_op=op, zn_status=status, zn_flags=detail, text=text)


def reason(header: Header) -> str:
    """Say why an answer refuses: in the other side's words, or by its numbers."""
    return from_text(header.text) or f"status {header.zn_status}, detail {header.zn_flags}"
