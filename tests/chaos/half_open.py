"""Begins handshakes and ends none: `python -m tests.chaos.half_open COUNT ADDRESS:PORT…`.

Every other connection says nothing at all, the others half of what is due. HELD of them are open at any time, from all
over 127/8, so that it is not slowed as one who comes from one address might be. It is a process of its own, so that it
takes nothing from whoever measures but what it takes from the server, and prints how many it has made.
"""

import socket
import sys
from collections import deque
from contextlib import suppress

from protocol.limits import HEADER_BYTES

HELD = 800


def main() -> None:
    count, *targets = sys.argv[1:]
    held: deque[socket.socket] = deque()
    for number in range(int(count)):
        address, _, port = targets[number % len(targets)].rpartition(":")
        source = f"127.{2 + number % 250}.{number // 250 % 250}.1"
        sock = socket.create_connection((address, int(port)), timeout=10, source_address=(source, 0))
        if number % 4 >= 2:
            with suppress(ConnectionError):
                sock.sendall(bytes(HEADER_BYTES // 2))
        held.append(sock)
        if len(held) > HELD:
            held.popleft().close()
    for sock in held:
        sock.close()
    print(count)


if __name__ == "__main__":
    main()
