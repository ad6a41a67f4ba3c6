"""Evaluator: full-ranking quality of the exported models beside baselines and models in service, and a verdict.

What it writes: `metrics.json` and `metrics.md` (the means), `evaluation.json` (everything: intervals, slices,
calibration, the comparison with the models in service, the value of the policy where cards were drawn by chance,
earlier models, the verdict), `report.html` for people, and the model card that goes with the models when they are
pushed.
"""

from __future__ import annotations

import dataclasses
import pathlib

from homefeed.components.artifacts import transformed
from homefeed.components.artifacts.types import (
    SPLITS,
    TEXTS_FILE,
    Artifact,
    Examples,
    Model,
    ModelBlessing,
    ModelEvaluation,
    PretrainedBert,
    PushedModel,
    TransformGraph,
)
from homefeed.components.evaluator.queries import GroupLimits, Limits
from homefeed.schemas.settings import Count, CountOrNone, FolderOrNone, Fraction, Margin, Seconds
from homefeed.serving.recommender import FUSED, Recommender


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The transformed examples, the model that is served, and the text model with what texts were worth to it."""

    transform_graph: TransformGraph
    examples: Examples
    fused_model: Model
    bert: PretrainedBert


@dataclasses.dataclass(frozen=True)
class Outputs:
    """The figures and the verdict."""

    evaluation: ModelEvaluation
    blessing: ModelBlessing


@dataclasses.dataclass(frozen=True)
class Config:
    """What is measured, and the margins of a blessing. Every margin is a relative loss of NDCG@10."""

    max_queries: Count = 20_000  # A larger split is sampled, evenly over its queries.
    batch_size: Count = 128  # Queries in one call of a model.
    max_ease_items: CountOrNone = 10_000  # EASE inverts a matrix over the catalogue; larger ones are spared it.
    max_ease_seconds: Seconds = 60.0  # After so many, no further regularization of EASE is tried on eval.
    popularity_margin: Margin = 0.0  # How much retrieval + ranking may lose against popularity.
    ranking_margin: Margin = 0.02  # And against retrieval alone.
    base_models: FolderOrNone = ""  # Folder of the PushedModel in service, to be no worse than; empty: none.
    base_margin: Margin = 0.0  # How much may be lost against it.
    # And against it in new users, in new items, in each category and in each guarded group of users; in new users and
    # new items against popularity, content and the text model alone too.
    slice_margin: Margin = 0.1
    # In each guarded group, against what all others' queries get that are like the group's; 1: everything is borne.
    group_gap_margin: Margin = 0.2
    # How much less active a group's users may be in training, beside others, than in the data of the models in
    # service or, where nothing is known of these, in eval; 1: everything is borne.
    group_events_margin: Margin = 0.15
    min_group_users: Count = 30  # A group of fewer users, or with fewer others beside it, is not judged.
    min_slice_queries: Count = 50  # Fewer queries make no slice.
    # Of what the new models would be worth in slots that were left to chance, the relative error with which it is
    # still told; and the share of what they would show that may not have been among what could be drawn.
    value_error: Fraction = 0.1

    @property
    def of_groups(self) -> GroupLimits:
        """What guarded groups may lose."""
        margins = self.slice_margin, self.group_gap_margin, self.group_events_margin
        return GroupLimits(*margins, self.min_group_users, self.max_queries)

    @property
    def limits(self) -> Limits:
        """How much is asked and tried."""
        names = [field.name for field in dataclasses.fields(Limits)]
        return Limits(**{name: getattr(self, name) for name in names})


def config_inputs(config: Config) -> dict[str, Artifact]:
    """What the configuration names outside the pipeline: its content counts in cache and lineage."""
    return {"base_models": PushedModel(pathlib.Path(config.base_models))} if config.base_models else {}


def run(inputs: Inputs, outputs: Outputs, config: Config) -> str:
    """Measures on `eval`, which decides, and on `test`, which is only reported."""
    from homefeed.components.evaluator import chapters, examples, group_checks, measured, report, verdict
    from homefeed.models.text.text_alone import TextAlone
    from homefeed.models.text.text_model import TextModel

    catalogue = transformed.load_catalogue(inputs.transform_graph)
    train, *others = (transformed.load_sequences(inputs.transform_graph, inputs.examples, split) for split in SPLITS)
    recommender = Recommender.of_saved_model(inputs.fused_model.serving_dir)
    base = PushedModel(pathlib.Path(config.base_models)) if config.base_models else None
    in_service = Recommender.of_saved_model(base.models()[FUSED]) if base else None
    text, wordpiece = TextModel.load(inputs.bert.path), transformed.load_wordpiece(inputs.transform_graph)
    rivals: dict[str, measured.Scorer] = {
        **measured.fit_baselines(train, others[0], catalogue, config.limits),
        measured.TEXT: TextAlone(text),
    }
    found = {
        split: measured.measure(recommender, in_service, rivals, sequences, catalogue, config.limits)
        for split, sequences in zip(SPLITS[1:], others, strict=True)
    }
    sequences = dict(zip(SPLITS[1:], others, strict=True))
    beside = chapters.describe(
        chapters.Material(
            recommender,
            text,
            wordpiece,
            catalogue,
            train,
            sequences,
            {split: transformed.load_exposures(inputs.examples, split) for split in sequences},
            found,
            config.max_queries,
            config.batch_size,
            config.value_error,
            config.of_groups,
            report.activity_of(base),
        )
    )
    means = {split: report.means_of(of_split) for split, of_split in found.items()}
    for split in sequences:
        means[split][measured.RANKING_ROW] |= chapters.means_of(beside, found, split)
    outputs.evaluation.write_json("metrics.json", means)
    (outputs.evaluation.path / "metrics.md").write_text(report.to_markdown(means), encoding="utf-8")
    margins = verdict.Margins(
        config.popularity_margin, config.ranking_margin, config.base_margin, config.slice_margin
    )
    against = verdict.judge(found["eval"].ranks, margins, found["eval"].slices, found["eval"].weights)
    against += group_checks.reasons(beside["groups"]["eval"]["guarded"])
    chosen = measured.ease_regularization(rivals)
    texts = inputs.bert.read_json(TEXTS_FILE)
    objectives = list(train.objectives) if recommender.knows_objectives else [""]
    shown = examples.lists(recommender, found["eval"].queries, others[0], catalogue, objectives)
    report.write(
        outputs.evaluation,
        means,
        found,
        sequences,
        shown,
        catalogue,
        train,
        against,
        base,
        texts,
        chosen,
        beside,
    )
    outputs.blessing.write_reasons(against)
    ours = means["test"][measured.RANKING_ROW]
    limits = "".join(f"; {limit}" for limit in measured.limits_met(found, catalogue.num_rows, config.limits))
    ease = f"; EASE regularised with {chosen:g}" if chosen is not None else ""
    return f"NDCG@10 {ours['ndcg@10']:.4f}, Recall@100 {ours['recall@100']:.4f} on test{ease}{limits}"
