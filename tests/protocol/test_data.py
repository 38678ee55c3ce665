"""Each version gets its own pair of machines: a pair understands itself and not the other."""

import pytest

from protocol.data import HostData, ServerData, UnitLimits, host_data, server_data
from protocol.errors import RemoteProtocolError
from protocol.ops import Op
from protocol.status import Detail

UNITS = [UnitLimits(blocks=1001, read_only=False, generation=3)]


def pair(version: int) -> tuple[HostData, ServerData]:
    host = host_data(version, session=1, epoch=2, path=3, marker=4)
    return host, server_data(version, session=1, epoch=2, path=3, marker=4, units=UNITS)


def ask(host: HostData) -> memoryview:
    into = memoryview(bytearray(512))
    host.request(into, op=Op.READ, flags=0, unit=0, generation=3, lba=1000, size_bytes=512, tag=8)
    return into


@pytest.mark.parametrize("version", [1, 2])
def test_a_pair_understands_itself(version: int) -> None:
    host, server = pair(version)
    frame = ask(host)
    request = server.next(frame, 0, 512)
    assert request is not None
    assert request.refusal is None
    server.answer(request, frame)
    answer = host.next(frame, 0, 512)
    assert answer is not None
    assert (answer.tag, answer.status, answer.payload_bytes, host.outstanding) == (8, 0, 512, 0)


def test_version_1_refuses_a_request_of_version_2_and_closes() -> None:
    request = pair(1)[1].next(ask(pair(2)[0]), 0, 512)
    assert request is not None
    assert request.refusal is not None
    assert (request.refusal.detail, request.close_after) == (Detail.WRONG_VERSION, True)


def test_version_2_does_not_answer_a_request_of_version_1() -> None:
    with pytest.raises(RemoteProtocolError):
        pair(2)[1].next(ask(pair(1)[0]), 0, 512)
