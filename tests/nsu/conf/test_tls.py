"""Proves how TLS stands in nsu.conf: three files or none, good ones, and floors that can be kept."""

from pathlib import Path

import pytest

from ipc.tls import TlsFiles
from nsu.conf.errors import ConfErrors
from tests.harness import write_secret
from tests.harness.tls import authority, tls_files, tls_lines
from tests.nsu.conf.conftest import load, warnings_of


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return tls_files(authority(tmp_path / "ca"), "box1")


@pytest.fixture
def secret(tmp_path: Path) -> str:
    return f"SECRET_FILE = {write_secret(tmp_path / 'host1.key')}"


def nsu(*lines: str) -> str:
    return "\n  ".join(["NSU box1", *lines]) + "\n"


def host(*lines: str) -> str:
    return "\n  ".join(["HOST host1", "DATA_PORT = 10.1.1.1:10002(10)", *lines]) + "\n"


def server(*lines: str) -> str:
    return "\n  ".join(["SERVER box1", "ADDRESS = 10.1.1.1", *lines]) + "\n"


def test_the_files_and_floors_of_both_roles_are_read(files: TlsFiles, secret: str) -> None:
    loaded = load(
        nsu(*tls_lines(files)) + host(secret, "TLS = required") + server(secret, "TLS = required", *tls_lines(files))
    )
    assert loaded.server is not None
    assert loaded.host is not None
    assert (loaded.server.tls, loaded.server.hosts[0].tls) == (files, "required")
    assert loaded.host.servers[0].tls == files


def test_without_a_word_a_host_may_come_by_tls_and_nobody_goes_by_it(files: TlsFiles, secret: str) -> None:
    loaded = load(nsu(*tls_lines(files)) + host(secret) + server(secret))
    assert loaded.server is not None
    assert loaded.host is not None
    assert (loaded.server.hosts[0].tls, loaded.host.servers[0].tls) == ("allowed", None)


def test_a_certificate_that_is_not_used_is_warned_of(files: TlsFiles, secret: str) -> None:
    assert "has a TLS_CERT and no TLS = required" in warnings_of(server(secret, *tls_lines(files)))


@pytest.mark.parametrize(
    ("blocks", "words"),
    [
        (lambda lines, secret: nsu(*lines[:2]) + host(secret), "has no TLS_CA"),
        (lambda lines, secret: nsu(lines[1]) + host(secret), "has no TLS_CERT and no TLS_CA"),
        (lambda lines, secret: nsu() + host(secret, "TLS = required"), "NSU has no TLS_CERT"),
        (lambda lines, secret: nsu(*lines) + host("TLS = required"), "version 0x01 has no TLS"),
        (lambda lines, secret: server(secret, "TLS = required"), "SERVER box1 has no TLS_CERT"),
        (lambda lines, secret: server("TLS = required", *lines), "version 0x01 has no TLS"),
        (lambda lines, secret: server(secret, "TLS = allowed", *lines), "required, no"),
        (lambda lines, secret: nsu(lines[0], lines[2], "TLS_KEY = /gone") + host(secret), "or /gone can't be read"),
    ],
)
def test_what_can_not_be_is_an_error(blocks: object, words: str, files: TlsFiles, secret: str) -> None:
    assert callable(blocks)
    with pytest.raises(ConfErrors) as wrong:
        load(blocks(tls_lines(files), secret))
    assert words in str(wrong.value)


def test_a_key_that_others_may_read_is_an_error(files: TlsFiles, secret: str) -> None:
    files.key.chmod(0o640)
    with pytest.raises(ConfErrors, match="chmod 600"):
        load(nsu(*tls_lines(files)) + host(secret))
