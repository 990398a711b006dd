from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

from pipeline.artifacts import Split
from pipeline.figures import slices
from pipeline.figures.boundaries import Boundary
from pipeline.figures.slices import (
    MOST_NEAREST,
    Slice,
    draw_slices,
    held_at,
    nearest_frame,
    slice_grid,
    slices_frame,
    usual_kind,
    usual_values,
)
from pipeline.stages.split import SplitSpec, split
from tests.figures.making import UGLY_CLASSES, UGLY_MODELS, assert_legible, make_split, words
from tests.making import MIXED, mixed_dataset


def one_slice(
    split: Split, models: Sequence[str], pair: tuple[int, int] = (0, 1), *, n_classes: int = 2, diverged: str = ""
) -> Slice:
    """A slice where each class wins in an upright stripe."""
    x, y, table = slice_grid(split, pair, points=20)
    logits = np.stack([label * table[:, pair[0]] * 4 - label * (label - 1) / 2 for label in range(n_classes)], axis=-1)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    boundary = Boundary(x, y, shares.reshape(20, 20, -1), 7, 0.9)
    names = split.dataset.feature_names
    drawn = {model: None if model == diverged else boundary for model in models}
    return Slice((names[pair[0]], names[pair[1]]), drawn, nearest_frame(split, pair), len(names) - 2)


def test_a_slice_goes_through_the_medians_of_the_train_rows() -> None:
    """All points have the other features' train medians, and the two features' values, x within y."""
    split = make_split(n_features=5)
    x, y, table = slice_grid(split, (3, 1), points=7)
    assert table.shape == (49, 5)
    assert np.array_equal(table[:, 3].reshape(7, 7), np.tile(x, (7, 1)))
    assert np.array_equal(table[:, 1].reshape(7, 7).T, np.tile(y, (7, 1)))
    medians = np.median(split.dataset.features[split.train], axis=0)
    assert np.array_equal(np.unique(table[:, [0, 2, 4]], axis=0), medians[None, [0, 2, 4]])
    assert x[0] < split.dataset.features[:, 3].min() < split.dataset.features[:, 3].max() < x[-1]


def test_nearest_rows_are_near_in_what_is_held() -> None:
    """Distances are those of the held features alone, in train standard deviations; rows of validation are left out."""
    split = make_split(n_features=4, n_rows=200)
    features = split.dataset.features
    features[:, 2] *= 1000
    train = features[split.train]
    away = (features - np.median(train, axis=0)) / train.std(axis=0)
    expected = np.sqrt((away[:, 2] ** 2 + away[:, 3] ** 2) / 2)
    rows = np.concatenate([split.train, split.test])
    frame = nearest_frame(split, (0, 1), count=50)
    assert frame["distance"].to_numpy() == pytest.approx(np.sort(expected[rows])[:50])
    nearest = rows[np.argsort(expected[rows], kind="stable")[:50]]
    assert np.array_equal(frame[["x", "y"]], features[nearest, :2])
    assert np.array_equal(frame["label"], split.dataset.target[nearest])
    assert set(frame["part"]) == {"train", "test"}
    assert np.array_equal(frame["part"] == "test", np.isin(nearest, split.test))


def test_a_constant_feature_is_no_distance() -> None:
    """A held feature without spread takes no part in distances, rather than making them infinite."""
    split = make_split(n_features=4)
    split.dataset.features[:, 3] = 5.0
    assert np.isfinite(nearest_frame(split, (0, 1))["distance"]).all()


def test_the_frame_holds_what_is_drawn() -> None:
    """Every other grid point of every slice and model has its probabilities, but for a model that diverged."""
    split = make_split(n_features=4)
    slices = [one_slice(split, ["linear", "relu"], pair, diverged="linear") for pair in ((0, 1), (2, 3))]
    frame = slices_frame(slices)
    assert frame.groupby(["feature_x", "feature_y", "model"]).size().to_dict() == {
        ("x_0", "x_1", "relu"): 100,
        ("x_2", "x_3", "relu"): 100,
    }
    own = frame[frame["feature_x"] == "x_2"]
    boundary = slices[1].boundaries["relu"]
    assert boundary is not None
    assert np.array_equal(own["p_1"], boundary.probabilities[::2, ::2, 1].ravel())
    assert np.array_equal(own["x"].to_numpy().reshape(10, 10)[0], boundary.x[::2])


