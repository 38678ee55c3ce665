"""The choice is the highest common bit, and no mask brings a host below its floor."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.limits import U32_MAX
from protocol.versions import V1, V2, choose_version, describe_versions, floor_of

masks = st.integers(0, U32_MAX)


@given(masks, masks)
def test_choice_is_the_highest_bit_both_have(offered: int, supported: int) -> None:
    chosen = choose_version(offered, supported)
    if chosen is None:
        assert offered & supported == 0
        return
    assert chosen.bit_count() == 1
    assert chosen & offered & supported
    assert not any(1 << bit & offered & supported for bit in range(chosen.bit_length(), 32))


@given(masks, masks)
def test_no_offer_brings_a_host_below_its_floor(offered: int, supported: int) -> None:
    assert choose_version(offered, floor_of(supported, has_secret=True)) != V1
    assert choose_version(offered, floor_of(supported, has_secret=False)) in (None, V1)


def test_words_for_masks() -> None:
    assert describe_versions(0) == "no version"
    assert describe_versions(V2) == "version 0x02"
    assert describe_versions(V1 | V2 | 1 << 31) == "versions 0x01, 0x02 and 0x80000000"
