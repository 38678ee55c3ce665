"""The CRC is Castagnoli's: the vectors of RFC 3720, section B.4."""

import pytest

from protocol.crc import crc32c

VECTORS = [
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
]


@pytest.mark.parametrize(("data", "expected"), VECTORS)
def test_vectors_of_rfc_3720(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


def test_goes_on_from_a_start_and_takes_views() -> None:
    data = bytes(range(200))
    assert crc32c(memoryview(data)[90:], crc32c(data[:90])) == crc32c(data)
