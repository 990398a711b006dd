"""What a person sees in the terminal: progress while it works, a table and what to look at next in the end."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import quote

from rich import progress as bars
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline import databases
from pipeline.errors import printable
from pipeline.units import metric_name

if TYPE_CHECKING:
    from pipeline.artifacts import Search
    from pipeline.comparison.outcome import Outcome
    from pipeline.experiment import Experiment
    from pipeline.runner import Finished
    from pipeline.stored import Compared, Promoted
    from pipeline.walk import Stage

DEFAULT_UI = "http://127.0.0.1:5000"


class Progress:
    """One line a stage: done, total and time left. Silent when the output is not a terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars = bars.Progress(
            bars.TextColumn("{task.description:<9}"),
            bars.BarColumn(bar_width=32),
            _Count(),
            bars.TimeElapsedColumn(),
            bars.TextColumn("left"),
            bars.TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[Stage, bars.TaskID] = {}
        self._said: set[str] = set()

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def begin(self, stage: Stage, total: int) -> None:
        """Show a stage's line."""
        if total:
            self._tasks[stage] = self._bars.add_task(stage, total=total)

    def advance(self, stage: Stage, amount: float) -> None:
        """Move a stage's line on."""
        if stage in self._tasks:
            self._bars.advance(self._tasks[stage], amount)

    def end(self, stage: Stage) -> None:
        """Fill a stage's line."""
        if stage in self._tasks:
            task = self._tasks[stage]
            self._bars.update(task, completed=self._bars.tasks[task].total)

    def note(self, line: str) -> None:
        """Say once what one waits for, or should know."""
        if line not in self._said:
            self._said.add(line)
            print(f"photofinish: {printable(line)}", file=sys.stderr)


@contextmanager
def counting_rows(*, beside_rows: bool) -> Iterator[Callable[[int], None]]:
    """Show how many rows are done; silent without a terminal, or where the rows themselves go there (`beside_rows`)."""
    console = Console(stderr=True)
    shown = bars.Progress(
        bars.TextColumn("predict   {task.completed:,} rows"),
        bars.TimeElapsedColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,  # what goes there is data
        disable=not console.is_terminal or (beside_rows and sys.stdout.isatty()),
    )
    with shown:
        task = shown.add_task("predict", total=None)
        yield lambda rows: shown.advance(task, rows)


class _Count(bars.ProgressColumn):
    """Whole pieces of work, done of total."""

    def render(self, task: bars.Task) -> str:
        return f"{int(task.completed + 1e-6):>4}/{int(task.total or 0)}"


def show(experiment: Experiment, finished: Finished, seconds: float) -> None:
    """Print what came out, how long it took, and what to look at next."""
    console = _console()
    took = f"took      {timedelta(seconds=round(seconds))}"
    if finished.searches:
        _show_searches(console, finished.searches)
    if finished.runs is None:
        _say(took)
        _say(f"run {finished.run_id} is in the tracking store; photofinish run goes on from here, to final numbers")
        return
    from pipeline.comparison.comparability import look_notes
    from pipeline.stages.reporting.notes import notes, resample_notes

    replicates = _seeds(len(experiment.seeds)) + (
        f" × {experiment.resamples} resamples" if experiment.resamples > 1 else ""
    )
    _say(f"{experiment.name}: mean ± standard deviation over {replicates}")
    console.print(score_table(experiment, finished))
    if finished.outcome is not None:
        show_verdicts(finished.outcome)
    resampling = resample_notes(finished.searches, experiment.shared_tables, experiment.resamples)
    looks = look_notes(finished.splits, finished.looks)
    for note in (*notes(finished.splits, finished.runs, experiment.threshold), *resampling, *looks):
        _say(note)
    _say(took)
    if finished.report is not None:
        show_report(finished.report)
    _show_runs(finished)


def show_verdicts(outcome: Outcome) -> None:
    """Print what can be repeated, the table of verdicts by the metric shown first, and which model to take."""
    from pipeline.stages.reporting.verdict_tables import conclusions, sentences, verdict_rows

    rows = verdict_rows(outcome.primary())
    if rows:
        shown = Table()
        for heading in ("dataset", "model − baseline", "metric"):
            shown.add_column(heading)
        interval = f"{100 * (1 - outcome.spec.alpha):g} % interval"
        for heading in ("difference", interval, "p (Holm)"):
            shown.add_column(heading, justify="right")
        for heading in ("verdict", "would tell"):
            shown.add_column(heading)
        for row in rows:
            cells = (row.dataset, row.pair, row.metric, row.difference, row.interval, row.p_value, row.decision)
            shown.add_row(*(_plain(cell) for cell in (*cells, row.needed)))
        _console().print(shown)
    for line in (*sentences(outcome), *conclusions(outcome)):
        _say(line)


def show_report(folder: Path) -> None:
    """Print where a report lies."""
    _say(f"report    {folder / 'index.html'}")


def show_predicted(rows: int, file: Path) -> None:
    """Print how many rows were predicted, and where they lie."""
    _say(f"{rows:,} rows predicted: {file}")


def show_compared(compared: Compared) -> None:
    """Print what a comparison of stored runs says, what to bear in mind, and where it lies."""
    if compared.outcome is not None:
        show_verdicts(compared.outcome)
    for note in compared.notes:
        _say(note)
    if compared.outcome is not None:
        _say(f"verdicts  {compared.folder / 'verdicts.json'}")


def show_side_by_side(compared: Compared) -> None:
    """Print the same, and where the page lies."""
    show_compared(compared)
    show_report(compared.folder)


def show_promoted(promoted: Promoted) -> None:
    """Print who is champion, why, and how to serve it."""
    _say(promoted.sentence)
    for note in promoted.notes:
        _say(note)
    _say(f"champion  {promoted.address}, version {promoted.version}")
    _say(f"serve     {promoted.serve}")


def show_experiments(experiments: list[tuple[Path, str]]) -> None:
    """Print experiment files with their questions."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for path, question in experiments:
        table.add_row(_plain(str(path)), _plain(" ".join(question.split())))
    Console().print(table)


def score_table(experiment: Experiment, finished: Finished) -> Table:
    """Build the table model × dataset: mean ± standard deviation over all runs of the metric shown first."""
    from pipeline.stages.reporting.tables import cell, runs_of

    runs = finished.runs
    assert runs is not None
    table = Table()
    table.add_column("model")
    for dataset, split in finished.splits.items():
        metric = metric_name(finished.metrics[dataset])
        table.add_column(f"{_plain(dataset)}\n{split.final} {metric}", justify="right")
    for model in experiment.models:
        cells = [cell(runs_of(runs, dataset, model), finished.metrics[dataset]) for dataset in finished.splits]
        table.add_row(_plain(model), *cells)
    return table


def _show_searches(console: Console, searches: Sequence[Search]) -> None:
    from pipeline.stages.reporting.notes import edge_notes
    from pipeline.stages.reporting.tables import tuned_table

    tables = {dataset: tuned_table(searches, dataset) for dataset in dict.fromkeys(s.dataset for s in searches)}
    columns = list(dict.fromkeys(column for table in tables.values() for column in table["columns"]))
    shown = Table()
    for heading in ("dataset", "model"):
        shown.add_column(heading)
    for column in columns:
        shown.add_column(_plain(column), justify="right")
    for dataset, table in tables.items():
        for model, *values in table["rows"]:
            cells = dict(zip(table["columns"], values, strict=True))
            shown.add_row(_plain(dataset), _plain(model), *(cells.get(column, "") for column in columns))
    counts = [len(search.trials) for search in searches]
    trials = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    _say(f"tuned: the best of {trials} trials, in {searches[0].storage}")
    console.print(shown)
    for note in edge_notes(searches):
        _say(note)


def compare_addresses(finished: Finished, base: str = DEFAULT_UI) -> dict[str, str]:
    """Addresses of the MLflow UI's compare page: for each dataset the best run of each model."""
    addresses = {}
    for dataset in finished.splits:
        run_ids = [run_id for (of, _), run_id in finished.best.items() if of == dataset]
        if len(run_ids) > 1:
            runs, experiments = (
                quote(json.dumps(ids, separators=(",", ":"))) for ids in (run_ids, [finished.experiment_id])
            )
            addresses[dataset] = f"{base}/#/compare-runs?runs={runs}&experiments={experiments}"
    return addresses


def _show_runs(finished: Finished) -> None:
    _say(f"run       {finished.run_id}")
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if uri.startswith("http"):
        base = databases.shown(uri).rstrip("/")
        _say(f"runs      {base}/#/experiments/{finished.experiment_id}/runs")
    else:
        base = DEFAULT_UI
        is_default = uri in ("", "sqlite:///mlflow.db", f"sqlite:///{Path.cwd() / 'mlflow.db'}")
        store = "" if is_default else f" --backend-store-uri {databases.shown(uri)}"
        _say(f"runs      mlflow ui{store}   then {base}/#/experiments/{finished.experiment_id}/runs")
    for dataset, address in compare_addresses(finished, base).items():
        _say(f"compare   {dataset}: {address}")


def _console() -> Console:
    # Piped output has no width of its own; a table cut to 80 columns would lose its numbers.
    return Console() if sys.stdout.isatty() else Console(width=200)


def _say(line: str) -> None:
    """Print without wrapping or style: an address that has them can't be clicked or copied."""
    print(printable(line))


def _plain(text: str) -> str:
    """Write text so that a table shows it as it is."""
    return escape(printable(text))


def _seeds(count: int) -> str:
    return f"{count} seeds" if count > 1 else "1 seed"
