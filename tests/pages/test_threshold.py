"""The threshold that a reader moves, in a real browser: its numbers are scikit-learn's, wherever it stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

from pipeline.artifacts import Dataset
from pipeline.labels import threshold_text
from pipeline.stages.reporting.page import render
from pipeline.stages.reporting.pictures import Pictures
from pipeline.stages.reporting.source import ReportInput
from tests.browser import assert_accessible
from tests.conftest import Finished, report_input

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

EVIL = "</script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def source(thresholded: Finished) -> ReportInput:
    """Models label at thresholds of their own."""
    return report_input(thresholded)


@pytest.fixture
def widget(thresholded: Finished, browser_page: Page) -> Locator:
    """The threshold of the circles, on the page of a finished comparison."""
    browser_page.goto((thresholded.report / "index.html").as_uri())
    return browser_page.get_by_role("group", name="The threshold at work on circles")


def median_rows(source: ReportInput) -> list[pd.DataFrame]:
    """The test rows of the models' median runs."""
    ledger = source.ledger[source.ledger["split"] == "test"]
    return [ledger[ledger["run_id"] == source.representatives["circles", model].run_id] for model in source.models]


def expected(rows: pd.DataFrame, threshold: float, fp: float = 1, fn: float = 1) -> list[str]:
    """What scikit-learn makes of a model's ledger: threshold, four counts, four scores and the cost, as text."""
    predicted = rows["p_1"] > threshold
    (cleared, alarms), (missed, found) = confusion_matrix(rows["label"], predicted, labels=[0, 1])
    of_class_1 = precision_recall_fscore_support(rows["label"], predicted, average="binary", zero_division=0)[:3]
    scores = (*of_class_1, accuracy_score(rows["label"], predicted))
    cost = alarms * fp + missed * fn
    return [
        threshold_text(threshold),
        *map(str, (found, missed, alarms, cleared)),
        *(f"{score:.3f}" for score in scores),
        f"{cost:g}",
    ]


def table(widget: Locator) -> list[list[str]]:
    """What the table shows: a list of its cells for each model."""
    return [row.locator("td").all_inner_texts() for row in widget.locator("tbody tr").all()]


def marks(widget: Locator) -> list[list[tuple[float, float]]]:
    """Where the dots are, plot by plot."""
    return [
        [
            (float(mark.get_attribute("cx") or "nan"), float(mark.get_attribute("cy") or "nan"))
            for mark in plot.locator(".mark").all()
        ]
        for plot in widget.locator("svg").all()
    ]


def expected_marks(rows: list[list[str]]) -> list[list[tuple[float, float]]]:
    """Where they belong: at the rates, and at threshold and F1, of the table."""
    roc, f1 = [], []
    for threshold, found, missed, alarms, cleared, *_ in (map(float, row) for row in rows):
        roc.append((alarms / (alarms + cleared), found / (found + missed)))
        f1.append((threshold, 2 * found / (2 * found + missed + alarms)))
    return [roc, f1]


def by_mouse(slider: Locator) -> None:
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    slider.page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + box["height"] / 2)
    slider.page.mouse.down()
    slider.page.mouse.move(box["x"] + 0.36 * box["width"], box["y"] + box["height"] / 2, steps=4)
    slider.page.mouse.up()


def by_keyboard(slider: Locator) -> None:
    slider.focus()
    slider.press("PageUp")
    for _ in range(7):
        slider.press("ArrowLeft")


def to_the_end(slider: Locator) -> None:
    slider.focus()
    slider.press("End")


