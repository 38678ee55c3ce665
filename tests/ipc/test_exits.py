"""Every exit status has its number, and a sentence of its own."""

import pytest

from ipc.exits import Exit, describe_exit


def test_numbers_are_those_that_parents_and_scripts_know() -> None:
    numbers = {status.name: int(status) for status in Exit}
    assert numbers == {
        "OK": 0, "FAILED": 1, "MISUSE": 2, "NEVER_AGAIN": 3, "PATH_LOST": 10, "PATH_REFUSED": 11,
        "DETACHED": 12, "LEFT_BUSY": 13,
    }  # fmt: skip


def test_no_two_statuses_share_a_sentence() -> None:
    assert len({status.sentence for status in Exit}) == len(Exit)


@pytest.mark.parametrize(
    ("status", "words"),
    [(-9, "killed by signal 9"), (3, "must not be started again"), (77, "exit status 77"), (0, "status 0")],
)
def test_any_status_is_put_into_words(status: int, words: str) -> None:
    assert words in describe_exit(status)
