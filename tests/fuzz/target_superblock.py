"""What a strange drive says of the array that it is of: superblocks, and what is recognised by them."""

from pathlib import Path
from uuid import UUID

from protocol.crc import crc32c
from serverside.arrays.raid5 import Raid5
from serverside.errors import SettingsError
from serverside.redundancy.assembly import Found, recognise
from serverside.redundancy.superblock import (
    SUPERBLOCK_BYTES,
    Label,
    MemberRecord,
    State,
    Superblock,
    decode,
    encode,
    looks_like_one,
)
from serverside.settings import ArraySettings, DriveSettings

FRONT_BYTES = 16
PLACES = 3
SETTINGS = ArraySettings(
    "unit0", "raid5", tuple(DriveSettings(Path(f"/drive{place}")) for place in range(PLACES)), stripe_bytes=65536
)
HONEST = Superblock(
    UUID(int=1),
    "unit0",
    "raid5",
    65536,
    1 << 20,
    1 << 30,
    tuple(MemberRecord(UUID(int=2 + p), State.IN) for p in range(PLACES)),
)
DRIVE_BYTES = 2 << 30


def seeds() -> list[bytes]:
    copies = [encode(Label(HONEST, UUID(int=2 + place), place)) for place in range(PLACES)]
    return [b"\1" + copies[0], *(b"\0" + copy[FRONT_BYTES:1600] for copy in copies), b"\0"]


def one_input(data: bytes) -> None:
    """Byte 0: bit 0 the input is the copy as it is; else what its CRC is over, and it has its CRC."""
    body = data[1 : 1 + SUPERBLOCK_BYTES]
    copy = body.ljust(SUPERBLOCK_BYTES, b"\0")
    if not data or not data[0] & 1:
        body = body[: SUPERBLOCK_BYTES - FRONT_BYTES].ljust(SUPERBLOCK_BYTES - FRONT_BYTES, b"\0")
        copy = encode(Label(HONEST, UUID(int=2), 0))[:12] + crc32c(body).to_bytes(4, "little") + body
    label = decode(copy)
    if label is None:
        return
    assert looks_like_one(copy)
    assert decode(encode(label)) == label, "said again it is another"
    assemble(label)


def assemble(label: Label) -> None:
    """The strange drive between two honest ones, at each place, and alone."""
    honest = [Found(f"/drive{p}", DRIVE_BYTES, Label(HONEST, UUID(int=2 + p), p)) for p in range(PLACES)]
    strange = Found("/strange", DRIVE_BYTES, label)
    for found in ([strange, *honest[1:]], [*honest[:2], strange], [strange]):
        try:
            assembly = recognise(SETTINGS, Raid5, found, ["one is away"], lambda: UUID(int=99))
        except SettingsError:
            continue
        truth = assembly.superblock
        assert truth.data_offset_bytes + truth.data_bytes <= DRIVE_BYTES
        assert all(0 <= place < PLACES and found[drive] for place, drive in assembly.drives.items())