def test_slices_stand_in_their_order() -> None:
    """Pairs go down in the order given and models across; each panel has the boundary in its own slice."""
    split = make_split(n_features=4)
    slices = [one_slice(split, ["linear", "relu"], pair, diverged="linear") for pair in ((2, 3), (0, 1))]
    axes = draw_slices("wine", slices, ["linear", "relu"], class_names=["no", "yes"], part="test").axes
    assert [panel.get_ylabel() for panel in axes] == ["x_3", "", "x_1", ""]
    assert [panel.get_xlabel() for panel in axes] == ["", "x_2", "", "x_0"]
    for panel in (axes[1], axes[3]):
        (contour,) = (made for made in panel.collections if isinstance(made, ContourSet))
        assert np.allclose(contour.get_paths()[0].vertices[:, 0], 0, atol=0.05)


def test_it_is_called_slices() -> None:
    """The picture says that it shows slices, what is held, and that this is not the boundary itself."""
    split = make_split(n_features=13)
    said = " ".join(
        words(draw_slices("wine", [one_slice(split, ["relu"])], ["relu"], class_names=["no", "yes"], part="test"))
    )
    assert "wine: slices" in said
    assert "the other 11 are held at their medians" in said
    assert "the boundary itself lies in 13 dimensions" in said
    assert "decision boundary" not in said
    split = make_split(n_features=3)
    said = " ".join(
        words(draw_slices("wine", [one_slice(split, ["relu"])], ["relu"], class_names=["no", "yes"], part="test"))
    )
    assert "the other one is held at its median" in said


@pytest.mark.parametrize(
    ("models", "classes", "pairs"),
    [
        (("relu",), ("no", "yes"), ((0, 1),)),
        (("linear", "relu"), ("0", "1", "2"), ((0, 1), (2, 3), (1, 4))),
        ((*UGLY_MODELS, "a", "b", "c"), UGLY_CLASSES, ((0, 1), (2, 3), (1, 4))),
        (tuple(f"model {place}" for place in range(8)), tuple(f"digit {digit}" for digit in range(10)), ((0, 1),)),
    ],
)
def test_labels_dont_overlap(
    models: tuple[str, ...], classes: tuple[str, ...], pairs: tuple[tuple[int, int], ...]
) -> None:
    """All texts can be read with one slice or three, one model or eight, ten classes, and a model that diverged."""
    split = make_split(n_features=6, n_classes=len(classes), n_rows=200)
    diverged = models[0] if len(models) > 1 else ""
    slices = [one_slice(split, models, pair, n_classes=len(classes), diverged=diverged) for pair in pairs]
    assert len(slices[0].points) == MOST_NEAREST
    assert_legible(draw_slices("a_dataset_with_a_long_name", slices, models, class_names=classes, part="test"))


def test_no_slices_make_no_picture() -> None:
    """Without slices there is nothing to draw, which is an error that names the dataset."""
    with pytest.raises(ValueError, match="no slices of wine"):
        draw_slices("wine", [], ["relu"], class_names=["no", "yes"], part="test")


def test_what_is_no_amount_is_held_at_its_commonest_value() -> None:
    """Numbers and dates are held at the medians of the values there are, codes at the commonest, or missing."""
    data = mixed_dataset()
    data.features[:200, 2] = np.nan
    made = split(data, SplitSpec())
    train = made.dataset.features[made.train]
    usual = usual_values(made)
    np.testing.assert_array_equal(usual[[0, 3]], np.nanmedian(train[:, [0, 3]], axis=0))
    assert usual[1] == (np.nanmean(train[:, 1]) > 0.5)
    assert np.isnan(usual[2])
    x, y, table = slice_grid(made, (0, 3), points=5)
    np.testing.assert_array_equal(table[:, [1, 2, 4]], np.tile(usual[[1, 2, 4]], (25, 1)))
    low, high = np.nanmin(data.features[:, 0]), np.nanmax(data.features[:, 0])
    assert (x[0], x[-1]) == pytest.approx((low - 0.08 * (high - low), high + 0.08 * (high - low)))
    assert np.isfinite(y).all()


