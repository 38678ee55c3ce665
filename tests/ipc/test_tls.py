"""Proves that TLS files are read whole or refused with a sentence, and that renewed ones are taken by themselves."""

import os
import shutil
from pathlib import Path

import pytest

from ipc.tls import Tls, TlsFiles, read_identity
from nsu.tls_authority import show
from tests.harness.tls import authority, tls_files


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return tls_files(authority(tmp_path / "ca"), "box1")


def test_the_fingerprint_is_that_of_our_own_certificate_though_others_follow_it(files: TlsFiles) -> None:
    files.cert.write_bytes(files.cert.read_bytes() + files.ca.read_bytes())
    assert read_identity(files, server_side=True).fingerprint.hex() == show(files.cert).fingerprint


def test_a_file_that_is_missing_or_no_certificate_is_named(files: TlsFiles, tmp_path: Path) -> None:
    gone, empty = tmp_path / "gone", tmp_path / "empty"
    empty.touch()
    for wrong in (
        TlsFiles(gone, files.key, files.ca),
        TlsFiles(empty, files.key, files.ca),
        TlsFiles(files.cert, files.ca, files.ca),
        TlsFiles(files.cert, files.key, gone),
        TlsFiles(files.cert, files.key, empty),
    ):
        with pytest.raises(OSError, match=r"gone|empty|ca.crt"):
            read_identity(wrong, server_side=False)


def test_a_renewed_certificate_is_taken_and_a_bad_one_is_not(files: TlsFiles, tmp_path: Path) -> None:
    tls = Tls(files, server_side=True)
    first = tls.identity()
    assert tls.identity() is first
    other = tls_files(authority(tmp_path / "other"), "box1")
    for old, new in ((files.key, other.key), (files.ca, other.ca), (files.cert, other.cert)):
        shutil.copyfile(new, new.with_suffix(".new"))
        os.replace(new.with_suffix(".new"), old)
    renewed = tls.identity()
    assert renewed.fingerprint.hex() == show(other.cert).fingerprint != first.fingerprint.hex()
    files.cert.unlink()
    assert tls.identity() is renewed
