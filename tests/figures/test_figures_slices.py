from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from matplotlib.contour import ContourSet

from pipeline.artifacts import Split
from pipeline.figures.boundaries import Boundary
from pipeline.figures.slices import MOST_NEAREST, Slice, draw_slices, nearest_frame, slice_grid, slices_frame
from tests.figures.making import UGLY_CLASSES, UGLY_MODELS, assert_legible, make_split, words


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
