"""Our networks as scikit-learn estimators, so that its tools (searches, cross-validation, calibration) take them.

A fit trains one population of networks, a seed each, just as an experiment does; the parameters have the names and
defaults of the experiment file.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, Literal, Self, final

import numpy as np
import numpy.typing as npt
from pydantic import PositiveInt, ValidationError
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from pipeline.artifacts import Dataset, Floats, Integers, Split, Task
from pipeline.complaints import complaint
from pipeline.errors import AllMembersFailed, BadInput
from pipeline.labels import predicted_labels
from pipeline.stages.populations import population_member, population_rows, population_shape, training_rows
from pipeline.stages.split import ScalerName, undivided
from pipeline.training.networks import predict_logits, probabilities
from pipeline.training.population import Outcome, train_population
from pipeline.training.spec import ActivationName, LossName, ModelSpec, OptimizerName, TrainingSpec


class _FitSpec(ModelSpec):
    """What the parameters of an estimator must be, but for its random state."""

    scaler: ScalerName
    n_seeds: PositiveInt
    average: bool


class _NetworkEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What classifier and regressor have in common: parameters, seeds, training."""

    def __init__(
        self,
        hidden_units: Sequence[int] = (10, 10),
        activation: ActivationName = "relu",
        *,
        optimizer: OptimizerName = "SGD",
        lr: float = 0.1,
        momentum: float = 0.0,
        weight_decay: float | None = None,
        epochs: int = 1000,
        batch_size: int | None = None,
        scaler: ScalerName = "standard",
        n_seeds: int = 1,
        average: bool = True,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.hidden_units = hidden_units
        self.activation = activation
        self.optimizer = optimizer
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.scaler = scaler
        self.n_seeds = n_seeds
        self.average = average
        self.random_state = random_state

    def _spec(self) -> _FitSpec:
        """Check the parameters, which scikit-learn wants done no earlier than in `fit`."""
        given = {name: _plain(value) for name, value in self.get_params(deep=False).items()}
        del given["random_state"]
        given.pop("class_weight", None)  # names labels, as scikit-learn has it, which only `fit` sees
        training = {name: given.pop(name) for name in TrainingSpec.model_fields if name in given}
        if training["weight_decay"] is None:
            del training["weight_decay"]
        try:
            return _FitSpec.model_validate({**given, "training": training})
        except ValidationError as error:
            told = complaint(error)
            raise BadInput(told.problem, field=told.field.removeprefix("training."), remedy=told.remedy) from error

    def _train(self, spec: _FitSpec, dataset: Dataset) -> Split:
        """Train a population on all rows of a dataset and keep its networks; returns the rows with their scaling."""
        split = undivided(dataset, spec.scaler)
        first = _first_seed(self.random_state)
        seeds = range(first, first + spec.n_seeds)
        outcomes = train_population(
            population_shape(spec, spec.training.loss_for(dataset.task), split, "cpu"),
            [population_member(spec, seed) for seed in seeds],
            training_rows(split, spec),
            population_rows(split, "validation"),  # none
        )
        kept = self._usable(outcomes)
        if not spec.average:
            kept = [min(kept, key=lambda position: outcomes[position].history.train_loss[-1])]
        self.seeds_ = [seeds[position] for position in kept]
        self.networks_ = [outcomes[position].network for position in kept]
        self.loss_curves_ = np.stack([outcomes[position].history.train_loss for position in kept])
        self.n_iter_ = spec.training.epochs
        self.center_, self.scale_ = split.center, split.scale
        return split

    def _usable(self, outcomes: Sequence[Outcome]) -> list[int]:
        """Positions of the networks that didn't diverge; a warning when some did."""
        failures = [outcome.failure for outcome in outcomes if outcome.failure is not None]
        if failures:
            told = f"{len(failures)} of {len(outcomes)} networks diverged ({failures[0]}); lower lr, now {self.lr}"
            if len(failures) == len(outcomes):
                raise AllMembersFailed(told)
            warnings.warn(f"{told}; they are left out", ConvergenceWarning, stacklevel=4)
        return [position for position, outcome in enumerate(outcomes) if outcome.failure is None]

    def _logits(self, X: npt.ArrayLike) -> list[Floats]:
        """Each network's logits, (rows, outputs).

        In double precision, though training is in single: the last digits of a product in single precision depend on
        which other rows it is computed with, and a row's prediction shouldn't.
        """
        check_is_fitted(self, "networks_")  # which a fit that failed leaves unset
        scaled = (validate_data(self, X, dtype=np.float64, reset=False) - self.center_) / self.scale_
        return [predict_logits(network, scaled) for network in self.networks_]


@final
class NetworkClassifier(ClassifierMixin, _NetworkEstimator):  # type: ignore[misc]
    """A fully connected network that classifies, or the mean of several that differ by their seeds alone.

    Two classes give one logit (binary cross-entropy), more give one a class (cross-entropy). All rows are trained on
    for all epochs: there is no early stopping. `hidden_units=()` is logistic regression.

    Parameters
    ----------
    hidden_units:
        Units of each hidden layer.
    activation:
        "identity", "relu", "tanh", "sigmoid", "gelu", "leaky_relu", "elu" or "silu".
    optimizer:
        "SGD", "Adam" or "AdamW", as in torch.optim.
    lr, momentum, weight_decay:
        The optimizer's. Momentum is SGD's alone; a weight decay of None is torch's default, 0.01 for AdamW and 0 for
        the others.
    epochs:
        How many times each network sees every row.
    batch_size:
        Rows of one step, None for all; the order of mini-batches is that of torch's `DataLoader(shuffle=True)`.
    scaler:
        How features are scaled, by the rows that are fitted: "standard", "minmax", "robust" or "none".
    n_seeds:
        How many networks are trained, as one population: ten take far less than ten times as long as one.
    average:
        Whether predictions are the mean over all networks; otherwise the network with the lowest training loss alone
        is kept, as `n_init` means it in scikit-learn.
    random_state:
        The first seed; the others follow upwards, so that `random_state=0, n_seeds=10` trains the networks of an
        experiment's `seeds: 10`. None and a `RandomState` draw the first seed.
    class_weight:
        "balanced", or labels with their weights, as in scikit-learn; those that aren't named weigh 1. It changes the
        training loss alone, in which rows weigh 1 on average.

    Attributes
    ----------
    classes_:
        The labels, ascending, (classes,).
    n_features_in_, feature_names_in_:
        Number of features, and their names where they were given as a table with string names.
    networks_:
        The networks kept, a list of `pipeline.artifacts.Network`.
    seeds_:
        The seed of each.
    loss_curves_:
        Mean weighted loss before the update of each epoch (over its batches), (networks, epochs).
    n_iter_:
        Epochs trained.
    center_, scale_:
        Networks see `(feature - center_) / scale_`, both (features,).

    Notes
    -----
    In full batches a network equals, to the bit, that of an experiment with the same seed and training rows. In
    mini-batches it doesn't: there the loader of the monitored rows draws from the same generator (`BatchOrder`).

    `fit` takes no `sample_weight`, by which scikit-learn means that a row of weight 2 is the row twice, to the seventh
    digit: scaling, mini-batches and single precision don't keep that.
    """

    def __init__(
        self,
        hidden_units: Sequence[int] = (10, 10),
        activation: ActivationName = "relu",
        *,
        optimizer: OptimizerName = "SGD",
        lr: float = 0.1,
        momentum: float = 0.0,
        weight_decay: float | None = None,
        epochs: int = 1000,
        batch_size: int | None = None,
        scaler: ScalerName = "standard",
        n_seeds: int = 1,
        average: bool = True,
        random_state: int | np.random.RandomState | None = None,
        class_weight: Literal["balanced"] | Mapping[Any, float] | None = None,
    ) -> None:
        super().__init__(
            hidden_units,
            activation,
            optimizer=optimizer,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            epochs=epochs,
            batch_size=batch_size,
            scaler=scaler,
            n_seeds=n_seeds,
            average=average,
            random_state=random_state,
        )
        self.class_weight = class_weight

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Train on features (rows, features) and labels (rows,) of any kind.

        Raises
        ------
        BadInput
            A ValueError: a parameter can't be used, or there is only one class.
        ValueError
            By scikit-learn, when `class_weight` is none, or names a label that isn't there and leaves one out that is.
        AllMembersFailed
            When every network diverged; when only some did, they are left out with a `ConvergenceWarning`.
        """
        spec = self._spec()
        features, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        classes, target = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise BadInput(f"there is only one class, {classes[0]}", field="y", remedy="give rows of two or more")
        self.classes_ = classes
        weights = None if self.class_weight is None else compute_sample_weight(self.class_weight, labels)
        self._train(spec, _dataset(features, target.astype(np.int64), self._task, classes, weights))
        return self

    def predict_proba(self, X: npt.ArrayLike) -> Floats:
        """Probability of each class, in the order of `classes_`, (rows, classes)."""
        shares: Floats = np.mean([probabilities(logits, self._task) for logits in self._logits(X)], axis=0)
        return shares

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Label of each row, (rows,): the likeliest class."""
        shares = self.predict_proba(X)
        labels: npt.NDArray[Any] = self.classes_[predicted_labels(shares)]
        return labels

    @property
    def _task(self) -> Task:
        return "binary" if len(self.classes_) == 2 else "multiclass"


@final
class NetworkRegressor(RegressorMixin, _NetworkEstimator):  # type: ignore[misc]
    """A fully connected network that predicts a number, or the mean of several that differ by their seeds alone.

    All parameters and attributes but `class_weight` and `classes_` are those of `NetworkClassifier`. The target is
    standardised by the rows that are fitted (unless `scaler="none"`), and predictions come back in its own units;
    `hidden_units=()` is linear regression.

    Parameters
    ----------
    loss:
        "mse", the mean squared error, or "l1", the mean absolute error; both of the scaled target.

    Attributes
    ----------
    target_center_, target_scale_:
        Networks predict `(target - target_center_) / target_scale_`.
    """

    def __init__(
        self,
        hidden_units: Sequence[int] = (10, 10),
        activation: ActivationName = "relu",
        *,
        loss: LossName = "mse",
        optimizer: OptimizerName = "SGD",
        lr: float = 0.1,
        momentum: float = 0.0,
        weight_decay: float | None = None,
        epochs: int = 1000,
        batch_size: int | None = None,
        scaler: ScalerName = "standard",
        n_seeds: int = 1,
        average: bool = True,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            hidden_units,
            activation,
            optimizer=optimizer,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            epochs=epochs,
            batch_size=batch_size,
            scaler=scaler,
            n_seeds=n_seeds,
            average=average,
            random_state=random_state,
        )
        self.loss = loss

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Train on features (rows, features) and a real target (rows,).

        Raises
        ------
        BadInput
            A ValueError: a parameter can't be used.
        AllMembersFailed
            When every network diverged; when only some did, they are left out with a `ConvergenceWarning`.
        """
        spec = self._spec()
        features, target = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        split = self._train(spec, _dataset(features, target.astype(np.float64), "regression"))
        self.target_center_, self.target_scale_ = split.target_center, split.target_scale
        return self

    def predict(self, X: npt.ArrayLike) -> Floats:
        """Prediction for each row in the target's own units, (rows,)."""
        scaled = np.mean([logits[:, 0] for logits in self._logits(X)], axis=0)
        prediction: Floats = scaled * self.target_scale_ + self.target_center_
        return prediction


def _dataset(
    features: Floats,
    target: Floats | Integers,
    task: Task,
    classes: npt.ArrayLike = (),
    weights: Floats | None = None,
) -> Dataset:
    """Wrap arrays for the stages; what only reports and fingerprints ask for stays empty."""
    names = tuple(map(str, np.asarray(classes)))
    return Dataset("X", features, target, task, (), class_names=names, source="", digest="", weights=weights)


def _first_seed(random_state: int | np.random.RandomState | None) -> int:
    """Return an integer as it is, and draw one from anything else that scikit-learn takes.

    Raises
    ------
    ValueError
        By scikit-learn, when it takes it for no random state.
    """
    generator = check_random_state(random_state)
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(generator.randint(2**31 - 1))


def _plain(value: Any) -> Any:
    """Return numbers of numpy, of which searches are full, as Python's own, which specs insist on."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
