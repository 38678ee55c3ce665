"""Proved: epochs, cookies, uuids and generations outlive starts and change exactly when they must."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serverside.errors import StateError
from serverside.identity import Identity, ZeroRange, read_units
from serverside.partitions.zero_live import NO_BOOT
from serverside.settings import HostSettings, PartitionSettings


def unit(
    name: str, first: int, last: int, *, zero: bool = True, read_only: bool = False, uuid: str = ""
) -> PartitionSettings:
    return PartitionSettings(name, "unit0", first, last, read_only, zero, uuid)


def host(name: str, *units: PartitionSettings) -> HostSettings:
    return HostSettings(name, (), None, (), units)


def settle(identity: Identity, hosts: Sequence[HostSettings]) -> list[UUID]:
    """Take in the hosts and units that there are now."""
    planned, forgotten = identity.plan(hosts)
    planned.prepare()
    identity.take(planned)
    return forgotten


def zero_ranges(folder: Path, hosts: Sequence[HostSettings]) -> list[ZeroRange]:
    identity = Identity(folder)
    settle(identity, hosts)
    return list(identity.zero_ranges())


def test_epochs_never_come_again(tmp_path: Path) -> None:
    seen = [identity.next_epoch() for identity in (Identity(tmp_path) for _ in range(3)) for _ in range(3)]
    assert seen == sorted(set(seen))
    assert seen[0] == 1 << 32 | 1
    assert seen[-1] == 3 << 32 | 3


def test_a_start_counts_though_nothing_came_of_it(tmp_path: Path) -> None:
    Identity(tmp_path)
    assert Identity(tmp_path).boot == 2


@settings(max_examples=20, deadline=None)  # each start is a real save, with its syncs
@given(st.lists(st.sampled_from("ABC"), min_size=1, max_size=8))
def test_the_cookie_changes_exactly_when_the_settings_do(
    tmp_path_factory: pytest.TempPathFactory, fingerprints: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("state")
    cookies = [Identity(folder, lambda _bits: 0xFFFFFFFE).cookie_for(text) for text in fingerprints]
    assert cookies[0] == 0xFFFFFFFE
    assert all(0 <= cookie <= 0xFFFFFFFF for cookie in cookies)
    for at in range(1, len(cookies)):
        assert (cookies[at] == cookies[at - 1]) == (fingerprints[at] == fingerprints[at - 1])


def test_a_lost_state_does_not_repeat_the_cookie(tmp_path: Path) -> None:
    assert Identity(tmp_path / "a").cookie_for("A") != Identity(tmp_path / "b").cookie_for("B")


CHANGES = {
    "nothing": (unit("unit_1", 0, 99), False, False),
    "resized": (unit("unit_1", 0, 199), True, False),
    "access": (unit("unit_1", 0, 99, read_only=True), True, False),
    "zero": (unit("unit_1", 0, 99, zero=False), True, False),
    "moved": (unit("unit_1", 100, 199), True, True),
    "array": (PartitionSettings("unit_1", "unit9", 0, 99, zero=True), True, True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_generation_and_uuid_of_a_changed_unit(tmp_path: Path, change: str) -> None:
    after, grows, is_new = CHANGES[change]
    first = Identity(tmp_path)
    settle(first, [host("host1", unit("unit_1", 0, 99)), host("host2", unit("unit_1", 0, 99))])
    old = first.unit("host1", "unit_1")
    assert old.generation == 1
    second = Identity(tmp_path)
    settle(second, [host("host1", after), host("host2", unit("unit_1", 0, 99))])
    new = second.unit("host1", "unit_1")
    assert new.generation == (3 if grows else 1)  # 2 is the other host's
    assert (new.uuid != old.uuid) == is_new
    assert second.unit("host2", "unit_1") == first.unit("host2", "unit_1")


def test_no_generation_is_ever_given_twice(tmp_path: Path) -> None:
    """A number that another unit takes over can't be mistaken: (number, generation) means one unit for ever."""
    seen: list[int] = []
    for last_lba in (99, 199):
        identity = Identity(tmp_path)
        settle(identity, [host("host1", unit("unit_0", 0, last_lba), unit("unit_1", 200, 200 + last_lba))])
        seen += [identity.unit("host1", name).generation for name in ("unit_0", "unit_1")]
    assert len(set(seen)) == 4


def test_units_of_two_hosts_have_two_uuids_and_one_range(tmp_path: Path) -> None:
    identity = Identity(tmp_path)
    settle(identity, [host("host1", unit("unit_1", 0, 99)), host("host2", unit("other", 0, 99))])
    assert identity.unit("host1", "unit_1").uuid != identity.unit("host2", "other").uuid
    assert [(r.array, r.first_lba, r.blocks) for r in identity.zero_ranges()] == [("unit0", 0, 100)]


def test_a_removed_unit_comes_back_with_a_new_generation(tmp_path: Path) -> None:
    """As it was, to the block; but others may have had its blocks meanwhile."""
    identity = Identity(tmp_path)
    here = [host("host1", unit("unit_1", 0, 99))]
    settle(identity, here)
    before = identity.unit("host1", "unit_1")
    settle(identity, [host("host2", unit("unit_1", 50, 149))])
    settle(identity, here)
    after = identity.unit("host1", "unit_1")
    assert (after.uuid, after.generation) == (before.uuid, 3)
    settle(Identity(tmp_path), here)
    assert Identity(tmp_path).unit("host1", "unit_1") == after, "it is not gone any more"


