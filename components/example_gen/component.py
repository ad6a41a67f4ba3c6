"""ExampleGen: from the user's tables to train, eval and test Examples, batch-wise on Beam.

Interactions become one Example a user and split, the user's events in order of (timestamp, position in the
file). Items and users become one Example a row, exposures one an impression. Rows that cannot be used go to
quarantine.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Annotated

from homefeed.components.artifacts import example_io
from homefeed.components.artifacts.types import ALL, SPLITS, DatasetDir, Examples, Quarantine
from homefeed.components.beam.settings import BeamSettings
from homefeed.components.example_gen.counts import check_counts, find_examples, summarize
from homefeed.components.example_gen.splits import SplitMethod, SplitRule
from homefeed.schemas import privacy, spans, times
from homefeed.schemas.columns import TABLES, TableName
from homefeed.schemas.dataset import Dataset, DatasetError, load_dataset
from homefeed.schemas.settings import Count, CountOrNone, Form, Fraction
from homefeed.schemas.tables import find_table, is_there, relation_names
from homefeed.schemas.times import TimeOrNone

Spans = Annotated[str, Form("spans such as 7, 3:7, 3:, last:3, or several with commas", spans.is_wanted)]
UserKey = Annotated[str, Form("env:NAME or file:PATH of a key that is there", privacy.has_key, on_this_machine=True)]


NONE: dict[TableName, tuple[str, ...]] = {"exposures": SPLITS, "relations": (ALL,)}
"""Optional tables with an output of their own, and its splits, which are there and empty where the table is not."""


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What goes in."""

    dataset: DatasetDir


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What comes out."""

    interactions: Examples  # Splits train, eval, test.
    items: Examples  # Split all, in the table's order; one shard's after the other's if there are many.
    users: Examples  # Split all.
    exposures: Examples  # Splits train, eval, test, empty where nothing says what was shown.
    relations: Examples  # Split all, a row each: from a user to another; empty where there is no such table.
    quarantine: Quarantine  # And `counts.json`: rows read, written, quarantined and duplicate; values lost.


@dataclasses.dataclass(frozen=True)
class Config(BeamSettings):
    """What can be set."""

    split: SplitMethod = "temporal"  # By time; per user; whole users; or each event by itself, out of time.
    eval_fraction: Fraction = 0.1  # Of the interactions (temporal, random) or users (hash).
    test_fraction: Fraction = 0.1  # The same.
    eval_from: TimeOrNone = ""  # Of temporal: from when on events are for eval, in place of the fractions.
    test_from: TimeOrNone = ""  # From when on they are for test; it belongs to `eval_from`.
    spans: Spans = ""  # Of paths with {SPAN}: "7", "3:7", "3:", "last:3"; empty: all.
    retention_days: CountOrNone = 0  # Events that are older than this, by the newest event, are left out; 0: none.
    user_key: UserKey = ""  # `env:NAME` or `file:PATH` of a key: user ids become its HMACs; empty: they stay.
    shard_megabytes: Count = 32  # Of input a shard, which is what one worker holds in memory at once.
    # Path or URI that all workers share, for rows between the steps; empty: all are on this machine.
    temp_dir: str = ""

    def check(self) -> list[str]:
        """The rules between fields."""
        kept = 1 - self.eval_fraction - self.test_fraction
        faults = super().check()
        if kept <= 0:
            faults.append(f"eval_fraction + test_fraction should leave something to train on, got {1 - kept:g}")
        rule = self.rule()
        dated = rule.eval_from is not None and rule.test_from is not None and rule.eval_from < rule.test_from
        if (self.eval_from or self.test_from) and not (dated and self.split == "temporal"):
            faults.append(
                "eval_from and test_from belong together, to the split temporal, the earlier one first; "
                f"got {self.eval_from!r}, {self.test_from!r} and {self.split}"
            )
        return faults

    def rule(self) -> SplitRule:
        """How events are split."""
        dates = (times.moment(text) if text else None for text in (self.eval_from, self.test_from))
        return SplitRule(self.split, self.eval_fraction, self.test_fraction, self.retention_days, *dates)


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Reads the tables and writes the Examples.

    Raises:
        DatasetError: as of `ingest`; or a split has no event, or training none that is liked.
    """
    from homefeed.components.example_gen.written import OTHER_TYPES, absent_types, check_written

    dataset = load_dataset(inputs.dataset.path)
    summary = ingest(dataset, inputs, outputs, config)
    splits = outputs.quarantine.read_json(Quarantine.COUNTS_FILE)["interactions"]["splits"]
    if faults := check_written(splits, outputs.interactions, dataset, config.rule()):
        raise DatasetError("\n".join(faults))
    if absent := absent_types(splits, dataset.positive):
        summary += f", no event of type {', '.join(absent)} (`positive.event_types`)"
    if others := splits.get(OTHER_TYPES):
        summary += f", {others:,} events of types outside `positive.event_types` are targets of training all the same"
    return summary


def ingest(dataset: Dataset, inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Reads the tables and writes the Examples, however few events a split gets.

    Raises:
        DatasetError: a table or column is missing, a table is empty, too many of its rows are bad, or too many ids
            are in one table only.
    """
    from homefeed.components.example_gen import beam, exposures, ids, shards

    folder = inputs.dataset.path
    there = [table for table in dataset.tables if is_there(folder, dataset, table, config.spans)]
    tables = [find_table(folder, dataset, table, config.spans) for table in there]
    exposures.check(tables, config.rule())
    destinations: dict[TableName, Examples] = {t: getattr(outputs, t) for t in there if t not in shards.JOINED}
    for table, splits in NONE.items():
        if table not in destinations:
            example_io.write_none(getattr(outputs, table), splits)
    outputs.items.write_json(Examples.FACTS_FILE, [*dataset.facts])
    outputs.items.write_json(Examples.DECLARED_FILE, dataset.declared("items"))
    options = shards.Options(
        config.rule(),
        config.user_key,
        config.shard_megabytes,
        config.temp_dir,
        dataset.positive,
        dataset.shown or (),
        int(time.time()),
        (dataset.relations and dataset.relations.kinds) or (),
        relation_names(dataset),
    )
    counts, unmatched, num_strangers = beam.ingest(
        tables, destinations, outputs.quarantine, options, config.runner, config.beam_options
    )
    outputs.quarantine.write_json(
        Quarantine.COUNTS_FILE, {table: dataclasses.asdict(found) for table, found in counts.items()}
    )
    check_counts(counts, dataset, find_examples(outputs.quarantine.path))
    if faults := ids.check_ids(unmatched, dataset):
        raise DatasetError("\n".join(faults))
    if config.user_key:
        outputs.users.write_json(Examples.USER_KEY_FILE, config.user_key)
    said = summarize(counts, unmatched, [table for table in TABLES if dataset.is_derived(table)])
    return said + (f", {num_strangers:,} relations to people of whom nothing is known" if num_strangers else "")
