"""Proves that REST tells what `nsu status` knows, orders what the command line orders, and that /metrics is guarded."""

import subprocess
import time

import pytest

from nsu.web.orders import VERBS
from nsu.web.roles import Role
from tests.nsu.web.conftest import Pages
from tests.programs import needs

pytestmark = pytest.mark.system


def test_it_tells_what_status_knows(pages: Pages) -> None:
    program, status = pages.program(Role.LOOK), pages.world.machine.status()
    told = {path: program.get(f"/api/v1/{path}").json for path in ("overview", "arrays", "hosts", "sessions", "disks")}
    assert told["overview"]["machine"] == "box1"
    assert [drive["name"] for drive in told["arrays"][0]["drives"]][:1] == [
        status["server"]["arrays"][0]["drives"][0]["name"]
    ]
    assert [host["name"] for host in told["hosts"]] == ["host1", "host2"]
    assert told["sessions"][0]["epoch"] == status["server"]["sessions"][0]["epoch"]
    assert {disk["name"] for disk in told["disks"]} == {"data", "logs"}
    assert [one["title"] for one in program.get("/api/v1/partitions").json][:2] == ["host1/data", "host1/logs"]
    uses = [use for one in program.get("/api/v1/partitions").json for use in one["uses"]]
    assert {use["totals"]["refused"] for use in uses} == {0}
    assert program.get("/api/v1/servers").json[0]["paths_up"] == 2
    assert program.get("/api/v1/timers").json
    wrong = [alarm for alarm in program.get("/api/v1/alarms").json if alarm["severity"] != "note"]
    assert wrong == []


def test_a_series_goes_on_where_it_was_left(pages: Pages) -> None:
    program = pages.program(Role.LOOK)
    deadline_s = time.monotonic() + 20
    while len((series := program.get("/api/v1/series").json)["points"]) < 1:
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    assert "host:host1" in series["points"][-1]["rates"]
    assert program.get(f"/api/v1/series?since={series['points'][-1]['at'] + 60}").json["points"] == []


def test_every_verb_has_its_route_and_its_words(pages: Pages) -> None:
    paths = pages.program().get("/api/v1/openapi.json").json["paths"]
    for verb in VERBS:
        operation = paths[f"/api/v1/partitions/{verb}"]["post"]
        assert operation["description"].startswith(f"As `nsu partition {verb}`")
        assert operation["security"] == [{"HTTPBearer": []}, {"APIKeyCookie": []}]


def test_a_change_is_planned_bound_and_done(pages: Pages) -> None:
    program = pages.program()
    order = {"name": "api", "size": "256KiB", "hosts": [{"host": "host2", "access": "read-only"}]}
    planned = program.order("/partitions/create", {**order, "plan_only": True}).json
    assert (planned["applied"], planned["plan"]["changes"][0]["kind"]) == (False, "created")
    assert program.order("/partitions/create", {**order, "base": "0" * 64}).status == 409
    done = program.order("/partitions/create", {**order, "base": planned["base"]}).json
    assert (done["applied"], done["in_force"]) == (True, True)
    assert program.get("/api/v1/history").json[0]["number"] == done["version"]
    again = program.order("/partitions/create", order)
    assert again.status == 409
    assert program.order("/partitions/delete", {"partition": "host2/api"}).json["in_force"]
    assert program.order("/history/rollback", {"version": 999999}).status == 404


def test_a_command_and_rest_see_one_file(pages: Pages) -> None:
    program = pages.program()
    conf = program.get("/api/v1/conf").json
    assert conf["text"] == pages.world.machine.conf.read_text()
    done = program.order("/conf", {"text": conf["text"] + "# by REST\n", "base": conf["digest"]}).json
    assert done["in_force"]
    assert pages.world.machine.conf.read_text().endswith("# by REST\n")
    assert program.order("/conf", {"text": conf["text"]}).json["in_force"]


def test_metrics_are_there_for_this_machine_and_wrong_tokens_are_refused(pages: Pages) -> None:
    reply = pages.program(None).get("/metrics")
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'nsu_role_ready{role="server"} 1.0' in reply.text
    assert 'nsu_process_cpu_seconds_total{process="nsu: web"}' in reply.text
    assert pages.program(None).get("/metrics", Authorization="Bearer x").status == 401


@needs("promtool")
def test_promtool_takes_the_metrics_of_a_running_machine(pages: Pages) -> None:
    text = pages.program(None).get("/metrics").body
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
