"""The life of an array's driver process, `nsu: driver unit0`: take commands, do them in their order, answer.

It beats between commands, not within one: a sync of a slow drive may take long, and whoever watches must
allow for it. SIGTERM: what has been posted is done and answered, then everything is made durable.
"""

from ipc.child import Life
from ipc.exits import Exit
from protocol.limits import BLOCK_BYTES
from protocol.ops import Op
from serverside.driver.channel import DriverChannel
from serverside.driver.driver import ServerDriver
from serverside.driver.packets import COMMAND_BYTES, Answer, Command
from serverside.drives.base import DriveError

IDLE_S = 1.0
"""The longest wait for a command, so that the heart beats."""
_NO_PAYLOAD = memoryview(b"")


def run_driver(life: Life, driver: ServerDriver, channel: DriverChannel) -> int:
    """Serve till SIGTERM; give the exit status. To be run by `fork_child`."""
    driver.array.reopen()
    channel.begin()
    life.on_stop = channel.wake
    life.ready()
    while True:
        life.beat()
        packets = channel.commands.get_many()
        for at in range(0, len(packets), COMMAND_BYTES):
            _serve(driver, channel, Command.unpack(packets[at : at + COMMAND_BYTES]))
            life.beat()
        if not packets:
            if life.stop_asked:
                break
            channel.commands.wait(IDLE_S)
    return _settle(driver)


def _serve(driver: ServerDriver, channel: DriverChannel, command: Command) -> None:
    has_payload = command.op in (Op.READ, Op.WRITE)
    buffer = channel.buffer(command.seat, command.blocks * BLOCK_BYTES) if has_payload else _NO_PAYLOAD
    status, sentence = driver.execute(command, buffer)
    channel.answer(command.seat, Answer(command.sequence, status, sentence))


def _settle(driver: ServerDriver) -> int:
    try:
        driver.settle()
    except DriveError:
        return Exit.FAILED  # nobody was told that it is durable
    return Exit.OK
