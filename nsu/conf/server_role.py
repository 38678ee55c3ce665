"""The server role in nsu.conf: NSU, ARRAY, HOST and UNIT blocks, each read and checked by itself.

What they must be to each other (who shares blocks with whom, who is known by which address) is `sharing.py`.
"""

import os
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from nsu.conf import keys
from nsu.conf.errors import Findings
from nsu.conf.reader import BlockReader, Given, check_names, default_of, meant_kind
from nsu.conf.settings import MachineSettings
from nsu.conf.sharing import Cut, check_addresses, check_cuts, check_secrets
from nsu.conf.syntax import Block, same_kind
from nsu.conf.tls import check_floors, read_nsu_tls
from nsu.conf.values import NAME, ValueType
from serverside.arrays.groups import Layout
from serverside.arrays.open import LAYOUTS
from serverside.redundancy.division import MEMBERS_MAX, STRIPE_BYTES_MAX
from serverside.settings import (
    ArraySettings,
    DataPortSettings,
    DiscoverySettings,
    DriveSettings,
    HostSettings,
    PartitionSettings,
    ServerSettings,
)

Resolve = Callable[[str], tuple[str, ...]]
"""A host's name to its numeric addresses; empty: it does not resolve."""

V1_BLOCKS_MOST = 1 << 32
"""Appendix C: zn_lba_hi is "not yet used", so version 0x01 can name 2**32 blocks."""
_ANY_ADDRESS = ("0.0.0.0", "::")
_DEVICES, _FILES_IN_MEMORY = Path("/dev"), Path("/dev/shm")


