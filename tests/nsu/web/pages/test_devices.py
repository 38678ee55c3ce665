"""Proves that drives are replaced and disks taken away and shown again by pages, and what is refused there."""

import pytest

from tests.nsu.web.conftest import Pages

pytestmark = pytest.mark.system


def test_an_array_is_compared(pages: Pages) -> None:
    person = pages.person()
    csrf = person.get("/").csrf
    assert "is being compared" in person.told(person.post("/arrays/unit0/scrub", {"csrf": csrf}))
    assert "there is no array nowhere" in person.post("/arrays/nowhere/scrub", {"csrf": csrf}).text
    machine = pages.world.machine
    machine.wait_for(lambda status: status["server"]["arrays"][0]["redundancy"]["scrubs"])


def test_a_drive_is_replaced(pages: Pages) -> None:
    person, machine = pages.person(), pages.world.machine
    drive = machine.folder / "drive9.img"
    drive.write_bytes(b"not blank" * 1000)
    with open(drive, "ab") as file:
        file.truncate((machine.folder / "drive1.img").stat().st_size)
    form = {"csrf": person.get("/").csrf, "old": "1", "new": str(drive)}
    refused = person.post("/arrays/unit0/replace", form)
    assert (refused.status, "is not blank" in refused.text) == (409, True)
    told = person.told(person.post("/arrays/unit0/replace", {**form, "force": "on"}))
    assert f"is put out and rebuilt on {drive}" in told
    assert "before the next start" in told
    machine.wait_for(lambda status: status["server"]["arrays"][0]["drives"][1]["name"] == str(drive))
    machine.wait_for(lambda status: status["server"]["arrays"][0]["drives"][1]["state"] == "good")
    for query, status in (("place=1", 200), ("place=77", 404), ("", 422), ("place=-1", 422)):
        assert person.get(f"/arrays/unit0/replace?{query}").status == status


def test_a_disk_goes_and_comes(pages: Pages) -> None:
    person = pages.person()
    csrf = person.get("/").csrf
    assert "Disk logs is gone" in person.told(person.post("/disks/logs/detach", {"csrf": csrf}))
    assert "Attach" in person.get("/paths").text
    assert "Disk logs is there" in person.told(person.post("/disks/logs/attach", {"csrf": csrf}))
    assert person.post("/disks/nowhere/detach", {"csrf": csrf}).status == 409
    assert person.post("/disks/nowhere/attach", {"csrf": csrf}).status == 409
