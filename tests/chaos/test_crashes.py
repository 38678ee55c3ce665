"""The reckoning of crash states: what is durable, what may be there, and in what order, on logs made by hand."""

import random
from pathlib import Path

from tests.chaos.crashes import Fate, Images, Layout, fates, moments, without_flushes
from tests.chaos.recorder import BEGIN, END, STATEMENT, WRITE, Record, Recorder, records

A, B = 11, 22
LAYOUT = Layout((A, B), 1024, 8192)


def write(drive: int, offset: int, data: bytes, *, durable: bool = False) -> Record:
    return Record(WRITE, durable, drive, 1, offset, len(data), data)


def flush(kind: int, drive: int, process: int = 1) -> Record:
    return Record(kind, False, drive, process, 0, 0, b"")


X, Y, Z = b"x" * 512, b"y" * 512, b"z" * 512


def test_a_flush_covers_what_was_there_when_it_began_on_its_drive() -> None:
    log = [
        write(A, 0, X), write(B, 0, X), flush(BEGIN, A), write(A, 512, Y), flush(END, A), write(A, 0, Z, durable=True),
    ]  # fmt: skip
    last = list(moments(log))[-1]
    assert last.durable == {0, 5}
    assert last.cached == (1, 3)
    during = list(moments(log))[3]
    assert during.durable == set()


def test_two_processes_flush_for_themselves() -> None:
    log = [write(A, 0, X), flush(BEGIN, A, 1), write(A, 512, Y), flush(BEGIN, A, 2), flush(END, A, 1)]
    assert list(moments(log))[-1].durable == {0}
    assert list(moments([*log, flush(END, A, 2)]))[-1].durable == {0, 2}


def test_without_flushes_nothing_is_ever_certain() -> None:
    log = [write(A, 0, X, durable=True), flush(BEGIN, A), flush(END, A)]
    (moment,) = moments(without_flushes(log))
    assert moment.durable == set()


def test_the_newest_statement_holds() -> None:
    log = [Record(STATEMENT, False, 0, 1, 0, 0, text) for text in (b'{"a": 1, "b": 1}', b'{"a": 2}')]
    assert [moment.promises for moment in moments(log)] == [{"a": 1, "b": 1}, {"a": 2, "b": 1}]


def test_an_image_holds_what_its_fate_says_in_the_order_of_the_log(tmp_path: Path) -> None:
    log = [
        write(A, 0, X + X), write(A, 0, Y + Y), write(B, 0, X), flush(BEGIN, B), flush(END, B),
        write(A, 512, Z, durable=True),
    ]  # fmt: skip
    images = Images(tmp_path, log, LAYOUT)
    last = list(moments(log))[-1]

    def found(*kept: tuple[int, tuple[int, ...] | None]) -> bytes:
        return images.make(last, Fate(kept)).read_bytes()[:1536]

    zero = bytes(512)
    assert found() == zero + Z + X  # drive B's first stripe is the array's second
    assert found((0, None)) == X + Z + X
    assert found((0, None), (1, None)) == Y + Z + X
    assert found((0, None), (1, (1,))) == X + Z + X


def test_the_base_moves_on_with_the_moments(tmp_path: Path) -> None:
    log = [write(A, 0, X), flush(BEGIN, A), flush(END, A), Record(WRITE, False, A, 1, 0, 512, b""), write(A, 0, Y)]
    images = Images(tmp_path, log, LAYOUT)
    contents = []
    for moment in moments(log):
        for fate in fates(moment, log, random.Random(1), 0):
            contents.append(images.make(moment, fate).read_bytes()[:512])
    zero = bytes(512)
    assert contents == [X, zero, X, zero, X, zero, X, Y, X]


def test_chance_repeats_itself_and_keeps_only_what_was_cached() -> None:
    log = [write(A, at * 512, X + Y) for at in range(20)]
    moment = list(moments(log))[-1]
    some = fates(moment, log, random.Random(3), 50)
    assert some == fates(moment, log, random.Random(3), 50)
    assert len(set(some)) > 40
    assert any(torn is not None for fate in some for _, torn in fate.kept)
    assert {index for fate in some for index, _ in fate.kept} <= set(moment.cached)


def test_records_come_back_as_they_were_put_down(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "log")
    with open(tmp_path / "a.img", "w+b") as drive, open(tmp_path / "a.map", "w+b") as other:
        recorder.put(WRITE, fd=drive.fileno(), offset=512, length=3, data=b"abc", durable=True)
        recorder.put(WRITE, fd=other.fileno(), offset=512, length=3, data=b"abc")
        recorder.state({"f": "d"})
        inode = (tmp_path / "a.img").stat().st_ino & 0xFFFFFFFF
    first, second = records(tmp_path / "log")
    assert first[:3] == (WRITE, True, inode)
    assert first[4:] == (512, 3, b"abc")
    assert (second.kind, second.data) == (STATEMENT, b'{"f": "d"}')
