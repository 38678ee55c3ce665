"""The life of an array's driver process, `nsu: driver unit0`: take commands, do them in their order, answer.

It takes all that wait at once, so that writes can be gathered. Between them it works on the array itself (`pace.py`).

It beats between commands, not within one: a sync of a slow drive may take long, and whoever watches must
allow for it. SIGTERM: what has been posted is done and answered, then everything is made durable.
"""

import time
from collections.abc import Callable

from ipc.child import Life
from ipc.exits import Exit
from protocol.limits import BLOCK_BYTES
from protocol.ops import Op
from serverside.driver.channel import DriverChannel
from serverside.driver.driver import ServerDriver, runs_of
from serverside.driver.pace import Pace
from serverside.driver.packets import COMMAND_BYTES, Answer, Command
from serverside.drives.base import DriveError

IDLE_S = 1.0
"""The longest wait for a command, so that the heart beats."""
_NO_PAYLOAD = memoryview(b"")


def run_driver(life: Life, driver: ServerDriver, channel: DriverChannel, confine: Callable[[], None]) -> int:
    """Serve till SIGTERM; give the exit status. To be run by `fork_child`; `confine`: see `ipc/confinement.py`."""
    driver.array.reopen()
    confine()
    driver.array.own()  # before the first command: a drain's MARK promises that nothing older is applied any more
    channel.begin()
    life.on_stop = channel.wake
    life.ready()
    pace = Pace()
    while True:
        life.beat()
        packets = channel.commands.get_many()
        if packets:
            _serve(life, driver, channel, packets)
        elif life.stop_asked:
            break
        now_s = time.monotonic()
        if packets or driver.array.was_read():
            pace.used(now_s)
        wait_s = pace.wait_s(now_s)
        if wait_s > 0:
            if not packets:
                channel.commands.wait(wait_s)
            continue
        has_more = driver.array.tend()
        pace.tended(now_s, time.monotonic())
        if not packets and not has_more and not channel.commands.wait(IDLE_S):
            driver.array.rest()
    return _settle(driver)


def _serve(life: Life, driver: ServerDriver, channel: DriverChannel, packets: bytes) -> None:
    """Do and answer what was waiting."""
    commands = [Command.unpack(packets[at : at + COMMAND_BYTES]) for at in range(0, len(packets), COMMAND_BYTES)]
    for run in runs_of(commands):
        answers = driver.execute_run([(command, _buffer_of(channel, command)) for command in run])
        by_seat: dict[int, list[Answer]] = {}
        for command, (status, sentence) in zip(run, answers, strict=True):
            by_seat.setdefault(command.seat, []).append(Answer(command.sequence, status, sentence))
        for seat, its in by_seat.items():
            channel.answer(seat, *its)
        life.beat()


def _buffer_of(channel: DriverChannel, command: Command) -> memoryview:
    if command.op not in (Op.READ, Op.WRITE):
        return _NO_PAYLOAD
    return channel.buffer(command.seat, command.blocks * BLOCK_BYTES, command.payload_at_bytes)


def _settle(driver: ServerDriver) -> int:
    try:
        driver.settle()
    except DriveError:
        return Exit.FAILED  # nobody was told that it is durable
    return Exit.OK