def test_a_removed_unit_comes_back_with_its_uuid(tmp_path: Path) -> None:
    identity = Identity(tmp_path)
    settle(identity, [host("host1", unit("unit_1", 0, 99))])
    before = identity.unit("host1", "unit_1")
    settle(identity, [])
    assert list(identity.zero_ranges()) == []
    settle(identity, [host("host1", unit("unit_1", 0, 199))])
    assert identity.unit("host1", "unit_1").uuid == before.uuid
    assert identity.unit("host1", "unit_1").generation == 2


A = [host("host1", unit("unit_1", 0, 99))]
SAME = {
    "as it was": [A],
    "grown": [[host("host1", unit("unit_1", 0, 500))]],
    "shrunk": [[host("host1", unit("unit_1", 0, 9))]],
    "read-only": [[host("host1", unit("unit_1", 0, 99, read_only=True))]],
    "given to another host": [[host("host2", unit("unit_1", 0, 99))]],
    "shared, then left to the other": [
        [*A, host("host2", unit("mine", 0, 99))],
        [host("host2", unit("mine", 0, 99))],
    ],
    "out for an hour": [[], A],
    "out, while a neighbour came": [[host("host2", unit("next", 100, 150))], A],
    "a user without ZERO": [[*A, host("host2", unit("mine", 0, 99, zero=False))]],
}
NEW = {
    "another owner at once": [[host("host2", unit("unit_2", 0, 99))]],
    "another owner later": [[], [host("host2", unit("unit_2", 0, 99))]],
    "back after another owner": [[host("host2", unit("unit_2", 0, 99))], A],
    "back after one who lay over its end": [[host("host2", unit("unit_2", 99, 120, zero=False))], A],
    "without ZERO in between": [[host("host1", unit("unit_1", 0, 99, zero=False))], A],
}


@pytest.mark.parametrize("history", SAME)
def test_a_range_keeps_its_map(tmp_path: Path, history: str) -> None:
    first = zero_ranges(tmp_path, A)[0]
    for hosts in SAME[history]:
        last = zero_ranges(tmp_path, hosts)
    assert first.uuid in [r.uuid for r in last]


@pytest.mark.parametrize("history", NEW)
def test_a_range_gets_a_new_map(tmp_path: Path, history: str) -> None:
    first = zero_ranges(tmp_path, A)[0]
    for hosts in NEW[history]:
        last = zero_ranges(tmp_path, hosts)
    assert len(last) == 1
    assert last[0].uuid != first.uuid


def test_forgotten_ranges_are_told_once(tmp_path: Path) -> None:
    identity = Identity(tmp_path)
    assert settle(identity, A) == []
    uuid = next(identity.zero_ranges()).uuid
    assert settle(identity, []) == []
    assert settle(identity, [host("host2", unit("unit_2", 50, 60, zero=False))]) == [uuid]
    assert settle(identity, []) == []


def test_nothing_new_writes_nothing(tmp_path: Path) -> None:
    identity = Identity(tmp_path)
    settle(identity, A)
    identity.cookie_for("A")
    before = identity.path.stat().st_ino
    settle(identity, A)
    identity.cookie_for("A")
    assert identity.path.stat().st_ino == before


DAMAGES: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "cut": lambda text: text[: len(text) // 2],
    "other version": lambda text: text.replace('"version": 1', '"version": 2'),
    "no boot": lambda text: text.replace('"boot"', '"boat"'),
    "negative": lambda text: text.replace('"boot": 1', '"boot": -1'),
    "a list": lambda text: "[]",
    "a word for a number": lambda text: text.replace('"last_lba": 99', '"last_lba": "99"'),
    "no uuid": lambda text: text.replace('"uuid": "', '"uuid": "x'),
    "an unknown field": lambda text: text.replace('"generation"', '"generations"'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_and_kept(tmp_path: Path, damage: str) -> None:
    identity = Identity(tmp_path)
    settle(identity, A)
    text = identity.path.read_text()
    identity.path.write_text(DAMAGES[damage](text))
    damaged = identity.path.read_bytes()
    assert damaged != text.encode()
    with pytest.raises(StateError, match=r"identity\.json is damaged .*Restore it from a backup"):
        Identity(tmp_path)
    assert identity.path.read_bytes() == damaged


def test_a_save_is_whole_and_private_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "identity.json.new").write_text("half a sa")
    identity = Identity(tmp_path)
    assert json.loads(identity.path.read_text())["boot"] == 1
    assert identity.path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [identity.path]
    assert UUID(next(iter(zero_ranges(tmp_path, A))).uuid.hex).version == 4


# --- the write verifier ---

ONE, OTHER = b"1" * 16, b"2" * 16


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([ONE, OTHER, NO_BOOT]), st.booleans()), min_size=2, max_size=6))
def test_the_verifier_changes_exactly_when_what_was_volatile_may_be_lost(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[bytes, bool]]
) -> None:
    """A run is known by the boot of its machine and by whether it came to an orderly end."""
    folder = tmp_path_factory.mktemp("state")
    verifiers, losses = [], []
    for boot, ends_well in runs:
        identity = Identity(folder, lambda _bits: 0xFFFFFFFF, boot)
        verifiers.append(identity.verifier)
        losses.append(identity.has_lost)
        if ends_well:
            identity.note_clean()
    assert losses[0] is False
    for at in range(1, len(runs)):
        (before, ended_well), (boot, _) = runs[at - 1], runs[at]
        is_lost = not ended_well and (boot != before or boot == NO_BOOT)
        assert losses[at] == is_lost
        assert (verifiers[at] != verifiers[at - 1]) == is_lost
        assert 0 < verifiers[at] <= 0xFFFFFFFF


