"""How much each train row counts in the loss that is minimised: its own weight times that of its class.

Losses and metrics on validation and test rows, and so tuning, thresholds and the verdict, count every row once.
"""

from __future__ import annotations

import numpy as np

from pipeline.artifacts import Dataset, Floats, Split
from pipeline.errors import BadInput
from pipeline.stages.generate import suggestion
from pipeline.training.spec import ClassWeight


def train_weights(split: Split, class_weight: ClassWeight | None = None) -> Floats | None:
    """Weight of each train row, (train rows,), 1 on average; None where all rows count the same.

    With a mean of 1 the learning rate keeps its meaning, and so does what a regularisation is measured against.

    Parameters
    ----------
    split:
        Its dataset's `weights`, where it has any, are multiplied with those of the classes.
    class_weight:
        "balanced" is scikit-learn's: a row of class c weighs n / (k n_c), of n train rows in k classes n_c in this one
        (King and Zeng 2001, "Logistic Regression in Rare Events Data"). Classes that aren't named weigh 1.

    Raises
    ------
    BadInput
        When weights aren't above 0, or lie so far apart that single precision can't hold them.
    """
    own = split.dataset.weights
    if own is None and class_weight is None:
        return None
    weights = np.ones(len(split.train)) if own is None else own[split.train]
    with np.errstate(all="ignore"):  # it is told below
        if class_weight is not None:
            weights = weights * _of_classes(split, class_weight)
        scaled: Floats = weights / weights.mean()
    if not (scaled.min() >= np.finfo(np.float32).tiny and np.isfinite(scaled).all()):
        raise BadInput(
            f"training rows of {split.dataset.name} weigh from {weights.min():g} to {weights.max():g},"
            " which one loss can't hold",
            remedy="give weights above 0 that are closer together",
        )
    return scaled


def check_class_weight(class_weight: ClassWeight | None, dataset: Dataset) -> None:
    """Hold class weights against a dataset.

    Raises
    ------
    BadInput
        When it has a real target, or lacks a class that is named.
    """
    if class_weight is None:
        return
    if dataset.task == "regression":
        raise BadInput(
            f"{class_weight!r} is given, but {dataset.name} has a real target and no classes",
            field="class_weight",
            remedy=f"remove it, or leave {dataset.name} out",
        )
    named = () if class_weight == "balanced" else class_weight
    for name in named:
        if name not in dataset.class_names:
            raise BadInput(
                f"{name!r} is no class of {dataset.name}",
                field="class_weight",
                remedy=suggestion(name, dataset.class_names),
            )


def _of_classes(split: Split, class_weight: ClassWeight) -> Floats:
    """Weight of each train row's class, (train rows,)."""
    labels = split.dataset.target[split.train].astype(np.int64)
    if class_weight == "balanced":
        from sklearn.utils.class_weight import compute_sample_weight

        weights: Floats = compute_sample_weight("balanced", labels)
        return weights
    return np.array([class_weight.get(name, 1.0) for name in split.dataset.class_names])[labels]
