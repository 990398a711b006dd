from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.contour import ContourSet

from pipeline.artifacts import Split
from pipeline.figures.boundaries import (
    MOST_TRAIN,
    BayesRule,
    Boundary,
    draw_boundaries,
    draw_headline,
    plane_frame,
    points_frame,
)
from pipeline.planes import grid
from tests.figures.making import UGLY_CLASSES, UGLY_MODELS, assert_legible, make_boundary, make_split, words


def test_points_are_rows_in_original_units() -> None:
    """Every row is a point at its own features, labelled with its class and part."""
    split = make_split()
    points = points_frame(split)
    assert len(points) == len(split.dataset.features)
    test = points[points["part"] == "test"]
    assert np.array_equal(test[["x", "y"]], split.dataset.features[split.test])
    assert np.array_equal(test["label"], split.dataset.target[split.test])


def test_three_features_make_no_plane() -> None:
    """A dataset that doesn't lie in a plane is refused, with its number of features."""
    with pytest.raises(ValueError, match="3 features"):
        points_frame(make_split(n_features=3))


def test_the_line_stands_where_the_prediction_changes() -> None:
    """The decision boundary goes through the points at which both classes are as likely."""
    split = make_split()
    figure = draw_boundaries(
        "blobs",
        {"relu": make_boundary(split, tie=0.3)},
        points_frame(split),
        feature_names=["x_1", "x_2"],
        class_names=["no", "yes"],
        part="test",
    )
    (line,) = [artist for artist in figure.axes[0].collections if isinstance(artist, ContourSet)]
    vertices = line.get_paths()[0].vertices
    assert np.allclose(vertices[:, 0], 0.3, atol=0.01)
    assert "seed 7: 90.0 % of test rows right" in [text.replace("\u2009", " ") for text in words(figure)]


def test_the_line_stands_at_the_threshold() -> None:
    """With a threshold of its own, the line goes through the points of that probability, and the heading says so."""
    split = make_split()
    names = {"feature_names": ["x_1", "x_2"], "class_names": ["no", "yes"]}
    boundary = make_boundary(split, tie=0.3, threshold=0.2)  # P(yes) is the sigmoid of 4 (x - 0.3)
    figure = draw_boundaries("blobs", {"relu": boundary}, points_frame(split), part="test", **names)
    (line,) = [artist for artist in figure.axes[0].collections if isinstance(artist, ContourSet)]
    assert np.allclose(line.get_paths()[0].vertices[:, 0], 0.3 + np.log(0.25) / 4, atol=0.01)
    assert any("line at the threshold 0.2" in text for text in words(figure))
    assert_legible(figure)


def test_a_network_that_never_changes_its_mind_has_no_line() -> None:
    """Constant probabilities are drawn without a boundary, and without a warning."""
    split = make_split()
    x, y = grid(split.dataset.features, points=20)
    constant = Boundary(x, y, np.full((20, 20, 2), 0.5), 0, 0.5)
    figure = draw_headline({"blobs": ({"relu": constant}, points_frame(split))}, part="test")
    assert not any(isinstance(artist, ContourSet) for artist in figure.axes[0].collections)


def make_rule(split: Split, *, n_classes: int = 2, tie: float = 0.0) -> BayesRule:
    """Rule whose classes are the upright stripes of `make_boundary`."""
    boundary = make_boundary(split, n_classes=n_classes, tie=tie)
    return BayesRule(boundary.x, boundary.y, boundary.probabilities)


def dashed(axes: Axes) -> list[ContourSet]:
    """Lines of the Bayes rule in a panel."""
    drawn = [artist for artist in axes.collections if isinstance(artist, ContourSet)]
    return [artist for artist in drawn if artist.get_linestyle()[0][1] is not None]


def test_the_bayes_rule_is_a_dashed_line() -> None:
    """Where the law is known a dashed line goes where both classes are as likely, and the legend names it."""
    split = make_split()
    boundaries = {"relu": make_boundary(split, tie=0.3), "linear": None}
    names = {"feature_names": ["x_1", "x_2"], "class_names": ["no", "yes"], "part": "test"}
    figure = draw_boundaries("blobs", boundaries, points_frame(split), **names, truth=make_rule(split, tie=-0.2))
    (rule,) = dashed(figure.axes[0])
    assert np.allclose(rule.get_paths()[0].vertices[:, 0], -0.2, atol=0.01)
    assert not dashed(figure.axes[1]), "a diverged model's panel stays empty"
    assert "Bayes rule" in words(figure)
    unknown = draw_boundaries("blobs", boundaries, points_frame(split), **names)
    assert not dashed(unknown.axes[0])
    assert "Bayes rule" not in words(unknown)


def test_the_headline_has_the_bayes_rule_where_it_is_known() -> None:
    """Only datasets with a known law have the dashed line in the headline."""
    split = make_split()
    row = ({"relu": make_boundary(split)}, points_frame(split))
    figure = draw_headline({"moons": row, "wine": row}, part="test", truths={"moons": make_rule(split)})
    moons, wine = figure.axes
    assert dashed(moons)
    assert not dashed(wine)
    assert "Bayes rule" in words(figure)
    assert_legible(figure)


