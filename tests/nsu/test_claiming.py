"""Proves what an order of set-up makes of nsu.conf. That all or nothing is done: tests/system/test_setup.py."""

from pathlib import Path

import pytest

from nsu.claiming import carry_out, new_text
from nsu.conf.load import load_text
from protocol.setup.order import Order
from serverside.claim import is_claimed

BARE = "MACHINE box1\n  STATE = /var/lib/nsu\n  SETUP = eth1\n\nNSU box1  # as it came\n"
ADDRESSES = ("10.0.0.5/24", "fd00::5/64")


def test_name_listen_and_interface_are_written_and_the_rest_stays() -> None:
    text = new_text(BARE, "disks", "eth1", ADDRESSES)
    loaded = load_text(text, Path("nsu.conf"))
    assert loaded.server is not None
    assert loaded.server.name == "disks"
    assert loaded.server.listen == ("10.0.0.5", "fd00::5")
    assert loaded.machine.addresses == tuple(("eth1", address) for address in ADDRESSES)
    assert loaded.machine.setup == ("eth1",)
    assert text.startswith(BARE.replace("NSU box1", "NSU disks"))


def test_the_same_order_again_changes_nothing() -> None:
    text = new_text(BARE, "disks", "eth1", ADDRESSES)
    assert new_text(text, "disks", "eth1", ADDRESSES) == text


def test_an_nsu_keeps_its_name_when_none_is_given_and_gets_a_block_when_it_has_none() -> None:
    assert "NSU box1  # as it came" in new_text(BARE, "", "eth1", ADDRESSES)
    made = load_text(new_text("MACHINE box2\n  SETUP = eth1\n", "", "eth1", ADDRESSES), Path("nsu.conf"))
    assert made.server is not None
    assert made.server.name == "box2"


def test_other_addresses_take_the_place_of_former_ones_of_the_interface() -> None:
    text = new_text(new_text(BARE, "", "eth1", ADDRESSES), "", "eth1", ("10.0.0.6/24",))
    assert load_text(text, Path("nsu.conf")).machine.addresses == (("eth1", "10.0.0.6/24"),)


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (Order("", ("10.0.0.5",), "lo"), "has no prefix"),
        (Order("no name", ("10.0.0.5/24",), "lo"), "is not a name"),
        (Order("", ("10.0.0.5/24",), "nothere0"), "there is no interface nothere0"),
    ],
)
def test_an_order_that_cannot_be_done_claims_nothing(order: Order, why: str, tmp_path: Path) -> None:
    conf = tmp_path / "nsu.conf"
    conf.write_text(BARE)
    result = carry_out(order, "lo", b"\x02admin", conf_path=conf, state_dir=tmp_path)
    assert not result.done
    assert why in result.sentence
    assert conf.read_text() == BARE
    assert not is_claimed(tmp_path)