@pytest.mark.parametrize("move", [by_mouse, by_keyboard, to_the_end])
def test_slider_changes_numbers_and_marks_to_scikit_learns(
    source: ReportInput, widget: Locator, move: Callable[[Locator], None]
) -> None:
    """Dragged or moved by keys, it sets table, dots and words to what the ledger gives at the threshold it shows."""
    slider = widget.get_by_role("slider")
    before = table(widget)
    move(slider)
    threshold = float(slider.input_value())
    shown = table(widget)
    assert shown == [expected(rows, threshold) for rows in median_rows(source)]
    assert shown != before
    for found, wanted in zip(marks(widget), expected_marks(shown), strict=True):
        assert np.array(found) == pytest.approx(np.array(wanted), abs=1e-6)
    assert widget.locator("output").inner_text() == slider.get_attribute("aria-valuetext") == f"{threshold:g}"
    said = ", ".join(f"{model} F1 {row[7]}" for model, row in zip(source.models, shown, strict=True))
    widget.get_by_text(f"threshold {threshold:g}: {said}").wait_for(state="attached")


def test_each_model_can_go_back_to_its_own(source: ReportInput, widget: Locator) -> None:
    """The page begins with each model at the threshold of its run, and the button goes back there."""
    own = [expected(rows, rows["threshold"].iloc[0]) for rows in median_rows(source)]
    slider, start = widget.get_by_role("slider"), marks(widget)
    began = slider.input_value()
    assert table(widget) == own
    slider.fill("0.9")
    assert table(widget) != own
    widget.get_by_role("button", name="Each at its own").click()
    assert table(widget) == own
    assert slider.input_value() == began
    assert widget.locator("output").inner_text() == "each at its own"
    assert np.array(marks(widget)) == pytest.approx(np.array(start), abs=1e-4)


def test_costs_follow_their_prices(source: ReportInput, widget: Locator) -> None:
    """A new price changes costs at once, and what it makes of none is no number but a dash."""
    widget.get_by_role("slider").fill("0.4")
    widget.get_by_label("A false alarm costs").fill("2.5")
    widget.get_by_label("A missed “1” costs").fill("10")
    assert table(widget) == [expected(rows, 0.4, fp=2.5, fn=10) for rows in median_rows(source)]
    assert "2.5 for a false alarm, 10 for a missed “1”" in widget.locator("caption").inner_text()
    for nonsense in ("", "-1"):
        widget.get_by_label("A false alarm costs").fill(nonsense)
        assert [row[-1] for row in table(widget)] == ["–", "–"]


@pytest.mark.parametrize(("choice", "column"), [("recall", 6), ("cost", 9)])
def test_second_plot_shows_what_is_chosen(widget: Locator, choice: str, column: int) -> None:
    """Axis, dots and alternative text are those of the chosen score; costs fill the plot."""
    widget.get_by_role("slider").fill("0.45")
    widget.get_by_label("Second plot").select_option(choice)
    plot = widget.locator("svg").nth(1)
    assert (plot.get_attribute("aria-label") or "").startswith(f"{choice} of each model against the threshold")
    assert plot.locator(".upward").text_content() == choice
    top = float(plot.locator(".top").text_content() or "nan")
    heights = [y * top for _, y in marks(widget)[1]]
    assert heights == pytest.approx([float(row[column]) for row in table(widget)], abs=0.0005)
    lines = [re.findall(r" ([\d.]+)", line.get_attribute("d") or "") for line in plot.locator(".line").all()]
    assert max(float(height) for line in lines for height in line) == 1


def altered(source: ReportInput) -> ReportInput:
    """Class and model names that are markup, and probabilities on the thresholds themselves or anywhere between."""
    names = {"linear": "linear", "relu": EVIL}
    random = np.random.default_rng(5)
    scores = np.where(random.random(len(source.ledger)) < 0.5, random.integers(0, 201, len(source.ledger)) / 200, 0)
    scores = np.where(scores == 0, random.random(len(source.ledger)), scores)
    is_binary = source.ledger["dataset"] == "circles"
    columns = {"p_1": source.ledger["p_1"].where(~is_binary, scores)}
    columns["p_0"] = source.ledger["p_0"].where(~is_binary, 1 - columns["p_1"])
    tables: dict[str, Any] = {
        name: table.assign(model=table["model"].map(names))
        for name, table in (
            ("ledger", source.ledger.assign(**columns)),
            ("runs", source.runs),
            ("history", source.history),
        )
    }
    split = source.splits["circles"]
    dataset: Dataset = replace(split.dataset, class_names=("no", EVIL))
    return replace(
        source,
        **tables,
        models=tuple(names.values()),
        splits={**source.splits, "circles": replace(split, dataset=dataset)},
        representatives={(of, names[model]): one for (of, model), one in source.representatives.items()},
    )


