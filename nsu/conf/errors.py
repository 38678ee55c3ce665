"""What is wrong with an nsu.conf.

    Exception
     ├─ ConfErrors     all the errors of a file in one go; each a ConfError
     └─ ChangeRefused  a change that cannot be made to the file, though the file is good

An error names file, line and key, says what is wrong, and what would be right.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, order=True)
class ConfError:
    """One error. Line 0: the file as a whole."""

    file: str
    line: int
    key: str
    wrong: str
    right: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else f"{self.file}"
        return f"{place}: {self.key}: {self.wrong}; {self.right}"


class ConfErrors(Exception):  # noqa: N818 -- the plural is the point
    """Everything that is wrong with a file; `str()` gives one error on each line."""

    def __init__(self, errors: Iterable[ConfError]) -> None:
        self.errors = sorted(errors)
        super().__init__("\n".join(map(str, self.errors)))


class ChangeRefused(Exception):  # noqa: N818 -- the file and the program are both in order
    """A change to a good file that cannot be made, in a sentence."""


class Findings:
    """Collects what a file's checks find, so that one bad line does not hide the next."""

    def __init__(self, file: Path) -> None:
        self._file = str(file)
        self._errors: list[ConfError] = []
        self._warnings: list[str] = []
        self._spoilt: set[tuple[int, str]] = set()

    def error(self, line: int, key: str, wrong: str, right: str) -> None:
        """A reason not to use the file."""
        self._errors.append(ConfError(self._file, line, key, wrong, right))

    def warn(self, sentence: str) -> None:
        """Something the file may say, and people should know."""
        self._warnings.append(sentence)

    def spoil(self, block_line: int, key: str) -> None:
        """Note that the block on that line has a line of `key` that cannot be understood."""
        self._spoilt.add((block_line, key))

    def is_spoilt(self, block_line: int, key: str) -> bool:
        """Was the key meant in that block, on a line that is an error already? Then it is not missing as well."""
        return (block_line, key) in self._spoilt

    @property
    def errors(self) -> tuple[ConfError, ...]:
        """The errors, in the order of the lines."""
        return tuple(sorted(self._errors))

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings, in the order they were found."""
        return tuple(self._warnings)

    def raise_if_any(self) -> None:
        """Raise `ConfErrors` with all errors, if there are any."""
        if self._errors:
            raise ConfErrors(self._errors)
