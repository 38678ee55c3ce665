"""Proves the small authority: what it issues is good for TLS, nothing is written over, and an end is warned of."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ipc.tls import TlsFiles, read_identity
from nsu.tls_authority import AuthorityError, expiry_words, issue, make_authority, show_all


def test_an_issued_certificate_says_who_how_long_and_its_key_is_its_owners_alone(tmp_path: Path) -> None:
    make_authority(tmp_path / "tls", "box1")
    shown = issue(tmp_path / "tls", "host1", ["10.0.0.1", "fd00::1"], days=100)
    assert shown.names == ("host1", "10.0.0.1", "fd00::1")
    assert timedelta(days=99) < shown.until - datetime.now(UTC) <= timedelta(days=100)
    folder = tmp_path / "tls"
    assert [(folder / key).stat().st_mode & 0o777 for key in ("ca.key", "host1.key")] == [0o600, 0o600]
    files = TlsFiles(folder / "host1.crt", folder / "host1.key", folder / "ca.crt")
    assert read_identity(files, server_side=True).fingerprint.hex() == shown.fingerprint
    assert [each.path.name for each in show_all(folder)] == ["ca.crt", "host1.crt"]


def test_nothing_is_written_over(tmp_path: Path) -> None:
    make_authority(tmp_path, "box1")
    issue(tmp_path, "host1")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(AuthorityError, match="is there already"):
        make_authority(tmp_path, "box1")
    with pytest.raises(AuthorityError, match="is there already"):
        issue(tmp_path, "host1")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_can_not_be_issued_is_said(tmp_path: Path) -> None:
    with pytest.raises(AuthorityError, match="nsu tls init"):
        issue(tmp_path, "host1")
    make_authority(tmp_path, "box1")
    with pytest.raises(AuthorityError, match="an address is numeric"):
        issue(tmp_path, "host1", ["nowhere"])
    with pytest.raises(AuthorityError, match="the authority's own name"):
        issue(tmp_path, "ca")
    (tmp_path / "ca.key").write_text("no key")
    with pytest.raises(AuthorityError, match="no certificate and key"):
        issue(tmp_path, "host1")


def test_the_end_is_warned_of_thirty_days_before(tmp_path: Path) -> None:
    make_authority(tmp_path, "box1")
    path = issue(tmp_path, "host1", days=100).path
    now = datetime.now(UTC)
    assert expiry_words(path, now + timedelta(days=69)) == ""
    assert "expires in 29 days" in expiry_words(path, now + timedelta(days=70, hours=1))
    assert "has expired" in expiry_words(path, now + timedelta(days=101))
    assert expiry_words(tmp_path / "gone", now) == ""
