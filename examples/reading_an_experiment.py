# %% [markdown]
# # Reading an experiment
#
# Two arms, some thousand readers, and one question: is the new page better? The readers here are made up, so that
# the truth is known: who gets the new page clicks a quarter more often. With a live page the same report is
# `homefeed experiment report variety --experiments experiments.yaml --root root`.
#
#     python examples/reading_an_experiment.py

# %%
import pathlib

import numpy as np

from homefeed.serving.experiments.assignment import Unit, assign
from homefeed.serving.experiments.conclusion import conclude
from homefeed.serving.experiments.design import read_experiments
from homefeed.serving.experiments.drawing import draw
from homefeed.serving.experiments.reading import Page
from homefeed.serving.experiments.report import report

WORK = pathlib.Path("var/examples/reading_an_experiment")
WORK.mkdir(parents=True, exist_ok=True)
BEGINS, TRUE_LIFT, NUM_READERS = 1_800_000_000, 0.25, 4_000

# %% [markdown]
# ## The experiment
#
# The first arm is the control. `users` is how many are planned: the intervals are narrowest there, and hold before
# and after it.

# %%
(WORK / "experiments.yaml").write_text(
    "variety:\n  arms: {control: {}, more: {surface: {diversity: {max_loss: 0.05}}}}\n  users: 4000\n"
    "  guardrails: {hide_rate: 0.02}\n"
)
experiments = read_experiments(WORK / "experiments.yaml")
experiment = experiments.get("variety")

# %% [markdown]
# ## The readers
#
# Who gets which arm is a hash of the id: the same one again tomorrow, on every gateway. A reader's taste shows on
# all of their cards, which are alike therefore: the unit of every interval is the reader, never the card.

# %%
lot = np.random.default_rng(3)


def pages_of(number: int) -> list[Page]:
    """Some pages of a reader, of five cards each."""
    user, taste = f"reader-{number}", lot.beta(2, 12)
    arms = assign(experiments, Unit(user, ""), "home", {}, {}, BEGINS).arms
    rate = taste * (1 + TRUE_LIFT * (arms["variety"] == "more"))
    return [
        Page(user, BEGINS + float(at), "home", arms, "fused", 3, 12.0, 0.6, cards, {})
        for at in lot.integers(0, 7 * 86_400, 1 + lot.poisson(2))
        for cards in [{f"item-{n}": {"seen", "acted"} if lot.random() < rate else {"seen"} for n in range(5)}]
    ]


pages = sorted((page for number in range(NUM_READERS) for page in pages_of(number)), key=lambda page: page.at)

# %% [markdown]
# ## Day after day
#
# One may look every day and stop when the interval leaves 0: the promise of 95% is for all looks together. A test
# that is made for a single look would break it.

# %%
for day in range(1, 8):
    found = report("variety", experiment, [page for page in pages if page.at < BEGINS + day * 86_400])
    clicks = found.comparisons["more"]["click_rate"]
    readers = sum(arm.users for arm in found.arms.values())
    print(f"day {day}: {readers:,} readers, {clicks.difference:+.4f} ({clicks.low:+.4f} to {clicks.high:+.4f})")

# %% [markdown]
# ## The verdict
#
# Before any figure counts, the split must be right: `sample_ratio` is the p of as many readers in each arm as were
# planned. Then a sentence, and a page for those who want the rest.

# %%
verdict = conclude(found, experiment)
print(f"p of the split: {found.sample_ratio:.2g}\n{verdict}\nThe truth is {TRUE_LIFT:+.0%}.")
(WORK / "report.html").write_text(draw(found, verdict), encoding="utf-8")
print(f"open {WORK / 'report.html'}")
