"""Pictures of the plane: what the median runs predict over it, and where they disagree."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.artifacts import Split
from pipeline.comparison.agreement import Agreement
from pipeline.figures import boundaries, disagreement
from pipeline.figures.boundaries import BayesRule, Boundary
from pipeline.figures.disagreement import Disagreement
from pipeline.figures.ledger import members
from pipeline.planes import is_plane
from pipeline.stages.reporting import findings
from pipeline.stages.reporting.picture import Picture, labelled
from pipeline.stages.reporting.source import ReportInput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_MAPS = 4  # of disagreement; a table has the other pairs


def headline(source: ReportInput) -> list[Picture]:
    """Return the matrix of boundaries, datasets down and models across; none when no dataset lies in the plane."""
    planes = [name for name in source.drawable if is_plane(source.splits[name])]
    if not planes:
        return []
    caption = "Each panel is the model of the median seed, evaluated on a grid in the data's own units."
    caption += max(labelled(source, name) for name in planes)  # the same of all datasets with two classes
    return [
        Picture(
            "headline",
            "headline",
            "",
            "Boundaries",
            caption,
            lambda: findings.headline(source, planes),
            lambda: source.median_scores(planes),
            partial(_draw_headline, source, planes),
        )
    ]


def plane_pictures(source: ReportInput, name: str) -> Iterator[Picture]:
    """Yield the decision boundaries of a dataset with two features, and where models disagree."""
    part = source.splits[name].final
    yield Picture(
        f"{name}_boundaries",
        "boundaries",
        name,
        "Decision boundaries",
        f"The median seed's network on a grid, in original units; the line is where the predicted class changes."
        f" Small dots are train rows, outlined ones {part} rows.{labelled(source, name)}",
        lambda: findings.boundaries(source, name),
        lambda: boundaries.plane_frame(_boundaries(source, name), _bayes_rule(source, name)),
        partial(_draw_boundaries, source, name),
    )
    usable = source.seeds(name)
    pairs = [
        one
        for one in source.outcome.agreements
        if one.dataset == name and one.model in usable and one.baseline in usable
    ]
    if pairs:
        yield Picture(
            f"{name}_disagreement",
            "disagreement",
            name,
            "Where they disagree",
            "The plane is tinted where the median runs predict different classes; rows that only one of them"
            " predicts right have its colour. The shares are over all seeds.",
            lambda: findings.disagreement(pairs),
            lambda: disagreement.outcome_frame([_map(source, name, pair) for pair in pairs[:MOST_MAPS]]),
            partial(_draw_disagreement, source, name, pairs[:MOST_MAPS]),
        )


def _draw_headline(source: ReportInput, planes: list[str]) -> Figure:
    panels = {name: (_boundaries(source, name), boundaries.points_frame(source.splits[name])) for name in planes}
    truths = {name: rule for name in planes if (rule := _bayes_rule(source, name)) is not None}
    return boundaries.draw_headline(panels, part=source.splits[planes[0]].final, truths=truths)


def _draw_boundaries(source: ReportInput, name: str) -> Figure:
    split = source.splits[name]
    return boundaries.draw_boundaries(
        name,
        _boundaries(source, name),
        boundaries.points_frame(split),
        feature_names=split.dataset.feature_names,
        class_names=split.dataset.class_names,
        part=split.final,
        truth=_bayes_rule(source, name),
    )


def _boundaries(source: ReportInput, name: str) -> dict[str, Boundary | None]:
    return {model: source.planes.get((name, model)) for model in source.models}


def _bayes_rule(source: ReportInput, name: str) -> BayesRule | None:
    """Return what the law of the data says over the plane; None where it isn't known.

    Nor where thresholds are chosen for another goal than being right most often, which is all that the rule is for.
    """
    return None if labelled(source, name) else source.bayes_rules.get(name)


def _draw_disagreement(source: ReportInput, name: str, pairs: list[Agreement]) -> Figure:
    return disagreement.draw_disagreement(
        name,
        [_map(source, name, pair) for pair in pairs],
        source.models,
        feature_names=source.splits[name].dataset.feature_names,
        part=source.splits[name].final,
    )


def _map(source: ReportInput, name: str, pair: Agreement) -> Disagreement:
    first, second = (source.planes[name, model] for model in (pair.model, pair.baseline))
    rule = _bayes_rule(source, name)
    shares = (pair.only_model, pair.only_baseline, pair.both_right, pair.both_wrong)
    return Disagreement(
        pair.model,
        pair.baseline,
        first.x,
        first.y,
        first.labels,
        second.labels,
        None if rule is None else rule.posterior.argmax(axis=-1),
        _points(source, name, pair),
        dict(zip(disagreement.OUTCOMES, shares, strict=True)),
    )


def _points(source: ReportInput, name: str, pair: Agreement) -> pd.DataFrame:
    """Final rows of a dataset, and whether each of two networks labels them right: x, y, right_a, right_b."""
    split, rows = source.splits[name], source.of(name, source.ledger)
    right = {
        side: _right(rows, source.representatives[name, model].run_id, split)
        for side, model in (("right_a", pair.model), ("right_b", pair.baseline))
    }
    x, y = split.dataset.features[split.rows(split.final)].T
    return pd.DataFrame({"row_id": split.rows(split.final), "x": x, "y": y, **right})


def _right(rows: pd.DataFrame, run_id: str, split: Split) -> npt.NDArray[np.bool_]:
    """Whether a run labels each final row right, in the split's order."""
    own = rows[(rows["run_id"] == run_id) & (rows["split"] == split.final)]
    (member,) = members(own, len(split.dataset.class_names), split.final)
    by_row = pd.Series(member.predicted == member.labels, index=own["row_id"])
    right: npt.NDArray[np.bool_] = by_row.reindex(split.rows(split.final)).to_numpy()
    return right
