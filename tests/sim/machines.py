"""The two machines of a life, with their settings and their supervisors: an NSU and a host, both wholly real inside."""

from collections.abc import Callable
from typing import Any

from hostside.driver.driver import HostDriver
from hostside.host import HostProcess
from hostside.settings import DiskSettings, HostRoleSettings, ServerEntry
from ipc.child import HEART_NAMES, Life
from ipc.counters import CounterTable
from ipc.exits import Exit
from ipc.loop import Loop
from protocol.limits import BLOCK_BYTES
from serverside.drives.base import DriveError
from serverside.partitions.zero_file import decode
from serverside.server import Server
from serverside.settings import (
    ArraySettings,
    DataPortSettings,
    DriveSettings,
    HostSettings,
    PartitionSettings,
    ServerSettings,
)
from tests.sim.applications import Frontend, Plan
from tests.sim.blocks import Blocks, BrokenWordError
from tests.sim.kernel.files import Disks, File
from tests.sim.kernel.install import SimPath
from tests.sim.kernel.kernel import SIGTERM, Kernel, Machine, Process
from tests.sim.kernel.modules import System
from tests.sim.kernel.tcp import Net, Network

BLOCKS = 96
REGIONS = (0, 128)
"""First blocks of the places on the array where the unit may lie; what is beside and between is nobody's."""
ARRAY_BLOCKS = 256
STRIPE_BLOCKS = 8
SECRET = bytes(range(32))
FOREIGN = b"\x5a" * BLOCK_BYTES
"""Content of blocks that are not ours."""


class Box:
    """A machine that starts its one supervised process again and again."""

    def __init__(self, kernel: Kernel, name: str, title: str) -> None:
        self.kernel = kernel
        self.machine = Machine(name)
        self.title = title
        self.process: Process | None = None
        self.starts = 0

    def start(self) -> None:
        if self.machine.is_up and (self.process is None or not self.process.is_alive):
            self.starts += 1
            self.process = self.kernel.spawn(self.machine, self.title, self.live)

    def live(self, process: Process) -> int:
        life = Life(-1, CounterTable(1, HEART_NAMES).row(0).cells)
        process.handlers[SIGTERM] = life._take_sigterm
        return self.main(life)

    def main(self, life: Life) -> int:
        raise NotImplementedError

    def ended(self, process: Process) -> None:
        """Start it again, as a supervisor does."""
        if process is self.process and self.machine.is_up:
            self.kernel.later(self.kernel.chance.choice((0.001, 0.3, 2.0)), self.start)


