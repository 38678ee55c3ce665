"""What refuses a verb, a plan or its application: all sentences at once."""

from collections.abc import Iterable

from nsu.conf.errors import ChangeRefused


class NotSavedError(ChangeRefused):
    """It is not done, for it can't be written down: a full disk, a file system that is read-only."""


class Refused(ChangeRefused):
    """It is not done, and nothing was changed. `sentences`: all that stands in the way, and what would be right."""

    def __init__(self, *sentences: str) -> None:
        self.sentences = sentences
        super().__init__("\n".join(sentences))

    @classmethod
    def unless_empty(cls, sentences: Iterable[str]) -> None:
        """Raise with all of them, if there are any."""
        found = tuple(sentences)
        if found:
            raise cls(*found)
