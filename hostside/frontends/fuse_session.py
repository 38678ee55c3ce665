"""The door to the FUSE library (mfusepy, over libfuse 3): a mount, served by the library's own threads.

The library is imported when it is first needed: a machine without libfuse shows its disks in other ways.
docs/decisions/0006-fuse-library.md says why this one.
"""

import errno
from pathlib import Path
from typing import Any

from hostside.frontends.aside import Answer, Aside
from hostside.frontends.fuse_folder import REQUEST_BYTES, Folder
from hostside.frontends.fuse_mount import FILE_SYSTEM, unmount

THREADS = 32
"""Each carries one request at a time, so these are the requests under way at once."""
UP_MOST_S = 5.0
END_MOST_S = 2.0


class Session:
    """`folder` mounted on `at`. The mount stands when `wait_up` returns.

    Raises:
        OSError: there is no libfuse; or the kernel refuses the mount.

    """

    def __init__(self, folder: Folder, at: Path, up: Answer, *, read_only: bool, for_others: bool) -> None:
        library = _library()
        self._at = at
        self._folder = folder
        self._up = up
        self._options: dict[str, object] = {
            "raw_fi": True,
            "foreground": True,
            "fsname": f"{FILE_SYSTEM}:{at.name}",
            "subtype": FILE_SYSTEM,
            "default_permissions": True,
            "max_read": REQUEST_BYTES,
            "ro" if read_only else "rw": True,
            "allow_other": for_others,
        }
        if library.fuse_version_minor >= 12:
            # Idle ones are kept too, for making a thread at each burst costs more than having it.
            self._options["max_threads"] = self._options["max_idle_threads"] = THREADS
        self._for_others = for_others
        self._library = library
        self._thread = Aside(self._serve)

    def wait_up(self) -> None:
        """Wait until the kernel and the library have agreed.

        Raises:
            OSError: they did not.

        """
        step_s = 0.01
        for _ in range(int(UP_MOST_S / step_s)):
            if self._up.wait(step_s):
                return
            if self._thread.join(0):
                break
        self.end()
        why = self._thread.error or "it does not answer"
        needs = "root, or fusermount3 of the package fuse3"
        if self._for_others:
            needs += ", with user_allow_other in /etc/fuse.conf as OWNER and MODE let others in"
        raise OSError(
            errno.ENODEV,
            f"no FUSE mount can be made at {self._at} ({why}): is /dev/fuse there, and may this user mount ({needs})?",
        )

    def _serve(self) -> None:
        self._library.FUSE(self._folder, str(self._at), **self._options)

    def end(self) -> bool:
        """Unmount, and wait a while for the library's threads; False: some user keeps one in the kernel."""
        unmount(self._at)
        return self._thread.join(END_MOST_S)


def _library() -> Any:
    try:
        import mfusepy
    except (ImportError, OSError, AttributeError) as error:
        raise OSError(
            errno.ENOSYS, f"SHOW = fuse and loop need libfuse 3 ({error}); Debian: apt-get install libfuse3-3"
        ) from error
    return mfusepy