@pytest.fixture
def altered_widget(source: ReportInput, browser_page: Page, tmp_path: Path) -> Locator:
    """The same of a page with awkward names and probabilities; it has no pictures."""
    page = render(altered(source), Pictures([], [], {}, [], []), {})
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    dialogs: list[str] = []
    browser_page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    browser_page.goto((tmp_path / "index.html").as_uri())
    assert dialogs == []
    return browser_page.get_by_role("group", name="The threshold at work on circles")


def test_every_step_of_the_slider_is_right(source: ReportInput, altered_widget: Locator) -> None:
    """At each of its 201 places, all text is what scikit-learn and Python's rounding give, ties and edges included."""
    shown = altered_widget.evaluate(
        """widget => Array.from({length: 201}, (_, place) => {
            const slider = widget.querySelector("[type=range]");
            slider.value = (place / 200).toFixed(3);
            slider.dispatchEvent(new Event("input"));
            return Array.from(widget.querySelectorAll("tbody tr"), row =>
                Array.from(row.querySelectorAll("td"), cell => cell.textContent));
        })"""
    )
    rows = median_rows(altered(source))
    wanted = [[expected(of_model, float(f"{place / 200:.3f}")) for of_model in rows] for place in range(201)]
    assert shown == wanted
    precisions = [float(cells[1]) / (float(cells[1]) + float(cells[3]) or 1) for step in wanted for cells in step]
    assert any(16 * precision % 2 == 1 for precision in precisions), "no tie to round was among them"


def test_markup_in_names_stays_text(altered_widget: Locator) -> None:
    """Names of classes and models that hold a script are shown as they are, moved or not."""
    for _ in range(2):
        assert altered_widget.locator("tbody th").nth(1).inner_text() == EVIL
        assert altered_widget.get_by_label(f"A missed “{EVIL}” costs").is_visible()
        assert f"labelled “{EVIL}”" in altered_widget.locator("caption").inner_text()
        altered_widget.get_by_role("slider").fill("0.2")
    altered_widget.get_by_text(f"{EVIL} F1").wait_for(state="attached")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_moved_page_is_accessible(widget: Locator, scheme: Literal["light", "dark"]) -> None:
    """With the threshold moved and another score chosen, the accessibility check still passes."""
    widget.page.emulate_media(color_scheme=scheme)
    widget.get_by_role("slider").fill("0.3")
    widget.get_by_label("Second plot").select_option("cost")
    assert_accessible(widget.page)


def test_slider_stays_in_sight_on_a_phone(widget: Locator) -> None:
    """At 390 pixels the page doesn't scroll sideways, and over the table one can still move the threshold."""
    page = widget.page
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    widget.locator("tbody tr").last.evaluate("row => row.scrollIntoView({block: 'end'})")
    box = widget.get_by_role("slider").bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 200


def test_print_has_no_controls(widget: Locator) -> None:
    """On paper there are plots and numbers, and nothing to press."""
    widget.page.emulate_media(media="print")
    assert not widget.get_by_role("slider").is_visible()
    assert not widget.get_by_role("button").is_visible()
    assert widget.locator("svg").first.is_visible()


def test_without_scripts_the_numbers_stand_there(thresholded: Finished, source: ReportInput, browser: Browser) -> None:
    """Each model is shown at its own threshold, and there are no controls that would do nothing."""
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto((thresholded.report / "index.html").as_uri())
        widget = page.get_by_role("group", name="The threshold at work on circles")
        assert table(widget) == [expected(rows, rows["threshold"].iloc[0]) for rows in median_rows(source)]
        assert widget.locator("svg").nth(1).is_visible()
        assert not widget.locator("input, button, select").first.is_visible()
        assert not widget.get_by_role("slider").is_visible()