def _read_host_name(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        return NAME.read(text)


def _is_device(path: Path) -> bool:
    return _DEVICES in path.parents and _FILES_IN_MEMORY not in path.parents


HOST_NAME = ValueType("name", f"{NAME.right}; or a numeric address", _read_host_name)


def read_server(
    blocks: Sequence[Block], machine: MachineSettings, resolve: Resolve, findings: Findings
) -> ServerSettings | None:
    """The server role; None when the file has none of its blocks."""
    nsu, arrays, hosts, units = (same_kind(blocks, kind) for kind in ("NSU", "ARRAY", "HOST", "UNIT"))
    if not (nsu or arrays or hosts or units):
        return None
    check_names(nsu[:1] + arrays, NAME, findings)
    check_names(hosts, HOST_NAME, findings)
    check_names(units, NAME, findings)
    # `ARAY unit0` is one error: that units name the array is none.
    misspelt = {block.name for block in blocks if block not in arrays and meant_kind(block.kind) == "ARRAY"}
    return _ServerReader(resolve, findings, misspelt).read(nsu, arrays, hosts, units, machine)


class _ServerReader:
    """Reads the blocks, and gathers what is compared across them."""

    def __init__(self, resolve: Resolve, findings: Findings, misspelt: Set[str]) -> None:
        self._resolve = resolve
        self._findings = findings
        self._misspelt = misspelt
        self._cuts: list[Cut] = []
        self._ports: list[Given[DataPortSettings]] = []
        self._drives: dict[str, str] = {}

    def read(
        self,
        nsu: Sequence[Block],
        array_blocks: Sequence[Block],
        host_blocks: Sequence[Block],
        unassigned_blocks: Sequence[Block],
        machine: MachineSettings,
    ) -> ServerSettings:
        arrays = tuple(self._array(block) for block in array_blocks)
        hosts = tuple(self._host(block) for block in host_blocks)
        unassigned = self._units(unassigned_blocks, None, protected=True)
        check_cuts([cut for cut in self._cuts if cut.range.array not in self._misspelt], arrays, self._findings)
        check_addresses(list(zip(host_blocks, hosts, strict=True)), self._findings)
        check_secrets(hosts, self._findings)
        settings = self._nsu(nsu, arrays, hosts, machine)
        check_floors(settings.tls, host_blocks, self._findings)
        return replace(settings, unassigned=unassigned)

    def _nsu(
        self,
        blocks: Sequence[Block],
        arrays: tuple[ArraySettings, ...],
        hosts: tuple[HostSettings, ...],
        machine: MachineSettings,
    ) -> ServerSettings:
        name, listen = machine.name, tuple(dict.fromkeys(given.value.address for given in self._ports))
        discovery: DiscoverySettings | None = DiscoverySettings()
        config_port, privileged_port = default_of(keys.NSU_CONFIG_PORT), default_of(keys.PRIVILEGED_PORT)
        tls = None
        if blocks:
            reader = BlockReader(blocks[0], self._findings)
            tls = read_nsu_tls(reader, self._findings)
            name = blocks[0].name
            config_port = reader.one_or_default(keys.NSU_CONFIG_PORT)
            privileged_port = reader.one_or_default(keys.PRIVILEGED_PORT)
            listen = tuple(given.value for given in reader.many(keys.LISTEN)) or listen
            discovery = self._discovery(reader)
        self._check_config_port(config_port, listen)
        return ServerSettings(
            name,
            machine.state_dir,
            config_port,
            listen,
            privileged_port,
            arrays,
            hosts,
            user=machine.user,
            tls=tls,
            discovery=discovery,
        )

    def _discovery(self, reader: BlockReader) -> DiscoverySettings | None:
        given = reader.many(keys.DISCOVERY)
        words = [each for each in given if each.value in ("yes", "no")]
        if words and len(given) > 1:
            wrong, right = f"{words[0].value} stands beside other lines", "yes alone, no alone, or interfaces"
            self._findings.error(words[0].line, keys.DISCOVERY.name, wrong, right)
        if any(each.value == "no" for each in words):
            return None
        return DiscoverySettings(tuple(each.value for each in given if each not in words))

    def _check_config_port(self, config_port: int, listen: Sequence[str]) -> None:
        for given in self._ports:
            if given.value.port == config_port and {given.value.address, *_ANY_ADDRESS} & set(listen):
                self._findings.error(
                    given.line,
                    keys.DATA_PORT.name,
                    f"port {config_port} of {given.value.address} is the configuration port already",
                    f"another port, such as {10003 if config_port == 10002 else 10002}",
                )

    def _array(self, block: Block) -> ArraySettings:
        reader = BlockReader(block, self._findings)
        level = reader.one_or_default(keys.LEVEL)
        drives, spares = (reader.many(key, same=id) for key in (keys.DRIVE, keys.SPARE))
        self._check_drives(block, keys.DRIVE.name, drives)
        self._check_drives(block, keys.SPARE.name, spares)
        layout = LAYOUTS.get(level)
        if layout is not None and drives:
            self._check_redundancy(reader, layout, drives)
        elif spares:
            self._findings.warn(f"{block.label}: a spare is of no use in {level}, which keeps nothing twice.")
        return ArraySettings(
            block.name,
            level,
            tuple(given.value for given in drives),
            tuple(given.value for given in spares),
            reader.one_or_default(keys.STRIPE),
        )

    def _check_redundancy(
        self, reader: BlockReader, layout: type[Layout], drives: Sequence[Given[DriveSettings]]
    ) -> None:
        if not layout.fits(len(drives)) or len(drives) > MEMBERS_MAX:
            wrong, right = f"{layout.level} has {len(drives)} of them", f"{layout.drives_right} at most {MEMBERS_MAX}"
            self._findings.error(drives[0].line, keys.DRIVE.name, wrong, right)
        stripe = reader.one(keys.STRIPE) if reader.has(keys.STRIPE) else None
        if stripe is not None and stripe.value > STRIPE_BYTES_MAX:
            wrong = f"{stripe.value} bytes are too many for {layout.level}"
            self._findings.error(stripe.line, keys.STRIPE.name, wrong, "1MiB at most, such as 64KiB")

    def _check_drives(self, block: Block, key: str, drives: Sequence[Given[DriveSettings]]) -> None:
        for given in drives:
            # realpath: /dev/disk/by-id/… and /dev/sdb may be one and the same drive.
            real = os.path.realpath(given.value.path)
            place = f"line {given.line} ({block.label})"
            if self._drives.setdefault(real, place) != place:
                self._findings.error(
                    given.line,
                    key,
                    f"{given.value.path} is the drive of {self._drives[real]} already",
                    "a drive belongs to one array, once",
                )
            elif given.value.size_bytes is not None and _is_device(given.value.path):
                self._findings.error(
                    given.line,
                    key,
                    f"{given.value.path} is a device, and has the size it has",
                    f"{key} = {given.value.path}",
                )

    def _host(self, block: Block) -> HostSettings:
        reader = BlockReader(block, self._findings)
        protected = reader.has(keys.HOST_SECRET_FILE)
        addresses = tuple(given.value for given in reader.many(keys.HOST_ADDRESS))
        ports = reader.many(keys.DATA_PORT, same=lambda port: (port.address, port.port))
        self._ports.extend(ports)
        if not protected:
            addresses = self._v1_addresses(block, addresses)
        check_names(block.blocks, NAME, self._findings)
        units = self._units(same_kind(block.blocks, "UNIT"), block, protected=protected)
        # Before the secret itself: when it takes that one's place meanwhile, both are the new one.
        follows = reader.next_secret(keys.HOST_SECRET_FILE)
        return HostSettings(
            block.name,
            addresses,
            reader.secret(keys.HOST_SECRET_FILE),
            tuple(given.value for given in ports),
            units,
            secret_next=None if follows is None else follows.secret,
            rotation_since_s=0.0 if follows is None else follows.since_s,
            tls=reader.one_or_default(keys.HOST_TLS),
        )

    def _v1_addresses(self, block: Block, addresses: tuple[str, ...]) -> tuple[str, ...]:
        # The running server warns in the same words, so that `nsu status` tells it once.
        self._findings.warn(
            f"{block.label} has no SECRET_FILE: it speaks version 0x01, which is not protected: whoever can send from"
            " its address can read and write its partitions"
        )
        if addresses:
            return addresses
        try:
            return (str(ip_address(block.name)),)
        except ValueError:
            resolved = self._resolve(block.name)
        if not resolved:
            # A warning: when the name service is down at start, the other hosts are served all the same.
            self._findings.warn(f"{block.label} cannot come in: its name does not resolve now, and it has no ADDRESS.")
        return resolved

    def _units(self, blocks: Sequence[Block], host: Block | None, *, protected: bool) -> tuple[PartitionSettings, ...]:
        units = (self._unit(block, host, protected) for block in blocks)
        return tuple(unit for unit in units if unit is not None)

    def _unit(self, block: Block, host: Block | None, protected: bool) -> PartitionSettings | None:
        """`host` None: it is nobody's."""
        reader = BlockReader(block, self._findings)
        read_only = reader.one_or_default(keys.ACCESS) == "read-only"
        zero = reader.one_or_default(keys.ZERO)
        shared_write = reader.one_or_default(keys.SHARED_WRITE)
        uuid = reader.one(keys.UNIT_UUID)
        lba = reader.one(keys.LBA)
        if lba is None:
            return None
        named = "" if uuid is None else uuid.value
        span = (lba.value.array, lba.value.first_lba, lba.value.last_lba)
        unit = PartitionSettings(block.name, *span, read_only, zero, named)
        if host is not None and not protected and unit.blocks > V1_BLOCKS_MOST:
            self._findings.error(
                lba.line,
                keys.LBA.name,
                f"{lba.value} is {unit.blocks} blocks, and version 0x01 reaches {V1_BLOCKS_MOST} (2 TiB)",
                f"a smaller range, or a SECRET_FILE for {host.label}",
            )
        holder = "" if host is None else host.label
        self._cuts.append(Cut(holder, block.label, lba.line, lba.value, read_only, shared_write, named))
        return unit
