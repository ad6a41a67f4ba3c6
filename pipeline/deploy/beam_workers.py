"""A package for Beam's workers on other machines: `--setup_file`, with the code that they run and what it needs."""

from __future__ import annotations

import ast
import importlib.metadata
import pathlib
import sys

from homefeed.components import contract

INGEST = "homefeed.components.example_gen.beam"  # What runs on workers.
# tfx-bsl imports it and does not say so. The second one unpickles what was pickled here.
ALWAYS = ("dill", "apache-beam")

SETUP = '''\
"""homefeed's code for Beam workers; `homefeed deploy workers` wrote this."""

from setuptools import setup

setup(
    name="homefeed-beam-worker",
    version="0",
    packages={packages!r},
    install_requires={requirements!r},
)
'''


def write_worker_package(out: pathlib.Path) -> pathlib.Path:
    """Writes a folder with a `setup.py`, for Beam's `--setup_file`, and gives its path.

    It holds the modules that the workers' code imports, at any depth, and names the distributions that these
    import in exactly the versions that are installed here: workers unpickle what this process pickled.
    """
    modules = sorted(contract.closure(INGEST))
    packages = {parent for module in modules for parent in _packages(module)}
    for module in {*modules, *packages}:
        source = contract.source_file(module)
        parts = module.split(".")
        target = out.joinpath(*parts, "__init__.py") if source.name == "__init__.py" else out.joinpath(*parts)
        target = target if target.suffix else target.with_suffix(".py")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    setup = out / "setup.py"
    setup.write_text(SETUP.format(packages=sorted(packages), requirements=requirements(modules)), encoding="utf-8")
    return setup


def requirements(modules: list[str]) -> list[str]:
    """`name==version` of every distribution that the sources of these modules import."""
    tops = {top for module in modules for top in _foreign_imports(contract.source_file(module))}
    known = importlib.metadata.packages_distributions()
    names = {known[top][0] for top in tops if top in known} | set(ALWAYS)
    return sorted(f"{name}=={importlib.metadata.version(name)}" for name in names)


def _packages(module: str) -> list[str]:
    """The packages around a module, and itself if it is one."""
    parts = module.split(".")
    if contract.source_file(module).name != "__init__.py":
        parts = parts[:-1]
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def _foreign_imports(source: pathlib.Path) -> set[str]:
    tops = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            tops.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Import):
            tops |= {alias.name.partition(".")[0] for alias in node.names}
    return tops - set(contract.OURS) - sys.stdlib_module_names
