"""The door to the data socket: which machine speaks which version, and the names its edges need."""

from collections.abc import Sequence

from protocol.data_base import Answer, HostData, Refusal, Request, ServerData, UnitLimits
from protocol.v1.data import V1HostData, V1ServerData
from protocol.v2.data import V2HostData, V2ServerData
from protocol.versions import V1, V2

__all__ = ["Answer", "HostData", "Refusal", "Request", "ServerData", "UnitLimits", "host_data", "server_data"]


def server_data(
    version: int,
    *,
    session: int,
    epoch: int,
    path: int,
    marker: int,
    units: Sequence[UnitLimits | None],
) -> ServerData:
    """Make the server's machine for a socket whose login is answered.

    Appendix D note (1): "Each data port on the NSU box is capable of handling I/O requests for any unit".
    `units` is indexed by `zn_zlun` and looked at for each request: change it in place when a unit changes.
    Version 0x01 knows neither session, epoch, path nor marker: any numbers do.
    """
    if version == V1:
        return V1ServerData(units)
    assert version == V2, version
    return V2ServerData(session, epoch, path, marker, units)


def host_data(version: int, *, session: int, epoch: int, path: int, marker: int) -> HostData:
    """Make the host's machine for a socket whose login is answered; numbers as for `server_data`."""
    if version == V1:
        return V1HostData()
    assert version == V2, version
    return V2HostData(session, epoch, path, marker)
