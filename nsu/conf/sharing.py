"""What the hosts of an NSU must be to each other: whose blocks, whose address, whose secret.

Blocks: a partition is a range of an array. Two hosts that name exactly the same range share it, on purpose;
ranges that overlap in part are always a slip, and would let one host write into another's data. One host writes a
shared partition; more than one only when the UNIT of each says SHARED_WRITE = yes.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from nsu.conf.errors import Findings
from nsu.conf.keys import HOST_SECRET_FILE
from nsu.conf.syntax import Block
from nsu.conf.values import LbaRange
from protocol.limits import BLOCK_BYTES
from serverside.arrays.open import LAYOUTS
from serverside.redundancy.division import division_of
from serverside.settings import ArraySettings, HostSettings

PARTITIONS_MOST = 100
"""Appendix D, The Concept (3): "no NSU will be partitioned into more than 100 units"."""
UNITS_OF_HOST_MOST = 16
"""Section III: "up to sixteen partitions can be assigned to any given host"."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A host's claim to a range of an array."""

    host: str
    unit: str
    line: int
    range: LbaRange
    read_only: bool
    shared_write: bool = False
    uuid: str = ""

    @property
    def owner(self) -> str:
        """Who claims it, for a sentence."""
        return f"{self.unit} of {self.host or 'nobody'} (line {self.line})"


def check_cuts(cuts: Sequence[Cut], arrays: Sequence[ArraySettings], findings: Findings) -> None:
    """All partitions: their arrays exist, are large enough, and are not cut twice in the same place."""
    by_array = defaultdict(list)
    for cut in cuts:
        by_array[cut.range.array].append(cut)
    known = {array.name: array for array in arrays}
    for name, claims in by_array.items():
        if name in known:
            _check_capacity(claims, known[name], findings)
        else:
            _refuse_unknown(claims, sorted(known), findings)
        _check_overlaps(claims, findings)
    _check_count(cuts, findings)
    _check_host_counts(cuts, findings)
    _check_uuids(cuts, findings)


def capacity_most(array: ArraySettings) -> int | None:
    """The most blocks the array can have, by the declared sizes of its drives; None: only the start will
    tell.
    """
    sizes = [drive.size_bytes for drive in array.drives if drive.size_bytes is not None]
    if not sizes or len(sizes) < len(array.drives):
        return None
    if array.level in LAYOUTS:
        layout = LAYOUTS[array.level]
        _, data_bytes = division_of(min(sizes), array.stripe_bytes)
        fits = layout.fits(len(sizes))
        return layout(len(sizes), array.stripe_bytes, data_bytes).capacity_bytes // BLOCK_BYTES if fits else None
    if array.level == "raid0":
        return min(sizes) // array.stripe_bytes * array.stripe_bytes * len(sizes) // BLOCK_BYTES
    return sum(sizes) // BLOCK_BYTES


def _check_capacity(claims: Sequence[Cut], array: ArraySettings, findings: Findings) -> None:
    blocks = capacity_most(array)
    for cut in claims:
        if blocks is not None and cut.range.last_lba >= blocks:
            findings.error(
                cut.line,
                "LBA",
                f"{cut.range} goes past the end of {array.name}, which has {blocks} blocks",
                f"a last block of {blocks - 1} at most",
            )


def _refuse_unknown(claims: Sequence[Cut], known: Sequence[str], findings: Findings) -> None:
    right = "the arrays are " + ", ".join(known) if known else "declare it: an ARRAY block with its DRIVEs"
    for cut in claims:
        findings.error(cut.line, "LBA", f"there is no ARRAY {cut.range.array}", right)


def _check_overlaps(claims: Sequence[Cut], findings: Findings) -> None:
    """One sweep in the order of the blocks; `widest` is the range that reaches furthest so far."""
    shares: dict[LbaRange, list[Cut]] = defaultdict(list)
    for cut in claims:
        shares[cut.range].append(cut)
    widest: Cut | None = None
    for span in sorted(shares, key=lambda span: (span.first_lba, span.last_lba)):
        _check_share(shares[span], findings)
        first = shares[span][0]
        if widest is not None and span.first_lba <= widest.range.last_lba:
            earlier, later = sorted((widest, first), key=lambda cut: cut.line)
            findings.error(
                later.line,
                "LBA",
                f"{later.range} overlaps {earlier.range}, {earlier.owner}",
                "blocks of its own, or exactly the same range to share it",
            )
        if widest is None or span.last_lba > widest.range.last_lba:
            widest = first