def test_another_category_is_one_standard_deviation_away() -> None:
    """Any other code, and a gap, count 1 beside a slice; rows that miss what varies have no place."""
    made = split(mixed_dataset(), SplitSpec())
    features, usual = made.dataset.features, usual_values(made)
    frame = nearest_frame(made, (0, 3), count=400)
    rows = np.concatenate([made.train, made.test])
    placed = rows[~np.isnan(features[rows][:, [0, 3]]).any(axis=1)]
    others = [1, 2, 4]
    is_other = (features[placed][:, others] != usual[others]) & ~(
        np.isnan(features[placed][:, others]) & np.isnan(usual[others])
    )
    assert frame["distance"].to_numpy() == pytest.approx(np.sort(np.sqrt(is_other.mean(axis=1))))
    assert len(frame) == len(placed)
    held = nearest_frame(made, (3, 0), count=1)
    assert held["distance"].item() == 0

    narrow = replace(
        made, dataset=replace(made.dataset, features=features[:, [3, 0, 0]], columns=(MIXED[3], MIXED[0], MIXED[0]))
    )
    values = features[rows, 0]
    age = np.abs(values - usual[0]) / np.nanstd(features[made.train, 0])
    expected = np.where(np.isnan(values), 1, age)
    both = ~np.isnan(features[rows, 3]) & ~np.isnan(values)
    distances = nearest_frame(narrow, (0, 1), count=400)["distance"].to_numpy()
    assert distances == pytest.approx(np.sort(expected[both]))


@pytest.mark.parametrize(
    ("usual", "held", "said"),
    [
        ("commonest value", 1, "the other one is held at its commonest value"),
        ("median or commonest value", 4, "the other 4 are held at their medians or commonest values"),
    ],
)
def test_it_says_what_is_held_where(usual: str, held: int, said: str) -> None:
    """Medians are named where there are any, and commonest values likewise."""
    assert held_at(held, usual) == said


def test_a_date_has_dates_at_its_axis() -> None:
    """An axis that counts days since 1970 is written in dates, the other in numbers, and words stay legible."""
    drawn = split(mixed_dataset(), SplitSpec())
    x, y, _ = slice_grid(drawn, (0, 3), points=20)
    shares = np.stack([np.linspace(0, 1, 400), np.linspace(1, 0, 400)], axis=-1).reshape(20, 20, 2)
    points = nearest_frame(drawn, (0, 3))
    one = Slice(("age", "since"), {"relu": Boundary(x, y, shares, 7, 0.9)}, points, 3, (False, True), usual_kind(drawn))
    figure = draw_slices("t", [one], ["relu"], class_names=["no", "yes"], part="test", undrawn=["the $city$", "<b>"])
    assert_legible(figure)
    assert {"2020", "2022", "2024"} <= {tick.get_text() for tick in figure.axes[0].get_yticklabels()}
    assert "also important, but no number to draw: the $city$, <b>" in " ".join(words(figure))


@pytest.mark.parametrize("days", [0.7, 1.9, 20, 59, 200, 690, 3000])
def test_dates_of_any_range_have_a_few_ticks(days: float) -> None:
    """Hours or years: there are two to five ticks, and matplotlib warns of nothing."""
    axes = Figure().subplots()
    axes.set_xlim(19_000, 19_000 + days)
    slices._write_dates(axes.xaxis)
    ticks = [tick for tick in axes.get_xticks() if 19_000 <= tick <= 19_000 + days]
    assert 2 <= len(ticks) <= 5
