# %% [markdown]
# # What lists are sorted for
#
# A shop may want what people choose next, what they like, or what it earns by. `objective:` in `dataset.yaml` says
# it; here a purchase is worth its price, and a click ten cents.
#
#     python examples/own_objective.py

# %%
import pathlib

import yaml

import homefeed
from homefeed.pipeline.datasets.sample import write_sample
from homefeed.pipeline.runner.root import RunRoot
from homefeed.serving.profiles import FILE_NAME, ProfileStore

WORK = pathlib.Path("var/examples/own_objective")
QUICK = yaml.safe_load((pathlib.Path(__file__).parents[1] / "docs" / "quick.yaml").read_text(encoding="utf-8"))

# %% [markdown]
# ## Say it
#
# A number is what an outcome is worth; a name is a column of the items.

# %%
write_sample(WORK / "data", num_users=100, num_items=120, num_events=2_500)
with (WORK / "data" / "dataset.yaml").open("a", encoding="utf-8") as file:
    file.write("objective: {purchase: price, click: 0.1}\n")

# %% [markdown]
# ## Learn
#
# The ranker learns how likely each outcome is, beside what comes next; the weight of the expected value in the
# order is fitted on eval. Evaluator judges by the objective, and reports the plain figures beside it.

# %%
steps = homefeed.run(WORK / "data", WORK / "root", QUICK)
print(steps[["component", "seconds", "summary"]].to_string(index=False))

# %% [markdown]
# ## The same reader, sorted for other things
#
# One model knows all of them, and a request names one: what is declared, or what nobody need declare.

# %%
model = homefeed.load(WORK / "root")
prices = {
    item.item_id: item.card["price"] for item in ProfileStore(RunRoot(WORK / "root").pushed() / FILE_NAME).items()
}
for objective in ("interactions", "likes", "declared"):
    lists = model.recommend([f"user-{n:04}" for n in range(1, 41)], k=10, now=1_767_139_200, objective=objective)
    mean = lists["item_id"].map(prices).mean()
    print(f"sorted for {objective:<13} mean price {mean:6.2f}   P(liked) {lists['probability'].mean():.3f}")

# %% [markdown]
# What other weights would be worth is in `reports/index.html` of the root: NDCG, P(liked) and expected value of
# each.
