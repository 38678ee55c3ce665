"""Proves that /metrics is text that Prometheus takes without a complaint, with the numbers of `nsu status`."""

import json
import math
import re
import subprocess
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from ipc.latency import BUCKETS
from nsu.processes import ProcessUse
from nsu.web.metrics import metrics_text
from tests.nsu.found import drive, found, path
from tests.programs import needs, run

PROJECT = Path(__file__).parents[3]


def samples(told: dict[str, Any], *uses: ProcessUse) -> dict[str, float]:
    """Give `name{label="value"}` -> value; a sample that is there twice fails."""
    result: dict[str, float] = {}
    for family in text_string_to_metric_families(metrics_text(told, uses).decode()):
        for sample in family.samples:
            labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
            assert f"{sample.name}{{{labels}}}" not in result
            result[f"{sample.name}{{{labels}}}"] = sample.value
    return result


def rich() -> dict[str, Any]:
    told = found()
    told["server"]["hosts"][0]["totals"].update(reads=7, read_bytes=4096, fenced=2)
    told["server"]["hosts"][0]["units"][1]["totals"].update(writes=5, written_bytes=512, refused=3)
    told["server"]["sessions"][0]["srws"][0]["latency"] = [1, 2, 3]
    told["server"]["arrays"][0]["drives"] = [
        drive(0, operations=10, mean_us=2000, slowest_us=9000), drive(1, state="rebuilding", rebuilt_percent=40),
        drive(2, name="(not there)", state="out"), drive(3, name="(not there)", state="out"),
    ]  # fmt: skip
    told["host"]["servers"][0]["paths"][1] = path(
        1, state="fencing", errors=3, waited_ms=1500, round_trip_us=250, incarnation=4
    )
    told["server"]["hosts"][0]["name"] = 'odd"\\\nname'
    return told


@needs("promtool")
def test_promtool_takes_it() -> None:
    text = metrics_text(rich(), [ProcessUse("nsu: server", 5, 1.5, 1 << 20)])
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_numbers_are_those_of_status() -> None:
    told = samples(rich(), ProcessUse("nsu: server", 5, 1.5, 1 << 20))
    host = 'host="odd"\\\nname"'
    assert told[f'nsu_host_operations_total{{{host},kind="read"}}'] == 7
    assert told[f'nsu_host_bytes_total{{direction="read",{host}}}'] == 4096
    assert told[f"nsu_host_fenced_total{{{host}}}"] == 2
    assert told[f'nsu_partition_operations_total{{{host},kind="write",partition="logs"}}'] == 5
    assert told[f'nsu_partition_operations_total{{{host},kind="refused",partition="logs"}}'] == 3
    assert told[f'nsu_partition_bytes_total{{direction="written",{host},partition="logs"}}'] == 512
    assert told["nsu_partition_size_bytes{" + host + ',partition="data"}'] == 500 * 512
    assert told['nsu_drive_busy_seconds_total{array="unit0",drive="/srv/drive0.img",place="0"}'] == 0.02
    assert told['nsu_drive_rebuilt_ratio{array="unit0",drive="/srv/drive1.img",place="1"}'] == 0.4
    assert told['nsu_drive_state{array="unit0",drive="(not there)",place="3",state="out"}'] == 1
    assert told['nsu_turned_away_total{what="tokens"}'] == 5
    assert told['nsu_path_up{path="1",server="box2"}'] == 0
    assert told['nsu_path_errors_total{path="1",server="box2"}'] == 3
    assert told['nsu_path_waited_seconds_total{path="1",server="box2"}'] == 1.5
    assert told['nsu_path_lives_total{path="1",server="box2"}'] == 4
    assert told['nsu_path_round_trip_seconds{path="1",server="box2"}'] == 0.00025
    assert told['nsu_disk_queue_depth{disk="mail",server="box2"}'] == 3
    assert told['nsu_process_cpu_seconds_total{process="nsu: server"}'] == 1.5
    assert told['nsu_alarms{severity="urgent"}'] == 2, "two places of one array are out"


def test_a_histogram_counts_upwards_to_all() -> None:
    families = {family.name: family for family in text_string_to_metric_families(metrics_text(rich()).decode())}
    buckets = [s for s in families["nsu_srw_latency_seconds"].samples if s.name.endswith("_bucket")]
    assert [sample.value for sample in buckets[:4]] == [1, 3, 6, 6]
    assert len(buckets) == BUCKETS
    assert buckets[-1].labels["le"] == "+Inf"
    bounds = [float(sample.labels["le"]) for sample in buckets]
    assert bounds == sorted(bounds)
    assert math.isclose(bounds[0], 1.024e-6)
    count = next(s.value for s in families["nsu_srw_latency_seconds"].samples if s.name.endswith("_count"))
    assert count == 6


def test_a_machine_of_one_role_and_one_that_answers_nothing_have_metrics() -> None:
    told = found()
    told["server"] = told["host"] = None
    assert 'nsu_role_answers{role="server"}' in samples(told)
    assert samples(told)['nsu_role_answers{role="server"}'] == 0


def names_used(text: str) -> set[str]:
    return set(re.findall(r"\bnsu_[a-z_]+[a-z]", text))


def names_there() -> set[str]:
    told = rich()
    families = text_string_to_metric_families(metrics_text(told, [ProcessUse("nsu: server", 5, 1.5, 1)]).decode())
    return {sample.name for family in families for sample in family.samples}


def test_dashboard_and_rules_use_only_what_there_is() -> None:
    for file in ("etc/grafana-nsu.json", "etc/prometheus-nsu.rules.yml", "docs/management.md"):
        used = {name for name in names_used((PROJECT / file).read_text()) if not name.startswith("nsu_session")}
        assert len(used) > 5
        assert not used - names_there(), file
    json.loads((PROJECT / "etc/grafana-nsu.json").read_text())


@needs("promtool")
def test_the_alert_rules_are_good() -> None:
    assert "SUCCESS: 16 rules found" in run("promtool", "check", "rules", str(PROJECT / "etc/prometheus-nsu.rules.yml"))
