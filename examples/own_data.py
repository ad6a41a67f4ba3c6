# %% [markdown]
# # Your own data in ten minutes
#
# Two files that a shop has anyway, an export of its orders and one of its products, become personal lists and a
# page. Run it from a clone:
#
#     python examples/own_data.py
#
# The comments `# %%` make cells of it in VS Code, PyCharm and Jupyter.

# %%
import csv
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

import homefeed
from homefeed.serving.process import model_server

WORK = pathlib.Path("var/examples/own_data")
QUICK = pathlib.Path(__file__).parents[1] / "docs" / "quick.yaml"


def command(*words: str) -> None:
    """Runs `homefeed` as a shell would."""
    print("\n$ homefeed", *words)
    subprocess.run([pathlib.Path(sys.executable).with_name("homefeed"), *words], check=True)


# %% [markdown]
# ## Two files
#
# This bookshop is made up: its customers like one subject, and mostly buy that. Put your own exports in the place
# of the two files. Their columns may have any names.

# %%
SUBJECTS = {"cooking": "Kitchen", "gardens": "Garden", "sailing": "Sea", "history": "Empire", "poetry": "Verse"}
shutil.rmtree(WORK, ignore_errors=True)
(WORK / "exports").mkdir(parents=True)
lot = random.Random(7)
books = [
    (f"b{n:03}", subject, f"{SUBJECTS[subject]} {n}") for n in range(100) for subject in [lot.choice([*SUBJECTS])]
]
with (WORK / "exports" / "products.csv").open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["sku", "name", "category"])
    table.writerows((sku, name, subject) for sku, subject, name in books)

of_subject = {subject: [sku for sku, its, _ in books if its == subject] for subject in SUBJECTS}
with (WORK / "exports" / "orders.csv").open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["customer", "sku", "ordered_at"])
    for customer in range(120):
        liked = lot.choice([*SUBJECTS])
        for order in range(lot.randint(4, 20)):
            shelf = of_subject[liked] if lot.random() < 0.8 else lot.choice([*of_subject.values()])
            minutes = 60 * 24 * customer // 2 + 90 * order + lot.randint(0, 80)
            day, minute = divmod(minutes, 60 * 24)
            at = f"2025-{1 + day // 28:02}-{1 + day % 28:02}T{minute // 60:02}:{minute % 60:02}:00"
            table.writerow([f"c{customer:03}", lot.choice(shelf), at])

# %% [markdown]
# ## What the files are
#
# `homefeed init` looks at them, tells which is which and writes `dataset.yaml`. It says what it decided; read that,
# and correct the file where it is wrong. `homefeed doctor` says whether a run could begin.

# %%
command("init", str(WORK / "exports"), "--out", str(WORK / "exports"))
command("doctor", "--data", str(WORK / "exports"))

# %% [markdown]
# ## Learn
#
# The whole pipeline: checks, two models, gates, a push. `docs/quick.yaml` makes models of a minute, which show how
# everything works and are not good; without `--config` they are of the usual size. A second run trains nothing: all
# of it is there.

# %%
command("run", "--data", str(WORK / "exports"), "--root", str(WORK / "root"), "--config", str(QUICK))

# %% [markdown]
# ## Lists
#
# A DataFrame, best first, without what the customer had; for somebody whom nobody knows, too.

# %%
model = homefeed.load(WORK / "root")
lists = model.recommend(["c007", "a stranger"], k=5)
print(lists[["user_id", "place", "item_id", "title", "probability"]].to_string(index=False))

# %% [markdown]
# ## A page
#
# `homefeed serve` and `homefeed gateway` keep a page up; here a model server runs just as long as one page takes,
# which is drawn into a file with every step that made it.

# %%
serving, page = WORK / "root" / "serving", WORK / "page.html"
with tempfile.TemporaryDirectory() as folder:
    models = {name: serving / name for name in ("retrieval", "ranking", "fused")}
    with model_server(models, pathlib.Path(folder)) as address:
        place = ["--root", str(WORK / "root"), "--models", address, "--html", str(page)]
        command("page", "preview", "--user", "c007", "-k", "5", *place)
print(f"\nopen {page}")
