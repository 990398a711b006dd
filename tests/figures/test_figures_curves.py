from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.figures.curves import curve_frame, draw_curves
from tests.figures.making import UGLY_MODELS, assert_legible, make_history, words


def test_curves_are_percentiles_over_seeds() -> None:
    """Low, median and high are the 10th, 50th and 90th percentile of the seeds, epoch by epoch."""
    history = make_history(["relu"])
    frame = curve_frame(history)
    for curve in ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy"):
        values = history.pivot_table(index="epoch", columns="seed", values=curve)
        mine = frame[frame["curve"] == curve].sort_values("epoch")
        assert np.allclose(mine[["low", "median", "high"]].T, np.percentile(values, [10, 50, 90], axis=1))


def test_long_trainings_are_thinned_between_their_ends() -> None:
    """No more epochs than asked for are kept, the first and the last among them."""
    frame = curve_frame(make_history(["relu"], n_seeds=1, epochs=1000), points=50)
    epochs = frame["epoch"].unique()
    assert len(epochs) == 50
    assert {0, 999} <= set(epochs)


def test_values_that_are_not_finite_are_left_out() -> None:
    """A seed whose loss becomes infinite or NaN counts in the epochs before, and no longer after."""
    history = make_history(["relu"], n_seeds=2, epochs=4)
    history.loc[(history["seed"] == 1) & (history["epoch"] >= 2), "train_loss"] = [np.inf, np.nan]
    frame = curve_frame(history).query("curve == 'train_loss'").set_index("epoch")
    alone = history[history["seed"] == 0].set_index("epoch")["train_loss"]
    assert np.allclose(frame.loc[[2, 3], "median"], alone[[2, 3]])
    assert not np.allclose(frame.loc[[0, 1], "median"], alone[[0, 1]])


def test_a_regression_has_no_accuracy_panel() -> None:
    """Accuracy that is NaN throughout gets no panel."""
    history = make_history().assign(train_accuracy=np.nan, validation_accuracy=np.nan)
    figure = draw_curves(history, ["linear", "relu"], "validation")
    assert [axes.get_title("left") for axes in figure.axes] == ["loss"]
    assert_legible(figure)


def test_a_wide_range_of_losses_is_logarithmic() -> None:
    """A loss that spans more than two decades is drawn on a logarithmic axis, and says so."""
    history = make_history()
    history["train_loss"] = 10.0 ** -(history["epoch"] / 5)
    figure = draw_curves(history, ["linear", "relu"], "validation")
    assert figure.axes[0].get_yscale() == "log"
    assert "loss, logarithmic" in words(figure)
    assert figure.axes[1].get_yscale() == "linear"


@pytest.mark.parametrize("models", [("relu",), tuple(f"model {place}" for place in range(8)), UGLY_MODELS])
def test_labels_dont_overlap(models: tuple[str, ...]) -> None:
    """All texts can be read with one model, eight models, and long or odd names."""
    figure = draw_curves(make_history(models), models, "validation")
    assert_legible(figure)
    assert {"train rows", "validation rows"} <= set(words(figure))


def test_a_single_epoch_is_seen() -> None:
    """One epoch makes no line, so it is drawn as a point."""
    figure = draw_curves(make_history(["relu"], n_seeds=1, epochs=1), ["relu"], "validation")
    assert all(line.get_marker() == "o" for line in figure.axes[0].lines)


def test_a_diverged_model_is_named() -> None:
    """A model without a finite value is named above the panels; when all are, there's nothing to draw."""
    broken = make_history(["linear"]).assign(**dict.fromkeys(("train_loss", "validation_loss"), np.nan))
    broken = broken.assign(**dict.fromkeys(("train_accuracy", "validation_accuracy"), np.nan))
    figure = draw_curves(pd.concat([broken, make_history(["relu"])]), ["linear", "relu"], "validation")
    assert any("no curve of linear" in text for text in words(figure))
    with pytest.raises(ValueError, match="linear"):
        draw_curves(broken, ["linear"], "validation")


def test_axes_have_units() -> None:
    """Of classes the loss is in nats and accuracy a share; of a regression the loss is that of the scaled target."""
    history = make_history()
    figure = draw_curves(history, ["linear", "relu"], "validation")
    assert [axes.get_ylabel() for axes in figure.axes] == ["cross-entropy, nats per row", "share of rows right"]
    figure = draw_curves(history.assign(train_accuracy=np.nan, validation_accuracy=np.nan), ["linear"], "validation")
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss on the scaled target"]
