"""An address with a port, as people and titles of processes have it."""


def endpoint(address: str, port: int) -> str:
    """Give 10.1.1.1:10002 or [fd00::1]:10002 (RFC 3986, Section 3.2.2)."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
