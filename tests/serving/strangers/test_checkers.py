"""Checkers of other people: Prometheus' own, and Kubernetes' own validation, over what is rendered and served."""

import json
import pathlib
import re
import shlex
import subprocess
import urllib.request
from typing import Any

import pytest

from tests.serving.conftest import Models
from tests.serving.deploy.test_render import out, root  # noqa: F401  Fixtures.
from tests.serving.servers import Stubs, free_port, running_server
from tests.serving.strangers import workshop
from tests.serving.test_guide import at_ports, commands, served  # noqa: F401  `served` is a fixture.

pytestmark = pytest.mark.strangers


@pytest.mark.parametrize("line", commands("grpcurl"))
def test_the_guides_lines_with_grpcurl(line: str, served: Any) -> None:  # noqa: F811
    ports, _ = served
    _, *arguments = shlex.split(at_ports(line, ports))
    answer = json.loads(workshop.run(workshop.go_tool("grpcurl"), *arguments))
    if "GetModelStatus" in line:
        assert answer["modelVersionStatus"][0]["state"] == "AVAILABLE"
    else:
        assert "recommend" in answer["metadata"]["signature_def"]["signatureDef"]


def test_grpcurl_lists_and_describes_what_is_served(served: Any) -> None:  # noqa: F811
    (port, _), _ = served
    grpcurl = workshop.go_tool("grpcurl"), "-plaintext", f"127.0.0.1:{port}"
    listed = workshop.run(*grpcurl, "list").split()
    assert {"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"} <= set(listed)
    assert "rpc Predict" in workshop.run(*grpcurl, "describe", "tensorflow.serving.PredictionService.Predict")


def test_promtool_takes_the_rules_and_the_configuration(out: pathlib.Path) -> None:  # noqa: F811
    promtool, folder = workshop.go_tool("promtool"), out / "prometheus"
    said = workshop.run(promtool, "check", "rules", folder / "rules.yaml")
    assert re.search(r"SUCCESS: [1-9]\d* rules found", said)
    said = workshop.run(promtool, "check", "config", "--syntax-only", folder / "prometheus.yml")
    assert "is valid prometheus config file syntax" in said


def test_promtool_refuses_a_rule_that_is_none(out: pathlib.Path, tmp_path: pathlib.Path) -> None:  # noqa: F811
    rules = (out / "prometheus" / "rules.yaml").read_text(encoding="utf-8")
    (tmp_path / "rules.yaml").write_text(rules.replace("expr: ", "expr: )", 1), encoding="utf-8")
    with pytest.raises(AssertionError, match="could not parse expression"):
        workshop.run(workshop.go_tool("promtool"), "check", "rules", tmp_path / "rules.yaml")


def pages(rung: str, a_minute: int, seconds: float = 0.06) -> dict[str, int]:
    """What a gateway exports that serves pages of a rung: series → growth a minute."""
    name = f'homefeed_page_seconds_{{}}{{{{served_by="{rung}"{{}}}}}}'
    buckets = {name.format("bucket", f',le="{le}"'): a_minute for le in (seconds, "+Inf")}
    return {name.format("count", ""): a_minute, name.format("bucket", ',le="0.015"'): 0, **buckets}


REFUSED, LOST = {'homefeed_refused_total{what="page"}': 2}, {"homefeed_exposures_lost_total": 1}


@pytest.mark.parametrize(
    ("growth", "alerts"),
    [
        (pages("fused", 100), []),
        (pages("fused", 99) | pages("retrieval", 1), []),
        (pages("fused", 90) | pages("retrieval", 10), ["HomefeedPagesBelowTheTop"]),
        (pages("popular", 100), ["HomefeedPagesBelowTheTop"]),
        (pages("fused", 100, seconds=0.25), ["HomefeedPagesSlow"]),
        (pages("fused", 100) | REFUSED, ["HomefeedPagesRefused"]),
        (pages("fused", 1000) | REFUSED, []),
        (pages("fused", 100) | LOST, ["HomefeedPagesNotRecorded"]),
        ({}, ["HomefeedGatewayDown"]),
    ],
)
def test_promtool_sees_the_alerts_of_pages(
    growth: dict[str, int],
    alerts: list[str],
    out: pathlib.Path,  # noqa: F811
    tmp_path: pathlib.Path,
) -> None:
    up = {f'up{{job="homefeed-{name}"}}': "1x60" for name in ("serving", *(["gateway"] if growth else []))}
    series = up | {name: f"0+{a_minute}x60" for name, a_minute in growth.items()}
    expected = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in alerts]
    firing = 'count by (alertname) (ALERTS{alertstate="firing"})'
    tests = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": firing, "eval_time": "30m", "exp_samples": expected}],
    }
    asked = {"rule_files": [str(out / "prometheus" / "rules.yaml")], "evaluation_interval": "1m", "tests": [tests]}
    (tmp_path / "tests.json").write_text(json.dumps(asked), encoding="utf-8")
    workshop.run(workshop.go_tool("promtool"), "test", "rules", tmp_path / "tests.json")


def test_promtool_reads_the_metrics_page(models: Models, tmp_path: pathlib.Path) -> None:
    models.publish("half_plus_two", tmp_path / "half", 1)
    monitoring = tmp_path / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }", encoding="utf-8")
    rest_port = free_port()
    flags = {"model_name": "half", "model_base_path": str(tmp_path / "half"), "rest_api_port": rest_port}
    with running_server(**flags, monitoring_config_file=str(monitoring)) as server:
        Stubs(f"127.0.0.1:{server.grpc_port}").predict("half", {"x": [[2.0]]})
        address = f"http://127.0.0.1:{rest_port}/monitoring/prometheus/metrics"
        page = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=20).read()
    assert b":tensorflow:serving:request_count" in page
    checked = subprocess.run([workshop.go_tool("promtool"), "check", "metrics"], input=page, capture_output=True)
    # 3: read, with remarks. They are on TensorFlow Serving's names (`:`), units and missing help, which are kept.
    assert checked.returncode in (0, 3), checked.stderr
    kept = ("no help text", "':'", "counter metrics should have", "base unit", "abbreviated", '"_count" suffix')
    remarks = [line for line in checked.stderr.decode().splitlines() if not any(words in line for words in kept)]
    assert remarks == []
    broken = subprocess.run([workshop.go_tool("promtool"), "check", "metrics"], input=b"a{ 1\n", capture_output=True)
    assert broken.returncode == 1


@pytest.mark.parametrize("name", ["serving.yaml", "gateway.yaml"])
def test_kubernetes_own_validation_takes_the_manifests(
    name: str,
    out: pathlib.Path,  # noqa: F811
    tmp_path: pathlib.Path,
) -> None:
    """With the schemas of Kubernetes 1.30, which the program carries. It carries none of KServe's."""
    validate, manifest = workshop.go_tool("kubectl-validate"), out / "kubernetes" / name
    assert "OK" in workshop.run(validate, manifest, "--version=1.30")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        manifest.read_text(encoding="utf-8").replace("containerPort:", "containerDoor:", 1), encoding="utf-8"
    )
    with pytest.raises(AssertionError, match="containerDoor"):
        workshop.run(validate, wrong, "--version=1.30")
