"""The home page in the deploy files: a gateway with the very arguments, keys, probes and names of each container."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from homefeed.pipeline.cli.main import app
from homefeed.serving.deploy.render import Options, render
from homefeed.serving.gateway.auth import read_keys, require_safe
from homefeed.serving.gateway.server import GRACE_SECONDS
from homefeed.serving.policy.rules import read_rules
from homefeed.serving.process import free_port, server_flags
from tests.documents import HOUSE, blocks, commands
from tests.pipeline.test_readme import below
from tests.serving.deploy.test_render import documents, exported, faults, kubernetes, rules, series_read
from tests.serving.gateway import toy
from tests.serving.servers import eventually, running_server
from tests.serving.test_releases import parsed

WORKLOADS = {"out": {"Deployment": "V1Deployment"}, "shared": {"StatefulSet": "V1StatefulSet"}}
KINDS = {
    "Service": "V1Service",
    "PodDisruptionBudget": "V1PodDisruptionBudget",
    "NetworkPolicy": "V1NetworkPolicy",
}
POD_IP = "10.1.2.3"
FILE = "gateway.yaml"
NAME = "homefeed-serving-gateway"


@pytest.fixture(scope="module")
def root(nearest: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    root = tmp_path_factory.mktemp("root")
    toy.publish(root / "serving", nearest)
    return root


def rendered(root: pathlib.Path, out: pathlib.Path, *options: str) -> pathlib.Path:
    arguments = ["deploy", "serving", "--root", str(root), "--out", str(out), "--allowed-host", "shop.test"]
    result = CliRunner().invoke(app, [*arguments, *options])
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def out(root: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return rendered(root, tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def shared(root: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """With several gateways."""
    return rendered(root, tmp_path_factory.mktemp("shared"), "--gateway-replicas", "3")


@pytest.fixture(scope="module")
def models(root: pathlib.Path) -> Iterator[str]:
    """Where a model server of what was pushed listens."""
    port = free_port()
    with running_server(**parsed(server_flags(str(root / "serving"), port))):
        yield f"127.0.0.1:{port}"


def compose(out: pathlib.Path) -> Any:
    return yaml.safe_load((out / "compose.yaml").read_text())


def pod(out: pathlib.Path) -> Any:
    return workload(out)["spec"]["template"]["spec"]


def workload(out: pathlib.Path) -> Any:
    """What keeps the pods."""
    (found,) = [one for one in documents(out / "kubernetes" / FILE) if "replicas" in one["spec"]]
    return found


def arguments_of(out: pathlib.Path, kind: str) -> list[str]:
    """What the image's program is told after the verb."""
    entrypoints = re.findall(r"^ENTRYPOINT (.*)$", (out / "pipeline.Dockerfile").read_text(), re.MULTILINE)
    assert json.loads(entrypoints[0]) == ["homefeed"]
    given = compose(out)["services"]["gateway"]["command"] if kind == "compose" else pod(out)["containers"][0]["args"]
    verb, *arguments = given
    assert verb == "gateway"
    return arguments


def options_of(arguments: list[str]) -> dict[str, Any]:
    """As the command line reads them."""
    gateway = below(get_command(app), "gateway")
    return dict(gateway.make_context("gateway", list(arguments)).params)


@dataclasses.dataclass
class Running:
    gateway: toy.Gateway
    kind: str
    out: pathlib.Path
    shop: dict[str, str]
    prometheus: dict[str, str]

    def status(self, path: str, host: str) -> int:
        return self.gateway.http.get(path, headers=self.shop | {"Host": host}).status_code


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@contextlib.contextmanager
def started(out: pathlib.Path, kind: str, places: dict[str, str]) -> Iterator[Running]:
    """A gateway with a container's arguments, but for places of this machine."""
    port = free_port()
    places |= {"/run/secrets/homefeed": str(out / "secrets"), "--port=8080": f"--port={port}"}
    arguments = arguments_of(out, kind)
    for written, here in {**places, "0.0.0.0": "127.0.0.1", "$(POD_IP)": POD_IP}.items():
        arguments = [argument.replace(written, here) for argument in arguments]
    keys = yaml.safe_load((out / "secrets" / "keys.yaml").read_text())
    with toy.running(arguments, port, out / f"{kind}.log") as gateway:
        prometheus = (out / "secrets" / "prometheus.key").read_text()
        yield Running(gateway, kind, out, bearer(keys["shop"]["key"]), bearer(prometheus))


@pytest.fixture(scope="module", params=["compose", "kubernetes"])
def running(request: Any, out: pathlib.Path, root: pathlib.Path, models: str) -> Iterator[Running]:
    target = "serving:8500" if request.param == "compose" else "homefeed-serving:8500"
    with started(out, request.param, {"/var/lib/homefeed": str(root), target: models}) as running:
        eventually(lambda: running.gateway.http.get("/v1/ready").json()["models"])
        yield running


