"""Fitting scikit-learn's estimators, one a seed, and what they predict."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from pipeline.artifacts import NO_HISTORY, FittedEstimator, Floats, Split, TrainedModel
from pipeline.comparison.thresholds import HALF, Goal
from pipeline.errors import BadInput
from pipeline.stages.baselines.spec import KEY, EstimatorSpec
from pipeline.stages.identity import data_identity
from pipeline.stages.weighting import train_weights

LARGEST_RANDOM_STATE = 2**32 - 1  # what numpy's RandomState takes
MOST_FOLDS = 5  # of calibration, as scikit-learn has it
STAGE_VERSION = 1  # part of every fingerprint: raise it when the same input would give other values


@dataclass(frozen=True)
class Baseline:
    """One dataset × model of scikit-learn, to be fitted."""

    dataset: str
    model: str
    spec: EstimatorSpec


@dataclass(frozen=True, eq=False)
class Fit:
    """An estimator that was fitted, or couldn't be."""

    fitted: FittedEstimator
    started_at: float  # seconds since 1970
    seconds: float
    failure: str | None = None


def settle_baseline(split: Split, model: str, spec: EstimatorSpec) -> Baseline:
    """Hold a model of scikit-learn against a dataset.

    Raises
    ------
    BadInput
        When it predicts classes and the target is real, or the other way round; when rows' weights can't be used.
    """
    name, is_regression = split.dataset.name, split.dataset.task == "regression"
    if spec.is_classifier == is_regression:
        kind, wanted = ("classifier", "regressor") if is_regression else ("regressor", "classifier")
        target = "a real target" if is_regression else "classes"
        raise BadInput(
            f"{spec.sklearn} is a {kind}, and {name} has {target}",
            field=f"models.{model}.{KEY}",
            remedy=f"name a {wanted} of scikit-learn, or leave {name} out",
        )
    train_weights(split)  # which may be refused
    return Baseline(name, model, spec)


def fit_baseline(
    split: Split,
    baseline: Baseline,
    seeds: Sequence[int],
    goal: Goal = HALF,
    kept: Mapping[int, Fit] = MappingProxyType({}),
) -> list[TrainedModel]:
    """Fit one estimator a seed on the scaled train rows; where chance has no part, one that stands for all seeds.

    Seeds in `kept` were fitted before.
    Rows' own weights are given to every class that takes them; a note says where one doesn't. Class weights are an
    argument of the class.
    """
    models: list[TrainedModel] = []
    fit = None
    for seed in seeds:
        if seed in kept:
            fit = kept[seed]
        elif fit is None or baseline.spec.takes_seed:
            fit = _fit(split, baseline.spec, seed)
        models.append(
            TrainedModel(
                dataset=baseline.dataset,
                model=baseline.model,
                seed=seed,
                params=baseline_params(baseline, seed, split.resample),
                network=fit.fitted,
                history=NO_HISTORY,
                fingerprint=baseline_fingerprint(split, baseline, seed, goal),
                started_at=fit.started_at,
                seconds=fit.seconds,
                failure=fit.failure,
                resample=split.resample,
            )
        )
    return models


def baseline_params(baseline: Baseline, seed: int, resample: int) -> dict[str, Any]:
    """Parameters of a model run: the contract's that it has, the class, and each argument that was given."""
    calibration = {"calibration": "sigmoid"} if baseline.spec.is_calibrated else {}
    return {
        "dataset": baseline.dataset,
        "model": baseline.model,
        "seed": seed,
        "resample": resample,
        KEY: baseline.spec.sklearn,
        **baseline.spec.arguments,
        **calibration,
    }


def baseline_fingerprint(split: Split, baseline: Baseline, seed: int, goal: Goal = HALF) -> str:
    """SHA-256 over everything that determines a model run's values, scikit-learn's version among it."""
    import sklearn

    identity = {
        "stage_version": STAGE_VERSION,
        **data_identity(split, goal),
        "model": baseline.spec.sklearn,
        "arguments": repr(sorted(baseline.spec.arguments.items())),  # JSON has no infinity
        "version": sklearn.__version__,
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def scaled_predictions(fitted: FittedEstimator, scaled_features: Floats) -> Floats:
    """Class probabilities (rows, classes), or the scaled prediction of a regression (rows,)."""
    if hasattr(fitted.estimator, "predict_proba"):
        shares: Floats = fitted.estimator.predict_proba(scaled_features).astype(np.float64)
        return shares
    predicted: Floats = fitted.estimator.predict(scaled_features).astype(np.float64)
    return predicted


def _fit(split: Split, spec: EstimatorSpec, seed: int) -> Fit:
    started_at, started = time.time(), time.perf_counter()
    fitted, failure = _fitted(split, spec, seed)
    return Fit(fitted, started_at, time.perf_counter() - started, failure)


def _fitted(split: Split, spec: EstimatorSpec, seed: int) -> tuple[FittedEstimator, str | None]:
    """Fit one estimator; gives why it couldn't be, and what scikit-learn warned of is kept with it."""
    import sklearn
    from sklearn.utils.validation import has_fit_parameter
    from threadpoolctl import threadpool_limits

    # In double precision, which many estimators need to converge; the numbers are those that networks are given.
    features, target = split.scaled_features(split.train).astype(np.float64), split.scaled_target(split.train)
    weights, failure = train_weights(split), None
    with warnings.catch_warnings(record=True) as warned, threadpool_limits(1):
        warnings.simplefilter("always")
        estimator = _unfitted(split, spec, seed)
        weighted = weights is not None and has_fit_parameter(estimator, "sample_weight")
        try:
            estimator.fit(features, target, **({"sample_weight": weights} if weighted else {}))
            # Some find out only now that they have no answer for rows that they haven't seen.
            estimator.predict(split.scaled_features(split.rows(split.monitored)).astype(np.float64))
        except (ValueError, TypeError, ArithmeticError, np.linalg.LinAlgError) as error:
            failure = f"{spec.sklearn} couldn't be fitted: {_first_sentence(error)}"
    notes = [_CALIBRATED] if spec.is_calibrated else []
    notes += [_UNWEIGHTED] if weights is not None and not weighted else []
    notes += dict.fromkeys(f"scikit-learn warned: {_first_sentence(one.message)}" for one in warned)
    fitted = FittedEstimator(
        spec.sklearn, spec.arguments, sklearn.__version__, None if failure else estimator, tuple(notes)
    )
    return fitted, failure


_CALIBRATED = "probabilities by CalibratedClassifierCV on the train rows, since the class gives none"
_UNWEIGHTED = "fitted without the rows' weights, which the class doesn't take"


def _unfitted(split: Split, spec: EstimatorSpec, seed: int) -> Any:
    seeded: Mapping[str, Any] = {"random_state": seed % (LARGEST_RANDOM_STATE + 1)} if spec.takes_seed else {}
    estimator = spec.estimator_class(**spec.arguments, **seeded)
    if not spec.is_calibrated:
        return estimator
    from sklearn.calibration import CalibratedClassifierCV

    fewest = int(np.bincount(split.dataset.target[split.train].astype(np.int64)).min())
    return CalibratedClassifierCV(estimator, cv=max(2, min(MOST_FOLDS, fewest)))


def _first_sentence(message: object) -> str:
    """Shorten a message of a library to what fits a line."""
    lines = [line.strip() for line in str(message).splitlines() if line.strip()]
    return lines[0].rstrip(".:") if lines else type(message).__name__
