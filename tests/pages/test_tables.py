"""The page of tables as files have them: names and gaps of all kinds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.stages.report import report
from tests.browser import assert_accessible
from tests.making import MIXED, mixed_dataset
from tests.stages.reporting.making import report_source

if TYPE_CHECKING:
    from playwright.sync_api import Page

UGLY = '<i onclick="x">wohnt {{ 7 * 7 }}</i> in ' + "weit" * 20
NOTICE = 'number is left out: all values of "<b>number</b>" are different.'


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a mixed table with ugly names, a notice and rows without a target."""
    data = mixed_dataset()
    names, columns = list(data.feature_names), list(MIXED)
    names[2] = UGLY
    columns[2] = replace(columns[2], categories=("<b>Bruck</b>", "Graz", "Linz", "Wien " * 20))
    data.target[:3] = -1
    data = replace(data, feature_names=tuple(names), columns=tuple(columns), notices=(NOTICE,))
    source = report_source(data, epochs=10)
    return report(source, tmp_path_factory.mktemp("tables")) / "index.html"


@pytest.fixture
def shown(written: Path, browser_page: Page) -> Page:
    browser_page.goto(written.as_uri())
    return browser_page


def test_page_says_how_columns_became_inputs(shown: Page) -> None:
    """A row for each feature says what became of it, as text whatever its name is; so do the notices of reading."""
    table = shown.get_by_role("region", name="How columns became inputs on mixed")
    rows = table.locator("tbody tr")
    assert rows.count() == 5
    assert rows.nth(2).locator("th").inner_text() == UGLY
    assert rows.nth(2).locator("td").last.inner_text().startswith("<b>Bruck</b>, Graz, Linz, Wien Wien")
    assert table.locator("caption").inner_text() == (
        "5 features of mixed.csv, 14 inputs; a number enters as (value − center) / scale."
    )
    assert shown.get_by_text("400 rows, 3 of them without a target, 5 features").is_visible()
    aside = shown.get_by_role("complementary", name="What to know before reading on")
    assert aside.get_by_text(f"mixed: {NOTICE}").is_visible()
    assert shown.get_by_text(NOTICE, exact=True).is_visible()


def test_page_shows_what_models_depend_on_before_slices(shown: Page) -> None:
    """The picture of importances has its finding as alternative text, and comes before the slices."""
    titles = shown.locator("h3").all_inner_texts()
    assert titles.index("What the models depend on") + 1 == titles.index("Slices of the decision")
    picture = shown.locator('img[alt^="What the models depend on on mixed. linear depends most on"]')
    assert picture.count() == 1


def test_page_is_accessible_and_fits_a_phone(shown: Page) -> None:
    """Ugly names break no rule of WCAG, nor the width of a phone."""
    assert_accessible(shown)
    shown.set_viewport_size({"width": 390, "height": 844})
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390
