"""What `import pipeline` gives: an experiment run from Python, and the verdict on any two tables of predictions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pipeline import databases
from pipeline.comparison.spec import CompareSpec, MetricName
from pipeline.complaints import complaint
from pipeline.errors import BadInput
from pipeline.experiment import Experiment
from pipeline.experiment_file import check, find, load
from pipeline.walk import Listener, Options, Stage

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.comparison.verdict import Verdict
    from pipeline.runner import Finished


class _Silent:
    """Listens, and says nothing."""

    def begin(self, stage: Stage, total: int) -> None: ...

    def advance(self, stage: Stage, amount: float) -> None: ...

    def end(self, stage: Stage) -> None: ...

    def note(self, line: str) -> None: ...


def run(
    experiment: str | Path | Mapping[str, Any],
    *,
    until: Stage = "report",
    jobs: int = 1,
    cluster: str | None = None,
    device: str = "auto",
    reports: str | Path = "reports",
    memory: int | None = None,
    storage: str | None = None,
    fresh: bool = False,
    listener: Listener | None = None,
) -> Finished:
    """Run an experiment as `photofinish run` does: tuned, trained, tracked in MLflow, evaluated, reported.

    Everything lies where the command would put it: runs in the store that `MLFLOW_TRACKING_URI` names (`mlflow.db` in
    the working directory unless it does), reports in `reports`. What is finished already is reused.

    Parameters
    ----------
    experiment:
        A YAML file's path, a bare name in `experiments/`, or what such a file holds, as a mapping. Data files' paths
        start from the file's folder; those of a mapping, from the working directory.
    until:
        The last stage to walk: generate, split, tune, train, evaluate, report.
    jobs:
        Worker processes.
    cluster:
        Address of a Dask cluster that trains instead.
    device:
        "auto", "cpu" or "cuda".
    reports:
        Folder of the reports.
    memory:
        Most bytes for the buffers of networks that train together; None: an eighth of what is free.
    storage:
        Optuna's; None: `PHOTOFINISH_STORAGE`, else `optuna.db` in the working directory.
    fresh:
        Whether to tune and train anew, whatever there is.
    listener:
        Is told of stages, progress and notes; None: nobody is, and nothing is printed.

    Returns
    -------
    Finished
        Tables (`runs`, `ledger`, `history`) from stage evaluate on, the `outcome` with its verdicts and the `report`'s
        folder from stage report on.

    Raises
    ------
    BadInput
        When the experiment or an option can't be used; nothing was created then.
    PhotofinishError
        When it failed: no network could be trained, the store is away, another process runs the same experiment.

    Examples
    --------
    >>> import pipeline
    >>> finished = pipeline.run(
    ...     {
    ...         "name": "moons",
    ...         "datasets": {"moons": {"make": "moons", "n_samples": 200, "noise": 0.2}},
    ...         "models": {"linear": {"hidden_units": []}, "relu": {"hidden_units": [8]}},
    ...         "training": {"optimizer": "Adam", "lr": 0.05, "epochs": 20},
    ...     },
    ...     until="split",
    ... )
    >>> len(finished.splits["moons"].test), finished.metrics
    (40, {'moons': 'accuracy'})
    >>> pipeline.run("no_such.yaml")
    Traceback (most recent call last):
    pipeline.errors.BadInput: no_such.yaml: no such experiment; check the path, or run it where your experiments/ lies
    """
    options = Options(until, jobs, cluster, device, Path(reports), memory, storage, fresh)
    checked, file = _experiment(experiment)
    from pipeline import runner  # torch and scikit-learn: bad input is told before

    return runner.run(checked, file, options, listener or _Silent(), command=_call(file, options))


def _experiment(given: str | Path | Mapping[str, Any]) -> tuple[Experiment, str]:
    """Return a checked experiment and its file, whose name is empty where there is none."""
    if isinstance(given, Mapping):
        return check(dict(given), ""), ""
    path = find(str(given))
    return load(path), str(path)


def _call(file: str, options: Options) -> str:
    """Write how it was called, with what isn't as usual; passwords stay out of it."""
    usual = Options()
    said = {name: getattr(options, name) for name in ("until", "jobs", "cluster", "device", "storage", "fresh")}
    changed = {name: value for name, value in said.items() if value != getattr(usual, name)}
    words = [
        repr(file) if file else "{…}",
        *(f"{name}={databases.shown(repr(value))}" for name, value in changed.items()),
    ]
    return f"pipeline.run({', '.join(words)})"


