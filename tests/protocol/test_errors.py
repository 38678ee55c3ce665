"""An edge that catches one error of the other side catches all of them, never our own, and has a sentence to show."""

import pytest

from protocol.errors import (
    LocalProtocolError,
    LoginRefused,
    ProtocolError,
    RemoteProtocolError,
    ServerNotProven,
    VersionMismatch,
)


@pytest.mark.parametrize("error", [RemoteProtocolError, VersionMismatch, LoginRefused, ServerNotProven])
def test_what_the_other_side_did_has_a_sentence(error: type[RemoteProtocolError]) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        raise error("The header is not one.")
    assert caught.value.sentence == str(caught.value) == "The header is not one."


def test_our_own_mistake_is_not_taken_for_the_other_sides() -> None:
    assert issubclass(LocalProtocolError, ProtocolError)
    assert not issubclass(LocalProtocolError, RemoteProtocolError)
