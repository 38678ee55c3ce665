"""The login of version 0x02 inside TLS: bound to the certificates that both ends have seen.

The login's secret is not used as it is: a key is made of it and the two certificates. So a proof that is made inside
TLS is worth nothing in clear, nor in a TLS connection of which one end has shown another certificate: somebody in the
middle with a certificate of the same authority can't pass a login on. RFC 5929 calls this tls-server-end-point.
"""

from hmac import digest


def bound_secret(secret: bytes, server_fingerprint: bytes, host_fingerprint: bytes) -> bytes:
    """Give the secret for the login in one TLS connection; fingerprints are SHA-256 of the certificates (DER)."""
    assert len(server_fingerprint) == len(host_fingerprint) == 32
    return digest(secret, b"nsu tls\0" + server_fingerprint + host_fingerprint, "sha256")
