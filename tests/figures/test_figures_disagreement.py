from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure

from pipeline.figures.disagreement import MOST_POINTS, Disagreement, draw_disagreement, outcome_frame
from pipeline.figures.palette import model_colours
from tests.figures.making import UGLY_MODELS, assert_legible, make_disagreement, words

MODELS = ("linear", "relu", "tanh", "wide", "deep")
COLOURS = model_colours(MODELS)


def draw(*maps: Disagreement, part: str = "test") -> Figure:
    return draw_disagreement("squares", maps, MODELS, feature_names=["x_1", "x_2"], part=part)


def tints(figure: Figure, pair: Disagreement) -> tuple[np.ndarray, np.ndarray]:
    """Where the plane is tinted, shape (rows, columns), and its colours, shape (rows, columns, 3)."""
    image = np.asarray(figure.axes[0].images[0].get_array(), dtype=float)
    same = image[pair.labels_a == pair.labels_b][0]
    return np.abs(image - same).max(axis=-1) > 0.02, image


def words_of_legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def drawn_points(plane: Axes, colour: str) -> np.ndarray:
    """Places of the points in a colour, shape (points, 2)."""
    found = [
        np.asarray(points.get_offsets())
        for points in plane.collections
        if isinstance(points, PathCollection) and to_hex(points.get_facecolor()[0]) == colour.lower()
    ]
    return np.concatenate(found)


def test_the_plane_is_tinted_where_predictions_differ() -> None:
    """Without a known truth the plane is tinted exactly where the two predict different classes, in one colour."""
    pair = make_disagreement(known=False)
    figure = draw(pair)
    tinted, image = tints(figure, pair)
    assert np.array_equal(tinted, pair.labels_a != pair.labels_b)
    same, different = (patch.get_facecolor()[:3] for patch in figure.legends[0].get_patches())
    assert np.allclose(image[tinted], different)
    assert np.allclose(image[~tinted], same)
    assert "they predict different classes" in words(figure)
    assert "Bayes" not in " ".join(words(figure))


def test_the_tint_says_who_follows_the_bayes_rule() -> None:
    """Where the truth is known each model's tint lies exactly where it alone agrees, and hatches where none does."""
    pair = make_disagreement()
    figure = draw(pair)
    tinted, image = tints(figure, pair)
    right_a, right_b = pair.labels_a == pair.truth, pair.labels_b == pair.truth
    assert np.array_equal(tinted, right_a ^ right_b)
    named = dict(zip(words_of_legend(figure), figure.legends[0].get_patches(), strict=True))
    for model, only in (("linear", right_a & ~right_b), ("relu", right_b & ~right_a)):
        assert np.allclose(image[only], named[f"only {model} follows the Bayes rule"].get_facecolor()[:3])
    (hatched,) = [artist for artist in figure.axes[0].collections if isinstance(artist, ContourSet)]
    assert hatched.hatches == ["////"]
    assert {"only linear follows the Bayes rule", "different, neither follows the Bayes rule"} <= set(words(figure))


def test_no_hatches_where_one_of_two_must_be_right() -> None:
    """With two classes one of two different predictions is right, so nothing is hatched, and no word said of it."""
    three = make_disagreement()
    pair = replace(three, labels_b=three.labels_b.clip(0, 1), truth=three.truth.clip(0, 1))
    figure = draw(pair)
    assert not [artist for artist in figure.axes[0].collections if isinstance(artist, ContourSet)]
    assert "neither follows" not in " ".join(words(figure))


def test_deciding_rows_have_the_colour_of_the_model_that_is_right() -> None:
    """Rows that one model alone predicts right stand at their features in that model's colour, as a square or a dot."""
    pair = make_disagreement()
    plane = draw(pair).axes[0]
    points = pair.points
    for model, rows in (
        ("linear", points[points["right_a"] & ~points["right_b"]]),
        ("relu", points[points["right_b"] & ~points["right_a"]]),
    ):
        assert np.array_equal(drawn_points(plane, COLOURS[model]), rows[["x", "y"]])


