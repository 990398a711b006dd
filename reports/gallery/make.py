"""Make the gallery anew: pictures of the default experiment's report, and of its page in a browser.

Run it from the repository's root, by `make gallery`; it needs what the tests need, Chromium among it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import Locator, Page, sync_playwright

from pipeline.figures.activations import draw_activations
from pipeline.stages.reporting.picture import save
from tests.browser import ARGUMENTS, executable

GALLERY = Path(__file__).parent
REPORT = GALLERY.parent / "linear_vs_relu"
PICTURES = ("forest", "moons_calibration", "moons_disagreement", "moons_trials", "moons_tuning")


def main() -> None:
    """Copy pictures of the report, draw one, and take others off the screen."""
    for name in PICTURES:
        shutil.copy(REPORT / "figures" / f"{name}.png", GALLERY)
    shutil.copy(REPORT / "figures" / "headline.png", GALLERY / "linear_vs_relu.png")
    save(draw_activations(), GALLERY / "activations.png")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(playwright), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1110, "height": 1000}, color_scheme="light")
        page.goto((REPORT / "index.html").as_uri())
        take(page.locator("#data-moons .moving"), "threshold", steps=-40)
        take(page.locator("#data-spirals [data-learning]"), "learning", steps=-6)
        browser.close()


def take(widget: Locator, name: str, steps: int) -> None:
    """Move a part's slider by so many steps, as one would by keyboard, and take its picture."""
    slider = widget.locator("input[type=range]")
    slider.focus()
    for _ in range(abs(steps)):
        slider.press("ArrowRight" if steps > 0 else "ArrowLeft")
    slider.blur()
    settle(widget.page)
    widget.screenshot(path=GALLERY / f"{name}.png")


def settle(page: Page) -> None:
    """Wait until the page has been drawn once more."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


if __name__ == "__main__":
    main()