def test_the_mark_of_an_orderly_end_is_gone_at_the_start_whatever_comes_of_it(tmp_path: Path) -> None:
    Identity(tmp_path, machine_boot=ONE).note_clean()
    first = Identity(tmp_path, machine_boot=ONE)
    assert Identity(tmp_path, machine_boot=OTHER).verifier != first.verifier


def test_another_nsu_or_a_lost_state_has_another_verifier(tmp_path: Path) -> None:
    assert Identity(tmp_path / "a", machine_boot=ONE).verifier != Identity(tmp_path / "b", machine_boot=ONE).verifier


def test_a_state_of_a_version_that_knew_of_no_verifier_has_lost_nothing(tmp_path: Path) -> None:
    path = Identity(tmp_path, machine_boot=ONE).path
    content = json.loads(path.read_text())
    for key in ("verifier", "machine_boot", "is_clean"):
        del content[key]
    path.write_text(json.dumps(content))
    later = Identity(tmp_path, machine_boot=OTHER)
    assert later.verifier
    assert not later.has_lost
    assert later.boot == 2


# -- uuids that nsu.conf says

THIS, THAT = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"


def test_a_partition_keeps_its_uuid_and_its_data_through_another_name_host_and_size(tmp_path: Path) -> None:
    identity, before = Identity(tmp_path), 0
    maps = set()
    for owner, said in (
        ("a", unit("one", 0, 99, uuid=THIS)),
        ("a", unit("two", 0, 99, uuid=THIS)),
        ("b", unit("two", 0, 99, uuid=THIS)),
        ("", unit("two", 0, 99, uuid=THIS)),
        ("b", unit("two", 0, 199, uuid=THIS)),
    ):
        assert settle(identity, [host(owner, said)]) == [], "its map is not forgotten"
        known = identity.unit(owner, said.name)
        assert (str(known.uuid), known.generation > before) == (THIS, True)
        before = max(before, known.generation)
        maps |= {range_.uuid for range_ in identity.zero_ranges()}
    assert len(maps) == 1


def test_a_new_partition_of_an_old_name_in_an_old_place_is_new(tmp_path: Path) -> None:
    """What its predecessor wrote must not show (trap 18), nor a request that was meant for it be served (trap 24)."""
    identity = Identity(tmp_path)
    settle(identity, [host("a", unit("one", 0, 99, uuid=THIS))])
    (first,), generation = identity.zero_ranges(), identity.unit("a", "one").generation
    for hosts in ([host("a")], [host("a", unit("one", 0, 99, uuid=THAT))]):
        forgotten = settle(identity, hosts)
    assert forgotten == [first.uuid]
    (second,) = identity.zero_ranges()
    assert second.uuid != first.uuid
    assert identity.unit("a", "one").generation > generation


def test_what_state_knew_is_said_in_nsu_conf_later_and_stays_the_same(tmp_path: Path) -> None:
    identity = Identity(tmp_path)
    settle(identity, [host("a", unit("one", 0, 99))])
    (before,), uuid = identity.zero_ranges(), str(identity.unit("a", "one").uuid)
    assert [(record.host, record.name, record.uuid) for record in read_units(tmp_path)] == [("a", "one", uuid)]
    settle(identity, [host("b", unit("renamed", 0, 99, uuid=uuid))])
    (after,) = identity.zero_ranges()
    assert after == before


def test_a_state_from_before_ranges_knew_their_partitions_is_understood(tmp_path: Path) -> None:
    identity = Identity(tmp_path)
    settle(identity, [host("a", unit("one", 0, 99))])
    (before,), uuid = identity.zero_ranges(), str(identity.unit("a", "one").uuid)
    path = tmp_path / "identity.json"
    content = json.loads(path.read_text())
    for record in content["ranges"]:
        del record["partitions"]
    path.write_text(json.dumps(content))
    again = Identity(tmp_path)
    settle(again, [host("b", unit("renamed", 0, 99, uuid=uuid))])
    assert list(again.zero_ranges()) == [before]


def test_the_instance_is_the_same_as_long_as_there_is_a_state(tmp_path: Path) -> None:
    first = Identity(tmp_path / "a").instance
    assert Identity(tmp_path / "a").instance == first
    assert Identity(tmp_path / "b").instance != first
