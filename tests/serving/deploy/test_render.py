"""The deploy files: read by the published schemas, and by our own server."""

import contextlib
import json
import pathlib
import re
import shutil
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import promql_parser
import pytest
import yaml
from typer.testing import CliRunner

from homefeed.pipeline.cli.main import app
from homefeed.serving.deploy.render import Options, RenderError, memory_mebibytes, pushed_models, render
from homefeed.serving.model_server.flags import Flags
from homefeed.serving.model_server.flags import parse as parse_flags
from homefeed.serving.model_server.metrics import Metrics
from homefeed.serving.process import server_flags
from homefeed.serving.releases import Releases
from tests.serving.servers import Stubs, eventually, free_port, running_server

KINDS = {
    "ConfigMap": "V1ConfigMap",
    "ServiceAccount": "V1ServiceAccount",
    "Deployment": "V1Deployment",
    "Service": "V1Service",
    "HorizontalPodAutoscaler": "V2HorizontalPodAutoscaler",
    "PodDisruptionBudget": "V1PodDisruptionBudget",
    "NetworkPolicy": "V1NetworkPolicy",
}


@pytest.fixture(scope="module")
def root(toy_models: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("root")
    for name, folder in toy_models.items():
        shutil.copytree(folder / "Format-Serving", root / "serving" / name / "7")
    (root / "serving" / "retrieval" / "6").mkdir()
    (root / "serving" / "profiles.sqlite").touch()
    return root


@pytest.fixture(scope="module")
def out(root: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    out = tmp_path_factory.mktemp("out")
    arguments = ["deploy", "serving", "--root", str(root), "--out", str(out)]
    result = CliRunner().invoke(app, [*arguments, "--models-dir", str(root / "serving"), "--json"])
    assert result.exit_code == 0, result.output
    assert {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} == set(
        json.loads(result.stdout)["files"]
    )
    return out


def documents(path: pathlib.Path) -> list[Any]:
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def kubernetes(out: pathlib.Path, kind: str, file: str = "serving.yaml") -> Any:
    (found,) = [d for d in documents(out / "kubernetes" / file) if d["kind"] == kind]
    return found


def faults(value: Any, kind: str, path: str) -> Iterator[str]:
    """Fields that the Kubernetes API's own model does not have, or whose values are of another type."""
    from kubernetes import client

    if listed := re.fullmatch(r"list\[(.*)\]", kind):
        assert isinstance(value, list), path
        for place, item in enumerate(value):
            yield from faults(item, listed[1], f"{path}[{place}]")
    elif mapped := re.fullmatch(r"dict\(str, (.*)\)", kind):
        for name, item in value.items():
            yield from faults(item, mapped[1], f"{path}.{name}")
    elif hasattr(client, kind):
        model = getattr(client, kind)
        attributes = {given: name for name, given in model.attribute_map.items()}
        if not isinstance(value, dict):
            yield f"{path} should be a {kind}"
            return
        for name, item in value.items():
            if name not in attributes:
                yield f"{path}.{name} is unknown to {kind}"
            else:
                yield from faults(item, model.openapi_types[attributes[name]], f"{path}.{name}")
        required = {k: v for k, v in value.items() if k in attributes}
        arguments = {attributes[k]: v for k, v in required.items()}
        try:
            model(**arguments)  # Raises on a missing field.
        except ValueError as error:
            yield f"{path}: {error}"
    elif kind in ("str", "int", "bool") and type(value).__name__ != kind:
        yield f"{path} is {value!r}, not of type {kind}"


def test_every_kubernetes_object_keeps_to_the_api(out: pathlib.Path) -> None:
    found = documents(out / "kubernetes" / "serving.yaml")
    assert sorted(d["kind"] for d in found) == sorted(KINDS)
    assert [fault for d in found for fault in faults(d, KINDS[d["kind"]], d["kind"])] == []


def test_the_check_itself_sees_faults(out: pathlib.Path) -> None:
    deployment = kubernetes(out, "Deployment")
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    container["imagePullPolice"] = "Always"
    container["ports"][0]["containerPort"] = "8500"
    del container["name"]
    found = "\n".join(faults(deployment, "V1Deployment", "Deployment"))
    assert "imagePullPolice is unknown to V1Container" in found
    assert "containerPort is '8500', not of type int" in found
    assert "`name`, must not be `None`" in found


def test_pods_are_nobody_and_may_do_nothing(out: pathlib.Path) -> None:
    pod = kubernetes(out, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
    assert pod["automountServiceAccountToken"] is False
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
    assert kubernetes(out, "NetworkPolicy")["spec"]["egress"] == []


def test_everything_selects_the_pods_of_the_deployment(out: pathlib.Path) -> None:
    labels = kubernetes(out, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert kubernetes(out, "Deployment")["spec"]["selector"]["matchLabels"] == labels
    assert kubernetes(out, "Service")["spec"]["selector"] == labels
    assert kubernetes(out, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert kubernetes(out, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    target = kubernetes(out, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", kubernetes(out, "Deployment")["metadata"]["name"])


def arguments_of(out: pathlib.Path, kind: str) -> tuple[list[str], dict[str, str]]:
    """The arguments and the environment of the model server's container."""
    if kind == "docker":
        dockerfile = (out / "serving.Dockerfile").read_text()
        environment = dict(re.findall(r"^ENV (\w+)=(\S+)$", dockerfile, re.MULTILINE))
        return json.loads(dockerfile.partition("\nCMD ")[2].replace("\\\n", "")), environment
    spec = kubernetes(out, "Deployment")["spec"]["template"]["spec"]
    if kind == "kserve":
        (service,) = documents(out / "kubernetes" / "inference-service.yaml")
        spec = service["spec"]["predictor"]
    (container,) = spec["containers"]
    assert container["command"] == ["tensorflow_model_server"]
    assert list(faults(container, "V1Container", kind)) == []
    return container["args"], {entry["name"]: entry["value"] for entry in container["env"]}


@pytest.mark.parametrize("kind", ["docker", "kubernetes", "kserve"])
def test_a_container_serves_as_homefeed_serve_does(kind: str, out: pathlib.Path, root: pathlib.Path) -> None:
    arguments, environment = arguments_of(out, kind)
    assert environment == {"TF_ENABLE_ONEDNN_OPTS": "0"}
    ours, theirs = (
        {**vars(parse_flags(given)[0])} for given in (server_flags(str(root / "serving"), 8500), arguments)
    )
    different = {name: value for name, value in theirs.items() if value != ours[name]}
    assert different == {
        "rest_api_port": 8501,
        "model_config_file": str(root / "serving" / "mounted.config"),
        "monitoring_config_file": "/config/monitoring.config",
    }


@pytest.mark.parametrize("kind", ["docker", "kubernetes", "kserve"])
def test_a_container_follows_canary_promotion_and_rollback(
    kind: str, toy_models: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    """With its very arguments, but for the ports and the place of the ConfigMap, and with quick looks at the disk."""
    models = {name: folder / "Format-Serving" for name, folder in toy_models.items()}
    releases = Releases(tmp_path / "serving")
    releases.push(models)
    render(tmp_path / "serving", tmp_path / "out", Options(models_dir=str(tmp_path / "serving")))
    given, _ = arguments_of(tmp_path / "out", kind)
    flags, unknown = parse_flags([argument.replace("/config/", f"{tmp_path}/out/config/") for argument in given])
    assert unknown == []
    chosen = {name: value for name, value in vars(flags).items() if value != getattr(Flags(), name)}
    ports = {"port": free_port(), "rest_api_port": free_port()}
    quick = {"model_config_file_poll_wait_seconds": 0.1, "file_system_poll_wait_seconds": 0.1}
    with running_server(**chosen | ports | quick) as server:
        stubs = Stubs(f"127.0.0.1:{server.grpc_port}")

        def version(label: str) -> int:
            inputs = {"history": [["i1"]], "k": np.array([2], np.int32)}
            with contextlib.suppress(grpc.RpcError):
                answer = stubs.predict("retrieval", inputs, signature="retrieve", label=label)
                return int(answer.model_spec.version.value)
            return 0

        assert (version("stable"), version("canary")) == (1, 0)
        releases.push(models, canary=True)
        eventually(lambda: version("canary") == 2)
        assert version("stable") == 1
        releases.promote()
        eventually(lambda: (version("stable"), version("canary")) == (2, 0))
        assert stubs.states("retrieval") == {2: "AVAILABLE", 1: "AVAILABLE"}
        releases.rollback(settle_seconds=0.5)
        assert version("stable") == 1


def test_the_config_map_holds_what_the_image_does(out: pathlib.Path) -> None:
    data = kubernetes(out, "ConfigMap")["data"]
    assert data == {file.name: file.read_text() for file in (out / "config").iterdir()}
    dockerfile = (out / "serving.Dockerfile").read_text()
    assert f"FROM {Options.serving_base}\n" in dockerfile and "USER 65532" in dockerfile


def test_compose_mounts_the_models_where_the_configuration_looks(out: pathlib.Path, root: pathlib.Path) -> None:
    compose = yaml.safe_load((out / "compose.yaml").read_text())
    serving = compose["services"]["serving"]
    (volume,) = serving["volumes"]
    assert volume == {
        "type": "bind",
        "source": str((root / "serving").resolve()),
        "target": str(root / "serving"),
        "read_only": True,
    }
    assert (out / serving["build"]["dockerfile"]).is_file()
    for service in compose["services"].values():
        for port in service["ports"]:
            assert port.startswith("127.0.0.1:")
        for mounted in service["volumes"]:
            if isinstance(mounted, str):
                assert (out / mounted.partition(":")[0]).exists()


def test_kserve_gets_the_volumes_of_the_deployment(out: pathlib.Path) -> None:
    (service,) = documents(out / "kubernetes" / "inference-service.yaml")
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    predictor, pod = service["spec"]["predictor"], kubernetes(out, "Deployment")["spec"]["template"]["spec"]
    assert [volume for volume in pod["volumes"] if volume["name"] != "tmp"] == predictor["volumes"]
    (container,), (other,) = predictor["containers"], pod["containers"]
    assert container["resources"] == other["resources"]
    assert list(faults(predictor["securityContext"], "V1PodSecurityContext", "securityContext")) == []


def exported(metrics: str) -> set[str]:
    """Series names of a page of metrics."""
    kinds = dict(re.findall(r"# TYPE (\S+) (\S+)", metrics))
    parts = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    return {f"{name}{part}" for name, kind in kinds.items() for part in parts[kind]}


def series(node: Any) -> Iterator[str]:
    """Names of the series that a parsed expression reads."""
    if name := getattr(node, "name", None):
        yield name
    for attribute in ("expr", "lhs", "rhs", "vector_selector", "vs"):
        if (child := getattr(node, attribute, None)) is not None:
            yield from series(child)
    args = getattr(node, "args", None)
    for child in args if isinstance(args, list) else []:
        yield from series(child)


def rules(out: pathlib.Path) -> list[Any]:
    """Of both groups."""
    groups = yaml.safe_load((out / "prometheus" / "rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def series_read(out: pathlib.Path) -> set[str]:
    """What rules and panels read and no rule records."""
    dashboard = json.loads((out / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
    expressions = [rule["expr"] for rule in rules(out)]
    expressions += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(expressions) > 25
    recorded = {rule["record"] for rule in rules(out) if "record" in rule}
    return {name for expression in expressions for name in series(promql_parser.parse(expression))} - recorded


def test_rules_and_panels_read_what_a_server_exports(out: pathlib.Path) -> None:
    """Series of ours have `homefeed` in their names; they are held to a gateway that runs in test_gateway."""
    read = {name for name in series_read(out) if not name.startswith("homefeed")}
    assert len(read) > 6
    assert read <= exported(Metrics().text()) | {"up"}  # `up` is Prometheus' own.
    assert all(
        {"alert", "expr", "for", "labels", "annotations"} == rule.keys() for rule in rules(out) if "alert" in rule
    )


def test_the_dashboard_keeps_to_grafanas_schema(out: pathlib.Path) -> None:
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    given = json.loads((out / "grafana" / "dashboard.json").read_text(encoding="utf-8"))
    understood = json.loads(JSONEncoder().encode(Dashboard.from_json(given)))
    assert list(_lost(given, understood, "dashboard")) == []


def _lost(given: Any, understood: Any, path: str) -> Iterator[str]:
    """What was given and is not in what was understood."""
    if isinstance(given, dict):
        for name, value in given.items():
            if name not in understood:
                yield f"{path}.{name}"
            else:
                yield from _lost(value, understood[name], f"{path}.{name}")
    elif isinstance(given, list):
        for place, (value, other) in enumerate(zip(given, understood, strict=True)):
            yield from _lost(value, other, f"{path}[{place}]")
    elif given != understood:
        yield f"{path}: {given!r} was read as {understood!r}"


def test_memory_grows_with_the_models(root: pathlib.Path) -> None:
    models = pushed_models(root / "serving")
    assert [(model.name, model.version) for model in models] == [("fused", 7), ("ranking", 7), ("retrieval", 7)]
    # 1024 MiB for the server, and three versions of twice the files.
    assert memory_mebibytes(models) == 1024 + 6 * sum(model.num_bytes for model in models) // 2**20
    assert all(model.num_bytes > 1000 for model in models)


def test_without_pushed_models_nothing_is_rendered(tmp_path: pathlib.Path) -> None:
    with pytest.raises(RenderError, match="holds no pushed models"):
        render(tmp_path / "absent", tmp_path / "out", Options())
