"""Proved: XOR of whole buffers is XOR of each byte, zeros are told, and the door to numpy starts no threads."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverside.redundancy.xor import is_zero, xor_into, xor_of

WORDS = st.integers(1, 9).flatmap(
    lambda words: st.lists(st.binary(min_size=8 * words, max_size=8 * words), min_size=1, max_size=4)
)


@given(WORDS)
def test_each_byte_is_the_xor_of_its_column(sources: list[bytes]) -> None:
    expected = bytearray(len(sources[0]))
    for source in sources:
        expected = bytearray(a ^ b for a, b in zip(expected, source, strict=True))
    assert xor_of(sources) == expected
    assert is_zero(xor_of([*sources, bytes(expected)]))
    assert is_zero(expected) == (expected == bytes(len(expected)))


def test_the_target_is_changed_in_its_place_and_no_source_is() -> None:
    target, source = bytearray(b"\xf0" * 8), b"\xff" * 8
    xor_into(memoryview(target), source)
    assert target == b"\x0f" * 8
    first = bytearray(8)
    xor_of([first, source])
    assert first == bytes(8)


def test_lengths_must_agree() -> None:
    with pytest.raises(AssertionError):
        xor_into(memoryview(bytearray(8)), bytes(16))


def test_the_import_starts_no_thread() -> None:
    script = "import os, serverside.redundancy.xor; print(len(os.listdir('/proc/self/task')))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "1"
