"""Renders the deploy files for a folder of pushed models."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from homefeed.schemas.errors import HomefeedError
from homefeed.schemas.scratch import replacing
from homefeed.serving.experiments.design import read_experiments
from homefeed.serving.policy.rules import read_rules
from homefeed.serving.policy.surfaces import read_surfaces
from homefeed.serving.process import SERVER_ENVIRONMENT, server_flags
from homefeed.serving.releases import Releases
from homefeed.serving.releases.server_config import MODELS_DIR, MOUNTED_FILE

TEMPLATES = pathlib.Path(__file__).parent / "templates"
SUFFIX = ".j2"
MEBIBYTE = 2**20
GRPC_PORT, REST_PORT = 8500, 8501
GATEWAY_PORT = 8080
GATEWAY_ROOT = "/var/lib/homefeed"  # The gateway's --root: it sees the pushed folder as `serving` in it.
KEYS_DIR = "/run/secrets/homefeed"
POLICY = "policy"
POLICY_DIR = "/etc/homefeed/policy"
GATEWAY_MEBIBYTES = 1024
SECRETS = "secrets"
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


class RenderError(HomefeedError, ValueError):
    """There is nothing to deploy, or it cannot be deployed so."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What the deploy files are told beside the models."""

    name: str = "homefeed-serving"  # Of everything on Kubernetes.
    namespace: str = "homefeed"
    image: str = "homefeed-serving:latest"  # Built from serving.Dockerfile.
    serving_base: str = "tensorflow/serving:2.16.1"  # Unmodified.
    models_dir: str = MODELS_DIR  # Where containers see the pushed models.
    claim: str = "homefeed-models"  # The volume with the pushed models, which the Pusher writes.
    cpus: int = 2  # Of each replica.
    min_replicas: int = 2
    max_replicas: int = 10
    latency_ms: int = 100  # p99 of a model or of a page above it raises an alert.
    gateway_image: str = "homefeed:latest"  # Built from pipeline.Dockerfile.
    gateway_replicas: int = 1  # Of the home page on Kubernetes; more than one share a Redis.
    allowed_hosts: tuple[str, ...] = ()  # Names by which browsers call the home page.
    rules: pathlib.Path | None = None  # What goes on the gateway's pages; the file is copied.
    surfaces: pathlib.Path | None = None
    experiments: pathlib.Path | None = None

    @property
    def policies(self) -> dict[str, pathlib.Path]:
        """Option of the gateway → its file, of those that are given."""
        given = {"rules": self.rules, "surfaces": self.surfaces, "experiments": self.experiments}
        return {name: path for name, path in given.items() if path}


@dataclasses.dataclass(frozen=True)
class PushedModel:
    """One model as it lies there: its newest version and its size."""

    name: str
    version: int
    num_bytes: int


def pushed_models(serving_dir: pathlib.Path) -> list[PushedModel]:
    """The models in a folder of `<model>/<version>/`, by name.

    Raises:
        RenderError: there is none.
    """
    models = []
    for folder in sorted(serving_dir.iterdir()) if serving_dir.is_dir() else []:
        versions = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()] if folder.is_dir() else []
        if versions:
            newest = folder / str(max(versions))
            num_bytes = sum(path.stat().st_size for path in newest.rglob("*") if path.is_file())
            models.append(PushedModel(folder.name, max(versions), num_bytes))
    if not models:
        raise RenderError(f"{serving_dir} holds no pushed models: `homefeed run` pushes them there")
    return models


def memory_mebibytes(models: list[PushedModel]) -> int:
    """What one replica asks for: the server, and in a reload three versions of every model, each twice its files."""
    return 1024 + sum(6 * model.num_bytes for model in models) // MEBIBYTE


