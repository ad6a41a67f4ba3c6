"""Wrong command lines, files and permissions, made from the right ones: what a person may type, and find."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from typer.main import get_command

from homefeed.pipeline.cli.main import app, load
from homefeed.schemas import columns

GIVEN = (("input", "in_dir"), ("output", "new_dir"))
TABLES = " ".join(f"--{kind} {name}={{{place}}}" for kind, place in GIVEN for name in columns.TABLES)
RIGHT = {
    "data movielens-100k": "--out {new_dir} --from {archive}",
    "data sample": "--out {out_dir} --users 20 --items 40 --events 150",
    **{
        f"data {name}": "--out {new_dir} --from {archive}"
        for name in ("movielens", "mind", "amazon", "book-crossing")
    },
    "data page": "--data {data} --out {out_file}",
    "init": "{in_dir} --out {new_dir}",
    "doctor": "--data {data} --root {root}",
    "schema infer": "--data {data}",
    "schema diff": "--data {data}",
    "schema accept": "--data {data}",
    "drift": "--baseline {data} --current {data} --html {out_file}",
    "run": "--data {data} --root {root} --config {config} --until example_gen",
    "config": "fuser",
    "component": f"statistics_gen {TABLES}",
    "tune": "--data {data} --root {root} --config {config} --set-range ranking_trainer.width=32,64 --trials 1",
    "evaluate": "--root {root}",
    "lineage": "--root {root}",
    "recommend": "--root {root} --user u1",
    "batch-recommend": "--root {served} --users {in_file} --out {out_file}",
    "serve": "--root {root}",
    "gateway": "--root {root}",
    "feedback seal": "--root {served} --data {data}",
    "feedback export": "--data {data} --out {out_file}",
    "page preview": "--root {served} --user u1",
    "page replay": "p1 --root {served}",
    "page rules": "--root {served} --dry-run {in_file}",
    "why": "a-page i1 --root {served}",
    "audit": "--root {served}",
    "experiment check": "{in_file}",
    "experiment report": "none --experiments {in_file} --root {served}",
    "experiment stop": "none --experiments {in_file} --root {served}",
    "models list": "--root {served}",
    "models promote": "7 --root {served}",
    "models rollback": "--root {served}",
    "retrain": "--data {data} --root {root} --config {config}",
    "items review": "--root {served} --rules {in_file}",
    "items accept": "i1 --root {served} --rules {in_file}",
    "items refuse": "i1 --root {served} --rules {in_file}",
    "index refresh": "--data {new_dir} --root {root}",
    "forget": "u1 --data {data}",
    "deploy compile": "--out {out_file} --config {config} --tasks {config}",
    "deploy compile-retrain": "--out {out_file} --root /mnt/root --config {config}",
    "deploy vertex": "--package {in_file} --bucket gs://b/x --project p --region r --dry-run",
    "deploy vertex-model": "--models gs://b/m --version 1 --image i --project p --region r --dry-run",
    "deploy vertex-traffic": "--split 1=100 --project p --region r --dry-run",
    "deploy kubeflow": "--package {in_file} --token-file {in_file}",
    "deploy serving": "--root {served} --out {out_dir}",
    "deploy training": "--out {out_dir} --input transform_graph=/m/g --input examples=/m/e --input bert=/m/b "
    "--output model=/m/o --output model_run=/m/r",
    "deploy workers": "--out {out_dir}",
    "deploy report": '--status {{"state":"SUCCEEDED"}}',
}
"""Verb → options with which it would work, were every place what its name says."""

BELOW_FILE, LONG, LOOP, PROC = "{file}/below", "{tmp}/" + "n" * 300, "{loop}", "/proc/nowhere"
WRONG_PLACES = {
    "data": ("{tmp}/absent", "{file}", BELOW_FILE, LONG, LOOP),
    "root": ("{file}", BELOW_FILE, LONG, LOOP, PROC),
    "served": ("{tmp}/absent", "{file}", BELOW_FILE, LONG, LOOP, PROC),
    "in_file": ("{tmp}/absent", "{tmp}", BELOW_FILE, LONG, LOOP, "{binary}"),
    "archive": ("{tmp}/absent", "{file}", LONG, LOOP, "{binary}"),
    "config": ("{tmp}/absent", "{tmp}", BELOW_FILE, LONG, LOOP, "{binary}", "{file}"),
    "out_dir": ("{file}", BELOW_FILE, LONG, LOOP, PROC),
    "out_file": ("{tmp}", BELOW_FILE, LONG, PROC),
}
"""Kind of place → what may stand there instead."""
NOTHING_THERE = ("evaluate", "lineage", "recommend", "serve", "index refresh")
MORE = (
    ("runn --data {data} --root {root}", "runn"),
    ("data nope --out {out_dir}", "nope"),
    ("data sample --out {out_dir} --users 20 --events 9999", "9999"),
    ("data sample --out {out_dir} --kind news --weeks 2", "--weeks"),
    ("data sample --out {out_dir} --kind news --items 99", "num_items=99"),
    ("drift --baseline {data} --current {data} --threshold interactions.value", "interactions.value"),
    ("drift --baseline {data} --current {data} --threshold interactions.value:l_infinity=x", "x"),
    ("drift --baseline {data} --current {data} --threshold no.column:l_infinity=1", "no.column"),
    ("run --data {data} --root {root} --until nope", "nope"),
    ("run --data {data} --root {root} --set nope", "nope"),
    ("run --data {data} --root {root} --set a.b.c=1", "no component 'a'"),
    ("run --data {data} --root {root} --metadata {tmp}", "{tmp}"),
    ("run --data {data} --root {root} --metadata {binary}", "{binary}"),
    ("run --data {data} --root {root} --metadata mysql://u:p@127.0.0.1:1/d", "127.0.0.1:1"),
    ("component nope", "nope"),
    (f"component statistics_gen {TABLES} --input nope={{data}}", "nope"),
    ("component statistics_gen --input nope", "nope"),
    (f"component statistics_gen {TABLES} --config nope", "nope"),
    (f"component statistics_gen {TABLES} --config nope=1", "nope"),
    (f"component statistics_gen {TABLES}", "without writing its outputs"),
    ("config nope", "nope"),
    ("tune --data {data} --root {root} --set-range nope=1,2", "nope"),
    ("tune --data {data} --root {root} --set-range ranking_trainer.nope=1,2", "nope"),
    ("tune --data {data} --root {root} --set-range ranking_trainer.width=64..32", "64..32"),
    ("lineage --root {ran} 99", "99"),
    ("audit --root {served} --what nope", "nope"),
    ("audit --root {served} --since someday", "someday"),
    ("lineage --root {ran} Nope", "Nope"),
    ("evaluate --root {ran}", "{ran}"),
    ("recommend --user u1", "--server"),
    ("recommend --user u1 --server 127.0.0.1:1 --query tea", "--query"),
    ("recommend --user u1 --server 127.0.0.1:1 --wait 0", "127.0.0.1:1"),
    ("recommend --user u1 --server nonsense --wait 0", "nonsense"),
    ("recommend --user u1 --server 127.0.0.1:99999 --wait 0", "99999"),
    ("serve --root {served} --port {taken}", "{taken}"),
    ("serve --root {served} --rest-port {taken}", "{taken}"),
    ("serve --root {served} --port 18500 --rest-port 18500", "18500"),
    ("serve --root {served} --host not.a.host.invalid", "not.a.host.invalid"),
    ("serve --root {served} --host 203.0.113.7", "203.0.113.7"),
    ("serve --root {served} --engine nope", "nope"),
    ("gateway --root {served} --api-keys {tmp}/absent", "{tmp}/absent"),
    ("gateway --root {served} --api-keys {config}", "{config}"),
    ("gateway --root {served} --picks {tmp}/absent", "{tmp}/absent"),
    ("gateway --root {served} --picks {tmp}", "{tmp}"),
    ("gateway --root {served} --picks {binary}", "UTF-8"),
    ("gateway --root {served} --store nonsense://host", "nonsense://host"),
    ("why a-page i1 --root {served}", "a-page"),
    ("why a-page i1 --root {served} --language fr", "fr"),
    ("feedback seal --root {served} --data {data} --at soon", "soon"),
    ("feedback export --data {data} --out {out_file} --format docx", "docx"),
    ("forget u1 --store redis://127.0.0.1:1", "redis://127.0.0.1:1"),
    ("models list", "--root"),
    ("models promote 7 --root {served}", "7"),
    ("models promote --root {served}", "canary"),
    ("models rollback --root {served}", "1"),
    ("forget u1", "--data"),
    ("forget u1 --data {data} --audit-dir {tmp}", "--root"),
    ("forget u1 --root {served} --audit-dir {tmp}/absent", "{tmp}/absent"),
    ("forget u1 --data {tmp}/absent", "{tmp}/absent"),
    ("deploy compile --out {out_file} --set-task nope.cpu=1", "nope"),
    ("deploy compile-retrain --out {out_file} --root /mnt/root --set-task nope.cpu=1", "nope"),
    ("deploy vertex-model --models gs://b/m --version 1 --image i --keep 1 --project p --region r --dry-run", "1"),
    ("deploy vertex-traffic --split 1=x --project p --region r --dry-run", "1=x"),
    ("deploy report --status nope", "nope"),
)
DATASETS = {  # What `dataset.yaml` says → what is told of it.
    "": "interactions",
    "[]": "dataset.yaml",
    "just text": "expected a mapping of fields, found 'just text'",
    "? [a, b]\n: c": "a key that is a list or a mapping",
    "~: x": "`~` is unknown",
    "[" * 2000: "too many levels",
    "name: &a [*a]": "recursive",
    "name: *a": "undefined alias 'a'",
    "name: !!python/object:os.system x": "dataset.yaml",
    "name: [": "dataset.yaml",
    "name: x\n\tinteractions: y": "dataset.yaml",
    "name: x": "interactions",
    "name: x\nname: y": "given twice",
    "name: x\ninteractions: 3": "interactions",
    "name: x\ninteractions: {path: 3.csv}": "3.csv",
    "name: x\ninteractions: {}": "path",
    "name: x\ninteractions: {path: [a]}": "path",
    "name: x\ninteractions: {path: events.csv, delimitter: ;}": "delimitter",
    "name: x\ninteractions: {path: events.csv, delimiter: too long}": "delimiter",
    "name: x\ninteractions: {path: events.csv, encoding: klingon}": "klingon",
    "name: x\ninteractions: {path: events.csv, encoding: utf-16}": "events.csv is not text in utf-16",
    "name: x\ninteractions: {path: events.csv, encoding: punycode}": "events.csv is not text in punycode",
    "name: x\ninteractions: {path: events.csv, encoding: idna}": "no encoding 'idna'",
    "name: x\ninteractions: {path: events.csv, format: docx}": "format",
    "name: x\ninteractions: {path: events.csv, header: []}": "header",
    "name: x\ninteractions: {path: ''}": "path",
    "name: x\ninteractions: {path: events.csv}\npositive: {event_types: []}": "positive.event_types",
    "name: x\ninteractions: {path: events.csv, features: {device: {kind: category, domain: []}}}": "domain",
    "name: x\ninteractions: {path: events.csv, features: {device: {kind: number, domain: [1]}}}": "`domain`",
    "name: x\ninteractions: {path: events.csv, features: {device: {kind: number, min: 2, max: 1}}}": "`min` is above",
    "name: x\ninteractions: {path: events.csv, features: {device: {kind: embedding, size: 0}}}": "found '0'",
    "name: x\ninteractions: {path: events.csv, columns: {user_id: nope}}": "nope",
    "name: x\ninteractions: {path: events.csv, columns: {usr_id: user}}": "usr_id",
    "name: x\ninteractions: {path: events.csv, features: {device: {kind: nope}}}": "nope",
    "name: x\ninteractions: {path: events.csv, features: [device]}": "features",
    "name: x\ninteractions: {path: events.csv}\ntime_zone: Mars/Olympus": "Mars/Olympus",
    "name: x\ninteractions: {path: events.csv}\nmax_bad_fraction: lots": "max_bad_fraction",
    "name: x\ninteractions: {path: events.csv}\nmax_bad_fraction: 2": "max_bad_fraction",
    "name: x\ninteractions: {path: events.csv}\nitems: {path: absent.csv}": "absent.csv",
    "name: x\ninteractions: {path: folder}": "folder",
    "name: x\ninteractions: {path: 'absent-*.csv'}": "absent-*.csv",
    "name: x\ninteractions: {path: /nowhere/events.csv}": "/nowhere/events.csv",
    "name: x\ninteractions: {path: nope://bucket/events.csv}": "nope://bucket",
    "name: x\ninteractions: {path: empty.csv}": "empty.csv",
    "name: x\ninteractions: {path: binary.csv}": "binary.csv",
    "name: x\ninteractions: {path: binary.parquet}": "binary.parquet",
    "name: x\ninteractions: {path: binary.csv.gz}": "binary.csv.gz",
    "name: x\ninteractions: {path: binary.jsonl}": "binary.jsonl",
    "name: x\ninteractions: {path: events.txt}": "events.txt",
    "name: x\ninteractions: {path: loop.csv}": "loop.csv",
}
CONFIGS = {
    "[": "config.yaml",
    "- a": "config.yaml",
    "text": "config.yaml",
    "nope: {a: 1}": "nope",
    "fuser: 3": "config.yaml",
    "fuser: [3]": "config.yaml",
    "fuser: {nope: 3}": "nope",
    "fuser: {num_candidates: [3]}": "num_candidates",
    "fuser: {num_candidates: many}": "many",
    "fuser: {num_candidates: 1e400}": "1e400",
    "fuser: {num_candidates: }": "num_candidates",
    "fuser: {num_candidates: 20}\nfuser: {num_candidates: 30}": "given twice",
}
LINES = {  # What a line of the users' file says → what is told of it.
    "nope": "line 1",
    "[]": "user_id",
    '{"user": 1}': "user_id",
    '{"user_id": 1}': "user_id",
    '{"user_id": "u", "nope": 1}': "nope",
    '{"user_id": "u", "history": "i1"}': "history",
    '{"user_id": "u", "history": [1]}': "history",
    '{"user_id": "u", "query": 7}': "query",
}


@dataclasses.dataclass(frozen=True)
class Wrong:
    """A command line with places in braces, and what must be named in the line that it ends in."""

    line: str
    named: str = ""
    content: str = ""  # Of {content}.

    def __str__(self) -> str:
        return f"{self.line} {self.content!r}"[:120] if self.content else self.line[:120]


def all_wrong() -> list[Wrong]:
    """Every one of them, each once."""
    made = [*_mistyped(), *_misplaced(), *(Wrong(*pair) for pair in MORE), *_miswritten()]
    return list({str(wrong) + wrong.named: wrong for wrong in made}.values())


def verbs() -> dict[str, Any]:
    """`data sample` → its command, of all verbs."""

    def walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
        for name in getattr(command, "commands", {}):
            yield from walk(command.commands[name] if path else load(name), f"{path} {name}".strip())
        if not hasattr(command, "commands"):
            yield path, command

    return dict(walk(get_command(app), ""))


def _mistyped() -> Iterator[Wrong]:
    """Options that are missing or unknown, numbers that are none or out of range."""
    for verb, command in verbs().items():
        right = RIGHT[verb]
        for option in command.params:
            if option.type_descriptor.annotation is pathlib.Path:
                given = f"{right} {option.opts[0]}" if option.opts[0].startswith("-") else ""
                yield Wrong(f"{verb} {given} gs://b/x", "of this machine")
        yield Wrong(f"{verb} {right} --nope", "--nope")
        for option in command.params:
            name = option.opts[0]
            if option.required and name.startswith("--"):
                yield Wrong(f"{verb} {re.sub(rf'{name} [^ ]+ ?', '', right)}", name)
            if getattr(option, "min", None) is not None and name.startswith("-"):
                given = re.sub(rf"{name} [^ ]+ ?", "", right)
                yield Wrong(f"{verb} {given} {name} {option.min - 1}", name)
                yield Wrong(f"{verb} {given} {name} many", name)


def _misplaced() -> Iterator[Wrong]:
    """Each place in turn is not what it should be."""
    for verb, right in RIGHT.items():
        for kind in dict.fromkeys(re.findall(r"(?<!{){(\w+)}(?!})", right)):
            for place in WRONG_PLACES.get(kind, ()):
                yield Wrong(f"{verb} {right}".replace(f"{{{kind}}}", place), "" if place == LOOP else place)
    for verb in NOTHING_THERE:
        yield Wrong(f"{verb} {RIGHT[verb]}".replace("{root}", "{tmp}/absent"), "{tmp}/absent")


def _miswritten() -> Iterator[Wrong]:
    """Files that are there and do not say what they should."""
    for content, named in DATASETS.items():
        yield Wrong("run --data {content} --root {root} --until schema_gen", named, content)
    for content, named in CONFIGS.items():
        yield Wrong("run --data {data} --root {root} --config {content}/config.yaml", named, content)
    for content, named in LINES.items():
        yield Wrong("batch-recommend --root {served} --users {content}/users.jsonl --out {out_file}", named, content)


def filled(text: str, places: Mapping[str, str]) -> str:
    """With every place in braces filled in."""
    return text.format_map(places)
