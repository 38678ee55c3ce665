"""nsu.conf: any text is read, or refused with errors that name its lines; and it is written back to the byte."""

from pathlib import Path

from nsu.conf.errors import ConfError, ConfErrors
from nsu.conf.lines import meaning_of
from nsu.conf.load import load_text, state_dir_of
from nsu.conf.syntax import Document

REPOSITORY = Path(__file__).parent.parent.parent
FILE = Path("/nowhere/nsu.conf")
TEXT_BYTES_MAX = 4096


def seeds() -> list[bytes]:
    sample = (REPOSITORY / "etc" / "nsu.conf").read_bytes()
    bad = sorted((REPOSITORY / "tests" / "nsu" / "conf" / "bad").glob("*.conf"))
    return [sample, *(sample[at : at + 1500] for at in range(0, len(sample), 1500)), *(one.read_bytes() for one in bad)]


def one_input(data: bytes) -> None:
    text = data[:TEXT_BYTES_MAX].decode(errors="replace")
    document = Document(text)
    assert document.text == text, "it is not written back as it was read"
    assert Document.from_tree(document.tree()).blocks == document.blocks
    lines = text.split("\n")
    for line in lines:
        meaning_of(line)
    state_dir_of(text)
    for error in errors_of(text):
        assert 0 <= error.line <= len(lines), error
        assert error.wrong, error
        assert error.right, error
        assert str(error).isprintable(), f"an error cannot be shown: {error!r}"


def errors_of(text: str) -> list[ConfError]:
    try:
        load_text(text, FILE, resolve=lambda name: ())
    except ConfErrors as refused:
        return refused.errors or [ConfError("", -1, "", "refused without an error", "")]
    return []
