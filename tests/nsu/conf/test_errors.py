"""Proves that errors are told together, in the order of the lines, each on one line."""

from pathlib import Path

import pytest

from nsu.conf.errors import ConfErrors, Findings


def test_errors_are_told_in_the_order_of_the_lines() -> None:
    findings = Findings(Path("/etc/nsu.conf"))
    findings.error(10, "LBA", "is wrong", "is right")
    findings.error(9, "AT", "is wrong too", "is right too")
    with pytest.raises(ConfErrors) as error:
        findings.raise_if_any()
    assert str(error.value) == (
        "/etc/nsu.conf:9: AT: is wrong too; is right too\n/etc/nsu.conf:10: LBA: is wrong; is right"
    )
    assert [one.line for one in error.value.errors] == [9, 10]


def test_warnings_are_no_errors() -> None:
    findings = Findings(Path("nsu.conf"))
    findings.warn("first")
    findings.warn("second")
    findings.raise_if_any()
    assert findings.warnings == ("first", "second")
