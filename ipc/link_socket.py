"""Frames of one EtherType on one interface, without any IP: a packet(7) socket.

Rules
  * It hears what is sent to the interface's own address, to everybody, and to GROUP_MAC, which it joins.
  * What this interface itself has sent is never given back, nor is a frame longer than PAYLOAD_BYTES_MAX.
  * Ethernet pads short frames to 46 bytes: a payload may come with bytes behind it. Who reads it knows its length.
  * An interface that goes down loses what is on its way, and is heard again when it is up. One that is taken away is
    never heard again, also when another of its name comes: compare `index` with the name's of now.
"""

import errno
import socket
import struct
from contextlib import suppress
from typing import Final

ETHERTYPE: Final = 0x88B5
"""IEEE 802, "Local Experimental Ethertype 1"."""
GROUP_MAC: Final = bytes.fromhex("034e53550001")
"""Everybody who speaks this. 03: a group, administered locally, so that it is nobody's; then "NSU" and 1."""
BROADCAST_MAC: Final = b"\xff" * 6
PAYLOAD_BYTES_MAX: Final = 1500

_SOL_PACKET: Final = 263
_PACKET_ADD_MEMBERSHIP: Final = 1
_PACKET_MR_MULTICAST: Final = 0
_MEMBERSHIP: Final = struct.Struct("=iHH8s")
"""struct packet_mreq: interface, type, length of the address, address."""
_ETHERNET: Final = 1
"""ARPHRD_ETHER."""
_PASSED_OVER_MOST: Final = 64
"""Frames that are not for us, in one call."""


class LinkSocket:
    """A nonblocking socket for frames of `ethertype` on `interface`.

    Raises:
        PermissionError: this process has no CAP_NET_RAW.
        OSError: ENODEV: there is no such interface. EPROTONOSUPPORT: it is no Ethernet.

    """

    def __init__(self, interface: str, ethertype: int = ETHERTYPE) -> None:
        self.interface = interface
        self.ethertype = ethertype
        # With protocol 0 nothing comes in before the socket is bound: no other interface's frames.
        self._socket = _packet_socket(interface)
        try:
            self.index = _index_of(interface)
            self._socket.bind((interface, ethertype))
            _, _, _, hardware, self.mac = self._socket.getsockname()
            if hardware != _ETHERNET or len(self.mac) != 6:
                raise OSError(errno.EPROTONOSUPPORT, f"{interface} is no Ethernet interface")
            membership = _MEMBERSHIP.pack(self.index, _PACKET_MR_MULTICAST, len(GROUP_MAC), GROUP_MAC)
            self._socket.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, membership)
        except BaseException:
            self._socket.close()
            raise

    def send(self, destination_mac: bytes, payload: bytes) -> None:
        """Send one frame.

        Raises:
            ValueError: the payload is longer than PAYLOAD_BYTES_MAX.
            OSError: ENETDOWN, ENXIO: the interface is down or gone. BlockingIOError, ENOBUFS: too much is on its way.

        """
        if len(payload) > PAYLOAD_BYTES_MAX:
            raise ValueError(f"a payload of {len(payload)} bytes; a frame takes {PAYLOAD_BYTES_MAX} at most")
        self._socket.sendto(payload, (self.interface, self.ethertype, 0, 0, destination_mac))

    def receive(self) -> tuple[bytes, bytes] | None:
        """Give (source MAC, payload) of the next frame; None: nothing is there now."""
        for _ in range(_PASSED_OVER_MOST):
            try:
                payload, address = self._socket.recvfrom(PAYLOAD_BYTES_MAX + 1)
            except OSError:
                return None  # nothing there, or ENETDOWN, which is told once
            source_mac, packet_type = address[4], address[2]
            is_own = packet_type == socket.PACKET_OUTGOING or source_mac == self.mac
            if len(payload) <= PAYLOAD_BYTES_MAX and not is_own:
                return source_mac, payload
        return None

    def fileno(self) -> int:
        """Readable while frames wait."""
        return self._socket.fileno()

    def close(self) -> None:
        """End it. Harmless twice."""
        self._socket.close()


def _packet_socket(interface: str) -> socket.socket:
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
    except PermissionError as error:
        sentence = f"no Ethernet frames on {interface}: run as root, or give CAP_NET_RAW"
        raise PermissionError(error.errno, sentence) from error


def _index_of(interface: str) -> int:
    with suppress(OSError):
        return socket.if_nametoindex(interface)
    raise OSError(errno.ENODEV, f"this machine has no interface {interface}")


def mac_text(mac: bytes) -> str:
    """Give it as people write it: 02:00:5e:00:53:01."""
    return mac.hex(":")
