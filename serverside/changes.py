"""What a changed nsu.conf means for a server that runs: pure comparison of old settings and new.

Note (3) of Appendix D: only the hosts whose information changed are disturbed. What can't change under a running
server stays as it was, with a warning, until the next start.
"""

from dataclasses import replace

from protocol.v2.login import fingerprint
from serverside.settings import HostSettings, ServerSettings

FIXED = {"name": "NSU", "state_dir": "STATE", "config_port": "CONFIG_PORT", "arrays": "ARRAY"}
"""Settings that hold from start to end -> their names in nsu.conf."""

HOST_WORDS = {
    "addresses": "ADDRESS",
    "secrets": "SECRET_FILE",
    "data_ports": "DATA_PORT",
    "units": "UNIT",
    "tls": "TLS",
}
"""What a HOST has -> its name in nsu.conf."""

Start = tuple[str, int]


def possible(old: ServerSettings, new: ServerSettings) -> tuple[ServerSettings, list[str]]:
    """Give what of `new` can be had now, and a warning for each thing that can't."""
    kept = {field: getattr(old, field) for field in FIXED if getattr(old, field) != getattr(new, field)}
    warnings = [f"{FIXED[field]} has changed in nsu.conf: that takes effect at the next start" for field in kept]
    return replace(new, **kept), warnings


def differences(old: ServerSettings, new: ServerSettings) -> list[str]:
    """Give, in words, which HOSTs are added, removed or changed, and what else is."""
    before = {host.name: host for host in old.hosts}
    after = {host.name: host for host in new.hosts}
    found = [f"HOST {name} added" for name in after if name not in before]
    found += [f"HOST {name} removed" for name in before if name not in after]
    for name, host in before.items():
        if name in after and host != after[name]:
            what = [words for field, words in HOST_WORDS.items() if getattr(host, field) != getattr(after[name], field)]
            found.append(f"HOST {name} changed ({', '.join(what)})")
    if old.listen != new.listen:
        found.append(f"LISTEN: {', '.join(new.listen)}")
    if old.privileged_port != new.privileged_port:
        found.append(f"PRIVILEGED_PORT = {'yes' if new.privileged_port else 'no'}")
    if old.tls != new.tls:
        found.append("TLS_CERT, TLS_KEY or TLS_CA of NSU")
    if old.discovery != new.discovery:
        found.append("DISCOVERY")
    found += unassigned_differences(old, new)
    return found or ["the order of the HOSTs"]


def unassigned_differences(old: ServerSettings, new: ServerSettings) -> list[str]:
    """Give, in words, which partitions of nobody's have come, gone or changed."""
    before = {unit.name: unit for unit in old.unassigned}
    after = {unit.name: unit for unit in new.unassigned}
    found = [f"unassigned UNIT {name} added" for name in after if name not in before]
    found += [f"unassigned UNIT {name} removed" for name in before if name not in after]
    found += [f"unassigned UNIT {name} changed" for name, unit in before.items() if after.get(name, unit) != unit]
    return found


def disturbed(old: ServerSettings, new: ServerSettings) -> frozenset[str]:
    """Name the hosts that can't go on as they are: changed, gone, or with a unit that goes by another zero map.

    Hosts that share a range share its zero map: whether there is one, and its length, depends on all of them.
    """
    before = {host.name: host for host in old.hosts}
    after = {host.name: host for host in new.hosts}
    maps_before, maps_after = zero_lengths(old), zero_lengths(new)
    moved = {start for start, _ in maps_before.items() ^ maps_after.items()}
    return frozenset(
        name
        for name, host in before.items()
        if not is_same(host, after.get(name)) or not moved.isdisjoint(starts(host))
    )


def is_same(host: HostSettings, now: HostSettings | None) -> bool:
    """Is it as it was, but for a key that has come or gone beside one that stays?"""
    return now is not None and with_keys_of(now, host) == host and keeps_a_key(host, now)


def with_keys_of(host: HostSettings, other: HostSettings) -> HostSettings:
    return replace(host, secret=other.secret, secret_next=other.secret_next, rotation_since_s=other.rotation_since_s)


def keeps_a_key(host: HostSettings, now: HostSettings) -> bool:
    return (not host.secrets and not now.secrets) or not set(host.secrets).isdisjoint(now.secrets)


def is_key_known(key: str, now: HostSettings | None) -> bool:
    """Does the key still hold that a session of version 0x02 has proven? `key`: its fingerprint."""
    return now is not None and key in map(fingerprint, now.secrets)


def renewed(old: ServerSettings, new: ServerSettings) -> frozenset[str]:
    """Name the hosts whose SRWs can't go on: the disturbed ones, but for those that only have other DATA_PORTs."""
    return disturbed(_without_ports(old), _without_ports(new))


def _without_ports(settings: ServerSettings) -> ServerSettings:
    return replace(settings, hosts=tuple(replace(host, data_ports=()) for host in settings.hosts))


def starts(host: HostSettings) -> set[Start]:
    return {(unit.array, unit.first_lba) for unit in host.units}


def zero_lengths(settings: ServerSettings) -> dict[Start, int]:
    """Give, for each place where ZERO partitions begin, how many blocks its map covers."""
    units = [unit for host in settings.holders for unit in host.units]
    zero = {(unit.array, unit.first_lba) for unit in units if unit.zero}
    lengths = dict.fromkeys(zero, 0)
    for unit in units:
        start = (unit.array, unit.first_lba)
        if start in zero:
            lengths[start] = max(lengths[start], unit.blocks)
    return lengths


def can_stay(host: HostSettings, version: int, now: HostSettings | None) -> bool:
    """May a session go on, told of the change? 0x02, unless the host or its secrets are gone, or its TLS is another."""
    return version == 2 and now is not None and now.tls == host.tls and bool(now.secrets) and keeps_a_key(host, now)
