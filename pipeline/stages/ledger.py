"""The tables that report is made from: a row a model run, a row a prediction, a row an epoch, a row a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artifacts import EvaluatedModel, FittedEstimator, Search, Threshold, TrainedModel

if TYPE_CHECKING:
    import pandas as pd

RunKey = tuple[str, str, int, int]  # dataset, model, seed, resample


def run_key(trained: TrainedModel) -> RunKey:
    """What tells one model run of a comparison from another."""
    return trained.dataset, trained.model, trained.seed, trained.resample


def runs_frame(
    models: Sequence[EvaluatedModel], run_ids: Mapping[RunKey, str], origins: Mapping[RunKey, str]
) -> pd.DataFrame:
    """`metrics.csv`: a row a model run, with its final numbers; those of a run that failed are missing.

    `origins` has the run id of the run that was trained, of model runs that are reused.
    """
    import pandas as pd

    table = _resample_last(pd.DataFrame([_run_row(model, run_ids[run_key(model.trained)]) for model in models]))
    table["reused_from"] = [origins.get(run_key(model.trained), "") for model in models]
    return table


def ledger_frame(models: Sequence[EvaluatedModel], run_ids: Mapping[RunKey, str]) -> pd.DataFrame:
    """`predictions.parquet`: a row per model run and validation or test row.

    Datasets with fewer classes than others have no value in the further `p_` columns, those that haven't just two
    classes none in `threshold`, which comes last.
    """
    import pandas as pd

    frames = [_keyed(model.trained, run_ids, model.predictions) for model in models if model.predictions is not None]
    if not frames:
        columns = ["dataset", "model", "seed", "run_id", "split", "row_id", "label", "threshold", "resample"]
        return pd.DataFrame(columns=columns)
    ledger = pd.concat(frames, ignore_index=True)
    ledger["threshold"] = ledger.pop("threshold")
    return _resample_last(ledger)


def history_frame(models: Sequence[TrainedModel], run_ids: Mapping[RunKey, str]) -> pd.DataFrame:
    """`history.parquet`: a row per model run and epoch, the whole curves."""
    import pandas as pd

    frames = [_keyed(model, run_ids, _epochs(model)) for model in models]
    # Models of scikit-learn have no epochs; pandas would take the types of an empty frame into account.
    return pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)


def trials_frame(searches: Sequence[Search]) -> pd.DataFrame:
    """`trials.csv`: a row a trial, its hyperparameters in a column each."""
    import pandas as pd

    return pd.DataFrame(
        [
            {
                "dataset": search.dataset,
                "model": search.model,
                "trial": trial.number,
                "run_id": trial.run_id,
                "state": trial.state,
                "objective": search.objective,
                "value": trial.value,
                "seconds": trial.seconds,
                **trial.params,
                "failure": trial.failure or "",
            }
            for search in searches
            for trial in search.trials
        ]
    )


def _run_row(model: EvaluatedModel, run_id: str) -> dict[str, object]:
    trained = model.trained
    parameters = trained.network.parameter_count
    return {
        "dataset": trained.dataset,
        "model": trained.model,
        "seed": trained.seed,
        "run_id": run_id,
        "status": "FAILED" if trained.failure else "FINISHED",
        **{key.replace("best/", "best_"): value for key, value in model.metrics.items()},
        **_threshold_row(model.threshold),
        "parameters": np.nan if parameters is None else parameters,
        "train_seconds": trained.seconds,
        "predict_seconds": model.predict_seconds,
        "failure": trained.failure or "",
        "note": _note(trained),
        "resample": trained.resample,
    }


def _note(trained: TrainedModel) -> str:
    """What to know of a model run."""
    if isinstance(trained.network, FittedEstimator):
        return "; ".join(trained.network.notes)
    given = trained.params.get("class_weight")
    if given is None:
        return ""
    weights = given if isinstance(given, str) else ", ".join(f"{name} {weight:g}" for name, weight in given.items())
    return (
        f"trained with class weights ({weights}), so its probabilities lean towards the classes that weigh more;"
        " its train loss is the weighted one, all other numbers count every row once"
    )


def _threshold_row(threshold: Threshold | None) -> dict[str, object]:
    """A threshold with its interval, and whether it reaches its goal; missing values unless there is one."""
    if threshold is None:
        return dict.fromkeys(("threshold", "threshold_low", "threshold_high", "threshold_reached"))
    return {
        "threshold": threshold.value,
        "threshold_low": threshold.low,
        "threshold_high": threshold.high,
        "threshold_reached": threshold.reached,
    }


def _keyed(trained: TrainedModel, run_ids: Mapping[RunKey, str], frame: pd.DataFrame) -> pd.DataFrame:
    keys: dict[str, str | int] = {
        "dataset": trained.dataset,
        "model": trained.model,
        "seed": trained.seed,
        "run_id": run_ids[run_key(trained)],
    }
    keyed = frame.copy()
    for position, (name, value) in enumerate(keys.items()):
        keyed.insert(position, name, value)
    keyed["resample"] = trained.resample
    return keyed


def _resample_last(table: pd.DataFrame) -> pd.DataFrame:
    """Put `resample` behind the columns that only later rows have, such as further classes."""
    table["resample"] = table.pop("resample")
    return table


def _epochs(trained: TrainedModel) -> pd.DataFrame:
    import pandas as pd

    history = trained.history
    return pd.DataFrame(
        {
            "epoch": np.arange(len(history.train_loss)),
            "train_loss": history.train_loss,
            "train_accuracy": history.train_accuracy,
            "validation_loss": history.validation_loss,
            "validation_accuracy": history.validation_accuracy,
        }
    )
