"""The border: what a client asks in the transmission phase is checked here, once; behind it there are only
asserts.

The order is that of certainty: whether we have the command and its flags, whether the disk may be written
to, whether the numbers are multiples of a block, whether they fit. Each refusal is an NBD error and a
sentence that says what is wrong and what would be right.
"""

from typing import Final, NamedTuple

from hostside.driver.unit import UnitFlag, UnitInfo
from hostside.frontends.nbd_protocol.numbers import (
    BLOCK_BYTES_MIN,
    PAYLOAD_BYTES_MAX,
    Command,
    CommandFlag,
    NbdError,
    TransmissionFlag,
)

READ: Final = int(Command.READ)
WRITE: Final = int(Command.WRITE)
FLUSH: Final = int(Command.FLUSH)
WRITE_ZEROES: Final = int(Command.WRITE_ZEROES)

_UNALIGNED: Final = BLOCK_BYTES_MIN - 1
_CHANGING: Final = frozenset({WRITE, int(Command.TRIM), WRITE_ZEROES})
_ENOSPC_PAST_END: Final = frozenset({WRITE, WRITE_ZEROES})


class Refusal(NamedTuple):
    """Why a request is not carried out."""

    error: NbdError
    sentence: str


def flags_allowed(offered: TransmissionFlag) -> dict[int, int]:
    """Which flags each command may carry, given the transmission flags; a command that is absent is not
    offered.

    "This flag [FUA] is valid for all commands, provided NBD_FLAG_SEND_FUA has been negotiated."
    The commands that change the disk are always known, so that a read-only disk can say EPERM.
    """
    flag, command = TransmissionFlag, Command
    fua = int(CommandFlag.FUA) if offered & flag.SEND_FUA else 0
    allowed = {
        int(command.READ): fua | (int(CommandFlag.DF) if offered & flag.SEND_DF else 0),
        int(command.WRITE): fua,
    }
    read_only = bool(offered & flag.READ_ONLY)
    if offered & flag.SEND_FLUSH:
        allowed[int(command.FLUSH)] = fua
    if offered & flag.SEND_TRIM or read_only:
        allowed[int(command.TRIM)] = fua
    if offered & flag.SEND_WRITE_ZEROES or read_only:
        allowed[int(command.WRITE_ZEROES)] = fua | int(CommandFlag.NO_HOLE)
    return allowed


class Border:
    """The checks of one client: what it was offered in the handshake, and the unit as it is now."""

    __slots__ = ("_allowed", "_read_only", "_size_bytes", "_unit")

    def __init__(self, offered: TransmissionFlag, unit: UnitInfo) -> None:
        self._allowed = flags_allowed(offered)
        self._look(unit)

    def _look(self, unit: UnitInfo) -> None:
        """Keep plain numbers: an IntFlag costs a microsecond each time it is asked."""
        self._unit = unit
        self._size_bytes = unit.size_bytes
        self._read_only = bool(unit.flags & UnitFlag.READ_ONLY)

    def refusal_of(
        self, command: int, flags: int, offset_bytes: int, length_bytes: int, unit: UnitInfo
    ) -> Refusal | None:
        """Give the reason not to carry a request out, or None when it is good."""
        if unit is not self._unit:
            self._look(unit)
        mask = self._allowed.get(command)
        if mask is None:
            return Refusal(NbdError.EINVAL, f"This disk does not have command {command}; see its transmission flags.")
        if flags & ~mask:
            return Refusal(NbdError.EINVAL, f"Command {command} cannot have flags {flags & ~mask:#x} here.")
        if self._read_only and command in _CHANGING:
            return Refusal(NbdError.EPERM, f"The disk {unit.name} is read-only.")
        if command == FLUSH:
            return _flush_refusal(offset_bytes, length_bytes)
        if (offset_bytes | length_bytes) & _UNALIGNED:
            return _unaligned(offset_bytes, length_bytes)
        if offset_bytes + length_bytes > self._size_bytes:
            return _past_end(command, offset_bytes, length_bytes, unit)
        if command == READ and length_bytes > PAYLOAD_BYTES_MAX:
            # "the server is also permitted to reject large read requests up front with NBD_EOVERFLOW"
            return Refusal(NbdError.EOVERFLOW, f"A read moves at most {PAYLOAD_BYTES_MAX} bytes, not {length_bytes}.")
        return None


def _flush_refusal(offset_bytes: int, length_bytes: int) -> Refusal | None:
    if offset_bytes or length_bytes:
        return Refusal(NbdError.EINVAL, "A flush covers the whole disk; its offset and length must be 0.")
    return None


def _unaligned(offset_bytes: int, length_bytes: int) -> Refusal:
    return Refusal(
        NbdError.EINVAL,
        f"Offset {offset_bytes} and length {length_bytes} must be multiples of {BLOCK_BYTES_MIN} bytes.",
    )


def _past_end(command: int, offset_bytes: int, length_bytes: int, unit: UnitInfo) -> Refusal:
    """Writes get ENOSPC, reads and trims EINVAL, as the specification has it under "Error values"."""
    error = NbdError.ENOSPC if command in _ENOSPC_PAST_END else NbdError.EINVAL
    end = f"the disk {unit.name} has {unit.size_bytes} bytes"
    sentence = f"{length_bytes} bytes from {offset_bytes} go past the end: {end}."
    return Refusal(error, sentence)
