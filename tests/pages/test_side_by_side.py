"""The page of two comparisons, as a browser shows it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from pipeline.cli import main
from tests.browser import assert_accessible
from tests.conftest import TINY, own_store, runs_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

WIDE, PHONE = {"width": 1600, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where the page lies of two comparisons that share one of two datasets' rows."""
    folder = tmp_path_factory.mktemp("side_by_side")
    with own_store(folder):
        Path("tiny.yaml").write_text(TINY, encoding="utf-8")
        short = ["run", "tiny.yaml", "--until", "evaluate", "--seeds", "2"]
        assert main([*short, "--set", "training.epochs=2"]) == 0
        assert main([*short, "--set", "training.epochs=4", "--set", "datasets.circles.noise=0.1"]) == 0
        newest_first = [run for run in runs_of(folder)[1] if run.data.tags["photofinish.role"] == "comparison"]
        second, first = (run.info.run_id for run in newest_first)
        assert main(["report", "--compare", first, second]) == 0
    return (folder / "reports" / f"compare-{first[:8]}-{second[:8]}" / "index.html").as_uri()


@pytest.fixture
def opened(address: str, browser_page: Page) -> Page:
    browser_page.goto(address)
    return browser_page


def test_page_shows_both_sides_without_network(opened: Page, page_requests: list[str]) -> None:
    """Opened from the disk, the page says what differs and what has no verdict, and asks nothing of a network."""
    assert opened.get_by_role("row", name="training.epochs 2 4").is_visible()
    assert opened.get_by_text("circles: no verdict: other data content").is_visible()
    assert opened.get_by_text("Is <b>this</b> a question?").count() == 2
    assert page_requests == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_accessible(opened: Page, scheme: Literal["light", "dark"]) -> None:
    """No rule of WCAG 2.1 A or AA that a program can check is broken, in light and dark."""
    opened.emulate_media(color_scheme=scheme)
    assert_accessible(opened)


def test_pictures_stand_side_by_side_where_there_is_room(opened: Page) -> None:
    """On a wide screen both sides' pictures are in one row; on a phone one is below the other, and nothing is cut."""
    pictures = [opened.get_by_alt_text("Learning curves, tiny@").nth(place) for place in (0, 1)]
    opened.set_viewport_size(WIDE)
    first, second = (picture.bounding_box() for picture in pictures)
    assert first is not None
    assert second is not None
    assert first["y"] == second["y"]
    assert first["x"] + first["width"] <= second["x"]
    opened.set_viewport_size(PHONE)
    first, second = (picture.bounding_box() for picture in pictures)
    assert first is not None
    assert second is not None
    assert first["y"] + first["height"] <= second["y"]
    assert opened.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