def test_the_table_counts_rows_and_gives_shares() -> None:
    """Under the map stand the rows of each outcome in it, and their shares over all seeds."""
    pair = make_disagreement()
    figure = draw(pair, part="validation")
    table = [text.get_text() for text in figure.axes[1].texts]
    first, second = pair.points["right_a"], pair.points["right_b"]
    counts = [first & ~second, second & ~first, first & second, ~first & ~second]
    assert table[:3] == ["right on validation rows", "here", "over all seeds"]
    assert table[3::3] == ["only linear", "only relu", "both", "neither"]
    assert table[4::3] == [str(count.sum()) for count in counts]
    assert table[5::3] == ["30.0 %", "20.0 %", "50.0 %", "0 %"]
    lengths = [bar.get_width() for bar in figure.axes[1].patches]
    assert np.array(lengths) / lengths[2] == pytest.approx([0.6, 0.4, 1.0, 0.0])


def test_a_rare_outcome_isnt_none() -> None:
    """A share that rounds to nothing or to all is told apart from none and all."""
    shares = {"only a": 1e-5, "only b": 0.0, "both right": 1 - 1e-5, "both wrong": 0.0}
    table = [text.get_text() for text in draw(replace(make_disagreement(), agreement=shares)).axes[1].texts]
    assert table[5::3] == ["0.1 %", "0 %", "99.9 %", "0 %"]


def test_rows_left_out_are_confessed() -> None:
    """When there are more rows than can be seen, the heading says how many are drawn; the table counts them all."""
    pair = make_disagreement(n_rows=2 * MOST_POINTS)
    figure = draw(pair)
    assert "800 of 1,600 test rows drawn" in words(figure)
    shown = [len(points.get_offsets()) for points in figure.axes[0].collections if isinstance(points, PathCollection)]
    assert sum(shown) == MOST_POINTS
    counts = [int(text.get_text().replace(",", "")) for text in figure.axes[1].texts[4::3]]
    assert sum(counts) == 2 * MOST_POINTS
    assert_legible(figure)


def test_models_keep_their_colours() -> None:
    """Each panel's points have the colours that its models have in the whole report."""
    figure = draw(make_disagreement(), make_disagreement("linear", "deep"))
    assert len(drawn_points(figure.axes[1], COLOURS["deep"])) > 0
    assert [axes.get_title("left") for axes in figure.axes[:2]] == ["linear and relu", "linear and deep"]


def test_models_of_nearly_one_name_have_an_entry_each() -> None:
    """Two models whose names are cut to the same text are still two in the legend."""
    models = ("linear", *(f"relu_{'very_' * 12}{middle}_{'long_' * 12}name" for middle in ("wide", "deep")))
    maps = [make_disagreement("linear", other) for other in models[1:]]
    figure = draw_disagreement("squares", maps, models, feature_names=["x_1", "x_2"], part="test")
    assert sum(text.endswith("follows the Bayes rule") and text.startswith("only") for text in words(figure)) == 3


def test_no_pairs_are_nothing_to_draw() -> None:
    """A picture without pairs is refused, with the dataset's name."""
    with pytest.raises(ValueError, match="squares"):
        draw()


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("pairs", [1, 2, 4])
@pytest.mark.parametrize("models", [MODELS, UGLY_MODELS])
def test_labels_dont_overlap(models: tuple[str, ...], pairs: int, known: bool) -> None:
    """All texts can be read with one pair to four, with and without a known truth, and long or odd names."""
    maps = [make_disagreement(models[0], other, known=known) for other in models[1 : pairs + 1]]
    figure = draw_disagreement(
        "a dataset of rather a long name, $said$ to have been found in the field",
        maps,
        models,
        feature_names=["length of the petals in $mm$ as measured", "_width"],
        part="validation",
    )
    assert_legible(figure)


def test_the_frame_holds_the_rows() -> None:
    """Every row on a plane has its outcome, of every pair."""
    maps = [make_disagreement(), make_disagreement("relu", "tanh", known=False)]
    outcomes = outcome_frame(maps)
    assert np.array_equal(outcomes.loc[outcomes["model_b"] == "tanh", ["x", "y"]], maps[1].points[["x", "y"]])
    only_a = outcomes["outcome"] == "only a"
    right = pd.concat([pair.points for pair in maps], ignore_index=True)
    assert np.array_equal(only_a, right["right_a"] & ~right["right_b"])
