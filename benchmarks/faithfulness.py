"""Faithfulness of reasons: what lists lose without the event that is named for their first card.

    python -m benchmarks.faithfulness --root ROOT [--name movielens] [--users 200] [--shapley 60] [--quick]

Asks the pushed models of a root for users of the splits eval and test, each once, with what they had done before
their last event there. Writes `faithfulness_NAME.md`; `--quick` shows that everything runs, and writes nothing.
"""

from __future__ import annotations

import argparse
import pathlib
import time

from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import Examples, TransformGraph
from homefeed.components.evaluator.queries import make_queries
from homefeed.components.evaluator.reasons import asking, one_a_user, to_markdown
from homefeed.models.faithfulness.measure import measure, summary
from homefeed.models.requests import Request
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving.recommender import FUSED, Recommender
from homefeed.serving.releases import Releases

FOLDER = pathlib.Path(__file__).parent
SPLITS = ("eval", "test")  # Of who is in both, what was done last.


def main() -> None:
    """Measures and writes the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path("root"))
    parser.add_argument("--name", default="movielens")
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--shapley", type=int, default=60)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    root, began = RunRoot(asked.root), time.perf_counter()
    releases = Releases(root.serving)
    recommender = Recommender.of_saved_model(pathlib.Path(releases.path(FUSED, releases.stable())))
    newest = max((root.artifacts / "Transform").iterdir(), key=lambda folder: folder.stat().st_mtime)
    graph, examples = TransformGraph(newest / "transform_graph"), Examples(newest / "examples")
    catalogue, by_user = transformed.load_catalogue(graph), dict[str, Request]()
    for split in SPLITS:
        sequences = transformed.load_sequences(graph, examples, split)
        queries = make_queries(sequences, len(sequences.targets))
        by_user |= {request.user_id: request for request in one_a_user(queries, sequences, catalogue)}
    users, shapley = (5, 1) if asked.quick else (asked.users, asked.shapley)
    found = summary(measure(asking(recommender), list(by_user.values()), users, shapley))
    text = f"# Reasons on {asked.name}\n\n{to_markdown(found).partition('## Reasons')[2].strip()}\n"
    print(text, found, f"{time.perf_counter() - began:.0f} s", sep="\n")
    if not asked.quick:
        (FOLDER / f"faithfulness_{asked.name}.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
