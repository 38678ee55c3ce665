"""The server driver: does for all SRWs of an array what needs one owner, one command at a time.

It is the only one that changes zero maps, so "first write to a chunk" is decided in one place, and that writes to an
array with redundancy. It also does plain reads and writes, so that whoever asks need not know the reason for asking.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from protocol.ops import Op
from protocol.status import Status
from serverside.arrays.base import Array
from serverside.driver.packets import MARK, ORDERS, Command
from serverside.drives.base import DriveError
from serverside.partitions.partition import Partition

DONE = (0, "")
BATCH_MOST = 64
"""Commands that are answered together: 8 MiB."""


def runs_of(commands: Iterable[Command]) -> Iterator[list[Command]]:
    """Cut commands into what is done together: writes that follow one another; anything else by itself."""
    run: list[Command] = []
    for command in commands:
        if run and (command.op != Op.WRITE or run[-1].op != Op.WRITE or len(run) == BATCH_MOST):
            yield run
            run = []
        run.append(command)
    if run:
        yield run


class ServerDriver:
    """The owner of one array's partitions, by their index in the partition table."""

    def __init__(self, array: Array, partitions: Mapping[int, Partition]) -> None:
        assert all(partition.array is array for partition in partitions.values())
        self.array = array
        self.partitions = dict(partitions)

    def execute(self, command: Command, buffer: memoryview) -> tuple[int, str]:
        """Do a command whose ranges were checked; `buffer` has its length for READ and WRITE.

        Return 0 or an errno number, and a sentence.
        """
        if command.op == MARK:
            return DONE
        if command.op in ORDERS:
            return self._obey(command)
        partition = self.partitions.get(command.partition)
        if partition is None:
            return (
                Status.ESTALE,
                "the unit has been changed or removed meanwhile: ask for the list of units again",
            )
        try:
            self._do(partition, command, buffer)
        except DriveError as error:
            return error.errno, error.sentence
        return DONE

    def execute_run(self, run: Sequence[tuple[Command, memoryview]]) -> list[tuple[int, str]]:
        """Do commands in their order, as one batch if they are writes (`runs_of`). One answer for each."""
        if len(run) > 1 and self._write_all(run):
            return [DONE] * len(run)
        return [self.execute(command, buffer) for command, buffer in run]

    def _write_all(self, commands: Sequence[tuple[Command, memoryview]]) -> bool:
        """Write them as one. False: not all could be done, and any part is; then each is to be tried by itself."""
        writes, news = [], []
        try:
            for command, buffer in commands:
                partition = self.partitions.get(command.partition)
                if partition is None:
                    return False
                partition.prepare_write(command.lba, command.blocks)
                writes.append(partition.as_write(buffer, command.lba))
                if command.durable:
                    news.append(partition)
            self.array.write_many(writes, durable=any(command.durable for command, _ in commands))
            for partition in news:
                if partition.has_news:
                    partition.settle()
        except DriveError:
            return False
        return True

    def settle(self) -> None:
        """Make everything durable, as at a flush of each partition. Raise DriveError."""
        self.array.flush()
        for partition in self.partitions.values():
            partition.settle()
        self.array.release()

    def _obey(self, command: Command) -> tuple[int, str]:
        try:
            self.array.obey(command.op, command.lba)
        except DriveError as error:
            return error.errno, error.sentence
        return DONE

    def _do(self, partition: Partition, command: Command, buffer: memoryview) -> None:
        if command.op == Op.READ:
            partition.read_into(buffer, command.lba)
        elif command.op == Op.WRITE:
            partition.prepare_write(command.lba, command.blocks)
            partition.write_from(buffer, command.lba, command.durable)
            if command.durable and partition.has_news:
                # On stable storage, yet it would read as zeros after a crash: the chunk's bit must follow.
                partition.settle()
        elif command.op == Op.FLUSH:
            partition.settle()
        else:
            partition.execute(command.op, command.lba, command.blocks, command.durable)
