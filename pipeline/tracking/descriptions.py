"""What the UI shows of a run in words: its description, as Markdown. Of a long one only the first lines are seen."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.artifacts import EvaluatedModel, FittedEstimator, Split
from pipeline.comparison.verdict import Verdict
from pipeline.stages.promote import Contender, Ruling
from pipeline.units import in_points, metric_name

LONGEST_TAG = 8000  # MLflow cuts longer ones without a word
WHERE_TO_LOOK = (
    "**Pictures and numbers**: `report/index.html` under Artifacts.",
    "**Two runs side by side**: open this run's children in the table of runs, tick two of them, and choose Compare."
    " There a metric opens its curves, and the pictures are under Artifacts.",
)


def escaped(text: str) -> str:
    """Write text so that Markdown shows it as it is, in one line."""
    line = re.sub(r"([\\`*_\[\]|~])", r"\\\1", " ".join(text.split()))
    line = re.sub(r"^(\d+)\.", r"\1\\.", line)  # would begin a numbered list
    return line.replace("&", "&amp;").replace("<", "&lt;")


def comparison_note(question: str, verdicts: Sequence[Verdict]) -> str:
    """Describe a comparison: its question, what came out, where to look.

    Parameters
    ----------
    question:
        May be empty.
    verdicts:
        Those by the metric shown first. Of more than fit into a tag the last are left out, and their number is said.
    """
    first = [f"**{escaped(question)}**"] if question else []
    first += [*_summaries(verdicts)]
    sentences = [f"- {escaped(verdict.sentence)}" for verdict in verdicts]
    for said in range(len(sentences), -1, -1):
        more = [f"- And {len(sentences) - said} more, in `verdicts.json`."] if said < len(sentences) else []
        listed = "\n".join([*sentences[:said], *more])
        note = "\n\n".join(filter(None, [*first, listed, *WHERE_TO_LOOK]))
        if len(note) <= LONGEST_TAG:
            break
    return note[:LONGEST_TAG]


def _summaries(verdicts: Sequence[Verdict]) -> list[str]:
    """Say in a line for each pair of models how it went on all datasets; nothing where there is one dataset alone."""
    pairs: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for one in verdicts:
        decisions = pairs.setdefault((one.model, one.baseline, one.metric), {})
        decisions.setdefault(one.decision, []).append(escaped(one.dataset))
    return [
        f"{escaped(model)} against {escaped(baseline)} by {metric_name(metric)}: "
        + "; ".join(f"**{decision}** on {_listed(datasets)}" for decision, datasets in decisions.items())
        + "."
        for (model, baseline, metric), decisions in pairs.items()
        if sum(map(len, decisions.values())) > 1
    ]


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def model_note(model: EvaluatedModel, split: Split) -> str:
    """Describe a model run: what it scored and on which rows, when it was best, what to beware of."""
    trained = model.trained
    if trained.failure:
        return f"Not finished: {escaped(trained.failure)}."
    scores = " · ".join(f"{metric_name(key)} **{_score(key, value)}**" for key, value in _first_scores(model).items())
    who, rows = f"{escaped(trained.model)} on {escaped(trained.dataset)}", len(split.rows(split.final))
    where = f"{scores} on {rows:,} {split.final} rows."
    if isinstance(trained.network, FittedEstimator):
        remarks = [f"{escaped(note).capitalize()}." for note in trained.network.notes]
        lines = [f"{who}, scikit-learn's {trained.network.name}: {where}", *remarks]
    else:
        epochs = len(trained.history.train_loss)
        lines = [
            f"{who}, after {epochs:,} epochs: {where}",
            f"Lowest {split.monitored} loss: {model.metrics['best/validation_loss']:.3g},"
            f" at epoch {model.metrics['best/epoch']:,.0f} of 0 to {epochs - 1:,}.",
        ]
    if model.threshold and not model.threshold.reached:
        lines.append(f"No threshold reaches {escaped(model.threshold.goal)} on the validation rows.")
    return "\n\n".join(lines)


def _first_scores(model: EvaluatedModel) -> dict[str, float]:
    wanted = ("accuracy", "log_loss", "rmse", "r2")
    return {key: model.metrics[key] for key in wanted if key in model.metrics}


def _score(metric: str, value: float) -> str:
    return f"{100 * value:.1f} %" if in_points(metric) else f"{value:.3g}"


def version_note(candidate: Contender, ruling: Ruling) -> str:
    """Describe a version in the model registry: what it is, and why it is champion."""
    what = " · ".join(escaped(name) for name in (candidate.experiment, candidate.dataset, candidate.model))
    return f"**{what}**, run `{candidate.run_id}`.\n\n{escaped(ruling.sentence)}"
