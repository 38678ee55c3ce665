"""Proves that a claim key is made once, for its owner alone, and is gone with the claim."""

import os
from pathlib import Path

import pytest

from protocol.setup.claim_key import read_claim_key
from serverside.claim import KEY_NAME, RECORD_NAME, claim_key, is_claimed, mark_claimed
from serverside.errors import StateError


def test_it_is_made_once_with_mode_0600(tmp_path: Path) -> None:
    key = claim_key(tmp_path, os.urandom)
    path = tmp_path / KEY_NAME
    assert claim_key(tmp_path, os.urandom) == key
    assert read_claim_key(path.read_text()) == key
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_foreign_file_is_refused_and_left_alone_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / KEY_NAME).write_text("ABCD-something-else\n")
    with pytest.raises(StateError, match="holds no claim key") as refusal:
        claim_key(tmp_path, os.urandom)
    assert "ABCD" not in str(refusal.value)
    assert (tmp_path / KEY_NAME).read_text() == "ABCD-something-else\n"


def test_one_that_others_can_read_is_refused(tmp_path: Path) -> None:
    claim_key(tmp_path, os.urandom)
    (tmp_path / KEY_NAME).chmod(0o644)
    with pytest.raises(StateError, match="open to others"):
        claim_key(tmp_path, os.urandom)


def test_the_claim_is_marked_and_the_key_goes(tmp_path: Path) -> None:
    claim_key(tmp_path, os.urandom)
    assert not is_claimed(tmp_path)
    mark_claimed(tmp_path, {"by": "02:00:00:00:00:01"})
    assert is_claimed(tmp_path)
    assert not (tmp_path / KEY_NAME).exists()


def test_a_record_that_cannot_be_read_is_a_claim_all_the_same(tmp_path: Path) -> None:
    (tmp_path / RECORD_NAME).write_text("")
    assert is_claimed(tmp_path)
    (tmp_path / RECORD_NAME).unlink()
    (tmp_path / RECORD_NAME).symlink_to(tmp_path / "nowhere")
    assert is_claimed(tmp_path)
