"""Items that nobody may be shown, as the data's own rules say: by `deny`, and by `hold` until they are accepted."""

from __future__ import annotations

import pathlib
from collections import Counter
from collections.abc import Mapping

import pyarrow as pa

from homefeed.components.artifacts.table_rows import item_cards
from homefeed.schemas.dataset import Dataset
from homefeed.serving.policy.rules import read_rules
from homefeed.serving.policy.ruling import Ruling


def denied_items(data_dir: pathlib.Path, dataset: Dataset, items: pa.RecordBatch) -> dict[bytes, str]:
    """Item id → the first rule that denies it.

    Args:
        data_dir: folder of `dataset.yaml`, beside which the rules are.
        dataset: says where.
        items: one row an item, as ExampleGen wrote it.

    Raises:
        PolicyError: the rules cannot be used, or ask for a column that items have not.
    """
    if dataset.rules is None:
        return {}
    rules = read_rules(data_dir / dataset.rules)
    # A standard column that is nowhere filled was lost, or never there: nothing would be denied by it.
    rules.require_columns(["item_id", *dataset.declared("items"), *items.schema.names])
    cards = {item_id: card | {"item_id": item_id} for item_id, card in item_cards(items).items()}
    ruling = Ruling(rules, cards, [])
    in_force = ruling.counting({}, 0.0, names=())  # Denials alone: other rules are for pages.
    found = {item_id: in_force.refusing(item_id) for item_id in cards if ruling.is_denied(item_id)}
    return {item_id.encode(): rule for item_id, rule in found.items()}


def summarize(denied: Mapping[bytes, str], item_counts: Mapping[bytes, int]) -> list[str]:
    """What was denied, in words.

    Args:
        denied: item id → rule.
        item_counts: item id → its events.
    """
    if not denied:
        return []
    by_rule = ", ".join(f"{rule} {count:,}" for rule, count in Counter(denied.values()).most_common())
    num_events = sum(item_counts.get(item_id, 0) for item_id in denied)
    return [f"{len(denied):,} items denied ({by_rule}), with {num_events:,} events"]
