"""Proves the life of `nsu: web`: found by title, confined, ended and killed without harm to the others; and its TLS."""

import contextlib
import os
import signal
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nsu.web.passwords import Users
from nsu.web.roles import Role
from nsu.web.tokens import Tokens
from tests.harness import Machine
from tests.harness.conf import free_ports
from tests.nsu.web.conftest import Pages
from tests.programs import needs, run

pytestmark = pytest.mark.system


def is_ready(machine: Machine) -> float:
    return machine.wait_for(lambda status: all(one["state"] == "ready" for one in status["supervisor"]["processes"]))


def test_it_is_confined_and_holds_no_drive(pages: Pages) -> None:
    (pid,) = pages.world.machine.pids("nsu: web")
    assert "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()
    opened = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    assert not [name for name in opened if name.endswith(".img")]


def test_killed_it_comes_again_and_the_others_do_not_notice(pages: Pages) -> None:
    machine = pages.world.machine
    before = [machine.pids(title) for title in ("nsu: server", "nsu: host", "nsu: srw", "nsu: agent")]
    machine.kill_process("nsu: web")
    machine.wait_for(lambda status: status["supervisor"]["processes"][2]["state"] != "ready")
    is_ready(machine)
    assert pages.person().get("/").status == 200
    assert [machine.pids(title) for title in ("nsu: server", "nsu: host", "nsu: srw", "nsu: agent")] == before


def test_sighup_leaves_the_sessions(pages: Pages) -> None:
    machine, person = pages.world.machine, pages.person()
    (pid,) = machine.pids("nsu: web")
    assert machine.supervisor is not None
    machine.supervisor.send_signal(signal.SIGHUP)
    psutil.Process(pid).send_signal(signal.SIGHUP)
    assert person.get("/").status == 200
    assert machine.pids("nsu: web") == [pid]


def conf(machine: Machine, *lines: str) -> str:
    head = "\n".join(["MACHINE box1", f"  STATE = {machine.state}", *(f"  {line}" for line in lines)])
    ports = free_ports(1)
    return f"{head}\nNSU box1\n  CONFIG_PORT = {ports[0]}\n  LISTEN = 127.0.0.1\n  PRIVILEGED_PORT = no\nARRAY a\n" + (
        f"  DRIVE = {machine.folder}/d.img(1MiB)\n"
    )


def test_a_port_that_is_taken_is_tried_again_and_stops_nothing(pages: Pages) -> None:
    with Machine() as machine:
        machine.start(conf(machine, f"WEB = 127.0.0.1:{pages.port}"))
        machine.wait_for(lambda status: status["server"])
        machine.wait_for(lambda status: "Address already in use" in status["supervisor"]["processes"][1]["why"])
        assert machine.status()["supervisor"]["processes"][0]["state"] == "ready"
        assert machine.stop() == 0


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[Machine, int, Path]]:
    with Machine() as machine:
        crt, key = machine.folder / "web.crt", machine.folder / "web.key"
        make = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ]
        run(*make, "-subj", "/CN=box1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(crt))
        (port,) = free_ports(1)
        machine.start(conf(machine, f"WEB = 127.0.0.1:{port}", f"WEB_CERTIFICATE = {crt}", f"WEB_KEY = {key}"))
        is_ready(machine)
        yield machine, port, crt
        assert machine.stop() == 0


def status_of(port: int, crt: Path, path: str, **headers: str) -> int:
    request = urllib.request.Request(f"https://127.0.0.1:{port}{path}", headers=headers)
    with contextlib.closing(urllib.request.build_opener(urllib.request.HTTPSHandler(context=trusting(crt)))) as opener:
        try:
            with opener.open(request, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code


def trusting(crt: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(crt))


@needs("openssl")
def test_with_tls_metrics_want_a_token_and_a_new_certificate_is_taken(tls: tuple[Machine, int, Path]) -> None:
    machine, port, crt = tls
    _, token = Tokens(machine.state).create("prometheus", Role.LOOK)
    Users(machine.state).put("admin", "correct horse", Role.ADMINISTER)
    assert status_of(port, crt, "/metrics") == 401
    assert status_of(port, crt, "/metrics", Authorization=f"Bearer {token}") == 200
    assert status_of(port, crt, "/login") == 200
    former = crt.read_bytes()
    make = ["openssl", "req", "-x509", "-key", str(crt.with_suffix(".key")), "-days", "3", "-subj", "/CN=again"]
    run(*make, "-addext", "subjectAltName=IP:127.0.0.1", "-out", str(crt))
    assert machine.supervisor is not None
    machine.supervisor.send_signal(signal.SIGHUP)
    machine.wait_for(lambda _: ssl.get_server_certificate(("127.0.0.1", port)).encode() == crt.read_bytes() != former)


@needs("openssl")
def test_a_certificate_that_is_none_is_told(tmp_path: Path) -> None:
    with Machine() as machine:
        for name in ("web.crt", "web.key"):
            (machine.folder / name).write_text("nothing")
        (port,) = free_ports(1)
        lines = (f"WEB_CERTIFICATE = {machine.folder}/web.crt", f"WEB_KEY = {machine.folder}/web.key")
        machine.start(conf(machine, f"WEB = 127.0.0.1:{port}", *lines))
        machine.wait_for(lambda status: "can't be used" in status["supervisor"]["processes"][1]["why"])
        assert machine.stop() == 0
