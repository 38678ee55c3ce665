"""Proves that each page shows what is there, whole without a script, and that names from the file are no markup."""

import re

import pytest

from nsu.web.pages.render import NAVIGATION
from nsu.web.roles import Role
from tests.nsu.web.conftest import Pages

pytestmark = pytest.mark.system


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", ["Alarms", "hosts logged in", "Array unit0: data of host1"]),
        ("/arrays", ["raid5", "drive0.img", "drive2.img", "Replace", "Compare everything"]),
        ("/partitions", ["data", "logs", "read-write", "Create a partition"]),
        ("/hosts", ["host1", "host2", "0x02", "srw:host1:0 operations_s"]),
        ("/paths", ["2 of 2 paths up", "data", "logs", "Detach"]),
        ("/events", ["Wrong now", "What has happened", "handshake"]),
        ("/history", ["Versions of nsu.conf", "Audit log", "log in"]),
        ("/conf", ["MACHINE box1", "LEVEL = raid5"]),
        ("/partitions/new", ["raid5", "host1", "host2"]),
        ("/partitions/change?partition=host1/data", ["40,960 blocks", "Grow or shrink", "Delete"]),
        ("/arrays/unit0/replace?place=1", ["drive1.img", "What happens"]),
    ],
)
def test_a_page_shows_what_is_there(pages: Pages, path: str, words: list[str]) -> None:
    reply = pages.person().get(path)
    assert reply.status == 200
    for word in words:
        assert word in reply.text, reply.text.partition("<main")[2]


def test_a_page_loads_nothing_from_elsewhere_and_is_well_formed_for_readers(pages: Pages) -> None:
    person = pages.person()
    for path, _ in NAVIGATION:
        text = person.get(path).text
        links = re.findall(r'(?:src|href|action)="([^"]*)"', text)
        assert links
        assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in links), path
        assert " style=" not in text
        assert "onclick" not in text
        assert text.count("<h1") == 1
        assert text.count('aria-current="page"') == 1
        ids = re.findall(r'\bid="([^"]+)"', text)
        assert len(ids) == len(set(ids)), path


def test_every_field_has_a_label(pages: Pages) -> None:
    person = pages.person()
    for path in (
        "/partitions/new",
        "/partitions/change?partition=host1/data",
        "/conf",
        "/arrays/unit0/replace?place=0",
    ):
        text = person.get(path).text
        fields = re.findall(r'<(?:input(?![^>]*type="(?:hidden|checkbox)")|select|textarea)[^>]*\bid="([^"]+)"', text)
        assert fields
        assert all(f'<label for="{field}"' in text for field in fields), path


def test_who_may_only_look_is_shown_no_buttons(pages: Pages) -> None:
    person = pages.person(Role.LOOK)
    for path, _ in NAVIGATION:
        main = person.get(path).text.partition("<main")[2]
        assert "<button" not in main, path
    assert "Audit log" not in person.get("/history").text


def test_names_are_no_markup(pages: Pages) -> None:
    reply = pages.person().get("/partitions/change?partition=<script>alert(1)</script>")
    assert "<script>alert" not in reply.text
    assert "&lt;script&gt;" in reply.text
