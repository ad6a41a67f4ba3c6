import pathlib

import pytest

from homefeed.components import retrieval_trainer
from homefeed.components.transform.refresh import catalogue_for
from homefeed.models.catalogue import ALWAYS, NEVER
from homefeed.models.retrieval.snapshot import Snapshot
from homefeed.schemas.dataset import DatasetError
from homefeed.serving.policy.reviews import write_reviews
from homefeed.serving.policy.rules import PolicyError
from tests.components.ingested import DESCRIPTION, write_dataset
from tests.models.retrieval import toy

FEATURES = "items.csv, features: {price: {kind: number}}}"
ITEMS = """item_id,title,categories,price
item-2,red tea,a,2
brand-new,茶 cup 片,new|b,5
item-5,blue cup,b,
"""


@pytest.fixture(scope="module")
def snapshot(trained_retrieval: tuple[retrieval_trainer.Outputs, str]) -> Snapshot:
    return Snapshot.load(trained_retrieval[0].model.snapshot_dir)


@pytest.fixture
def shop(tmp_path: pathlib.Path) -> pathlib.Path:
    """Two items that the model knows, one that it does not, and none of the other four."""
    return write_dataset(tmp_path, "", ITEMS, description=DESCRIPTION.replace("items.csv}", FEATURES))


def test_the_table_of_today_is_encoded_as_the_model_knows_it(snapshot: Snapshot, shop: pathlib.Path) -> None:
    found = catalogue_for(snapshot, shop)
    assert found.item_ids.tolist() == [b"", b"item-2", b"brand-new", b"item-5"]
    trained = toy.catalogue()
    # Of training: 8 interactions with item-2 and 8 with item-5; nobody had the new one.
    assert found.train_counts.tolist() == [0, trained.train_counts[2], 0, trained.train_counts[5]]
    assert found.vocabularies["categories"] == ("a", "b", "new")  # What is new follows what was known.
    width = trained.categorical["categories"].shape[1]
    assert found.categorical["categories"].tolist() == [[0], [2], [4], [3]] and width == 1
    assert found.numeric["price"][1:3, 0].tolist() == [2, 5]


def test_texts_are_tokens_of_the_models_vocabulary(snapshot: Snapshot, shop: pathlib.Path) -> None:
    found = catalogue_for(snapshot, shop)
    words = snapshot.facts.wordpiece
    assert found.token_ids.shape == (4, toy.catalogue().token_ids.shape[1])
    assert [words[token] for token in found.token_ids[1]] == ["red", "tea"]
    assert [words[token] for token in found.token_ids[2]] == ["[UNK]", "cup"]  # The rest is cut off.


def test_what_rules_deny_today_is_never_available(snapshot: Snapshot, shop: pathlib.Path) -> None:
    assert catalogue_for(snapshot, shop).available_from.tolist() == []
    described = shop / "dataset.yaml"
    described.write_text(described.read_text() + "rules: rules.yaml\n")
    (shop / "rules.yaml").write_text("a: {deny: {categories: new}}\nb: {hold: {price: 2}, reviews: r.jsonl}")
    assert catalogue_for(snapshot, shop).available_from.tolist() == [ALWAYS, NEVER, NEVER, ALWAYS]
    write_reviews(shop / "r.jsonl", ["item-2", "brand-new"], "accepted")
    assert catalogue_for(snapshot, shop).available_from.tolist() == [ALWAYS, ALWAYS, NEVER, ALWAYS]
    (shop / "rules.yaml").write_text("a: {deny: {categorie: new}}")
    with pytest.raises(PolicyError, match="a: items have no column 'categorie'; did you mean 'categories'"):
        catalogue_for(snapshot, shop)
    (shop / "rules.yaml").write_text("a: {deny: {description: {words: new}}}")  # Standard, and not in this table.
    with pytest.raises(PolicyError, match="a: items have no column 'description'"):
        catalogue_for(snapshot, shop)


def test_a_table_that_cannot_be_read_is_refused(snapshot: Snapshot, shop: pathlib.Path) -> None:
    (shop / "items.csv").unlink()
    with pytest.raises(DatasetError, match="'items': no file"):
        catalogue_for(snapshot, shop)