def verdict(
    model: pd.DataFrame | str | Path,
    baseline: pd.DataFrame | str | Path,
    *,
    metric: MetricName = "accuracy",
    names: tuple[str, str] | None = None,
    alpha: float = 0.05,
    equivalence: float = 0.01,
) -> Verdict:
    """Say whether one model's predictions are better than another's on the same rows, by the verdict of the reports.

    Tables may come from anywhere; nothing is trained, and nothing is tracked. A table has a row for each `row_id`, and
    for each `seed` where a model was trained more than once, in the ledger's columns:

    ============== ====================================================================================================
    `row_id`       which row is predicted: numbers or texts, the same in both tables
    `label`        the truth: a class, or a number for a regression
    `prediction`   the predicted class, or number
    `p_<class>`    the predicted probability of each class; stands in for `prediction`, and is needed for roc_auc,
                   log_loss and average_precision
    `threshold`    of two classes, without `prediction`: above which probability a row is of the second; else 0.5
    `seed`         which of several runs; without it, there is one
    `group`        rows that belong together, such as one patient's: the interval takes groups, and not rows, for
                   independent cases
    ============== ====================================================================================================

    Of two classes, precision, recall, F1, ROC AUC and average precision are those of the second, sorted as text.

    Parameters
    ----------
    model, baseline:
        Tables, or paths of CSV or Parquet files.
    metric:
        What is compared: a classification's, or mae, mse, rmse, r2.
    names:
        What the two are called; None: as their column `model` says, else by their file, else "model" and "baseline".
    alpha:
        Accepted rate of false alarms.
    equivalence:
        The difference that wouldn't matter, in the metric's own unit; for mae and rmse in standard deviations of the
        label, for mse in variances.

    Returns
    -------
    Verdict
        Difference (model minus baseline) with its interval, p-value, decision, and a sentence.

    Raises
    ------
    BadInput
        When a table can't be read or lacks a column, or when they don't speak of the same rows with the same truth.

    Examples
    --------
    >>> import pandas as pd
    >>> import pipeline
    >>> truth = pd.DataFrame({"row_id": range(200), "label": ["no", "yes"] * 100})
    >>> careful = truth.assign(prediction=truth["label"].where(truth["row_id"] >= 10, "no"))
    >>> hasty = truth.assign(prediction=truth["label"].where(truth["row_id"] >= 60, "no"))
    >>> told = pipeline.verdict(careful, hasty, names=("careful", "hasty"))
    >>> told.decision, round(told.difference, 3)
    ('better', 0.125)
    >>> pipeline.verdict(careful, hasty[:150])
    Traceback (most recent call last):
    pipeline.errors.BadInput: baseline: with seed 0 lacks row 150, which other runs have; compare the same rows
    """
    for field, given in (("model", model), ("baseline", baseline)):
        if not isinstance(given, str | Path) and not hasattr(given, "columns"):
            raise BadInput(f"{given!r} is no table", field=field, remedy="give a DataFrame, or the path of a file")
    try:
        spec = CompareSpec(metric=metric, alpha=alpha, equivalence=equivalence)
    except ValidationError as error:
        raise complaint(error) from error
    from pipeline.comparison.tables import compare_tables

    first, second = names or _names(model, baseline)
    if first == second:
        raise BadInput(f"both are called {first!r}", field="names", remedy="give two names")
    return compare_tables({first: _table(model), second: _table(baseline)}, spec)


def _names(*tables: pd.DataFrame | str | Path) -> tuple[str, str]:
    """Name two tables, by their models or files where these differ."""
    first, second = map(_name, tables)
    return (first, second) if first and second and first != second else ("model", "baseline")


def _name(table: pd.DataFrame | str | Path) -> str:
    if isinstance(table, str | Path):
        return Path(table).stem
    return str(table["model"].iloc[0]) if "model" in table and len(table) else ""


def _table(given: pd.DataFrame | str | Path) -> pd.DataFrame:
    """Read a table of predictions, where it is a file."""
    if not isinstance(given, str | Path):
        return given
    import pandas as pd

    from pipeline.stages.tables.files import check_file, complain, open_table

    path = Path(given)
    check_file(path, str(given))
    source = open_table(path, str(given), hint=("row_id", "label", "prediction", "seed"))
    if source.format is None:
        return pd.read_parquet(path)
    from pyarrow import ArrowException, csv

    form = source.format
    try:
        table = csv.read_csv(  # its numbers are exact, and so are truths that are compared
            path,
            read_options=csv.ReadOptions(encoding=form.encoding),
            parse_options=csv.ParseOptions(delimiter=form.delimiter, newlines_in_values=True),
            convert_options=csv.ConvertOptions(decimal_point=form.decimal, null_values=[""], strings_can_be_null=True),
        )
    except ArrowException as error:
        raise complain(str(given), f"can't be read: {error}", "save the table again") from error
    frame: pd.DataFrame = table.to_pandas()
    return frame
