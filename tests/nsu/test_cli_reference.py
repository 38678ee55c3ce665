"""Proves that the page of the command line is current, and tells all that click declares."""

from pathlib import Path

import click

from nsu.cli_reference import PAGE_PATH, every_verb, main, reference_page

PROJECT = Path(__file__).parents[2]


def test_it_is_current() -> None:
    how = "print it again: python -m nsu.cli_reference ."
    assert (PROJECT / PAGE_PATH).read_text(encoding="utf-8") == reference_page(), how


def test_every_verb_with_every_option_is_in_it() -> None:
    sections = reference_page().split("\n## ")
    verbs = every_verb()
    assert len(verbs) > 14
    for verb in verbs:
        (section,) = (text for text in sections if text.startswith(f"nsu {verb.name}\n"))
        assert f"(#nsu-{verb.name})" in sections[0]
        assert "| `-h`, `--help` |" in section
        for parameter in verb.params:
            if isinstance(parameter, click.Option):
                names = ", ".join(f"`{option}`" for option in parameter.opts)
                (row,) = (line for line in section.splitlines() if line.startswith(f"| {names} |"))
                assert parameter.help
                assert row.endswith(f" {parameter.help} |")
            else:
                said = (parameter.name or "").upper()
                assert f"nsu {verb.name} {said if parameter.required else f'[{said}]'}" in section


def test_nothing_stands_for_no_default() -> None:
    rows = [line for line in reference_page().splitlines() if line.startswith("| `--show` |")]
    assert rows
    assert all("|  | As what" in row for row in rows)


def test_tables_have_four_columns_whatever_stands_in_them() -> None:
    rows = [line for line in reference_page().splitlines() if line.startswith("| `-")]
    assert rows
    assert {line.replace("\\|", "").count("|") for line in rows} == {5}


def test_main_prints_it_into_a_folder(tmp_path: Path) -> None:
    main(tmp_path)
    assert (tmp_path / PAGE_PATH).read_text(encoding="utf-8") == reference_page()
