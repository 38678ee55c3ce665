"""Whether the peer of a TCP connection is still there, as far as its kernel can say.

Three things of Linux, each for what the others can't find:
- TCP_USER_TIMEOUT ends a connection when what was sent is not acknowledged, or not taken, for so long. It counts a full
  window too, although a living kernel answers for it: not for those whose peer may rightly not read for a while.
- Keepalive asks while nothing is on its way. With a TCP_USER_TIMEOUT that one decides, and not the number of probes.
- TCP_INFO tells when the peer's kernel was heard last, and whether it owes us something.
"""

import socket
import struct
import sys

_TCP_INFO = struct.Struct("=8B13I")
"""The beginning of struct tcp_info of linux/tcp.h, which never changes: eight bytes, thirteen numbers."""
_PROBES, _UNACKED, _LAST_DATA_RECEIVED, _LAST_ACK_RECEIVED = 3, 8 + 4, 8 + 11, 8 + 12
_LEAST_ROUND_TRIP_US_AT = 148
"""tcpi_min_rtt of that structure, from Linux 4.6 on."""
_PROBES_LOST = 2
"""One may just have been sent; when the second goes out, the first has had its whole interval."""


def keep_alive(sock: socket.socket, *, idle_s: int, every_s: int, probes: int) -> None:
    """Have the kernel ask the peer's kernel, after `idle_s` of silence, every `every_s`, whether it is there."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, every_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, probes)


def limit_unacknowledged(sock: socket.socket, seconds: float) -> None:
    """Have the kernel end it (ETIMEDOUT) when what was sent is not acknowledged, or not taken, for so long."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def unanswered_s(sock: socket.socket) -> float:
    """Give for how long the peer's kernel has sent nothing although it owes us an acknowledgement; 0.0: it owes none.

    It owes one for data on its way, and for probes: of keepalive, or of a full window, of which the peer's kernel
    answers each, however long the window stays full.
    """
    info = _TCP_INFO.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
    if info[_UNACKED] == 0 and info[_PROBES] < _PROBES_LOST:
        return 0.0
    return float(min(info[_LAST_DATA_RECEIVED], info[_LAST_ACK_RECEIVED])) / 1000


def least_round_trip_s(sock: socket.socket) -> float:
    """Give the shortest time of the last minutes from a segment to its acknowledgement: the network alone, no program.

    0.0: the kernel does not say, or nothing was acknowledged yet.
    """
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LEAST_ROUND_TRIP_US_AT + 4)
    except OSError:  # no TCP socket
        return 0.0
    if len(info) < _LEAST_ROUND_TRIP_US_AT + 4:
        return 0.0
    least_us = int.from_bytes(info[_LEAST_ROUND_TRIP_US_AT:], sys.byteorder)
    return 0.0 if least_us == 0xFFFFFFFF else least_us / 1e6
