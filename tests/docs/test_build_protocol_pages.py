"""docs/protocol/v1.md and v2.md are what the declarations say today, and all sixteen steps are obeyed somewhere."""

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = runpy.run_path(str(ROOT / "docs" / "build_protocol_pages.py"))


def test_pages_are_current() -> None:
    for path, text in PAGES["pages"]().items():
        assert path.read_text() == text, "run: python docs/build_protocol_pages.py"


def test_each_step_of_appendix_d_is_quoted_where_it_is_obeyed() -> None:
    places = PAGES["obeyed"]()
    missing = [step for step in PAGES["STEPS"] if str(step) not in places]
    missing += [f"note {note}" for note in PAGES["NOTES"] if f"note {note}" not in places]
    assert missing == []


def test_ways_to_name_a_step() -> None:
    cited = PAGES["cited"]
    assert list(cited("Appendix D (3): so")) == ["3"]
    assert list(cited("Appendix D (6), (8), (10)")) == ["6", "8", "10"]
    assert list(cited("Appendix D, steps 2 to 5 and 9")) == ["2", "3", "4", "5", "9"]
    assert list(cited("Appendix D note (2)")) == ["note 2"]
    assert list(cited("Appendix C, and 5 more")) == []
