from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mean_absolute_error

from pipeline.artifacts import Split
from pipeline.figures.regression import draw_fit, fit_frame, prediction_frame
from tests.figures.making import UGLY_MODELS, assert_legible, make_split, words
from tests.making import MIXED


def predictions(split: Split, models: tuple[str, ...]) -> pd.DataFrame:
    """Ledger of a regression: two seeds, each a little off."""
    rows = np.concatenate([split.validation, split.test])
    parts = np.repeat(["validation", "test"], [len(split.validation), len(split.test)])
    label = split.dataset.target[rows]
    shared = {"split": parts, "row_id": rows, "label": label}
    return pd.concat(
        [
            pd.DataFrame({"model": model, "seed": seed} | shared | {"prediction": label * 0.9 + place + seed})
            for place, model in enumerate(models)
            for seed in range(2)
        ]
    )


def test_every_row_is_kept_with_its_part() -> None:
    """All rows of a split come with part and target, and with x when there is just one feature."""
    one, many = make_split(n_features=1, task="regression"), make_split(n_features=3, task="regression")
    frame = fit_frame(one).set_index("row_id")
    assert np.array_equal(frame["label"], one.dataset.target[frame.index])
    assert np.array_equal(frame["x"], one.dataset.features[frame.index, 0])
    assert set(frame.index[frame["part"] == "test"]) == set(one.test)
    assert "x" not in fit_frame(many)


def test_only_a_plain_number_is_drawn_over() -> None:
    """A single feature that has gaps, or is a code or a date, has no x."""
    made = make_split(n_features=1, task="regression")
    for column in MIXED:
        data = replace(made.dataset, columns=(column,))
        assert ("x" in fit_frame(replace(made, dataset=data))) == (column.kind == "number")
    made.dataset.features[0] = np.nan
    assert "x" not in fit_frame(replace(made, dataset=replace(made.dataset, columns=MIXED[:1])))


def test_one_feature_is_drawn_along_x() -> None:
    """With one feature a model's line goes through its predictions, in the order of the feature."""
    split = make_split(n_features=1, task="regression")
    ledger = predictions(split, ("relu",))
    figure = draw_fit(fit_frame(split), ledger, ["relu"], seeds={"relu": 1}, part="test", feature_name="dose in $")
    (line,) = figure.axes[0].lines
    x = line.get_xdata()
    assert (np.diff(x) >= 0).all()
    assert len(x) == len(split.validation) + len(split.test)
    assert np.allclose(line.get_ydata(), x * 10 * 0.9 + 1)
    assert {"dose in $", "relu (seed 1)"} <= set(words(figure))


def test_many_features_are_drawn_against_the_truth() -> None:
    """With more features predictions of one part stand against the truth, headed by sklearn's mean absolute error."""
    split = make_split(n_features=3, task="regression")
    ledger = predictions(split, ("relu",))
    figure = draw_fit(fit_frame(split), ledger, ["relu"], seeds={"relu": 1}, part="test")
    rows = ledger[(ledger["seed"] == 1) & (ledger["split"] == "test")]
    assert np.array_equal(figure.axes[0].collections[0].get_offsets(), rows[["label", "prediction"]])
    error = mean_absolute_error(rows["label"], rows["prediction"])
    assert f"seed 1: mean absolute error {error:.3g}" in words(figure)


@pytest.mark.parametrize("n_features", [1, 5])
@pytest.mark.parametrize("models", [("relu",), tuple(f"model {place}" for place in range(8)), UGLY_MODELS])
def test_labels_dont_overlap(n_features: int, models: tuple[str, ...]) -> None:
    """All texts can be read with one model, eight models, and long or odd names."""
    split = make_split(n_features=n_features, task="regression")
    ledger = predictions(split, models)
    name = "a feature of $very$ much to say about itself, and then some"
    points, seeds = fit_frame(split), dict.fromkeys(models, 0)
    assert_legible(draw_fit(points, ledger, models, seeds=seeds, part="test", feature_name=name))


@pytest.mark.parametrize("n_features", [1, 3])
def test_a_diverged_model_is_named(n_features: int) -> None:
    """A model without a finished run is named above the picture; when all are, there's nothing to draw."""
    split = make_split(n_features=n_features, task="regression")
    points, ledger = fit_frame(split), predictions(split, ("relu",))
    figure = draw_fit(points, ledger, ["linear", "relu"], seeds={"relu": 0}, part="test")
    assert "no finished run of linear" in words(figure)
    with pytest.raises(ValueError, match="rows to draw"):
        draw_fit(points, ledger, ["linear"], seeds={}, part="test")


@pytest.mark.parametrize("n_features", [1, 3])
def test_the_frame_holds_the_drawn_predictions(n_features: int) -> None:
    """Each row of each model's chosen seed is there once, along x where there is one feature, and no other seed."""
    split = make_split(n_features=n_features, task="regression")
    ledger = predictions(split, ("linear", "relu"))
    frame = prediction_frame(fit_frame(split), ledger, ["linear", "relu", "gone"], {"linear": 0, "relu": 1})
    assert frame.groupby("model", sort=False)["seed"].unique().map(list).to_dict() == {"linear": [0], "relu": [1]}
    for (model, seed), rows in frame.groupby(["model", "seed"]):
        own = ledger[(ledger["model"] == model) & (ledger["seed"] == seed)].set_index("row_id")
        assert sorted(rows["row_id"]) == sorted(own.index)
        assert np.array_equal(rows["prediction"], own.loc[rows["row_id"], "prediction"])
        assert np.array_equal(rows["part"], own.loc[rows["row_id"], "split"])
        if n_features == 1:
            assert np.array_equal(rows["x"], np.sort(split.dataset.features[rows["row_id"], 0]))
