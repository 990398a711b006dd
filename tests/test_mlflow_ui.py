"""A finished comparison in MLflow's own UI: what somebody sees who never heard of Photofinish."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.components import MlflowServer
from tests.conftest import Finished

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

# The assistant's panel opens itself on the first visit, and takes the room of what is to be seen.
WITHOUT_ASSISTANT = "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')"

# Whether each of some files is shown as a picture, byte by byte.
SHOWN = """async files => {
  const pictures = [...document.querySelectorAll('img[src^="blob:"]')].filter(picture => picture.naturalWidth);
  const contents = await Promise.all(pictures.map(async picture => (await fetch(picture.src)).arrayBuffer()));
  const shown = contents.map(content => String(new Uint8Array(content)));
  return files.every(file => shown.includes(String(file)));
}"""


class Ui(MlflowServer):
    """The same by the name that people type."""

    def _command(self) -> Sequence[str]:
        return ["ui" if word == "server" else word for word in super()._command()]


@pytest.fixture(scope="module")
def server(browser: Browser, finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of `mlflow ui` on the finished comparison's store."""
    folder = tmp_path_factory.mktemp("server")
    with Ui(folder, f"sqlite:///{finished.folder / 'mlflow.db'}", folder / "artifacts") as server:
        yield server.address
        server.stop(signal.SIGKILL)  # it was only read from; to end by itself takes it ten seconds


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page; errors in its console are MLflow's own."""
    with browser.new_context(viewport={"width": 1700, "height": 1300}) as context:
        context.set_default_timeout(60_000)
        context.add_init_script(WITHOUT_ASSISTANT)
        yield context.new_page()


@pytest.fixture
def experiment(server: str, finished: Finished) -> str:
    """Address of the experiment's pages."""
    return f"{server}/#/experiments/{finished.parent.info.experiment_id}"


@pytest.fixture
def sentences(finished: Finished) -> list[str]:
    """What the verdict says by the metric shown first."""
    verdicts = json.loads((finished.report / "verdicts.json").read_text(encoding="utf-8"))["verdicts"]
    return [one["sentence"] for one in verdicts if one["primary"]]


def test_runs_table_has_the_parent_and_its_children_under_it(page: Page, experiment: str) -> None:
    """The table shows one row for the comparison, which opens into a row for each model run, by its name."""
    page.goto(f"{experiment}/runs")
    page.get_by_role("link", name="tiny", exact=True).last.wait_for()
    assert page.get_by_role("link", name="circles · relu · seed 0").count() == 0
    page.locator(".ag-row button").first.click()
    for dataset in ("circles", "blobs"):
        for model in ("linear", "relu"):
            for seed in range(3):
                page.get_by_role("link", name=f"{dataset} · {model} · seed {seed}").first.wait_for()


def test_description_says_the_verdict(page: Page, experiment: str, finished: Finished, sentences: list[str]) -> None:
    """The parent's page begins with question, how it went, and a list of what was found; names stay text."""
    page.goto(f"{experiment}/runs/{finished.parent.info.run_id}")
    page.locator("strong").get_by_text("Is <b>this</b> a question?", exact=True).wait_for()
    page.get_by_text("relu against linear by accuracy:").wait_for()
    page.get_by_text("Show more").first.click()
    listed = page.get_by_role("listitem").all_inner_texts()
    assert set(sentences) <= set(listed)


def test_compare_page_shows_both_curves_and_both_pictures(page: Page, server: str, finished: Finished) -> None:
    """A linear and a ReLU run: pictures side by side, and the metric's page draws a loss curve for each, by name."""
    runs = [finished.child("circles", model, 0) for model in ("linear", "relu")]
    ids = json.dumps([run.info.run_id for run in runs], separators=(",", ":"))
    page.goto(f'{server}/#/compare-runs?runs={ids}&experiments=["{runs[0].info.experiment_id}"]')
    for file in ("boundary.png", "confusion.png"):
        page.get_by_text(file).click()
        logged = [Path(finished.client.download_artifacts(run.info.run_id, file)).read_bytes() for run in runs]
        page.wait_for_function(SHOWN, arg=[list(content) for content in logged])
    page.locator("a[href*='#/metric']").last.scroll_into_view_if_needed()  # the table holds only what is seen
    page.get_by_role("link", name="validation/loss", exact=True).click()
    page.wait_for_function("document.querySelector('.js-plotly-plot')?.data?.length >= 2")
    drawn = dict(
        page.locator(".js-plotly-plot").first.evaluate("plot => plot.data.map(line => [line.name, [...line.y]])")
    )
    for run in runs:
        history = finished.client.get_metric_history(run.info.run_id, "validation/loss")
        assert drawn.pop(run.info.run_name) == pytest.approx([point.value for point in history])
    assert drawn == {}


def test_report_opens_in_the_viewer(page: Page, experiment: str, finished: Finished, sentences: list[str]) -> None:
    """The report is an artifact of the parent that the UI shows as a page: question and verdict are read there."""
    page.goto(f"{experiment}/runs/{finished.parent.info.run_id}/artifacts/report/index.html")
    report = page.frame_locator("iframe")
    report.get_by_text("Is <b>this</b> a question?").first.wait_for()
    for sentence in sentences:
        assert report.get_by_text(sentence).first.is_visible()
