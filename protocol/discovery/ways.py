"""By which ways an NSU is looked for: the same frame by each, and who answers by several is one NSU.

The UDP port and the groups are of our own choice. 239.255.0.0/16 is for any site's own use (RFC 2365), and stays in
the network with a time to live of 1; ff12:: is a group of one link that nobody has assigned (RFC 4291, section 2.7).
"""

from enum import Enum
from typing import Final

UDP_PORT: Final = 10009
GROUP_V4: Final = "239.255.78.83"
"""78 and 83: "NS"."""
GROUP_V6: Final = "ff12::4e:5355"
"""4e, 53, 55: "NSU"."""
BROADCAST_V4: Final = "255.255.255.255"


class Way(Enum):
    """How a question goes; the value is for people."""

    ETHERNET = "Ethernet"
    BROADCAST = "broadcast"
    MULTICAST_V4 = "IPv4 multicast"
    MULTICAST_V6 = "IPv6 multicast"