def test_a_page_comes_from_the_top_for_who_has_the_key(running: Running) -> None:
    assert running.gateway.http.get("/v1/page").status_code == 401
    answer = running.gateway.http.get("/v1/page?user_id=fan", headers=running.shop)
    assert answer.status_code == 200 and answer.json()["served_by"] == "fused" and answer.json()["rows"]
    event = {"event_id": running.kind, "user_id": "fan", "type": "like", "item_id": "i20"}
    told = running.gateway.http.post("/v1/events", json={"events": [event]}, headers=running.shop).json()
    assert told["events"][0]["status"] == "accepted"


def test_rules_and_panels_read_what_it_exports(running: Running) -> None:
    """With the key that Prometheus is given, and no other."""
    assert running.gateway.http.get("/metrics", headers=running.shop).status_code == 403
    metrics = running.gateway.http.get("/metrics", headers=running.prometheus)
    read = {name for name in series_read(running.out) if name.startswith("homefeed")}
    assert metrics.status_code == 200 and len(read) > 6
    assert read <= exported(metrics.text)
    assert 'served_by="fused"' in metrics.text


def test_it_answers_by_the_names_of_its_callers_and_no_other(running: Running) -> None:
    names = {
        "compose": ["gateway:8080", "127.0.0.1:8080"],
        "kubernetes": [f"{POD_IP}:8080", NAME, f"{NAME}.homefeed", f"{NAME}.homefeed.svc"],
    }
    assert {running.status("/v1/health", host) for host in ["shop.test", *names[running.kind]]} == {200}
    assert running.status("/v1/health", "elsewhere.test") == 400


def test_its_health_is_asked_as_it_answers(running: Running) -> None:
    if running.kind == "kubernetes":
        (container,) = pod(running.out)["containers"]
        assert {port["name"]: port["containerPort"] for port in container["ports"]} == {"http": 8080}
        probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
        assert {running.status(probe["path"], POD_IP) for probe in probes.values()} == {200}
        assert {probe["port"] for probe in probes.values()} == {"http"}
        assert probes["readiness"]["path"] == "/v1/ready"
        return
    how, program, *arguments = compose(running.out)["services"]["gateway"]["healthcheck"]["test"]
    assert (how, program) == ("CMD", "python")

    def asked(port: int) -> int:
        told = [argument.replace("8080", str(port)) for argument in arguments]
        return subprocess.run([sys.executable, *told], capture_output=True).returncode

    assert asked(running.gateway.port) == 0 and asked(free_port()) != 0


# --- What is written ---


def test_compose_gives_what_the_arguments_name(out: pathlib.Path, root: pathlib.Path) -> None:
    services = compose(out)["services"]
    gateway, options = services["gateway"], options_of(arguments_of(out, "compose"))
    (volume,) = gateway["volumes"]
    assert volume == {
        "type": "bind",
        "source": str((root / "serving").resolve()),
        "target": f"{options['root']}/serving",
    }
    owner = (root / "serving").stat()
    assert gateway["user"] == f"{owner.st_uid}:{owner.st_gid}"  # Who may write live.sqlite there.
    (secret,) = gateway["secrets"]
    assert secret["target"] == str(options["api_keys"])
    files = {name: out / said["file"] for name, said in compose(out)["secrets"].items()}
    require_safe(options["host"], read_keys(files[secret["source"]]))
    assert gateway["ports"] == ["127.0.0.1:8080:8080"] and gateway["read_only"] and gateway["cap_drop"] == ["ALL"]
    scrape = yaml.safe_load((out / "prometheus" / "prometheus.yml").read_text())["scrape_configs"][-1]
    (name,) = services["prometheus"]["secrets"]
    assert scrape["authorization"] == {"credentials_file": f"/run/secrets/{name}"} and files[name].is_file()
    assert scrape["static_configs"] == [{"targets": ["gateway:8080"]}]


@pytest.mark.parametrize("which", ["out", "shared"])
def test_every_kubernetes_object_keeps_to_the_api(which: str, request: Any) -> None:
    found, kinds = documents(request.getfixturevalue(which) / "kubernetes" / FILE), WORKLOADS[which] | KINDS
    assert sorted(d["kind"] for d in found) == sorted(kinds)
    assert [fault for d in found for fault in faults(d, kinds[d["kind"]], d["kind"])] == []
    labels = {"app.kubernetes.io/name": NAME}
    for document in found:
        assert document["metadata"]["name"] == NAME and document["metadata"]["labels"] == labels
    deployment, service, budget, policy = (kubernetes(request.getfixturevalue(which), kind, FILE) for kind in kinds)
    assert deployment["spec"]["selector"]["matchLabels"] == service["spec"]["selector"] == labels
    assert budget["spec"]["selector"]["matchLabels"] == policy["spec"]["podSelector"]["matchLabels"] == labels


