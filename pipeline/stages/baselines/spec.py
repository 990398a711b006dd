"""What an experiment file says about a model of scikit-learn; scikit-learn is imported only where a file names one."""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import ConfigDict, Field, model_serializer, model_validator

from pipeline.errors import BadInput
from pipeline.spec import Spec

KEY = "sklearn"
OF_NETWORKS = ("training", "tuning", "hidden_units", "activation")
MADE_BY_US = {
    "random_state": "remove it: each run's seed is its random_state",
    "n_jobs": "remove it: a run is fitted on one thread, and --jobs spreads the runs",
}


def _say_arguments(schema: dict[str, Any]) -> None:
    """Put the class's own arguments beside its name, as files have them."""
    del schema["properties"]["arguments"]
    schema["properties"] |= dict.fromkeys((*OF_NETWORKS, *MADE_BY_US), False)
    schema["additionalProperties"] = {"description": "An argument of the class, by its own name."}


class EstimatorSpec(Spec):
    """One model of scikit-learn: `sklearn: LogisticRegression`, and the class's own arguments beside it.

    Names are those of `sklearn.utils.all_estimators`; arguments are held against the class's signature and its own
    validation. What the experiment says of `training` and `tuning` doesn't apply.
    """

    model_config = ConfigDict(title="Model of scikit-learn", json_schema_extra=_say_arguments)

    sklearn: str = Field(description="Name of any classifier or regressor of scikit-learn that stands alone.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="The class's own arguments, by name.")

    @model_validator(mode="before")
    @classmethod
    def _gather_arguments(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        fields = {KEY: given[KEY]} if KEY in given else {}
        return {**fields, "arguments": {key: value for key, value in given.items() if key != KEY}}

    @model_validator(mode="after")
    def _check(self) -> EstimatorSpec:
        for key in OF_NETWORKS:
            if key in self.arguments:
                raise BadInput(
                    f"belongs to networks, and {self.sklearn} is none", field=key, remedy="remove it, or remove sklearn"
                )
        _check_arguments(self.sklearn, self.estimator_class, self.arguments)
        made = self._silently_made()
        _check_values(made, self.arguments)
        if self.is_classifier and not any(hasattr(made, score) for score in ("predict_proba", "decision_function")):
            raise _made_of_others(self.sklearn)
        return self

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        return {KEY: self.sklearn, **self.arguments}

    @property
    def estimator_class(self) -> Any:
        """The class that the name stands for."""
        return _named(self.sklearn)

    @property
    def is_classifier(self) -> bool:
        """Whether it predicts classes, rather than a real value."""
        return self.sklearn in known_estimators()["classifier"]

    @property
    def takes_seed(self) -> bool:
        """Whether chance has a part in fitting it."""
        return "random_state" in inspect.signature(self.estimator_class).parameters

    @property
    def is_calibrated(self) -> bool:
        """Whether its probabilities have to be made from its scores, since it has none of its own."""
        return self.is_classifier and not hasattr(self._silently_made(), "predict_proba")

    def _silently_made(self) -> Any:
        """Make the estimator; what it warns of is told when it is fitted."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.estimator_class(**self.arguments)


@cache
def known_estimators() -> dict[str, dict[str, Any]]:
    """Return scikit-learn's estimators by name, those for classes and those for a real target."""
    from sklearn.utils import all_estimators  # here: it imports all of scikit-learn

    return {kind: dict(all_estimators(type_filter=kind)) for kind in ("classifier", "regressor")}


def _named(name: str) -> Any:
    known = {**known_estimators()["regressor"], **known_estimators()["classifier"]}
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        meant = f"did you mean {near[0]!r}?" if near else "give the name of a class, such as LogisticRegression or SVC"
        raise BadInput(f"{name!r} is no classifier or regressor of scikit-learn", field=KEY, remedy=meant)
    return known[name]


def _check_arguments(name: str, estimator: Any, arguments: Mapping[str, Any]) -> None:
    parameters = inspect.signature(estimator).parameters
    if any(one.default is inspect.Parameter.empty for one in parameters.values()):
        raise _made_of_others(name)
    accepted = [key for key in parameters if key not in MADE_BY_US]
    for key in arguments:
        if key in MADE_BY_US and key in parameters:
            raise BadInput("isn't the file's to say", field=key, remedy=MADE_BY_US[key])
        if key not in accepted:
            near = difflib.get_close_matches(key, accepted, n=1)
            meant = f"did you mean {near[0]!r}? " if near else ""
            there = f"choose from {', '.join(accepted)}" if accepted else "remove it"
            raise BadInput(f"{name} has no such argument", field=key, remedy=f"{meant}{there}")


def _made_of_others(name: str) -> BadInput:
    problem = f"{name} is made of other estimators, which a file can't give"
    return BadInput(problem, field=KEY, remedy="name one that stands alone")


def _check_values(made: Any, arguments: Mapping[str, Any]) -> None:
    """Have an estimator validate its arguments, as it does before it is fitted."""
    try:
        made._validate_params()
    except ValueError as error:
        line = " ".join(str(error).split())
        key = next((key for key in arguments if f"'{key}' parameter" in line), None)
        if key is None:  # a default that is none: it stands for what has to be given
            raise _made_of_others(type(made).__name__) from error
        expected = line.partition(" must be ")[2].partition(" Got ")[0].rstrip(".")
        raise BadInput(f"{arguments[key]!r} can't be used", field=key, remedy=f"should be {expected}") from error
