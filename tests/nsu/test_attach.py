"""Proves that what is to be attached is what nsu.conf and the options say, and that doubts are told, not guessed."""

from pathlib import Path
from typing import Any

import pytest

from hostside.settings import DiskSettings, HostRoleSettings, ServerEntry
from nsu.attach import NotAttachedError, attached_words, detached_words, wanted_disk

UNIT_1 = DiskSettings("unit_1", 0, "socket", Path("/run/nsu/mine.sock"), mode=0o660)


def entry(name: str, *disks: DiskSettings, secret: bytes | None = bytes(32)) -> ServerEntry:
    return ServerEntry(name, ("127.0.0.1",), 10001, "host1", secret, 4, None, disks)


def host(*entries: ServerEntry) -> HostRoleSettings:
    return HostRoleSettings("m1", Path("/state"), entries)


ONE = host(entry("box1", UNIT_1))
TWO = host(entry("box1", UNIT_1), entry("box2", secret=None))


def wanted(host: HostRoleSettings, name: str, **options: object) -> tuple[str, DiskSettings]:
    given = {"server": None, "show": None, "at": None, **options}
    server, disk = wanted_disk(host, name, **given)  # type: ignore[arg-type]
    return server.name, disk


def test_a_disk_block_is_taken_as_it_is() -> None:
    assert wanted(ONE, "unit_1") == ("box1", UNIT_1)
    assert wanted(TWO, "unit_1", server="box1", show="socket") == ("box1", UNIT_1)


def test_another_way_to_show_it_brings_its_own_place() -> None:
    assert wanted(ONE, "unit_1", show="loop")[1] == DiskSettings("unit_1", 0, "loop", Path("/run/nsu/unit_1"))
    at = Path("/mnt/d/disk")
    assert wanted(ONE, "unit_1", show="fuse", at=at)[1] == DiskSettings("unit_1", 0, "fuse", at)


def test_a_partition_without_a_block_is_shown_as_a_socket_unless_told() -> None:
    assert wanted(ONE, "u9")[1] == DiskSettings("u9", 0, "socket", Path("/run/nsu/u9.sock"))
    assert wanted(TWO, "u9", server="box1", show="nbd")[1] == DiskSettings("u9", 0, "nbd", Path("/run/nsu/u9"))


@pytest.mark.parametrize(
    ("name", "server", "words"),
    [
        ("u9", None, "no DISK u9 in nsu.conf; which SERVER has it? --server is one of: box1, box2"),
        ("u9", "box3", "there is no SERVER box3; there are: box1, box2"),
        ("u9", "box2", "SERVER box2 speaks version 0x01, which has no names: give it a DISK u9 with its NUMBER"),
        ("unit_1", "box2", "unit_1 is a DISK of SERVER box1, not of box2"),
    ],
)
def test_doubts_are_told(name: str, server: str | None, words: str) -> None:
    with pytest.raises(NotAttachedError) as refused:
        wanted(TWO, name, server=server)
    assert str(refused.value) == words


def test_the_words_say_where_it_is_and_what_became_of_it() -> None:
    shown: dict[str, Any] = {
        "name": "unit_1", "at": "/run/nsu/unit_1", "uri": None, "size_bytes": 10 << 30, "read_only": False,
        "seconds": 0.041, "process": {"device": "/dev/loop3"},
    }  # fmt: skip
    words = "unit_1 is attached: /dev/loop3, by the link /run/nsu/unit_1, 10 GiB, read-write, after 0.04 s"
    assert attached_words(shown) == words
    shown |= {"uri": "nbd+unix:///unit_1?socket=/a", "process": {"device": None}, "read_only": True}
    assert attached_words(shown) == "unit_1 is attached: nbd+unix:///unit_1?socket=/a, 10 GiB, read-only, after 0.04 s"
    answer = {"users": ["mounted at /mnt"], "killed": True, "seconds": 2.0}
    words = detached_words("unit_1", answer, is_named=True)
    for part in ("after 2.00 s", "was killed", "taken from: mounted at /mnt", "the next start attaches it again"):
        assert part in words
    assert detached_words("u", {"users": [], "killed": False, "seconds": 0.1}, is_named=False) == (
        "u is detached, after 0.10 s."
    )
