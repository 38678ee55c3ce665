"""What is answered when something can't be done: one sentence, as JSON to programs and as a page to people."""

from collections.abc import Sequence

from ipc.control import ControlError, RefusedError
from nsu.conf.errors import ChangeRefused, ConfErrors
from nsu.partitions.errors import NotSavedError
from nsu.web.store import StoreError


class Refused(Exception):  # noqa: N818 -- it is no error of the program's
    """A request that is answered with an error status."""

    def __init__(
        self, status: int, sentence: str, details: Sequence[str] = (), headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.details = list(details)
        self.headers = headers or {}


def refusal_of(error: Exception) -> Refused | None:
    """Give the answer to what the engine, the control sockets and the files say; None: that is a fault of ours."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, ControlError):
        return Refused(409 if isinstance(error, RefusedError) else 503, str(error))
    if isinstance(error, ConfErrors):
        return Refused(409, "nsu.conf would not be good", [str(one) for one in error.errors])
    if isinstance(error, ChangeRefused):
        return Refused(503 if isinstance(error, NotSavedError) else 409, str(error))
    if isinstance(error, StoreError):
        return Refused(503, str(error))
    return None
