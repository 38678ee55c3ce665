"""Every refusal names an errno of Linux and a sentence that fits its field; errno numbers are Linux's."""

import errno
import sys

import pytest

from protocol.limits import SENTENCE_BYTES
from protocol.status import DETAILS, Detail, Status


@pytest.mark.skipif(sys.platform != "linux", reason="errno numbers differ elsewhere; ours are Linux's")
def test_status_numbers_are_those_of_linux() -> None:
    for status in Status:
        if status not in (Status.OK, Status.REFUSED):
            assert getattr(errno, status.name) == status


@pytest.mark.parametrize("detail", Detail)
def test_each_detail_fails_and_says_why(detail: Detail) -> None:
    status, sentence = DETAILS[detail]
    assert status != Status.OK
    assert sentence.endswith(".")
    assert len(sentence.encode()) <= SENTENCE_BYTES