def test_each_stretch_of_the_bayes_rule_is_drawn_once() -> None:
    """Of three stripes each of the two borders is one dashed line; drawn twice, its gaps would be filled."""
    split = make_split(n_classes=3)
    row = ({"relu": make_boundary(split, n_classes=3)}, points_frame(split))
    rule = make_rule(split, n_classes=3)
    figure = draw_headline({"stripes": row}, part="test", truths={"stripes": rule})
    borders = [path.vertices[:, 0].mean() for lines in dashed(figure.axes[0]) for path in lines.get_paths()]
    winner = rule.posterior[0].argmax(axis=-1)
    changes = rule.x[:-1][np.diff(winner) > 0]
    assert np.allclose(sorted(borders), changes, atol=rule.x[1] - rule.x[0])


@pytest.mark.parametrize(("accuracy", "shown"), [(1.0, "100 %"), (0.99999, "99.9 %"), (0.5, "50.0 %")])
def test_a_hundred_per_cent_is_no_mistake_at_all(accuracy: float, shown: str) -> None:
    """Accuracies are rounded to a tenth of a per cent, but never up to 100 %."""
    split = make_split()
    panels = {"blobs": ({"relu": make_boundary(split, accuracy=accuracy)}, points_frame(split))}
    assert shown in [text.replace("\u2009", " ") for text in words(draw_headline(panels, part="test"))]


def test_the_headline_says_what_failed() -> None:
    """A model that diverged is shown as such in its place, and differently from one that wasn't run."""
    split = make_split()
    points, boundary = points_frame(split), make_boundary(split)
    figure = draw_headline(
        {"blobs": ({"linear": None, "relu": boundary}, points), "moons": ({"relu": boundary}, points)}, part="test"
    )
    linear_blobs, _, linear_moons, _ = figure.axes
    assert [text.get_text() for text in linear_blobs.texts] == ["failed"]
    assert [text.get_text() for text in linear_moons.texts] == ["not run"]


def test_a_diverged_model_keeps_its_panel() -> None:
    """In a dataset's own picture a model without a network has a panel that says so."""
    split = make_split()
    boundaries = {"linear": None, "relu": make_boundary(split)}
    names = {"feature_names": ["x_1", "x_2"], "class_names": ["no", "yes"]}
    figure = draw_boundaries("blobs", boundaries, points_frame(split), part="test", **names)
    assert {"linear", "failed", "no finished run"} <= set(words(figure))
    assert_legible(figure)


def test_points_left_out_are_confessed() -> None:
    """When there are more rows than can be seen, the legend says how many of them are drawn."""
    split = make_split(n_rows=2 * MOST_TRAIN + 200)
    names = {"feature_names": ["x_1", "x_2"], "class_names": ["no", "yes"]}
    figure = draw_boundaries("blobs", {"relu": make_boundary(split)}, points_frame(split), part="test", **names)
    assert "train rows (2,000 of 2,100)" in words(figure)
    assert MOST_TRAIN in [len(artist.get_offsets()) for artist in figure.axes[0].collections]


@pytest.mark.parametrize(
    ("models", "classes"),
    [
        (("relu",), ("no", "yes")),
        (tuple(f"model {place}" for place in range(8)), tuple(f"digit {digit}" for digit in range(10))),
        (UGLY_MODELS, UGLY_CLASSES),
    ],
)
def test_labels_dont_overlap(models: tuple[str, ...], classes: tuple[str, ...]) -> None:
    """All texts can be read with one model, eight models, ten classes, and long or odd names."""
    split = make_split(n_classes=len(classes))
    boundary = make_boundary(split, n_classes=len(classes))
    figure = draw_boundaries(
        "a dataset of rather a long name, $said$ to have been found in the field",
        dict.fromkeys(models, boundary),
        points_frame(split),
        feature_names=["length of the petals in $mm$ as measured", "_width"],
        class_names=classes,
        part="test",
    )
    assert_legible(figure)


@pytest.mark.parametrize("models", [("relu",), tuple(f"model {place}" for place in range(8)), UGLY_MODELS])
def test_headline_labels_dont_overlap(models: tuple[str, ...]) -> None:
    """All texts of the headline can be read with one model, eight models, and long or odd names."""
    split = make_split()
    row = (dict.fromkeys(models, make_boundary(split)), points_frame(split))
    assert_legible(draw_headline({"circles": row, "a_dataset_of_rather_a_long_name": row}, part="validation"))


def test_the_headline_fits_a_screen() -> None:
    """Four datasets and two models take no more than 1000 pixels' height at 110 dots an inch."""
    split = make_split()
    row = ({"linear": make_boundary(split), "relu": make_boundary(split)}, points_frame(split))
    figure = draw_headline(dict.fromkeys(("circles", "moons", "blobs", "spirals"), row), part="test")
    assert figure.get_figheight() * 110 <= 1000
    assert_legible(figure)


def test_the_frame_holds_the_plane() -> None:
    """Every other point of the grid has its probabilities, of every model that didn't diverge and of the law."""
    split = make_split(n_classes=3)
    boundary = make_boundary(split, n_classes=3)
    law = BayesRule(boundary.x, boundary.y, boundary.probabilities[::-1])
    frame = plane_frame({"linear": None, "relu": boundary}, law)
    assert frame[["model", "seed"]].drop_duplicates().fillna(-1).to_numpy().tolist() == [
        ["relu", 7],
        ["Bayes rule", -1],
    ]
    for model, probabilities in (("relu", boundary.probabilities), ("Bayes rule", law.posterior)):
        shares = frame[frame["model"] == model].set_index(["x", "y"])[["p_0", "p_1", "p_2"]]
        assert np.array_equal(shares.loc[(boundary.x[4], boundary.y[6])], probabilities[6, 4])
        assert len(shares) == len(boundary.x) * len(boundary.y) / 4
    assert plane_frame({"linear": None}).empty
