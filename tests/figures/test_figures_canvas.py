from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.figure import Figure

from pipeline.figures.canvas import (
    absent_note,
    balanced,
    caption,
    folded,
    legend_below,
    line,
    panels,
    plain,
    plain_class,
    present,
    text_width,
)
from tests.figures.making import assert_legible, words


def test_long_names_keep_both_ends() -> None:
    """A name that is too wide loses its middle: names of one sweep differ at the end."""
    one, other = (plain(f"multilayer_perceptron_with_dropout_0.{tenths}", 2.0) for tenths in (1, 2))
    assert one != other
    assert one.startswith("multi")
    assert one.endswith("_0.1")
    assert "…" in one
    assert text_width(one) <= 2.0


@pytest.mark.parametrize("name", ["$x^2$", "cost in $", r"\$a$", "a\nb\t c", r"$\undefined$", "_x", "<b>"])
def test_names_are_written_as_they_are(name: str) -> None:
    """No name is read as a formula, or breaks a line: what is written is the name itself."""
    figure = Figure()
    text = figure.text(0, 0, plain(name))
    assert not text._preprocess_math(text.get_text())[1]
    assert text._preprocess_math(text.get_text())[0] == " ".join(name.split())
    figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("count", "most", "across"), [(1, 4, 1), (4, 4, 4), (5, 4, 3), (8, 4, 4), (4, 3, 2), (7, 5, 4)]
)
def test_rows_are_balanced(count: int, most: int, across: int) -> None:
    """Five panels, at most four in a row, stand as three and two rather than as four and one."""
    assert balanced(count, most) == across


def test_spare_places_stay_empty() -> None:
    """As many panels come as were asked for; the others of the last row are removed."""
    figure, axes = panels(5, size=(2, 2), across=3)
    assert figure.axes == axes
    assert len(axes) == 5


@pytest.mark.parametrize("count", [1, 2, 9])
def test_legends_hold_every_label(count: int) -> None:
    """A legend drops no label that begins with an underscore, and fits under its figure, however long its heading."""
    figure, _ = panels(1, size=(4.0, 2.0 + 0.25 * count), across=1)
    labels = [f"_model number {place}" for place in range(count)]
    heading = "a heading of so many words that not one line of this small figure holds all of it"
    legend_below(figure, [line("black")] * count, labels, folded(4.0, heading))
    assert set(labels) <= set(words(figure))
    assert_legible(figure)


def test_rows_of_a_legend_are_balanced() -> None:
    """Four entries, of which three would fit side by side, stand as two and two rather than as three and one."""
    figure, _ = panels(1, size=(4.0, 2.0), across=1)
    made = legend_below(figure, [line("black")] * 4, ["train rows", "test rows", "boundary", "Bayes rule"])
    figure.draw_without_rendering()
    rows = [round(text.get_window_extent().y0) for text in made.get_texts()]
    assert sorted(map(rows.count, rows)) == [2, 2, 2, 2]


def test_captions_fit_their_figure() -> None:
    """Sentences of a caption go on a new line where they would leave the figure; empty ones leave no trace."""
    figure, _ = panels(1, size=(4.0, 3.0), across=1)
    caption(figure, "this is the first of all the sentences", "", "and this the second and last")
    assert figure.get_suptitle().count("\n") == 1
    assert_legible(figure)


def test_missing_models_are_named() -> None:
    """Models without rows are left out of the drawing and named; without any rows there's nothing to draw."""
    frame = pd.DataFrame({"model": ["relu", "relu"]})
    assert present(frame, ["linear", "relu"]) == ["relu"]
    assert absent_note(["linear", "relu"], ["relu"]) == "no finished run of linear"
    assert absent_note(["relu"], ["relu"]) == ""
    with pytest.raises(ValueError, match="linear"):
        present(frame, ["linear"])


def test_legends_are_read_along_rows() -> None:
    """The entries of a legend that takes several rows go on from left to right, each with its own symbol."""
    figure, _ = panels(1, size=(4.0, 2.0), across=1)
    labels = ["first entry", "second", "third entry", "fourth", "fifth entry of these"]
    made = legend_below(figure, [line("black", width=1.0 + place) for place in range(5)], labels)
    figure.draw_without_rendering()
    places = [(-round(box.y0), box.x0) for box in (text.get_window_extent() for text in made.get_texts())]
    read = [text.get_text() for _, text in sorted(zip(places, made.get_texts(), strict=True), key=lambda pair: pair[0])]
    assert len({row for row, _ in places}) > 1
    assert read == labels
    widths = {
        text.get_text(): handle.get_linewidth() for text, handle in zip(made.texts, made.legend_handles, strict=True)
    }
    assert [widths[label] for label in labels] == [1, 2, 3, 4, 5]


def test_numbers_are_called_classes() -> None:
    """A class whose name is a bare number says that it is a class; other names stand alone."""
    assert [plain_class(name) for name in ("0", "12", "class_0", "ill", "3 kg")] == [
        "class 0",
        "class 12",
        "class_0",
        "ill",
        "3 kg",
    ]