def _check_share(sharers: Sequence[Cut], findings: Findings) -> None:
    """Cuts of exactly the same range."""
    first_of: dict[str, Cut] = {}
    for cut in sharers:
        first = first_of.setdefault(cut.host, cut)
        if first is not cut:
            findings.error(cut.line, "LBA", f"{cut.range} is {first.owner} already", "give it to a host once")
    nobodys = first_of.get("")
    if nobodys is not None and len(first_of) > 1:
        owner = next(cut.owner for host, cut in first_of.items() if host)
        wrong = f"{nobodys.range} is nobody's here, and {owner}"
        findings.error(nobodys.line, "LBA", wrong, "leave this UNIT out: the partition is in use")
    _check_writers([cut for cut in first_of.values() if not cut.read_only and cut.host], findings)
    _check_one_uuid(sharers, findings)


def _check_writers(writers: Sequence[Cut], findings: Findings) -> None:
    """Several hosts may write the same blocks only when each of them says so."""
    if len(writers) < 2:
        return
    silent = [cut for cut in writers if not cut.shared_write]
    for cut in silent:
        other = next(each for each in writers if each is not cut)
        findings.error(
            cut.line,
            "ACCESS",
            f"{cut.range} is written by {cut.unit} of {cut.host} and by {other.owner}",
            "ACCESS = read-only for all but one, or SHARED_WRITE = yes in the UNIT of each that writes",
        )
    if not silent:
        findings.warn(
            f"{writers[0].range} is written by more than one host"
            f" ({', '.join(cut.owner for cut in writers)}). An ordinary file system on it will be destroyed;"
            " only software made for shared disks is safe."
        )


def _check_one_uuid(sharers: Sequence[Cut], findings: Findings) -> None:
    """The same blocks are the same partition."""
    named = [cut for cut in sharers if cut.uuid]
    for cut in named[1:]:
        if cut.uuid != named[0].uuid:
            wrong = f"{cut.range} is {named[0].uuid} on line {named[0].line}'s UNIT, and {cut.uuid} here"
            findings.error(cut.line, "UUID", wrong, "the same UUID in every UNIT of a shared partition")


def _check_uuids(cuts: Sequence[Cut], findings: Findings) -> None:
    """One UUID names one range."""
    known: dict[str, Cut] = {}
    for cut in cuts:
        first = known.setdefault(cut.uuid, cut) if cut.uuid else cut
        if first.range != cut.range:
            wrong = f"{cut.uuid} is {first.range}, {first.owner}, already"
            findings.error(cut.line, "UUID", wrong, "leave the line out: another partition has another UUID")


def _check_host_counts(cuts: Sequence[Cut], findings: Findings) -> None:
    """Section III: "up to sixteen partitions can be assigned to any given host 102"."""
    counts: dict[str, int] = defaultdict(int)
    for cut in cuts:
        counts[cut.host] += 1
        if cut.host and counts[cut.host] == UNITS_OF_HOST_MOST + 1:
            wrong = f"is partition number {UNITS_OF_HOST_MOST + 1} of {cut.host}"
            findings.error(cut.line, "LBA", wrong, f"at most {UNITS_OF_HOST_MOST} for a host (patent, Section III)")


def _check_count(cuts: Sequence[Cut], findings: Findings) -> None:
    seen: set[LbaRange] = set()
    for cut in cuts:
        if cut.range not in seen and len(seen) == PARTITIONS_MOST:
            findings.error(
                cut.line,
                "LBA",
                f"is partition number {PARTITIONS_MOST + 1} of this NSU",
                f"at most {PARTITIONS_MOST} (Appendix D, The Concept (3))",
            )
            return
        seen.add(cut.range)


def check_addresses(hosts: Sequence[tuple[Block, HostSettings]], findings: Findings) -> None:
    """Version 0x01 knows a host by its address alone, so no two may have the same."""
    known: dict[str, Block] = {}
    for block, host in hosts:
        if any(entry.key == HOST_SECRET_FILE.name for entry in block.entries):
            continue
        for address in host.addresses:
            other = known.setdefault(address, block)
            if other is not block:
                findings.error(
                    block.line,
                    block.kind,
                    f"{block.name} and {other.name} (line {other.line}) are both known by {address} alone",
                    "an address of its own, or a SECRET_FILE, for each",
                )


def check_secrets(hosts: Sequence[HostSettings], findings: Findings) -> None:
    """Two hosts with one secret can each log in as the other."""
    known: dict[bytes, HostSettings] = {}
    for host in hosts:
        for secret in host.secrets:
            other = known.setdefault(secret, host)
            if other is not host:
                findings.warn(
                    f"HOST {host.name} and HOST {other.name} have the same secret: each can log in as the other."
                )