def test_a_pod_is_as_careful_as_the_model_servers(out: pathlib.Path) -> None:
    ours, theirs = pod(out), kubernetes(out, "Deployment")["spec"]["template"]["spec"]
    for name in ("securityContext", "serviceAccountName", "automountServiceAccountToken"):
        assert ours[name] == theirs[name]
    (container,), (other,) = ours["containers"], theirs["containers"]
    assert container["securityContext"] == other["securityContext"]
    assert container["resources"].keys() == other["resources"].keys()


def test_the_model_server_lets_it_in_and_it_goes_nowhere_else(out: pathlib.Path, shared: pathlib.Path) -> None:
    labels = kubernetes(out, "Deployment", FILE)["spec"]["template"]["metadata"]["labels"]
    (client,) = kubernetes(out, "NetworkPolicy")["spec"]["ingress"][0]["from"]
    assert client["podSelector"]["matchLabels"].items() <= labels.items()
    target = options_of(arguments_of(out, "kubernetes"))["models"]
    assert target == f"{kubernetes(out, 'Service')['metadata']['name']}:8500"

    def egress(folder: pathlib.Path) -> list[int]:
        rules = kubernetes(folder, "NetworkPolicy", FILE)["spec"]["egress"]
        assert rules[0]["to"][0]["podSelector"] == kubernetes(out, "NetworkPolicy")["spec"]["podSelector"]
        return [port["port"] for rule in rules for port in rule["ports"]]

    assert egress(out) == [8500, 53, 53] and egress(shared) == [8500, 53, 53, 6379]


def test_several_share_a_redis_and_one_writes_a_file(out: pathlib.Path, shared: pathlib.Path) -> None:
    def said(folder: pathlib.Path) -> tuple[int, Any, str, bool, dict[str, str]]:
        spec, (container,) = workload(folder)["spec"], pod(folder)["containers"]
        options = options_of(arguments_of(folder, "kubernetes"))
        (mounted,) = [m for m in container["volumeMounts"] if m["mountPath"] == f"{options['root']}/serving"]
        keys = {e["name"]: e["valueFrom"]["secretKeyRef"]["key"] for e in container["env"] if e["name"] != "POD_IP"}
        return spec["replicas"], spec.get("strategy"), options["store"], mounted.get("readOnly", False), keys

    assert said(out) == (1, {"type": "Recreate"}, "", False, {})
    assert said(shared) == (3, None, "$(STORE)", True, {"STORE": "store"})


def test_where_the_models_may_not_be_written_to_the_trail_has_a_place(
    out: pathlib.Path, shared: pathlib.Path
) -> None:
    mounts = {mount["name"]: mount for mount in pod(shared)["containers"][0]["volumeMounts"]}
    assert mounts["models"]["readOnly"] and not mounts["audit"].get("readOnly")
    given = options_of(arguments_of(shared, "kubernetes"))
    assert str(given["audit_dir"]) == mounts["audit"]["mountPath"]
    (claim,) = workload(shared)["spec"]["volumeClaimTemplates"]
    assert claim["metadata"]["name"] == "audit" not in {volume["name"] for volume in pod(shared)["volumes"]}
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"], "each replica has its own, and it outlives the pod"
    assert options_of(arguments_of(out, "kubernetes"))["audit_dir"] is None


def test_a_stop_has_the_time_that_the_gateway_takes(out: pathlib.Path) -> None:
    assert int(compose(out)["services"]["gateway"]["stop_grace_period"].removesuffix("s")) > GRACE_SECONDS
    _, before = pod(out)["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert pod(out)["terminationGracePeriodSeconds"] > int(before) + GRACE_SECONDS


def test_keys_are_made_once_and_closed_to_others(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    def texts(out: pathlib.Path) -> dict[str, str]:
        return {path.name: path.read_text() for path in (out / "secrets").iterdir()}

    first = texts(rendered(root, tmp_path / "one"))
    assert (tmp_path / "one" / "secrets").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "one" / "secrets").iterdir()} == {0o644}
    assert first[".gitignore"] == "*\n" and first.keys() == {".gitignore", "keys.yaml", "prometheus.key"}
    assert texts(rendered(root, tmp_path / "one", "--latency-ms", "50")) == first
    assert texts(rendered(root, tmp_path / "two"))["keys.yaml"] != first["keys.yaml"]


# --- What the guide says ---


