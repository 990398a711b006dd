"""Promote: whether a served model may take the place of another, by the verdict on the very two; nothing is trained.

The question is that of a non-inferiority trial (Piaggio et al. 2012, JAMA 308:2594): not whether the models differ, but
whether the interval rules out that the new one is worse by more than what doesn't matter. Not having found a difference
on few rows doesn't answer it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.comparison.comparability import short
from pipeline.comparison.decisions import cases_needed, rounded
from pipeline.comparison.verdict import Verdict, found_words
from pipeline.comparison.wording import count, with_unit
from pipeline.stages.compare import CompareInput
from pipeline.units import lower_is_better, metric_name

FIXED = "Both are trained models as they are served, so rows are the only chance in the interval"


@dataclass(frozen=True)
class Contender:
    """A model run whose model can be served."""

    run_id: str
    experiment: str  # name in the experiment file
    dataset: str
    model: str
    data: str  # SHA-256 of the data's content

    @property
    def name(self) -> str:
        """What sentences call it: two may have the same model's name."""
        return f"{self.model} ({short(self.run_id)})"


@dataclass(frozen=True)
class Ruling:
    """Whether a model may become champion, and why."""

    promoted: bool
    decision: str  # the verdict's word, or "first"
    sentence: str


def first(candidate: Contender) -> Ruling:
    """Let a model be champion where there is none."""
    sentence = f"{candidate.name} is the first champion on {candidate.dataset}: there was none to compare it with."
    return Ruling(True, "first", sentence)


def rule(source: CompareInput, candidate: Contender, champion: Contender) -> Ruling:
    """Hold a model against the present champion, on the test rows of both and by the champion's settings.

    Parameters
    ----------
    source:
        The two model runs, the champion's comparison first, with the champion's model as the baseline.
    candidate, champion:
        What they are called.
    """
    spec, verdicts = source.outcome.spec, source.outcome.primary()
    part = source.splits[candidate.dataset].final
    if not verdicts:
        metric = metric_name(source.metrics[candidate.dataset])
        undefined = f"{metric} of {candidate.name} or of the champion isn't defined on these {part} rows."
        return Ruling(False, "not separable", undefined)
    (verdict,) = verdicts
    basis = f"{found_words(verdict, spec)}, {_rows(verdict, part)}"
    promoted = behind(verdict) <= verdict.margin
    claim = _claim(verdict, candidate.name, f"{champion.name}, the champion,", promoted=promoted)
    needed = "" if promoted or verdict.decision == "worse" else f" {_needed(source, verdict)}."
    return Ruling(promoted, verdict.decision, f"{claim}: {basis}. {FIXED}.{needed}")


def behind(verdict: Verdict) -> float:
    """How far the model may be behind its baseline, by the worse end of the interval; negative where it is ahead."""
    return verdict.high if lower_is_better(verdict.metric) else -verdict.low


def _claim(verdict: Verdict, candidate: str, champion: str, *, promoted: bool) -> str:
    where, margin = f"on {verdict.dataset}", with_unit(verdict.metric, verdict.margin)
    if verdict.decision == "equivalent":
        return f"{candidate} and {champion} are equivalent {where} (a difference within ±{margin} counts as none)"
    if verdict.decision != "not separable":
        return f"{candidate} is {verdict.decision} than {champion} {where}"
    if promoted:
        return f"{candidate} isn't worse than {champion} {where} by more than the margin of {margin}"
    most = with_unit(verdict.metric, behind(verdict))
    return f"{candidate} may be worse than {champion} {where} by up to {most}, more than the margin of {margin}"


def _rows(verdict: Verdict, part: str) -> str:
    rows = f"{verdict.rows:,} {part} rows" + ("" if part == "test" else " (there are no test rows)")
    rows += f" in {count(verdict.groups, 'group')}" if verdict.groups is not None else ""
    return f"{rows}, {verdict.labels}" if verdict.labels else rows


def _needed(source: CompareInput, verdict: Verdict) -> str:
    """Say how many rows would show that the model isn't worse, if the difference is what it seems to be."""
    gain = -verdict.difference if lower_is_better(verdict.metric) else verdict.difference
    room = gain + verdict.margin
    cases = cases_needed(room, source.spread(verdict), source.outcome.spec.alpha) if room > 0 else None
    what = f"{source.splits[verdict.dataset].final} rows" if verdict.groups is None else "groups"
    if cases is None:
        return f"If the difference is as it looks, no number of {what} would show that it isn't worse"
    return f"If the difference is as it looks, about {rounded(cases):,} {what} would tell"
