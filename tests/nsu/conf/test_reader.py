"""Proves what a block's reader gives for keys that are there, absent or wrong, and what it suggests for slips."""

from pathlib import Path

import pytest

from nsu.conf import keys
from nsu.conf.errors import ConfErrors, Findings
from nsu.conf.reader import BlockReader, default_of
from nsu.conf.syntax import Document


def reader_of(text: str) -> tuple[BlockReader, Findings]:
    findings = Findings(Path("nsu.conf"))
    return BlockReader(Document(text).blocks[0], findings), findings


def errors_of(text: str) -> list[tuple[int, str, str]]:
    findings = reader_of(text)[1]
    with pytest.raises(ConfErrors) as error:
        findings.raise_if_any()
    return [(one.line, one.key, one.right) for one in error.value.errors]


def test_given_values_come_with_their_lines() -> None:
    reader, findings = reader_of("NSU b\n  LISTEN = 10.1.1.1\n  CONFIG_PORT = 9\n  LISTEN = ::1\n")
    assert [(given.line, given.value) for given in reader.many(keys.LISTEN)] == [(2, "10.1.1.1"), (4, "::1")]
    assert reader.one_or_default(keys.NSU_CONFIG_PORT) == 9
    findings.raise_if_any()


def test_absent_values_are_none_or_their_default() -> None:
    reader, findings = reader_of("NSU b\n")
    assert reader.one(keys.NSU_CONFIG_PORT) is None
    assert reader.one_or_default(keys.NSU_CONFIG_PORT) == default_of(keys.NSU_CONFIG_PORT) == 10001
    assert reader.many(keys.LISTEN) == ()
    findings.raise_if_any()


def test_wrong_values_are_left_out_and_found() -> None:
    reader, findings = reader_of("NSU b\n  LISTEN = x\n  LISTEN = ::1\n  CONFIG_PORT = 0\n")
    assert [given.value for given in reader.many(keys.LISTEN)] == ["::1"]
    assert reader.one_or_default(keys.NSU_CONFIG_PORT) == 10001
    assert reader.has(keys.NSU_CONFIG_PORT)
    with pytest.raises(ConfErrors) as error:
        findings.raise_if_any()
    assert [one.line for one in error.value.errors] == [2, 4]


def test_a_slip_in_a_required_key_is_one_error() -> None:
    assert errors_of("ARRAY a\n  DRIVES = /dev/sdb\n") == [(2, "DRIVES", "did you mean DRIVE?")]
    assert errors_of("ARRAY a\n") == [(1, "DRIVE", "DRIVE = /srv/nsu/drive1.img(20GiB), for example")]


def test_a_key_of_another_block_is_sent_there() -> None:
    assert errors_of("NSU b\n  LBA = unit0(0,1)\n") == [(2, "LBA", "it is a key of UNIT")]
    keys = "CONFIG_PORT, LISTEN, PRIVILEGED_PORT, TLS_CERT, TLS_KEY, TLS_CA, DISCOVERY"
    assert errors_of("NSU b\n  XYZ = 1\n") == [(2, "XYZ", f"the keys of NSU are {keys}")]
