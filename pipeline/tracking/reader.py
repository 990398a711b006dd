"""Reading a comparison back from the tracking store, whole enough to make its report again."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import mlflow
import pandas as pd
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from pipeline.artifacts import Split
from pipeline.comparison.comparability import Terms, check, short
from pipeline.errors import BadInput, StoreError
from pipeline.experiment_file import check as check_experiment
from pipeline.experiment_file import read_yaml, to_yaml
from pipeline.stages.baselines.spec import KEY
from pipeline.stages.baselines.storage import load_estimator
from pipeline.stages.checks import check_data
from pipeline.stages.evaluate import final_metrics
from pipeline.stages.metrics import metrics_of
from pipeline.stages.reporting.source import ReportInput, Representative, median_runs
from pipeline.tracking import records
from pipeline.tracking.checksums import CHECKSUMS, load_checksums, verify
from pipeline.tracking.files import load_searches, load_split
from pipeline.tracking.provenance import Provenance
from pipeline.tracking.store import address, all_runs, connect, one_line
from pipeline.training.storage import load_network, load_snapshots

# What reading a damaged file may end in, where no checksum tells of the damage first: runs of older versions have none.
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError)


def latest_comparison(experiment: str) -> str:
    """Run id of the newest finished comparison of an experiment, by the file's `name`.

    Raises
    ------
    StoreError
        When the store holds none.
    """
    client = connect()
    experiment_ids = [found.experiment_id for found in client.search_experiments()]
    name = experiment.replace("'", "")  # the filter language knows no escapes; names hold no quotes anyway
    runs = client.search_runs(
        experiment_ids,
        f"tags.`{records.EXPERIMENT}` = '{name}' and tags.`{records.ROLE}` = 'comparison'"
        " and attributes.status = 'FINISHED'",
        run_view_type=ViewType.ACTIVE_ONLY,
        order_by=["attributes.start_time DESC"],
        max_results=20,
    )
    for run in runs:
        if any(file.path == "predictions.parquet" for file in client.list_artifacts(run.info.run_id)):
            run_id: str = run.info.run_id
            return run_id
    raise StoreError(
        f"{address()} holds no finished comparison of {experiment!r}; make one by: photofinish run {experiment}"
    )


def read_comparison(run_id: str) -> ReportInput:
    """Read everything the report needs of a comparison.

    Raises
    ------
    StoreError
        When its artifacts are incomplete.
    """
    client = connect()
    run = client.get_run(run_id)
    _check_children(client, run_id)
    with artifacts(run) as folder:
        try:
            experiment = check_experiment(read_yaml(folder / "experiment.yaml"), f"run {run_id}: experiment.yaml")
            splits = {name: load_split(name, folder / "data") for name in experiment.datasets}
            runs, ledger = _runs_and_ledger(folder, splits)
            history = pd.read_parquet(folder / "history.parquet")
            searches = load_searches(folder)
            provenance, changes = _provenance(folder)
        except UNREADABLE as error:
            raise StoreError(f"run {run_id} is not a finished comparison: {one_line(error)}") from error
    metrics = experiment.first_metrics({name: split.dataset.task for name, split in splits.items()})
    return ReportInput(
        run_id=run_id,
        name=experiment.name,
        question=experiment.question,
        models=tuple(experiment.models),
        metrics=metrics,
        splits=splits,
        findings=check_data(splits),
        resamples=experiment.resamples,
        shared_tables=experiment.shared_tables,
        runs=runs,
        ledger=ledger,
        history=history,
        representatives={
            key: _representative(client, seed, child) for key, (seed, child) in median_runs(runs, metrics).items()
        },
        provenance={"begun": "", **provenance},  # those that Photofinish 0.1 wrote don't say
        diff=changes,
        experiment=to_yaml(experiment),
        searches=searches,
        spec=experiment.compare,
        goal=experiment.threshold,
        looks=_looks(run, splits),
    )


def _looks(run: Run, datasets: Iterable[str]) -> dict[str, int]:
    names = {name: records.looks_metric(name) for name in datasets}
    return {name: int(run.data.metrics[metric]) for name, metric in names.items() if metric in run.data.metrics}


def read_provenance(run: Run) -> Provenance:
    """Read where a comparison came from."""
    with artifacts(run) as folder:
        return Provenance.from_summary(*_provenance(folder))


def _provenance(folder: Path) -> tuple[dict[str, Any], str]:
    """Return `provenance.json`, and the uncommitted changes, where there were any."""
    diff = folder / "uncommitted.diff"
    changes = diff.read_text(encoding="utf-8") if diff.is_file() else ""
    return json.loads((folder / "provenance.json").read_text(encoding="utf-8")), changes


def _runs_and_ledger(folder: Path, splits: Mapping[str, Split]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return `metrics.csv` and `predictions.parquet`, with what was added to them since they were written."""
    runs = pd.read_csv(folder / "metrics.csv", keep_default_na=True, dtype={"reused_from": "str"})
    ledger = pd.read_parquet(folder / "predictions.parquet")
    if "threshold" not in ledger:  # made before there was a choice
        ledger["threshold"] = runs["threshold_low"] = runs["threshold_high"] = 0.5
    if "reused_from" not in runs:  # made before runs were reused
        runs["reused_from"] = ""
    return _with_later_metrics(runs.fillna({"reused_from": ""}), ledger, splits), ledger


