"""The driver's border: what is refused before it enters, each with an errno and a sentence."""

from errno import EINVAL, EOPNOTSUPP, EROFS

from hostside.driver.request import Request
from hostside.driver.unit import UnitFlag, UnitInfo
from protocol.limits import BLOCK_BYTES
from protocol.ops import Op

Refusal = tuple[int, str]
"""errno, sentence."""

READ = int(Op.READ)
WRITE = int(Op.WRITE)
FLUSH = int(Op.FLUSH)
TRIM = int(Op.TRIM)
WRITE_ZEROES = int(Op.WRITE_ZEROES)
_NAMES = {READ: "READ", WRITE: "WRITE", FLUSH: "FLUSH", TRIM: "TRIM", WRITE_ZEROES: "WRITE ZEROES"}

# Plain numbers, because IntFlag's arithmetic would cost a small request a third of its time.
_READ_ONLY = int(UnitFlag.READ_ONLY)
_CAN_FUA = int(UnitFlag.CAN_FUA)
_NEEDS = {
    FLUSH: int(UnitFlag.CAN_FLUSH),
    TRIM: int(UnitFlag.CAN_TRIM),
    WRITE_ZEROES: int(UnitFlag.CAN_WRITE_ZEROES),
}
"""0x02: the flag without which the operation is refused."""


def refusal(unit: UnitInfo, request: Request) -> Refusal | None:
    """Give why `unit` cannot do `request`; None when it can be tried."""
    op = request.op
    if (op == READ or (op == WRITE and not request.fua and not int(unit.flags) & _READ_ONLY)) and (
        request.views
        and not (request.offset_bytes | request.length_bytes) % BLOCK_BYTES
        and 0 <= request.offset_bytes
        and request.end_bytes <= unit.blocks * BLOCK_BYTES
    ):
        return None  # nearly all: what is below would say the same, in more steps
    if op == READ:
        return _wrong_range(unit, request) or _no_views(request)
    if op == WRITE:
        return _wrong_right(unit, request) or _wrong_range(unit, request) or _no_views(request)
    if op not in _NAMES:
        return EINVAL, f"{unit.name}: there is no operation {op}; there are {', '.join(_NAMES.values())}"
    wrong = _wrong_right(unit, request)
    return wrong if wrong or op == FLUSH else _wrong_range(unit, request)


def _wrong_range(unit: UnitInfo, request: Request) -> Refusal | None:
    offset_bytes, length_bytes = request.offset_bytes, request.length_bytes
    if (offset_bytes | length_bytes) % BLOCK_BYTES or length_bytes <= 0 or offset_bytes < 0:
        return EINVAL, (
            f"{unit.name}: {length_bytes} bytes at {offset_bytes}: both must be multiples of {BLOCK_BYTES}, "
            "the first more than 0"
        )
    if request.end_bytes > unit.blocks * BLOCK_BYTES:
        return EINVAL, (f"{unit.name}: {length_bytes} bytes at {offset_bytes} go past the end, at {unit.size_bytes}")
    return None


def _no_views(request: Request) -> Refusal | None:
    if request.views:
        return None
    return EINVAL, f"{request.length_bytes} bytes are more than all buffers hold; ask in smaller requests"


def _wrong_right(unit: UnitInfo, request: Request) -> Refusal | None:
    op, flags = request.op, int(unit.flags)
    if flags & _READ_ONLY and op not in (READ, FLUSH):
        return EROFS, f"{unit.name} is read-only: {_NAMES[op]} is not permitted"
    if unit.version == 1:
        # Appendix C knows only READ and WRITE; FLUSH and FUA are answered by the server's writing through.
        if op in (TRIM, WRITE_ZEROES):
            return EOPNOTSUPP, f"{unit.name}: protocol version 0x01 has no {_NAMES[op]}"
        return None
    needed = _NEEDS.get(op, 0)
    if needed & ~flags:
        return EOPNOTSUPP, f"{unit.name}: the server does not offer {_NAMES[op]} for this unit"
    if request.fua and not flags & _CAN_FUA:
        return EOPNOTSUPP, f"{unit.name}: the server does not offer FUA for this unit"
    return None
