"""The server driver: does for all SRWs of an array what needs one owner, one command at a time.

It is the only one that changes zero maps, so "first write to a chunk" is decided in one place. It also does
plain reads and writes, so that whoever asks need not know the reason for asking.
"""

from collections.abc import Mapping

from protocol.ops import Op
from protocol.status import Status
from serverside.arrays.base import Array
from serverside.driver.packets import MARK, Command
from serverside.drives.base import DriveError
from serverside.partitions.partition import Partition

DONE = (0, "")


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

    def settle(self) -> None:
        """Make everything durable, as at a flush of each partition. Raise DriveError."""
        self.array.flush()
        for partition in self.partitions.values():
            partition.settle()

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