GUIDE = HOUSE / "docs" / "deploy.md"


def lines(program: str) -> list[list[str]]:
    """The guide's lines of a program, as words."""
    found = [line for block in blocks("sh") if block.page == GUIDE for line in commands(block)]
    return [shlex.split(line)[1:] for line in found if line.startswith(f"{program} ")]


def test_the_guide_makes_the_secret_that_the_pods_read(shared: pathlib.Path) -> None:
    secret, apply = lines("kubectl")
    assert secret[:6] == ["-n", Options.namespace, "create", "secret", "generic", NAME]
    given = [word.partition("=")[2] for word in secret[6:]]
    volume = next(v["secret"] for v in pod(shared)["volumes"] if v["name"] == "keys")
    reference = next(
        e["valueFrom"]["secretKeyRef"] for e in pod(shared)["containers"][0]["env"] if e["name"] == "STORE"
    )
    assert volume["secretName"] == reference["name"] == NAME
    assert [pathlib.Path(given[0]).name] == [item["key"] for item in volume["items"]]
    assert given[1].partition("=")[0] == reference["key"]
    (compose_line,) = lines("docker")
    files = [given[0], *apply[2::2], compose_line[2]]
    assert apply[0] == "apply" and {*apply[1::2]} == {"-f"} and compose_line[:2] == ["compose", "--file"]
    assert all((shared / pathlib.Path(name).relative_to("deploy")).is_file() for name in files)


def test_the_guides_job_for_prometheus_finds_the_pods(out: pathlib.Path) -> None:
    (said,) = [block.text for block in blocks("text") if block.page == GUIDE and "job_name" in block.text]
    (job,) = yaml.safe_load(said)
    (rule,) = job["relabel_configs"]
    labels = kubernetes(out, "Deployment", FILE)["spec"]["template"]["metadata"]["labels"]
    places = {f"__meta_kubernetes_pod_label_{re.sub(r'[^a-z]', '_', name)}": value for name, value in labels.items()}
    assert places[rule["source_labels"][0]] == rule["regex"] and rule["action"] == "keep"
    assert job["kubernetes_sd_configs"][0]["namespaces"]["names"] == [Options.namespace]
    alerted = {name for rule in rules(out) for name in re.findall(r'job="([^"]+)"', rule["expr"])}
    assert job["job_name"] in alerted


def test_files_of_pages_come_along(root: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """With the lists that rules name; compose mounts the copies, and Kubernetes a map of them."""
    texts = {
        "rules.yaml": "ids: {deny: {item_id: {file: denied.txt}}}\n"
        "words: {deny: {words: {file: lists/de/../en/wörter.txt}}}\n"
        "more: {deny: {item_id: {file: lists/denied.txt}}}\n",
        "surfaces.yaml": "landing: {rows: [new]}\n",
        "experiments.yaml": "x: {arms: {a: {}, b: {model: canary}}}\n",
        "denied.txt": 'i1\nü: "2"\n',
        "lists/en/wörter.txt": "bomb\n",
        "lists/denied.txt": "i3\n",
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    given = {name: tmp_path / f"{name}.yaml" for name in ("rules", "surfaces", "experiments")}
    made = tmp_path / "out"
    files = render(root / "serving", made, Options(**given))
    assert {pathlib.Path("policy", name) for name in texts} <= set(files)
    copies = {str(path.relative_to(made / "policy")): path for path in (made / "policy").rglob("*.*")}
    assert {name: path.read_text(encoding="utf-8") for name, path in copies.items()} == texts
    assert read_rules(made / "policy" / "rules.yaml").version == read_rules(tmp_path / "rules.yaml").version
    objects = list(yaml.safe_load_all((made / "kubernetes" / "gateway.yaml").read_text(encoding="utf-8")))
    (config,) = (one for one in objects if one["kind"] == "ConfigMap")
    assert all(re.fullmatch(r"[-._a-zA-Z0-9]+", key) for key in config["data"])
    pod = objects[0]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (mount,) = (one for one in container["volumeMounts"] if one["name"] == "policy")
    (volume,) = (one["configMap"] for one in pod["volumes"] if one["name"] == "policy")
    assert volume["name"] == config["metadata"]["name"]
    assert {one["path"]: config["data"][one["key"]] for one in volume["items"]} == texts
    arguments = [f"--{name}={mount['mountPath']}/{name}.yaml" for name in given]
    assert set(arguments) <= set(container["args"])
    gateway = yaml.safe_load((made / "compose.yaml").read_text(encoding="utf-8"))["services"]["gateway"]
    assert set(arguments) <= set(gateway["command"])
    assert ("./policy", mount["mountPath"]) in [(one["source"], one["target"]) for one in gateway["volumes"]]
