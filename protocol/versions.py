"""Versions are bits of one mask: the offer of Appendix D (2), the choice of Appendix D (3).

Version 0x01 has no secret and protects nobody, so it is never spoken by a host that has a secret: two
measures keep the choice from being talked down. The *floor* is here: `floor_of`. The other,
binding both masks into the proof, is in `v2/login.py`; alone it would not protect against falling to 0x01,
which has no proof.
"""

from protocol.limits import U32_MAX

V1 = 0x01
V2 = 0x02
IMPLEMENTED = V1 | V2
STRONG = U32_MAX & ~V1
"""Versions that prove a secret, those that are yet to come included."""


def floor_of(supported: int, *, has_secret: bool) -> int:
    """Give the versions of `supported` that a host may speak: with a secret the strong ones only, else 0x01
    only.
    """
    return supported & (STRONG if has_secret else V1)


def choose_version(offered: int, supported: int) -> int | None:
    """Give the highest common bit of both masks, or None: Appendix D (3), "highest matching value"."""
    common = offered & supported
    return 1 << (common.bit_length() - 1) if common else None


def describe_versions(mask: int) -> str:
    """Name the versions of a mask in words: `versions 0x01 and 0x02`."""
    bits = [f"0x{1 << bit:02x}" for bit in range(32) if mask >> bit & 1]
    if not bits:
        return "no version"
    if len(bits) == 1:
        return f"version {bits[0]}"
    return f"versions {', '.join(bits[:-1])} and {bits[-1]}"
