"""Proves REST against its own document: whatever is sent, no answer is a fault of ours, and each is as it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nsu.web.roles import Role
from nsu.web.tokens import Tokens
from tests.harness import spawn_world

pytestmark = pytest.mark.system
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "response_headers_conformance", "negative_data_rejection", "unsupported_method", "ignored_auth",
)  # fmt: skip


def schemathesis(port: int, token: str, folder: Path, examples: int, phases: str) -> str:
    """Run it as people do; give what it printed, and fail with that."""
    program = Path(sys.executable).parent / "schemathesis"
    command = [str(program), "run", f"http://127.0.0.1:{port}/api/v1/openapi.json"]
    command += ["--checks", ",".join(CHECKS), "--max-examples", str(examples), "--seed", "1", "--no-color"]
    command += [
        "-H",
        f"Authorization: Bearer {token}",
        "--phases",
        phases,
        "--request-timeout",
        "40",
    ]
    environment = os.environ | {"HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis")}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=1000, cwd=folder, env=environment
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


def run_against_a_machine(tmp_path: Path, examples: int, phases: str) -> str:
    with spawn_world(units={"data": 8192, "logs": 2048}, level="raid5", drives=3, paths=2, web=True) as world:
        machine = world.machine
        machine.wait_for(lambda status: all(one["state"] == "ready" for one in status["supervisor"]["processes"]))
        _, token = Tokens(machine.state).create("schemathesis", Role.ADMINISTER)
        assert world.web_port is not None
        said = schemathesis(world.web_port, token, tmp_path, examples, phases)
        assert "Traceback" not in machine.log()
        assert all(one["state"] == "ready" for one in machine.status()["supervisor"]["processes"])
    return said


def test_every_answer_is_in_the_document(tmp_path: Path) -> None:
    said = run_against_a_machine(tmp_path, 2, "fuzzing")
    found = re.search(r"(\d+) generated", said)
    assert found, said
    assert int(found[1]) > 60


@pytest.mark.soak
def test_thousands_of_answers_are_in_the_document(tmp_path: Path) -> None:
    print(run_against_a_machine(tmp_path, 100, "coverage,fuzzing")[-1500:])