def render(serving_dir: pathlib.Path, out: pathlib.Path, options: Options) -> list[pathlib.Path]:
    """Writes every deploy file, and keys where there are none yet, and gives their paths, relative to `out`.

    Containers read models, labels and versions from the pushed folder itself, and so follow pushes, promotions and
    rollbacks as `homefeed serve` does.

    Args:
        serving_dir: where the Pusher published.
        out: folder for the files; what is there of the same name is replaced.
        options: names, images and limits.

    Raises:
        RenderError: there are no pushed models.
        PolicyError: rules, surfaces or experiments are wrong.
    """
    import jinja2

    policies = _policies(options)

    models = pushed_models(serving_dir)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        # Prometheus and Grafana have braces of their own.
        variable_start_string="<<",
        variable_end_string=">>",
    )
    environment.filters["json"] = json.dumps
    Releases(serving_dir).mount(options.models_dir)
    flags = server_flags(options.models_dir, GRPC_PORT, REST_PORT, MOUNTED_FILE)
    values = {
        **dataclasses.asdict(options),
        "models": models,
        "memory_mebibytes": memory_mebibytes(models),
        "source_dir": str(serving_dir.resolve()),
        "owner": "{0.st_uid}:{0.st_gid}".format(serving_dir.stat()),
        "flags": [*flags, "--monitoring_config_file=/config/monitoring.config"],
        "gateway_root": GATEWAY_ROOT,
        "gateway_arguments": _gateway_arguments(options),
        "policies": policies,
        "policy_keys": _keys_of(policies),
        "policy_dir": POLICY_DIR,
        "gateway_mebibytes": GATEWAY_MEBIBYTES,
        "keys_dir": KEYS_DIR,
        "environment": SERVER_ENVIRONMENT,
        "monitoring": (TEMPLATES / "config" / f"monitoring.config{SUFFIX}").read_text(encoding="utf-8"),
    }
    return [_write(environment, name, out, values) for name in _names()] + _copies(policies, out) + _keys(out)


def _policies(options: Options) -> dict[str, str]:
    """Name → text of the files that say what goes on pages, and of those that the rules name beside them."""
    readers: dict[str, Callable[[pathlib.Path], object]] = {
        "rules": read_rules,
        "surfaces": read_surfaces,
        "experiments": read_experiments,
    }
    found = {f"{name}.yaml": path for name, path in options.policies.items() if readers[name](path)}
    if options.rules:
        lists = {name: options.rules.parent / name for name in read_rules(options.rules).lists}
        found |= {name: path for name, path in lists.items() if path.is_file()}
    return {name: path.read_text(encoding="utf-8") for name, path in found.items()}


def _keys_of(names: Iterable[str]) -> dict[str, str]:
    """Name of a file, below the folder → its key in a ConfigMap, which takes no folders and few signs."""
    return {name: name if _KEY.fullmatch(name) else f"list-{at}" for at, name in enumerate(names)}


def _copies(policies: Mapping[str, str], out: pathlib.Path) -> list[pathlib.Path]:
    for name, text in policies.items():
        path = out / POLICY / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [pathlib.Path(POLICY, name) for name in policies]


def _gateway_arguments(options: Options) -> list[str]:
    """What every gateway is told; where its models are and what else it is called follows from the platform."""
    places = {"root": GATEWAY_ROOT, "host": "0.0.0.0", "port": GATEWAY_PORT, "api-keys": f"{KEYS_DIR}/keys.yaml"}
    places |= {name: f"{POLICY_DIR}/{name}.yaml" for name in options.policies}
    given = [*places.items(), *(("allowed-host", host) for host in options.allowed_hosts)]
    return ["gateway", *(f"--{name}={value}" for name, value in given)]


def _keys(out: pathlib.Path) -> list[pathlib.Path]:
    """The gateway's API keys, of a shop and of Prometheus: made once, whatever is rendered again.

    Their folder is closed to others here; inside it they are open, because containers read them as other users.
    """
    shop, prometheus = secrets.token_hex(24), secrets.token_hex(24)
    texts = {
        "keys.yaml": f'shop: {{key: "{shop}", scopes: [page, events]}}\n'
        f'prometheus: {{key: "{prometheus}", scopes: [metrics]}}\n',
        "prometheus.key": prometheus,
        ".gitignore": "*\n",
    }
    folder = out / SECRETS
    if not folder.exists():
        with replacing(folder) as staging:
            staging.mkdir(mode=0o700)
            for name, text in texts.items():
                (staging / name).write_text(text, encoding="utf-8")
                (staging / name).chmod(0o644)
    return [pathlib.Path(SECRETS, name) for name in texts]


def _names() -> list[str]:
    return sorted(path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob(f"*{SUFFIX}"))


def _write(environment: Any, name: str, out: pathlib.Path, values: dict[str, Any]) -> pathlib.Path:
    relative = pathlib.Path(name.removesuffix(SUFFIX))
    path = out / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(environment.get_template(name).render(values), encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IRGRP | stat.S_IROTH)  # Containers read it as nobody in particular.
    return relative
