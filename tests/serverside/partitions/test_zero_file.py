"""Proved: the file of a zero map keeps the newest whole map, whatever is torn, and refuses damage."""

from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serverside.errors import StateError
from serverside.partitions.zero_file import ZeroFile, ZeroImage, decode, encode

NAME = UUID(int=77)


def image(sequence: int, bits: bytes = b"\x01\x80", uuid: UUID = NAME) -> ZeroImage:
    return ZeroImage(uuid, 30000, 1 << 20, sequence, bits)


def test_the_layout_is_fixed() -> None:
    copy = encode(image(5, b"\xff"))
    assert len(copy) == 4096
    assert copy[:12] == b"NSUZERO\0\x01\0\0\0"
    assert copy[16:32] == NAME.bytes
    assert [int.from_bytes(copy[at : at + 8], "little") for at in (32, 40, 48, 56)] == [30000, 1 << 20, 5, 1]
    assert copy[64:66] == b"\xff\0"


@settings(deadline=None)
@given(st.binary(max_size=5000), st.integers(0, 2**64 - 1))
def test_what_is_encoded_is_decoded(bits: bytes, sequence: int) -> None:
    assert decode(encode(image(sequence, bits))) == image(sequence, bits)


@settings(deadline=None)
@given(st.integers(0, 65), st.integers(1, 255))
def test_any_damaged_byte_is_noticed(at: int, change: int) -> None:
    copy = bytearray(encode(image(5)))
    copy[at] ^= change
    assert decode(bytes(copy)) is None


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_rubbish_is_no_map(rubbish: bytes) -> None:
    assert decode(rubbish) is None


def made(folder: Path) -> ZeroFile:
    file = ZeroFile(folder / "zero", NAME)
    assert file.load() is None
    file.prepare(image(1, b"\0\0"))
    file.publish()
    return file


def loaded(folder: Path) -> ZeroImage | None:
    file = ZeroFile(folder / "zero", NAME)
    try:
        return file.load()
    finally:
        file.close()


def test_the_newest_save_is_loaded(tmp_path: Path) -> None:
    file = made(tmp_path)
    assert loaded(tmp_path) == image(1, b"\0\0")
    for sequence in range(2, 6):
        file.save(image(sequence, bytes([sequence, 0])))
        assert loaded(tmp_path) == image(sequence, bytes([sequence, 0]))
    assert (tmp_path / "zero" / f"{NAME}.map").stat().st_size == 2 * 4096
    file.close()


@pytest.mark.parametrize("whole_bytes", [0, 1, 20, 60, 65])
def test_a_torn_save_leaves_the_former_map(tmp_path: Path, whole_bytes: int) -> None:
    file = made(tmp_path)
    file.save(image(2, b"\x01\0"))
    copy = encode(image(3, b"\x03\x01"))
    file.write(copy[:whole_bytes], 3 % 2 * len(copy))
    assert loaded(tmp_path) == image(2, b"\x01\0")
    file.close()


def test_two_damaged_copies_are_refused_and_kept(tmp_path: Path) -> None:
    file = made(tmp_path)
    file.write(b"x", 40)
    file.write(b"x", 4096 + 40)
    file.close()
    before = file.path.read_bytes()
    with pytest.raises(StateError, match=f"{NAME}.map is damaged: neither of its two copies is whole"):
        loaded(tmp_path)
    assert file.path.read_bytes() == before


def test_another_ones_map_is_refused(tmp_path: Path) -> None:
    file = ZeroFile(tmp_path / "zero", UUID(int=78))
    file.prepare(image(1, uuid=UUID(int=78)))
    file.publish()
    file.close()
    file.path.rename(file.path.with_name(f"{NAME}.map"))
    with pytest.raises(StateError, match="damaged"):
        loaded(tmp_path)


def test_a_map_of_another_size_replaces_the_file(tmp_path: Path) -> None:
    file = made(tmp_path)
    file.prepare(image(2, bytes(9000)))
    file.publish()
    file.save(image(3, b"\x01" * 9000))
    assert loaded(tmp_path) == image(3, b"\x01" * 9000)
    assert [path.name for path in file.path.parent.iterdir()] == [f"{NAME}.map"]
    file.close()


def test_what_a_killed_process_left_in_the_page_cache_is_synced_before_it_is_believed(tmp_path: Path) -> None:
    steps: list[str] = []

    class Watched(ZeroFile):
        def sync(self) -> None:
            steps.append("sync")
            super().sync()

    file = made(tmp_path)
    killed = image(2, b"\1\0")
    file.write(encode(killed), 0)  # and no sync: it was killed between the two
    file.close()
    again = Watched(tmp_path / "zero", NAME)
    assert again.load() == killed
    assert steps == ["sync"]
    again.close()


def test_a_map_that_cannot_be_synced_is_not_believed(tmp_path: Path) -> None:
    class Failing(ZeroFile):
        def sync(self) -> None:
            raise OSError(5, "Input/output error")

    made(tmp_path).close()
    file = Failing(tmp_path / "zero", NAME)
    with pytest.raises(StateError, match="can't be synced"):
        file.load()
    file.close()
