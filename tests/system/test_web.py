"""Proves the pages by a real browser, on a running NSU with a host under load. --pictures keeps what it sees."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nsu.web.passwords import Users
from nsu.web.roles import Role
from tests.harness import World, spawn_world
from tests.harness.browser import Browser, open_browser
from tests.harness.conf import Host
from tests.nsu.web.client import Client
from tests.programs import needs

pytestmark = [pytest.mark.system, needs("chromium"), needs("chromedriver"), needs("fio")]
PASSWORD = "correct horse"
PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
PAGES = ("/", "/arrays", "/partitions", "/hosts", "/paths", "/events", "/history", "/conf", "/partitions/new")
TELEPHONE, SCREEN = 390, 1280


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    units = {"data": 40960, "logs": 8192}
    with spawn_world(units=units, level="raid5", drives=3, paths=2, web=True) as world:
        first = world.nsu.hosts[0]
        world.nsu.hosts.append(Host("host2", [], first.data_ports[:1], secret_file=first.secret_file))
        world.rewrite()
        Users(world.machine.state).put("admin", PASSWORD, Role.ADMINISTER)
        world.machine.wait_for(lambda status: len(status["server"]["hosts"]) == 2)
        world.machine.wait_for(lambda status: all(one["state"] == "ready" for one in status["supervisor"]["processes"]))
        yield world


@pytest.fixture(scope="module")
def browser(world: World) -> Iterator[Browser]:
    with open_browser(f"http://127.0.0.1:{world.web_port}") as browser:
        yield browser


@contextmanager
def load(world: World) -> Iterator[None]:
    """Verified writes on the disk, for as long as the block lasts: none may fail, and all must be read back."""
    job = ["--name=load", "--ioengine=nbd", f"--uri={world.uri('data')}", "--rw=randwrite", "--bs=4k", "--iodepth=8"]
    job += ["--verify=crc32c", "--verify_backlog=64", "--rate_iops=400", "--size=16m", "--time_based", "--runtime=300"]
    fio = subprocess.Popen(["fio", *job], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield
        assert fio.poll() is None, fio.stdout.read() if fio.stdout else ""
    finally:
        fio.terminate()
        said, _ = fio.communicate(timeout=60)
    assert "err= 0" in said, said
    assert "verify:" not in said, said


def keep(browser: Browser, name: str, pytestconfig: pytest.Config) -> None:
    """Keep a picture for the docs, when that is asked for."""
    if pytestconfig.getoption("--pictures"):
        PICTURES.mkdir(exist_ok=True)
        browser.picture(PICTURES / f"{name}.png", SCREEN)
        browser.picture(PICTURES / f"{name}-telephone.png", TELEPHONE)


def agree(browser: Browser, form: str, **fields: str) -> str:
    """Fill a form, look at what it does, agree; give what is told then."""
    browser.fill(form, **fields)
    browser.send(form)
    assert "What this does" in browser.text
    do_it(browser)
    return browser.at("[role=status]").text


def do_it(browser: Browser) -> None:
    """Agree; tick the box too where something speaks against it, for a host has a moment to say what it uses."""
    for box in browser.driver.find_elements("css selector", "input[name=force]"):
        box.click()
    browser.press("#do")


def test_a_wrong_password_and_then_the_right_one(world: World, browser: Browser, pytestconfig: pytest.Config) -> None:
    browser.log_in("admin", "wrong password")
    assert "the password is another" in browser.at("[role=alert]").text
    keep(browser, "login", pytestconfig)
    (complaint,) = browser.complaints()
    assert "403" in complaint
    browser.go("/partitions")
    assert browser.path.startswith("/login")
    browser.fill("/login", name="admin", password=PASSWORD)
    browser.send("/login")
    assert browser.path == "/partitions", "where he wanted to go"


def test_an_administrators_day_under_load(world: World, browser: Browser, pytestconfig: pytest.Config) -> None:
    browser.log_in("admin", PASSWORD)
    with load(world):
        browser.go("/partitions/new")
        assert "mail is created" in agree(browser, "/partitions/create", name="mail", size="512KiB", host="nobody")
        browser.go("/partitions/change?partition=mail")
        assert "is given to host2" in agree(browser, "/partitions/assign", host="host2", access="read-write")
        browser.go("/partitions/change?partition=host2/mail")
        assert "grows from 512 KiB" in agree(browser, "/partitions/resize", size="+256KiB")
        browser.go("/partitions/change?partition=host2/mail")
        assert "read-only" in agree(browser, "/partitions/share", host="host1", access="read-only")
        browser.go("/arrays")
        assert "mail of host1 and host2" in str(browser.at("svg.bar").get_attribute("aria-label"))
        keep(browser, "arrays", pytestconfig)
        browser.go("/partitions/change?partition=host2/mail")
        browser.send("/partitions/delete")
        assert "all that is on" in browser.at("[role=alert]").text
        keep(browser, "plan", pytestconfig)
        do_it(browser)
        assert "is deleted" in browser.at("[role=status]").text
        replace_a_drive(world, browser)
        look_at_live_plots(browser, pytestconfig)
    assert browser.complaints() == []


def replace_a_drive(world: World, browser: Browser) -> None:
    drive = world.machine.folder / "drive9.img"
    with open(drive, "wb") as file:
        file.truncate((world.machine.folder / "drive2.img").stat().st_size)
    browser.go("/arrays/unit0/replace?place=2")
    browser.fill("/arrays/unit0/replace", new=str(drive))
    browser.send("/arrays/unit0/replace")
    assert "is put out and rebuilt" in browser.at("[role=status]").text

    def is_whole(status: dict[str, list[dict[str, list[dict[str, str]]]]]) -> bool:
        place = status["server"]["arrays"][0]["drives"][2]  # type: ignore[call-overload]  # plain JSON
        return bool(place["name"] == str(drive) and place["state"] == "good")

    world.machine.wait_for(is_whole, timeout_s=60)


def look_at_live_plots(browser: Browser, pytestconfig: pytest.Config) -> None:
    browser.go("/hosts")
    deadline_s = time.monotonic() + 20
    while not browser.at(".plot .now").text.endswith("/s"):
        assert time.monotonic() < deadline_s
        time.sleep(0.2)
    assert "L" in str(browser.at(".plot .lines path").get_attribute("d")), "a line is drawn"
    keep(browser, "hosts", pytestconfig)
    for path, name in (("/", "overview"), ("/paths", "paths"), ("/partitions", "partitions")):
        if pytestconfig.getoption("--pictures"):
            browser.go(path)
            time.sleep(3)
            keep(browser, name, pytestconfig)


def test_every_page_fits_a_telephone_and_needs_no_other_site(browser: Browser, world: World) -> None:
    browser.log_in("admin", PASSWORD)
    for path in (*PAGES, "/partitions/change?partition=host1/data", "/arrays/unit0/replace?place=0"):
        browser.go(path)
        assert browser.overflow(TELEPHONE) <= 0, path
        names = browser.driver.execute_script("return performance.getEntriesByType('resource').map(one => one.name)")
        assert all(name.startswith(browser.root) for name in names), names
    assert browser.complaints() == []


def test_the_keyboard_is_enough(browser: Browser, world: World) -> None:
    browser.log_in("admin", PASSWORD)
    browser.go("/partitions/new")
    reached = []
    for _ in range(40):
        browser.driver.switch_to.active_element.send_keys("\ue004")  # Tab
        active = browser.driver.switch_to.active_element
        reached.append(active.get_attribute("name") or active.text or active.get_attribute("class"))
    assert reached[0] == "To the content", "first of all one can skip the navigation"
    assert {"name", "array", "size", "host", "access", "zero", "See what this does"} <= set(reached)


def test_another_site_can_do_nothing_with_the_browsers_session(browser: Browser, world: World, tmp_path: Path) -> None:
    browser.log_in("admin", PASSWORD)
    before = world.machine.conf.read_text()
    fields = '<input name="partition" value="host1/logs"><input name="step" value="do"><input name="force" value="on">'
    form = f'<form method="post" action="{browser.root}/partitions/delete">{fields}</form>'
    evil = tmp_path / "evil.html"
    evil.write_text(f"<body>{form}<script>document.forms[0].submit()</script>")
    browser.driver.get(evil.as_uri())
    assert "Not done" in browser.text or "Log in" in browser.text
    assert world.machine.conf.read_text() == before
    frame = tmp_path / "frame.html"
    frame.write_text(f'<body><iframe src="{browser.root}/partitions"></iframe>')
    browser.driver.get(frame.as_uri())
    browser.driver.switch_to.frame(0)
    assert "Partitions" not in browser.driver.page_source
    browser.driver.switch_to.default_content()
    browser.complaints()


def test_logging_out_leaves_nothing(browser: Browser, world: World) -> None:
    browser.log_in("admin", PASSWORD)
    cookie = browser.driver.get_cookie("nsu_session")
    assert cookie is not None
    assert cookie["httpOnly"]
    browser.send("/logout")
    assert browser.path == "/login"
    assert browser.driver.get_cookie("nsu_session") is None
    browser.driver.back()
    assert browser.path.startswith("/login"), "no page is kept by the browser either"
    assert world.web_port is not None
    copied = Client(world.web_port)
    copied.cookie = str(cookie["value"])
    assert copied.get("/").status == 303, "a copy of the cookie is worth nothing"
