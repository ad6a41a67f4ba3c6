"""Clients and checkers that nobody here wrote: fetched from their registries, built once, kept under `var/`."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import pytest

HERE = pathlib.Path(__file__).parent
WORKSHOP = HERE.parents[2] / "var" / "strangers"
GO_TOOLS = {
    "ghz": ["github.com/bojand/ghz/cmd/ghz@v0.93.0"],
    "grpcurl": ["github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4"],
    "kubectl-validate": ["sigs.k8s.io/kubectl-validate@v0.0.4"],
    # Without the clients of every cloud that Prometheus can look for servers in.
    "prism": ["github.com/apache/beam/sdks/v2/go/cmd/prism@v2.73.0"],  # Of Beam 2.72 it is not there.
    "promtool": ["-tags=remove_all_sd", "github.com/prometheus/prometheus/cmd/promtool@v0.316.0"],
    "protoc-gen-go": ["google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12"],
    "protoc-gen-go-grpc": ["google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2"],
}
_GO_PACKAGES = {
    "tensorflow": "tf",
    "tensorflow.error": "codes",
    "tensorflow.error.dummy": "oldcodes",
    "tensorflow.serving": "serving",
}


def run(*command: str | pathlib.Path, cwd: pathlib.Path | None = None, **environment: str) -> str:
    """Runs a program; gives what it prints. Its failure is the test's, with what it said."""
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def need(program: str) -> str:
    """The path of a toolchain; a test without it fails, and is not skipped."""
    found = shutil.which(program)
    if not found:
        pytest.fail(
            f"`{program}` is not on PATH: `make strangers` needs Go 1.25, Java 17, Maven, Node 18 and chromium."
        )
    return found


def built(name: str, sources: Sequence[Any], build: Callable[[pathlib.Path], object]) -> pathlib.Path:
    """A folder that `build` fills, anew when what it is made from changes."""
    parts = [source.read_bytes() if isinstance(source, pathlib.Path) else repr(source).encode() for source in sources]
    folder = WORKSHOP / f"{name}-{hashlib.sha256(b'|'.join(parts)).hexdigest()[:12]}"
    if not folder.exists():
        WORKSHOP.mkdir(parents=True, exist_ok=True)
        staging = pathlib.Path(tempfile.mkdtemp(prefix=f".{name}-", dir=WORKSHOP))
        build(staging)
        staging.rename(folder)
    return folder


def go_tool(name: str) -> pathlib.Path:
    """A program of the Go module proxy."""
    arguments = GO_TOOLS[name]
    return built(name, arguments, lambda to: run(need("go"), "install", *arguments, GOBIN=str(to))) / name


def descriptors() -> pathlib.Path:
    """TensorFlow Serving's messages and services, as `tensorflow-serving-api` carries them: a FileDescriptorSet."""
    from google.protobuf import descriptor_pb2, descriptor_pool

    services = [f"tensorflow_serving/apis/{name}_service" for name in ("model", "prediction")]
    for service in services:
        # Written by a generator of protobuf 3: with newer ones they fail, but only after the file is registered.
        with contextlib.suppress(AttributeError):
            importlib.import_module(f"{service.replace('/', '.')}_pb2")
    files: dict[str, Any] = {}

    def add(descriptor: Any) -> None:
        for dependency in descriptor.dependencies:
            add(dependency)
        if descriptor.name not in files:
            files[descriptor.name] = descriptor_pb2.FileDescriptorProto()
            descriptor.CopyToProto(files[descriptor.name])

    for service in services:
        add(descriptor_pool.Default().FindFileByName(f"{service}.proto"))
    found = descriptor_pb2.FileDescriptorSet(file=files.values()).SerializeToString(deterministic=True)
    folder = built("descriptors", [found], lambda to: (to / "serving.binpb").write_bytes(found))
    return folder / "serving.binpb"


def _messages(path: pathlib.Path) -> dict[str, str]:
    """File → proto package, without those that every protobuf brings."""
    from google.protobuf import descriptor_pb2

    files = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file
    return {file.name: file.package for file in files if not file.package.startswith("google.")}


def go_client() -> pathlib.Path:
    """The Go client, generated and built."""
    found, source = descriptors(), HERE / "go"
    files = _messages(found)

    def build(to: pathlib.Path) -> None:
        shutil.copytree(source, to / "source")
        plugins = [f"--plugin={go_tool(name)}" for name in ("protoc-gen-go", "protoc-gen-go-grpc")]
        module = "homefeed.test/strangers"
        packages = [f"M{name}={module}/{{0}};{{0}}".format(_GO_PACKAGES[package]) for name, package in files.items()]
        options = [
            f"--{plugin}_opt={option}" for plugin in ("go", "go-grpc") for option in (*packages, f"module={module}")
        ]
        outputs = [f"--{plugin}_out={to / 'source'}" for plugin in ("go", "go-grpc")]
        protoc = [sys.executable, "-m", "grpc_tools.protoc", f"--descriptor_set_in={found}"]
        run(*protoc, *plugins, *options, *outputs, *files)
        run(need("go"), "build", "-o", to / "client", ".", cwd=to / "source")

    return built("go", [found, *sorted(source.iterdir()), GO_TOOLS], build) / "client"


def java_client() -> list[str]:
    """The command of the Java client, generated and compiled."""
    found, source = descriptors(), HERE / "java"

    def build(to: pathlib.Path) -> None:
        copy = ["dependency:copy-dependencies", f"-DoutputDirectory={to / 'lib'}"]
        run(need("mvn"), "-q", "-B", "-f", source / "pom.xml", *copy)
        (protoc,) = (to / "lib").glob("protoc-[0-9]*.exe")
        (plugin,) = (to / "lib").glob("protoc-gen-grpc-java-*.exe")
        for program in (protoc, plugin):
            program.chmod(0o755)
        (to / "source").mkdir()
        outputs = [f"--java_out={to / 'source'}", f"--grpc-java_out={to / 'source'}"]
        run(
            protoc,
            f"--descriptor_set_in={found}",
            f"--plugin=protoc-gen-grpc-java={plugin}",
            *outputs,
            *_messages(found),
        )
        files = [source / "Client.java", *(to / "source").rglob("*.java")]
        flags = ["-nowarn", "-encoding", "UTF-8", "-cp", to / "lib" / "*", "-d", to / "classes"]
        run(need("javac"), *flags, *files)

    folder = built("java", [found, *sorted(source.iterdir())], build)
    return [need("java"), "-cp", f"{folder / 'classes'}:{folder / 'lib'}/*", "Client"]


def node_client() -> list[str]:
    """The command of the Node client, its packages installed."""
    source = HERE / "node"

    def build(to: pathlib.Path) -> None:
        shutil.copytree(source, to, dirs_exist_ok=True)
        run(need("npm"), "install", "--no-audit", "--no-fund", "--ignore-scripts", cwd=to)

    return [need("node"), str(built("node", sorted(source.iterdir()), build) / "client.js")]
