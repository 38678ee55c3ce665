"""Proves that we have not become much slower: our ratios to nbdkit are no worse than half of those that were kept.

Marked soak: it needs both cores to itself, for with other tests beside it the ratios move by a factor of two.
"""

import pytest

from bench.check import kept_ratios, measured, name_of, worse
from tests.programs import needs


@pytest.mark.soak
@needs("fio")
@needs("nbdkit")
def test_our_ratios_to_nbdkit_are_what_they_were_give_or_take_a_half() -> None:
    found = measured()
    assert {name_of(verdict) for verdict in found} == kept_ratios().keys()
    assert not worse(found, kept_ratios())
