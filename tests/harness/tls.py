"""Certificates for tests: an authority of their own, and TLS files as nsu.conf names them."""

from collections.abc import Sequence
from pathlib import Path

from ipc.tls import TlsFiles
from nsu.tls_authority import DAYS, issue, make_authority


def authority(folder: Path) -> Path:
    """Make an authority in a new folder."""
    make_authority(folder, "test")
    return folder


def tls_files(ca: Path, name: str, addresses: Sequence[str] = (), *, days: int = DAYS) -> TlsFiles:
    """Issue a certificate; with `days` 0 it has expired."""
    issue(ca, name, addresses, days=days)
    return TlsFiles(ca / f"{name}.crt", ca / f"{name}.key", ca / "ca.crt")


def tls_lines(files: TlsFiles) -> list[str]:
    """Give the lines of an NSU or SERVER block."""
    return [f"TLS_CERT = {files.cert}", f"TLS_KEY = {files.key}", f"TLS_CA = {files.ca}"]
