"""Figures 5 and 6 live: follow one request through the messages 1H to 7H and 1S to 6S.

The host driver marks one constituent with the TRACE flag. Driver and agent note when each message passed; a 0x02 server
sends its own times back, as nanoseconds since its 1S, so that two machines need no common clock. Each line of the
ladder tells only what was measured; what a 0x01 server does inside is not told, and so not shown.
"""

from typing import Any

from hostside.driver.driver import HostDriver
from hostside.driver.notes import Trace
from ipc.control import ControlError, Deferred
from protocol.ops import Op

OPS = {"read": Op.READ, "write": Op.WRITE}


class Tracer:
    """Answers the control verb `trace`: {"op": "read"|"write"}, when the next such request has passed."""

    def __init__(self, driver: HostDriver) -> None:
        self.driver = driver

    def trace(self, arguments: dict[str, Any]) -> Deferred:
        op = OPS.get(str(arguments.get("op", "read")))
        if op is None:
            raise ControlError(f"there is no operation {arguments.get('op')!r} to trace: read or write")
        later = Deferred()
        self.driver.trace_next(op, lambda trace: later.done(describe_trace(trace)))
        return later


def describe_trace(trace: Trace) -> dict[str, Any]:
    """Give a trace as plain values."""
    return {
        "op": "read" if trace.op == Op.READ else "write",
        "path": trace.path,
        "offset_bytes": trace.offset_bytes,
        "length_bytes": trace.length_bytes,
        "status": trace.status,
        "stamps": trace.stamps,
    }
