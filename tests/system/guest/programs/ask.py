"""What `nsu attach` and `nsu detach --force` ask of a running host role, without the command line: emulated, that takes
six seconds to start.

python3 -m tests.system.guest.programs.ask STATE detach NAME           by force; says «FORCED seconds killed users»
python3 -m tests.system.guest.programs.ask STATE attach NAME SERVER AT      with SHOW = nbd; says «AGAIN seconds»
"""

import sys

from ipc.control import control_call


def detach(control: str, name: str) -> None:
    answer = control_call(control, "detach", timeout_s=20.0, name=name, force=True)
    print("FORCED", answer["seconds"], answer["killed"], *answer["users"], flush=True)


def attach(control: str, name: str, server: str, at: str) -> None:
    disk = {"name": name, "number": 0, "show": "nbd", "at": at}
    answer = control_call(control, "attach", timeout_s=20.0, server=server, disk=disk)
    print("AGAIN", answer["seconds"], flush=True)


if __name__ == "__main__":
    state, verb, *arguments = sys.argv[1:]
    if verb == "detach":
        detach(f"{state}/host.sock", *arguments)
    else:
        attach(f"{state}/host.sock", *arguments)
