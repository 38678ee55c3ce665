"""Proves that a picture of measurements says what it was given, and is the same each time it is drawn."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.plots import STYLES, line_plot

SERIES = {"NSU, 8 sockets": [(0.0, 900.0), (20.0, 700.0)], "a peer & its <client>": [(0.0, 950.0), (20.0, 300.0)]}


def draw(file: Path, **changes: bool) -> str:
    line_plot(file, title="128 KiB", x_label="round trip, ms", y_label="MB/s", series=SERIES, **changes)
    return file.read_text()


def test_it_says_its_title_axes_and_series(tmp_path: Path) -> None:
    root = ElementTree.fromstring(draw(tmp_path / "new" / "plot.svg"))
    words = {"".join(text.itertext()).strip() for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"128 KiB", "round trip, ms", "MB/s", *SERIES} <= words


def test_the_same_figures_give_the_same_bytes(tmp_path: Path) -> None:
    assert draw(tmp_path / "one.svg") == draw(tmp_path / "two.svg")


def test_a_logarithmic_picture_differs_from_a_linear_one(tmp_path: Path) -> None:
    assert draw(tmp_path / "one.svg", log_y=True) != draw(tmp_path / "two.svg")


@pytest.mark.parametrize("count", [0, len(STYLES) + 1])
def test_as_many_lines_as_can_be_told_apart_and_no_more(tmp_path: Path, count: int) -> None:
    series = {str(number): [(0.0, 1.0)] for number in range(count)}
    with pytest.raises(ValueError, match="cannot be read"):
        line_plot(tmp_path / "plot.svg", title="", x_label="", y_label="", series=series)
