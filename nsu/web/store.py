"""A small JSON file of STATE that several processes read and the command line changes: users, tokens.

Guarantees: mode 0600; a reader sees the old file or the new one, never a part; two changes never lose one. A file that
is no JSON object is an error, never "nobody": that would be overwritten by the next change.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Rows = dict[str, dict[str, Any]]


class StoreError(Exception):
    """The file can't be used; the text is a sentence for people."""


class Store:
    """Rows by key in the file `path`, whose folder is made for its owner alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> Rows:
        """Read all rows; none when there is no file. Raises StoreError."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.path} can't be read: {error}; remove it, and enter anew what it held") from error
        if not isinstance(found, dict) or not all(isinstance(row, dict) for row in found.values()):
            raise StoreError(f"{self.path} is not ours; remove it, and enter anew what it held")
        return found

    @contextmanager
    def change(self) -> Iterator[Rows]:
        """Hand out the rows to be changed; they are saved when the block ends well. Raises StoreError."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise StoreError(f"{self.path.parent} can't be written: {error.strerror}; ask as who runs nsu") from error
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            rows = self.rows()
            yield rows
            self._save(rows)
            os.fsync(folder)
        except OSError as error:
            raise StoreError(f"{self.path} can't be written: {error.strerror}; ask as who runs nsu") from error
        finally:
            os.close(folder)

    def _save(self, rows: Rows) -> None:
        fresh = self.path.with_name(f".{self.path.name}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
            file.flush()
            os.fsync(descriptor)
        os.rename(fresh, self.path)
