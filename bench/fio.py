"""fio's nbd engine, the client of all NBD servers here, ours among them."""

from bench.load import USE_BYTES, Load


def fio_command(uri: str, load: Load, seconds: float, *, connections: int) -> list[str]:
    """Give the command that puts `load` on `uri` with so many connections, among which the depth is divided.

    Each connection has its own part of the disk, as sequential readers of one disk would.
    """
    assert load.depth % connections == 0 or load.depth < connections, "the depth can't be divided evenly"
    kind = load.op if load.sequential else f"rand{load.op}"
    part = USE_BYTES // connections
    return [
        "fio", "--name=bench", "--ioengine=nbd", f"--uri={uri}", f"--rw={kind}", f"--bs={load.size_bytes}",
        f"--iodepth={max(1, load.depth // connections)}", f"--numjobs={connections}", f"--size={part}",
        f"--offset_increment={part}", "--time_based", f"--runtime={int(seconds * 1000)}ms", "--randrepeat=1",
        "--percentile_list=1:5:10:20:30:40:50:60:70:80:90:95:99:99.5:99.9", "--output-format=json",
    ]  # fmt: skip
