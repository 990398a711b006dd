"""How it learned: the slider over epochs, as a browser shows it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from pipeline.figures.palette import probability_image
from pipeline.planes import decode
from pipeline.stages.reporting.source import ReportInput
from tests.browser import assert_accessible
from tests.conftest import Finished
from tests.stages.reporting.test_learning import page_of, source

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

__all__ = ["source"]  # a fixture


@pytest.fixture
def widget(finished: Finished, browser_page: Page) -> Locator:
    """The slider and panels of the first dataset, circles, with a clock that stands still."""
    browser_page.clock.install()
    browser_page.goto((finished.report / "index.html").as_uri())
    return browser_page.locator("[data-learning]").first


def texts(widget: Locator) -> list[str]:
    return [text.replace("\u00a0", " ") for text in widget.locator("figcaption").all_text_contents()]


def test_the_keyboard_steps_through_epochs(widget: Locator, source: ReportInput) -> None:
    """Home and the arrow keys move every panel at once, and say loss and accuracy as the history has them."""
    assert all(text.startswith("done after 12 epochs: validation loss ") for text in texts(widget))
    slider = widget.get_by_role("slider", name="Epochs")
    for key, epochs, when in (("Home", 1, "after 1 epoch"), ("ArrowRight", 2, "after 2 epochs")):
        slider.press(key)
        assert slider.get_attribute("aria-valuetext") == when
        for text, model in zip(texts(widget), source.models, strict=True):
            run_id = source.representatives["circles", model].run_id
            own = source.history[(source.history["run_id"] == run_id) & (source.history["epoch"] == epochs - 1)].iloc[0]
            right = f"{100 * own['validation_accuracy']:.1f} %"
            assert text == f"{when}: validation loss {own['validation_loss']:.3f}, accuracy {right}"
            named = f"{model} on circles {when}: {right} of validation rows right".replace(" %", "\u00a0%")
            assert widget.get_by_role("img", name=named).is_visible()


def test_panels_show_what_the_network_said(widget: Locator, source: ReportInput) -> None:
    """At the first stop and at the last, the colours over the plane are those of the snapshot of that epoch."""
    widget.page.add_style_tag(content=".rows, .boundary { display: none }")
    for stop in (0, 8):
        widget.get_by_role("slider").fill(str(stop))
        for model, panel in zip(source.models, widget.get_by_role("img").all(), strict=True):
            snapshots = source.representatives["circles", model].snapshots
            assert snapshots is not None
            expected = 255 * probability_image(decode(snapshots.codes[stop], 2))
            with Image.open(io.BytesIO(panel.screenshot())) as image:
                shown = np.asarray(image.convert("RGB").resize((64, 64), Image.Resampling.BOX), dtype=float)
            off = np.abs(shown[::-1] - expected)
            assert np.percentile(off, 95) < 8
            assert off.mean() < 3


def test_play_goes_to_the_end_and_stops(widget: Locator) -> None:
    """Nothing plays by itself; Play starts anew at the end, is a toggle, and is off when the last epoch is reached."""
    play, clock = widget.get_by_role("button", name="Play"), widget.page.clock
    clock.run_for(2000)
    assert all(text.startswith("done") for text in texts(widget))
    play.click()
    assert play.get_attribute("aria-pressed") == "true"
    assert all(text.startswith("after 1 epoch:") for text in texts(widget))
    clock.run_for(800)
    play.click()
    assert play.get_attribute("aria-pressed") == "false"
    clock.run_for(2000)
    assert all(text.startswith("after 3 epochs:") for text in texts(widget))
    play.click()
    clock.run_for(5000)
    assert play.get_attribute("aria-pressed") == "false"
    assert all(text.startswith("done after 12 epochs:") for text in texts(widget))


def test_paper_shows_the_last_epoch(widget: Locator) -> None:
    """However the slider stands, print has the finished networks and no controls; afterwards the page is as before."""
    widget.get_by_role("slider").press("Home")
    widget.page.emulate_media(media="print")
    assert not widget.get_by_role("slider").is_visible()
    widget.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert all(text.startswith("done after 12 epochs:") for text in texts(widget))
    widget.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert all(text.startswith("after 1 epoch:") for text in texts(widget))


def test_without_scripts_the_last_epoch_is_there(finished: Finished, browser: Browser) -> None:
    """With JavaScript off there are the finished networks with their numbers, and no controls that do nothing."""
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto((finished.report / "index.html").as_uri())
        widget = page.locator("[data-learning]").first
        assert all(text.startswith("done after 12 epochs:") for text in texts(widget))
        assert not widget.locator("input").is_visible()
        assert not widget.locator("button").is_visible()


def test_names_of_data_stay_text(source: ReportInput, tmp_path: Path, browser_page: Page) -> None:
    """Features and classes called like tags, and a model that would end a script, are shown as they are called."""
    nasty = "</script><script>alert(1)</script>"
    split = source.splits["circles"]
    dataset = replace(split.dataset, feature_names=(nasty, '"><b>y'), class_names=("<i>no", nasty))
    splits = {**source.splits, "circles": replace(split, dataset=dataset)}
    names = {"linear": nasty, "relu": "relu"}
    renamed = {
        name: getattr(source, name).assign(model=lambda frame: frame["model"].map(names))
        for name in ("runs", "ledger", "history")
    }
    representatives = {(of, names[model]): one for (of, model), one in source.representatives.items()}
    spec = source.spec.model_copy(update={"baseline": None})
    page = page_of(
        replace(
            source,
            splits=splits,
            models=tuple(names.values()),
            representatives=representatives,
            spec=spec,
            **renamed,
        )
    )
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    browser_page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    browser_page.goto((tmp_path / "page.html").as_uri())
    widget = browser_page.locator("[data-learning]").first
    widget.get_by_role("slider").press("Home")
    assert widget.get_by_text(nasty, exact=True).count() >= 3
    assert widget.locator("b, i").count() == 0
    assert widget.get_by_role("img").first.get_attribute("aria-label").startswith(f"{nasty} on circles after 1 epoch")
    assert_accessible(browser_page)
