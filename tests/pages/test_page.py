"""The report as a browser shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from tests.browser import assert_accessible
from tests.conftest import Finished

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def report(finished: Finished, browser_page: Page) -> Page:
    """The page of a finished comparison, opened from the disk."""
    browser_page.goto((finished.report / "index.html").as_uri())
    return browser_page


def test_page_opens_without_network(report: Page, page_requests: list[str]) -> None:
    """Opened from the disk, the page shows the question and asks nothing of a network."""
    assert report.get_by_text("Is <b>this</b> a question?").first.is_visible()
    assert page_requests == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_accessible(report: Page, scheme: Literal["light", "dark"]) -> None:
    """No rule of WCAG 2.1 A or AA that a program can check is broken, in light and dark."""
    report.emulate_media(color_scheme=scheme)
    assert_accessible(report)


def test_page_fits_a_phone(report: Page) -> None:
    """At 390 pixels the page itself doesn't scroll sideways; what is wider scrolls in its own box."""
    report.set_viewport_size({"width": 390, "height": 844})
    assert report.evaluate("document.documentElement.scrollWidth") <= 390