def _with_later_metrics(runs: pd.DataFrame, ledger: pd.DataFrame, splits: Mapping[str, Split]) -> pd.DataFrame:
    """Add the metrics that came after a comparison was made; its predictions hold them."""
    tasks = [splits[name].dataset.task for name in ledger["dataset"].unique()]
    known = dict.fromkeys(metric for task in tasks for metric in metrics_of(task))
    missing = [metric for metric in known if metric not in runs]
    if not missing:
        return runs
    found = {
        run_id: final_metrics(
            splits[own["dataset"].iloc[0]], own.dropna(axis="columns", how="all"), own["threshold"].iloc[0]
        )
        for run_id, own in ledger.groupby("run_id")
    }
    return runs.join(pd.DataFrame.from_dict(found, orient="index")[missing], on="run_id")


def model_runs(client: MlflowClient, run_id: str) -> list[Run]:
    """Return a comparison's finished model runs, in the order of their names."""
    found = all_runs(
        client,
        f"tags.`{records.PARENT}` = '{run_id}' and tags.`{records.ROLE}` = 'model'"
        f" and tags.`{records.STATUS}` = 'complete'",
    )
    return sorted(found, key=lambda run: str(run.info.run_name))


def check_terms(runs: Iterable[Run]) -> None:
    """Refuse model runs that speak of one dataset and resample, but whose numbers rest on different things.

    Raises
    ------
    BadInput
        Naming two runs and what differs.
    """
    by_cell: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        by_cell.setdefault((run.data.params["dataset"], run.data.params.get("resample", "0")), []).append(run)
    for of in by_cell.values():
        check(terms_of(of))


def terms_of(runs: Iterable[Run]) -> dict[str, Terms]:
    """Return what the numbers of model runs rest on, by what a complaint calls these runs."""
    return {
        f"{run.info.run_name} ({short(run.info.run_id)} of {short(run.data.tags[records.PARENT])})": records.terms_of(
            run.data.tags, run.data.params
        )
        for run in runs
    }


def _check_children(client: MlflowClient, run_id: str) -> None:
    try:
        check_terms(model_runs(client, run_id))
    except BadInput as error:
        raise StoreError(
            f"the model runs of {run_id} don't belong together: {error.problem}; run the experiment again"
        ) from error


@contextmanager
def artifacts(run: Run, path: str = "") -> Iterator[Path]:
    """Return a folder with a run's artifacts, or those under a path, for as long as the block lasts.

    They are what was written: each is held against its checksum. Runs of older versions have none.

    Raises
    ------
    StoreError
        When there are none, or one is missing or was damaged.
    """
    run_id = run.info.run_id
    with tempfile.TemporaryDirectory(prefix="photofinish-") as name:
        try:
            folder = _downloaded(f"{run.info.artifact_uri}/{path}".rstrip("/"), name)
            verify(folder, _checksums(run, name), f"run {run_id}", path)
            yield folder
        except (MlflowException, OSError) as error:
            raise StoreError(f"artifacts of run {run_id}: {one_line(error)}") from error


def _checksums(run: Run, folder: str) -> dict[str, str]:
    """Checksums of a run's artifacts; none of a run that an older version wrote."""
    uri = str(run.info.artifact_uri)
    listed = mlflow.artifacts.list_artifacts(artifact_uri=uri)
    if not any(PurePosixPath(file.path).name == CHECKSUMS for file in listed):
        return {}
    return load_checksums(_downloaded(f"{uri}/{CHECKSUMS}", folder), f"run {run.info.run_id}")


def _downloaded(uri: str, folder: str) -> Path:
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))


def origin_of(client: MlflowClient, run: Run) -> Run:
    """Return the model run that was trained, and has the artifacts: another one where a run was reused.

    Raises
    ------
    StoreError
        When it was deleted.
    """
    origin_id = run.data.tags.get(records.REUSED_FROM)
    if origin_id is None:
        return run
    try:
        origin = client.get_run(origin_id)
    except MlflowException as error:
        raise StoreError(f"run {run.info.run_id} is reused from {origin_id}: {one_line(error)}") from error
    if origin.info.lifecycle_stage == "deleted":
        raise StoreError(f"run {run.info.run_id} is reused from {origin_id}, which was deleted")
    return origin


def _representative(client: MlflowClient, seed: int, run_id: str) -> Representative:
    run = origin_of(client, client.get_run(run_id))
    if KEY in run.data.params:
        with artifacts(run, "estimator") as folder:
            return Representative(seed, run_id, load_estimator(folder))
    with artifacts(run, "network") as folder:
        return Representative(seed, run_id, load_network(folder), load_snapshots(folder))
