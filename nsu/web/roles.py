"""What somebody may do: three roles, each of which includes those before it."""

from enum import IntEnum


class Role(IntEnum):
    """The roles, by rising rights."""

    LOOK = 1
    """See everything but secrets; change nothing."""
    OPERATE = 2
    """Also what leaves nsu.conf and all data as they are: compare an array, attach and detach a disk."""
    ADMINISTER = 3
    """Also partitions, drives, and nsu.conf."""

    @property
    def word(self) -> str:
        """Its name for people and files."""
        return self.name.lower()


ROLE_WORDS = tuple(role.word for role in Role)


def role_of(word: str) -> Role:
    """Give the role of a word. Raises KeyError."""
    return Role[word.upper()]
