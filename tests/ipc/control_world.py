"""A control server in a process of its own, with one verb of each kind."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

from ipc.child import Child, Life
from ipc.control import ControlError, ControlServer, Deferred
from ipc.control_connection import Answer
from ipc.loop import Loop
from tests.ipc.conftest import Nursery


def refuse(_: Answer) -> Answer:
    raise ControlError("it is Sunday")


def serve(path: Path) -> Callable[[Life], int]:
    """Answer until SIGTERM, with one verb of each kind."""

    def main(life: Life) -> int:
        loop = Loop()
        loop.on_signal(signal.SIGTERM, loop.stop)

        def later(arguments: Answer) -> Deferred:
            deferred = Deferred()
            loop.call_later(arguments["delay_s"], lambda: deferred.done({"late": arguments["delay_s"]}))
            return deferred

        def at_once(arguments: Answer) -> Deferred:
            deferred = Deferred()
            deferred.done(arguments)
            return deferred

        def long_of(arguments: Answer) -> Answer:
            return {"text": "x" * arguments["bytes"]}

        verbs = {"echo": lambda arguments: arguments, "refuse": refuse, "later": later, "at_once": at_once}
        server = ControlServer(loop, path, {**verbs, "long": long_of})
        life.ready()
        loop.run()
        server.close()
        loop.close()
        return 0

    return main


def start(nursery: Nursery, path: Path) -> Child:
    child = nursery.fork(serve(path), title="control server of a test")
    deadline_s = time.monotonic() + 5
    while not child.is_ready:
        assert time.monotonic() < deadline_s
        time.sleep(0.002)
    return child