class NsuBox(Box):
    """The server machine."""

    def __init__(self, system: System, secret: bytes | None) -> None:
        super().__init__(system.kernel, "nsu", "nsu: server")
        chance = self.kernel.chance
        self.secret = secret
        self.disks = system.disks[self.machine] = Disks(self.kernel)
        self.level = chance.choice(("jbod", "raid0"))
        self.drives = chance.choice((1, 2, 2))
        self.zero = chance.random() < 0.4
        self.region = 0
        self.unit_blocks = BLOCKS
        self.server: Server | None = None
        self.region_of_generation: dict[int, int] = {}
        self.files = [self.new_drive(f"/drive{number}") for number in range(self.drives)]
        self.fresh: ServerSettings | None = None

    def new_drive(self, name: str) -> File:
        blocks = ARRAY_BLOCKS // self.drives
        # With ZERO = yes somebody else's data lies there, and must never show; else, the unit is new and empty.
        file = File(name, bytearray(FOREIGN * blocks if self.zero else bytes(BLOCK_BYTES * blocks)))
        self.disks.files[name] = file
        return file

    def settings(self) -> ServerSettings:
        drives = tuple(DriveSettings(SimPath(file.name)) for file in self.files)  # type: ignore[arg-type]
        first = REGIONS[self.region]
        unit = PartitionSettings("unit_1", "unit0", first, first + self.unit_blocks - 1, zero=self.zero)
        ports = tuple(DataPortSettings(f"10.0.{network}.1", 10002, 2) for network in (1, 2))
        return ServerSettings(
            name="box1",
            state_dir=SimPath("/state"),  # type: ignore[arg-type]
            config_port=10001,
            listen=("10.0.1.1", "10.0.2.1"),
            privileged_port=True,
            arrays=(ArraySettings("unit0", self.level, drives, stripe_bytes=STRIPE_BLOCKS * BLOCK_BYTES),),
            hosts=(HostSettings("host1", ("10.0.1.2", "10.0.2.2"), self.secret, ports, (unit,)),),
        )

    def main(self, life: Life) -> int:
        try:
            self.server = Server(life, self.settings(), self.reload)
            return self.server.run()
        except DriveError:
            return Exit.FAILED  # the drive is held too long, or can't be synced at the end: said, and tried again

    @property
    def has_failed_drive(self) -> bool:
        storage = getattr(self.server, "storage", None)
        return storage is not None and any(storage.health.errno(number) for number in range(self.drives))

    def see_to_drives(self) -> bool:
        """Take away the notes of failed drives, as people do; give whether there was anything to see to."""
        notes = [name for name in self.disks.texts if name.startswith("/state/failed/")]
        for name in notes:
            del self.disks.texts[name]
        return bool(notes) or self.has_failed_drive

    def reload(self) -> ServerSettings | None:
        fresh, self.fresh = self.fresh, None
        return fresh

    def change_unit(self) -> None:
        """An administrator gives the unit another place, or another size."""
        if self.kernel.chance.random() < 0.5:
            self.region = 1 - self.region
        else:
            self.unit_blocks = BLOCKS + BLOCKS // 2 - self.unit_blocks
        self.fresh = self.settings()

    def place_of(self, array_block: int) -> tuple[File, int]:
        """Give the file and the sector of a block of the array; said once more, beside `serverside.arrays`."""
        if self.level == "jbod":
            drive, sector = divmod(array_block, ARRAY_BLOCKS // self.drives)
            return self.files[drive], sector
        stripe, within = divmod(array_block, STRIPE_BLOCKS)
        row, drive = divmod(stripe, self.drives)
        return self.files[drive], row * STRIPE_BLOCKS + within

    def durable(self, region: int, block: int) -> bytes:
        """Give what is on stable storage of a block of the unit."""
        if self.zero and not self._is_live_for_good(block):
            return bytes(BLOCK_BYTES)
        file, sector = self.place_of(REGIONS[region] + block)
        return bytes(file.durable[sector * BLOCK_BYTES : (sector + 1) * BLOCK_BYTES])

    def _is_live_for_good(self, block: int) -> bool:
        maps = [file for name, file in self.disks.files.items() if name.endswith(".map")]
        if not maps:
            return False
        content = bytes(maps[0].durable)
        copies = [decode(content[: len(content) // 2]), decode(content[len(content) // 2 :])]
        images = [image for image in copies if image is not None]
        if not images:
            return False
        image = max(images, key=lambda image: image.sequence)
        chunk = block * BLOCK_BYTES // image.chunk_bytes
        return bool(image.bits[chunk // 8] >> chunk % 8 & 1)

    def watch_writes(self) -> None:
        """No write may touch what is not the unit's."""
        for number, file in enumerate(self.files):
            file.on_write = lambda offset, length, number=number: self._check_write(number, offset, length)  # type: ignore[misc]

    def _check_write(self, drive: int, offset_bytes: int, length_bytes: int) -> None:
        table = self.server.storage.table if self.server is not None and hasattr(self.server, "storage") else None
        if table is None:
            return
        ranges = [(p.settings.first_lba, p.settings.first_lba + p.settings.blocks) for p in table.partitions.values()]
        for at in range(offset_bytes, offset_bytes + length_bytes, BLOCK_BYTES):
            block = self._array_block(drive, at // BLOCK_BYTES)
            if not any(first <= block < end for first, end in ranges):
                raise BrokenWordError(f"block {block} of the array was written, which belongs to no unit now")

    def _array_block(self, drive: int, sector: int) -> int:
        if self.level == "jbod":
            return drive * (ARRAY_BLOCKS // self.drives) + sector
        row, within = divmod(sector, STRIPE_BLOCKS)
        return (row * self.drives + drive) * STRIPE_BLOCKS + within


class HostBox(Box):
    """The host machine."""

    def __init__(self, system: System, secret: bytes | None, blocks: Callable[[int], Blocks], plan: Plan) -> None:
        super().__init__(system.kernel, "host", "nsu: host")
        chance = self.kernel.chance
        self.blocks = blocks
        self.plan = plan
        self.fail_after_s: float | None = chance.choice((None, None, 0.2, 2.0))
        system.disks[self.machine] = Disks(self.kernel)
        disk = DiskSettings("unit_1", 0, "socket", SimPath("/run/unit_1"))  # type: ignore[arg-type]
        self.entry = ServerEntry(
            "box1", ("10.0.1.1", "10.0.2.1"), 10001, "host1", secret, chance.choice((1, 2, 3, 4)), self.fail_after_s,
            (disk,), payload_crc=chance.random() < 0.2 and secret is not None,
        )  # fmt: skip
        self.host: HostProcess | None = None

    def main(self, life: Life) -> int:
        self.host = HostProcess(life, HostRoleSettings("host1", SimPath("/state"), (self.entry,)))  # type: ignore[arg-type]
        return self.host.run()

    def open_frontend(self, *arguments: Any) -> Frontend:
        loop = next(argument for argument in arguments if isinstance(argument, Loop))
        driver = next(argument for argument in arguments if isinstance(argument, HostDriver))
        return Frontend(self.plan, self.blocks(driver.unit.generation), loop, driver)


def networks(kernel: Kernel) -> list[Network]:
    chance = kernel.chance
    return [Network(f"10.0.{number}.", chance.choice((5e-5, 5e-4, 5e-3))) for number in (1, 2)]


def wire(net: Net, nsu: Machine, host: Machine) -> None:
    for number in (1, 2):
        net.machines[f"10.0.{number}.1"] = nsu
        net.machines[f"10.0.{number}.2"] = host
