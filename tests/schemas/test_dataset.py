"""`dataset.yaml`: what is wrong with it is said in a line, with the name and the value."""

import pathlib

import pytest

from homefeed.schemas.dataset import DatasetError, load_dataset

FINE = """\
name: t
interactions: {path: a.csv}
items: {path: b.csv, features: {price: {kind: number}}}
users: {path: c.csv}
"""
BUYS = "features: {event_type: {kind: category, domain: [buy]}}"


def load(folder: pathlib.Path, text: str | bytes) -> None:
    (folder / "dataset.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    load_dataset(folder)


def test_tables_that_are_not_there(tmp_path: pathlib.Path) -> None:
    (tmp_path / "dataset.yaml").write_text("name: t\ninteractions: {path: a.csv, columns: {item_id: sku}}\n")
    dataset = load_dataset(tmp_path)
    assert [dataset.is_derived(name) for name in ("interactions", "items", "users")] == [False, True, True]
    assert list(dataset.features("items")) == ["item_id", "title"] and list(dataset.features("users")) == ["user_id"]
    assert (dataset.table("items").path, dataset.table("items").columns) == ("a.csv", {"item_id": "sku"})


def test_exposures_are_read_where_something_says_what_was_shown(tmp_path: pathlib.Path) -> None:
    (tmp_path / "dataset.yaml").write_text(FINE)
    assert load_dataset(tmp_path).tables == ("interactions", "items", "users")
    (tmp_path / "dataset.yaml").write_text(FINE + "exposures: {path: d.csv, columns: {clicked: took}}\n")
    dataset = load_dataset(tmp_path)
    assert dataset.tables[-1] == "exposures" and dataset.table("exposures").columns == {"clicked": "took"}
    declared = FINE.replace("a.csv", "a.csv, features: {timestamp: {kind: timestamp, unit: ms}}") + "shown: [seen]\n"
    (tmp_path / "dataset.yaml").write_text(declared)
    dataset = load_dataset(tmp_path)
    features = dataset.features("exposures")
    assert dataset.tables[-1] == "exposures" and dataset.table("exposures").path == "a.csv"
    assert features["timestamp"].unit == "ms", "it is the interactions' column"
    optional = {name for name, feature in features.items() if not feature.required}
    assert optional == {"position", "propensity"} and "clicked" not in features


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            "series: {kind: number}",
            r"knowledge.features.series: no model reads the kind 'number' of knowledge; .* of cat",
        ),
        ("price: {kind: categories}", r"knowledge.features.price: items have a column of this name; leave out one"),
        ("title: {kind: categories}", r"knowledge.features.title: items have a column of this name; leave out one"),
        ("系列: {kind: categories}", r"knowledge.features.系列: .* need names of letters a to z"),
        ("", r"knowledge: it has no relation to read; declare some: `features: {series: {kind: categories}}`"),
        (
            "s: {kind: categories, domain: [a]}",
            r"knowledge.features.s: leave out domain: a relation has a kind alone",
        ),
    ],
)
def test_relations_of_facts_are_named_as_features_are(said: str, message: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(DatasetError, match=message):
        load(tmp_path, f"{FINE}knowledge: {{path: d.csv, features: {{{said}}}}}\n")


def test_facts_are_features_of_items_and_no_columns_of_their_files(tmp_path: pathlib.Path) -> None:
    described = "knowledge: {path: d.csv, columns: {series: 系列}, features: {series: {kind: categories}}}\n"
    load(tmp_path, FINE + described + "relations: {path: e.csv, kinds: [follows]}\n")
    dataset = load_dataset(tmp_path)
    assert dataset.tables == ("interactions", "items", "users", "relations", "knowledge")
    assert dataset.features("items").keys() - dataset.columns("items") == {"series"} == dataset.facts.keys()
    assert list(dataset.columns("knowledge")) == ["item_id", "relation", "value"]
    assert dataset.columns("relations")["kind"].required, "who asks for kinds needs the column"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("path: a.csv", "paht: a.csv", r"`interactions.path` is missing; `.*paht` is unknown; did you mean 'path'\?"),
        ("name: t\n", "", r"`name` is missing\."),
        ("name: t\n", "name: my shop\n", r"`name`: .*found 'my shop'"),
        ("price: {kind: number}", "价格: {kind: number}", r"items.features.价格: .* need names of letters a to z"),
        (
            "price: {kind: number}",
            "Paid: {kind: number}, paid: {kind: number}",
            r"items.features.paid: only capitals tell it from 'Paid', .*`columns: \{feature: paid\}`",
        ),
        ("price: {kind: number}", "Title: {kind: text}", r"items.features.Title: only capitals tell it from 'title'"),
        ("kind: number", "kind: float", r"`items.features.price.kind`: expected one of id, .*, found 'float'"),
        ("kind: number", "kind: number, mni: 1", r"`items.features.price.mni` is unknown; did you mean 'min'\?"),
        ("kind: number", "kind: embedding", r"`items.features.price`: `size` belongs to kind `embedding`"),
        ("kind: number", "kind: number, unit: ms", r"`items.features.price`: `unit` belongs to kind `timestamp`"),
        ("kind: number", "kind: category, max: 3", r"features.price`: `min` and `max` belong to kind `number`"),
        ("price: {kind: number}", "title: {kind: category}", r"items.features.title: it is of kind 'text' in every"),
        ("a.csv", "a.csv, columns: {usr_id: who}", r"interactions.columns.usr_id: .* did you mean user_id\?"),
        ("users:", "user:", r"`user` is unknown; did you mean 'users'\?"),
        ("c.csv", "c.csv, xyzzy: 1", r"`users.xyzzy` is unknown; there are columns, delimiter, encoding"),
        ("a.csv", "a.csv, delimiter: ab", r"`interactions.delimiter`: .*, found 'ab'"),
        ("a.csv", "a.csv, encoding: morse", r"`interactions.encoding`: there is no encoding 'morse'"),
        ("a.csv", "a.csv, header: user_id", r"`interactions.header`: expected a list .*, found 'user_id'"),
        ("name: t\n", "name: t\npositive: {min_vaule: 4}\n", r"did you mean 'min_value'\?"),
        ("name: t\n", "name: t\nexposures: {path: d.csv}\nshown: [seen]\n", r"shown: the table `exposures` says"),
        ("name: t\n", "name: t\nshown: [a]\npositive: {event_types: [b, a]}\n", r"shown: a cannot be what is shown"),
        ("name: t\n", "name: t\nexposures: {path: d.csv, features: {x: {kind: number}}}\n", r"exposures; leave it"),
        ("name: t\n", "name: t\nobjective: clics\n", r"`objective`: expected one of interactions, .*, found 'clics'"),
        ("name: t\n", "name: t\nobjective: {}\n", r"`objective`: expected one of interactions, likes, .*, found {}"),
        ("name: t\n", "name: t\nobjective: {buy: nan}\n", r"'buy' is worth 'nan'; expected a number, or the name of"),
        ("name: t\n", "name: t\nobjective: {buy: prize}\n", r"'prize' is no column of items .* did you mean 'price'"),
        ("name: t\n", "name: t\nobjective: {buy: title}\n", r"'title' is no column of items of kind 'number'; there"),
        ("name: t\n", "name: t\nobjective: {novelty: price}\n", r"`novelty` is worth .price.; expected a number"),
        ("name: t\n", "name: t\nobjective: likes\n", r"objective: `like` needs `positive`, which says what is liked"),
        ("a.csv", f"a.csv, {BUYS}}}\nobjective: {{purchase: 1", r"'purchase' is no event type; there are buy"),
        ("name: t\n", "name: t\nmax_bad_fraction: 2\n", r"expected a number from 0 and up to 1, found '2'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: pathlib.Path, old: str, new: str, message: str) -> None:
    load(tmp_path, FINE)
    with pytest.raises(DatasetError, match=message) as caught:
        load(tmp_path, FINE.replace(old, new))
    assert "\n" not in str(caught.value) and "pydantic" not in str(caught.value)


@pytest.mark.parametrize("text", ["- a\n", "just text", "a: [1", "a: \tb: c", b"name: \xff", ""])
def test_what_is_no_description_at_all(tmp_path: pathlib.Path, text: str | bytes) -> None:
    with pytest.raises(DatasetError, match=r"dataset.yaml (is not a valid|cannot be read as YAML)") as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_an_objective_has_a_name_and_a_default(tmp_path: pathlib.Path) -> None:
    def objectives(text: str) -> dict[str, object]:
        (tmp_path / "dataset.yaml").write_text(FINE + text)
        return dict(load_dataset(tmp_path).objectives)

    liked = "positive: {min_value: 4}\n"
    assert objectives("") == {"interactions": {}}
    assert list(objectives(liked)) == ["likes", "interactions"]
    assert list(objectives(liked + "objective: likes\n")) == ["likes", "interactions"]
    assert list(objectives(liked + "objective: interactions\n")) == ["interactions", "likes"]
    assert objectives("objective: purchases\n") == {"purchases": {"purchase": 1.0}, "interactions": {}}
    declared = objectives(liked + "objective: {buy: price, dislike: -3}\n")
    assert list(declared) == ["declared", "interactions", "likes"]
    assert declared["declared"] == {"buy": "price", "dislike": -3.0}
