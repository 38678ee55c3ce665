"""Detach a disk by force from under its users, read from the device they still have, and attach the disk again.

python3 -m tests.system.guest.programs.reattach CONTROL SERVER NAME AT

It asks the host process what `nsu detach --force` and `nsu attach --show nbd` ask, without the command line's imports:
emulated, they take longer than all the rest. It says «FORCED seconds users», «OLD device: error» and «ATTACHED
seconds device».
"""

import os
import sys
from pathlib import Path

from ipc.control import control_call


def main(control: str, server: str, name: str, at: Path) -> None:
    old = at.readlink()
    answer = control_call(control, "detach", timeout_s=20.0, name=name, force=True)
    print("FORCED", answer["seconds"], *answer["users"], flush=True)
    print("OLD", f"{old}: {read_error(old)}", flush=True)
    disk = {"name": name, "number": 0, "show": "nbd", "at": str(at)}
    answer = control_call(control, "attach", timeout_s=20.0, server=server, disk=disk)
    print("ATTACHED", answer["seconds"], at.readlink(), flush=True)


def read_error(device: Path) -> str:
    """Read the last block, which nobody has read before."""
    descriptor = os.open(device, os.O_RDONLY)
    try:
        os.lseek(descriptor, -512, os.SEEK_END)
        return "none" if os.read(descriptor, 512) else "the end"
    except OSError as error:
        return error.strerror or str(error)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    control, server, name, at = sys.argv[1:]
    main(control, server, name, Path(at))
