"""Proves that a refusal says all that stands in the way at once."""

import pytest

from nsu.conf.errors import ChangeRefused
from nsu.partitions.errors import Refused


def test_all_sentences_are_told() -> None:
    with pytest.raises(ChangeRefused, match="one thing\nanother") as refused:
        Refused.unless_empty(["one thing", "another"])
    assert isinstance(refused.value, Refused)
    assert refused.value.sentences == ("one thing", "another")
    Refused.unless_empty([])
