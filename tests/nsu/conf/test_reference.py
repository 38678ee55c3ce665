"""Proves that the sample and the reference page are current, and that the sample is a good file."""

from pathlib import Path

from nsu.conf.keys import KEYS
from nsu.conf.load import load_text
from nsu.conf.reference import PAGE_PATH, SAMPLE_PATH, main, reference_page, sample_text
from tests.harness.tls import authority, tls_files

PROJECT = Path(__file__).parents[3]


def test_both_are_current() -> None:
    how = "print them again: python -m nsu.conf.reference ."
    assert (PROJECT / SAMPLE_PATH).read_text(encoding="utf-8") == sample_text(), how
    assert (PROJECT / PAGE_PATH).read_text(encoding="utf-8") == reference_page(), how


def test_the_sample_is_good(folder: Path) -> None:
    loaded = load_text(sample_text().replace("/etc/nsu.d", str(folder)), Path("nsu.conf"))
    assert loaded.server is not None
    assert loaded.host is not None
    assert loaded.warnings == ()


def test_the_sample_is_good_with_all_its_lines_in_use(folder: Path) -> None:
    text = sample_text().replace("/etc/nsu.d", str(folder))
    for key in KEYS:
        text = text.replace(f"# {key.name} = ", f"{key.name} = ")
    ca = authority(folder / "tls")
    for name in ("box1", "host1"):
        tls_files(ca, name)
    text = text.replace("TLS = no", "TLS = required")
    text = text.replace(":kvm", ":root").replace("USER = nsu", "USER = root")  # whom every machine has
    assert text.count("# ") < sample_text().count("# ") - 10
    loaded = load_text(text, Path("nsu.conf"))
    assert len(loaded.warnings) == 1, "a spare is of no use"
    assert loaded.machine.web == ("127.0.0.1", 10080)


def test_every_key_is_in_both() -> None:
    for key in KEYS:
        assert f"{key.name} = " in sample_text()
        assert f"| `{key.name}` |" in reference_page()


def test_main_prints_both_into_a_folder(tmp_path: Path) -> None:
    main(tmp_path)
    assert (tmp_path / SAMPLE_PATH).read_text(encoding="utf-8") == sample_text()
    assert (tmp_path / PAGE_PATH).read_text(encoding="utf-8") == reference_page()
