# %% [markdown]
# # A component of your own
#
# [freshness_gate.py](freshness_gate.py) is a component: it refuses a log whose newest event is too old. Here it
# joins the pipeline, with cache, configuration and lineage like any other.
#
#     python examples/own_component.py

# %%
import contextlib
import pathlib

import freshness_gate  # From this folder.

from homefeed.components.artifacts.types import DatasetDir, Examples, GateClosed
from homefeed.pipeline.config import load_config
from homefeed.pipeline.dag import Channel, Dag
from homefeed.pipeline.datasets.sample import write_sample
from homefeed.pipeline.recommender import recommender
from homefeed.pipeline.runner.local_runner import run_pipeline

WORK = pathlib.Path("var/examples/own_component").resolve()
write_sample(WORK / "data", num_users=40, num_items=60, num_events=600)  # Its events are of 2025.

# %% [markdown]
# ## Into the pipeline
#
# A pipeline is a list of components in the order of their runs. `add` refuses inputs of other names or types; ours
# reads what ExampleGen writes, and nothing of the others waits for it. It moves up to the second place: a gate
# stops what comes after it.


# %%
def with_gate(data: pathlib.Path) -> Dag:
    """The recommender, with the gate behind ExampleGen."""
    dag = recommender(DatasetDir(data))
    dag.add(freshness_gate, interactions=Channel("example_gen", "interactions", Examples))
    dag.nodes.insert(1, dag.nodes.pop())
    return dag


def run(*settings: str) -> None:
    """Runs up to the statistics, which is quick, and says what each component did."""
    dag = with_gate(WORK / "data")
    configs = load_config(dag, settings=settings)
    observer = lambda title: contextlib.nullcontext(print_step)  # noqa: E731
    run_pipeline(dag, configs, WORK / "root", name="own", observer=observer, until="StatisticsGen")


def print_step(step) -> None:
    """A line a component."""
    print(f"{step.component:<15} {'cached' if step.cached else step.summary}")


# %% [markdown]
# ## Open, and closed
#
# A component's settings are `component.field=value`, on the command line as here. The second run asks for a log of
# the last week, which this is not: the gate closes, with the reason, and StatisticsGen does not run. ExampleGen
# does neither: nothing that it reads has changed.

# %%
LONG_AFTER = 1_800_000_000  # January 2027.
run("freshness_gate.max_age_days=10000", f"freshness_gate.now={LONG_AFTER}")
try:
    run("freshness_gate.max_age_days=7", f"freshness_gate.now={LONG_AFTER}")
except GateClosed as closed:
    print(f"stopped: {closed}")

# %% [markdown]
# To keep it, put the module into `components/`, and one line into `pipeline/recommender.py`; CONTRIBUTING.md has
# the rest, and the tests there find it by themselves.
