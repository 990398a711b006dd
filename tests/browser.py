"""Pages opened in a real browser: fixtures for headless Chromium, and the accessibility check."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Root and containers have no sandbox; and nothing that a browser does of its own accord.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
WITHOUT_NETWORK = ("file:", "data:", "blob:", "about:")
STANDARDS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice")


# Not for the whole session: while Playwright's synchronous API is open, its thread has a running event loop, in which
# other tests could not call asyncio.run.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium; the test is skipped where there is none."""
    from playwright.sync_api import sync_playwright

    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=executable(playwright), args=ARGUMENTS) as browser,
    ):
        yield browser


def executable(playwright: Playwright) -> str:
    """Path of the Chromium that is installed; the test is skipped where there is none."""
    installed = next(filter(None, map(shutil.which, NAMES)), playwright.chromium.executable_path)
    if not Path(installed).exists():
        pytest.skip("no Chromium: apt-get install chromium, or playwright install chromium")
    return installed


@pytest.fixture
def page_requests() -> list[str]:
    """Addresses that `browser_page` has asked a network for, in order."""
    return []


@pytest.fixture
def browser_page(browser: Browser, page_requests: list[str]) -> Iterator[Page]:
    """A fresh page; the test fails where the page's console shows an error, or its scripts raise one."""
    with browser.new_context() as context:
        page = context.new_page()
        errors: list[str] = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: _note(request.url, page_requests))
        yield page
    assert errors == []


def _note(address: str, requests: list[str]) -> None:
    if not address.startswith(WITHOUT_NETWORK):
        requests.append(address)


def assert_accessible(page: Page) -> None:
    """Hold the page as it is shown now against WCAG 2.1 A and AA and axe's best practices."""
    from axe_playwright_python.sync_playwright import Axe

    results = Axe().run(page, options={"runOnly": STANDARDS, "resultTypes": ["violations"]})
    assert not results.violations_count, results.generate_report()
