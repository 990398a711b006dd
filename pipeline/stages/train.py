"""Train: every dataset × model × resample × seed, the seeds of one dataset × model × resample as one population."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.artifacts import TrainedModel
from pipeline.stages.baselines.fitting import Baseline, fit_baseline
from pipeline.stages.baselines.storage import load_fits
from pipeline.stages.populations import population_rows, training_rows
from pipeline.stages.tasks import TrainTask, fingerprint, run_params, task_members, task_shape
from pipeline.stages.tune import Candidate

if TYPE_CHECKING:
    from pipeline.training.checkpoints import Ended
    from pipeline.training.population import Population


def train(task: TrainTask, announce: Callable[[Population], None] | None = None) -> list[TrainedModel]:
    """Train one population, or fit a baseline; one model run a seed, those that failed among them.

    Only training and monitored rows are read. Of resample 0, networks on the plane are recorded as they learn. What the
    task's checkpoints hold isn't trained again.

    Raises
    ------
    StoreError
        When checkpoints can't be written, or are damaged.
    """
    candidate = task.candidate
    if isinstance(candidate, Baseline):
        return fit_baseline(task.split, candidate, task.seeds, task.goal, load_fits(task.checkpoints))
    from pipeline.training.checkpoints import train_kept
    from pipeline.training.snapshots import Recorder, is_recordable

    recorder = Recorder(task.split) if task.split.resample == 0 and is_recordable(task.split) else None
    ended = train_kept(
        task_shape(task, candidate),
        task_members(task, candidate),
        training_rows(task.split, candidate.spec),
        population_rows(task.split, task.split.monitored),
        task.checkpoints,
        recorder=recorder,
        memory=task.memory,
        announce=announce,
    )
    models = [_trained(task, candidate, seed, one) for seed, one in zip(task.seeds, ended, strict=True)]
    if recorder is None:
        return models
    return [model if model.failure else replace(model, snapshots=recorder.snapshots(model.seed)) for model in models]


def _trained(task: TrainTask, candidate: Candidate, seed: int, ended: Ended) -> TrainedModel:
    return TrainedModel(
        dataset=candidate.dataset,
        model=candidate.model,
        seed=seed,
        params=run_params(candidate, seed, task.split.resample),
        network=ended.outcome.network,
        history=ended.outcome.history,
        fingerprint=fingerprint(task.split, candidate, seed, task.goal),
        started_at=ended.started_at,
        seconds=ended.seconds,
        failure=ended.outcome.failure,
        resample=task.split.resample,
    )
