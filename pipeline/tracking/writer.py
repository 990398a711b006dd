"""The one writer: every value that reaches the tracking store passes through here."""

from __future__ import annotations

import getpass
import json
import os
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from mlflow.entities import Dataset as MlflowDataset
from mlflow.entities import DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from pipeline import databases
from pipeline.artifacts import EvaluatedModel, FittedEstimator, Search, Split, TrainedModel, Trial, TrialState
from pipeline.comparison.comparability import rows_digest
from pipeline.comparison.outcome import Outcome
from pipeline.experiment import Experiment
from pipeline.experiment_file import to_yaml
from pipeline.interruption import deferred
from pipeline.stages.baselines.storage import save_estimator
from pipeline.stages.checks import Finding
from pipeline.stages.ledger import RunKey
from pipeline.stages.tasks import TrainTask
from pipeline.stages.tune import SearchPlan
from pipeline.tracking import records
from pipeline.tracking.afterwards import set_status_afterwards
from pipeline.tracking.checksums import CHECKSUMS, checksums_of, load_checksums, save_checksums
from pipeline.tracking.files import save_searches, save_split
from pipeline.tracking.looks import earlier_compare, looks_at
from pipeline.tracking.provenance import Provenance
from pipeline.tracking.reader import read_provenance
from pipeline.tracking.records import Record
from pipeline.tracking.resume import (
    Reused,
    close_trials,
    find_reusable,
    name_of,
    reopen,
    reuse_notes,
    search_runs_of,
)
from pipeline.tracking.servable import log_servable
from pipeline.tracking.store import all_runs, connect, impatient, one_line, reaching
from pipeline.training.storage import save_history, save_network, save_snapshots

METRICS_PER_BATCH = 1000  # MLflow's limits on one log_batch call
TRIAL_STATUS: dict[TrialState, str] = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
DIGEST_LENGTH = 36  # MLflow's limit on a dataset's digest


class ComparisonWriter:
    """Writes one comparison: a parent run and its children.

    As a context manager it closes the parent: FINISHED, KILLED after an interrupt, FAILED after anything else; children
    that are still open are closed with it, and what went wrong stands in the tag `photofinish.reason`.
    """

    def __init__(
        self, client: MlflowClient, parent: Run, experiment: Experiment, token: str, continued: Run | None = None
    ) -> None:
        self._client = client
        self._parent = parent
        self._token = token
        self._experiment = experiment
        self.continued = continued  # the interrupted comparison that this one goes on with: itself, or another one
        # Asked now, since the variable is gone once MLflow has ended a run in this process.
        self._mlflow_run = os.getppid() if os.environ.get("MLFLOW_RUN_ID") == parent.info.run_id else None
        self._open_children: list[str] = []
        self._search_runs: dict[str, str] = {}  # study → run id
        self._earlier_searches = search_runs_of(client, parent.info.run_id) if continued else {}
        self._looks: dict[str, set[str]] = {}  # dataset → digests of the final rows looked at
        self._checksums: dict[str, dict[str, str]] = {}  # run id → those of its artifacts
        self.run_id: str = parent.info.run_id
        self.experiment_id: str = parent.info.experiment_id

    def __enter__(self) -> ComparisonWriter:
        return self

    @deferred()
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._delete_doubles()
            self._client.set_terminated(self.run_id, "FINISHED")
            return
        status = "KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED"
        reason = "interrupted" if status == "KILLED" else one_line(error)
        with suppress(MlflowException), impatient():  # the store may be what failed
            for run_id in (*self._open_children, self.run_id):
                self._client.set_tag(run_id, records.REASON, reason)
                self._client.set_terminated(run_id, status)
        if status == "KILLED" and self._mlflow_run == os.getppid():  # else it is gone, and writes no more
            set_status_afterwards(self.run_id, status)

    def _delete_doubles(self) -> None:
        """Delete runs that were made twice: MLflow asks again for a run when a server's answer got lost."""
        made_here = f"tags.`{records.WRITER}` = '{self._token}'"
        for run in all_runs(self._client, f"{made_here} AND attributes.status = 'RUNNING'"):
            if run.info.run_id != self.run_id:  # all others that are known are closed
                self._client.delete_run(run.info.run_id)

    @deferred()
    def describe(
        self, provenance: Provenance, file: str, splits: Sequence[Split], findings: Sequence[Finding]
    ) -> Provenance:
        """Log what the comparison is made of, before anything is trained; one that goes on has that already.

        Returns
        -------
        Provenance
            What is logged: where the comparison first came from.
        """
        if records.DESCRIBED in self._parent.data.tags:
            return read_provenance(self._parent)
        self._log(
            self.run_id,
            records.comparison_record(self._experiment, file, provenance.command, provenance.commit, findings),
        )
        with self._artifacts(self.run_id) as folder:
            (folder / "experiment.yaml").write_text(to_yaml(self._experiment), encoding="utf-8")
            summary = json.dumps(provenance.summary(), indent=2) + "\n"
            (folder / "provenance.json").write_text(summary, encoding="utf-8")
            if provenance.diff:
                (folder / "uncommitted.diff").write_text(provenance.diff, encoding="utf-8")
            for split in splits:
                save_split(split, folder / "data")
        self._log_inputs(self.run_id, splits, "comparison")
        self._client.set_tag(self.run_id, records.DESCRIBED, "true")
        return provenance

    def reusable(self, tasks: Sequence[TrainTask]) -> tuple[dict[RunKey, Reused], list[str]]:
        """Find the model runs that needn't be trained, here or in another comparison.

        Returns
        -------
        tuple
            The runs, and what to say of them.
        """
        found, unreadable = find_reusable(self._client, self.run_id, tasks)
        total, kept = sum(len(task.seeds) for task in tasks), sum(bool(one.run_id) for one in found.values())
        said = []
        if self.continued:
            said.append(f"going on with {name_of(self.continued)}: {kept} of {total} model runs are complete")
        said += reuse_notes(self._client, found.values(), total)
        return found, said + ([unreadable] if unreadable else [])

    @deferred()
    def enter_again(self, reused: Reused, split: Split) -> str:
        """Enter a model run of another comparison as a child: parameters and final numbers; the rest stays there."""
        record = records.training_record(reused.model.trained, split, self._experiment, self.run_id)
        tags = {**record.tags, records.REUSED_FROM: reused.origin.info.run_id}
        run_id = self._create_child(Record(tags=tags), reused.model.trained.started_at)
        self._log(run_id, Record(params=record.params))
        self._log_inputs(run_id, [split], "training")
        self._log(run_id, records.evaluation_record(reused.model, split))
        return run_id

    @deferred()
    def write_training(self, trained: TrainedModel, split: Split) -> str:
        """Log one model run's parameters, curves, weights and snapshots as a child; returns its run id."""
        record = records.training_record(trained, split, self._experiment, self.run_id)
        run_id = self._create_child(record, trained.started_at)
        self._log(run_id, Record(params=record.params, metrics=record.metrics))
        self._log_inputs(run_id, [split], "training")
        with self._artifacts(run_id) as folder:
            _save_model(trained, folder)
        return run_id

    @deferred()
    def mark_look(self, split: Split, *, is_new: bool) -> None:
        """Leave a mark, before final rows are read, that this comparison has looked at them.

        It is no new look where all that is shown of them was seen before.
        """
        name, digest = split.dataset.name, rows_digest(split)
        self._looks.setdefault(name, set()).add(digest)
        if is_new:
            self._client.set_tag(self.run_id, records.look_tag(digest), name)

    @deferred()
    def write_looks(self) -> dict[str, int]:
        """Log how often each dataset's final rows have been looked at by now, this comparison included."""
        counted, logged = looks_at(self._client, self._looks), self._parent.data.metrics
        looks = {name: int(logged.get(records.looks_metric(name), count)) for name, count in counted.items()}
        self._log_once(self._parent, records.looks_record(looks, time.time()))
        return looks

    @deferred()
    def write_evaluation(self, model: EvaluatedModel, split: Split, run_id: str, pictures: Mapping[str, bytes]) -> None:
        """Log one model run's final numbers, predictions, and pictures by file name.

        The UI's page for comparing runs shows files side by side that lie at the top of each run's artifacts.
        """
        self._log(run_id, records.evaluation_record(model, split))
        if model.predictions is None:
            return
        with self._artifacts(run_id) as folder:
            model.predictions.to_parquet(folder / "predictions.parquet", index=False)
            for file, content in pictures.items():
                (folder / file).write_bytes(content)

    @deferred()
    def write_servable(self, model: EvaluatedModel, split: Split, run_id: str, origin: Run | None = None) -> None:
        """Log the model run as a model that gives labels: the best run of a dataset × model.

        Where the run is reused, `origin` is the run that was trained: the model that it may have is this one's too.
        """
        served = origin.outputs.model_outputs if origin and origin.outputs else []
        if served:
            self._client.log_outputs(run_id, served)
        else:
            log_servable(model, split, run_id)
        self._client.set_tag(run_id, records.BEST, "true")

    @deferred()
    def finish(self, model: EvaluatedModel, run_id: str, *, evaluated: bool) -> None:
        """Close a child; the mark of completion comes last, when all of it is written."""
        trained = model.trained
        ended = _milliseconds(trained.started_at + trained.seconds)
        self._client.set_terminated(run_id, "FAILED" if trained.failure else "FINISHED", end_time=ended)
        if evaluated and not trained.failure:
            self._client.set_tag(run_id, records.STATUS, "complete")
        self._open_children.remove(run_id)

    @contextmanager
    def trial_runs(self, plan: SearchPlan, trials: Sequence[Trial]) -> Iterator[list[str]]:
        """Log trials as runs under the run of their search, and close them when the block ends well.

        The block is where their run ids are written elsewhere: a trial whose run is closed is known there too.
        """
        with deferred():
            study, parent = self._search_run(plan.study, plan.dataset, plan.model)
            run_ids = [self._write_trial(trial, study, parent, plan.objective) for trial in trials]
            yield run_ids
            for trial, run_id in zip(trials, run_ids, strict=True):
                self._client.set_terminated(
                    run_id, TRIAL_STATUS[trial.state], end_time=_milliseconds(trial.started_at + trial.seconds)
                )
                self._open_children.remove(run_id)

    @deferred()
    def finish_search(self, search: Search) -> None:
        """Log what a search has found, and close its run."""
        _, run_id = self._search_run(search.name, search.dataset, search.model)
        found, earlier = records.found_record(search, time.time()), self._earlier_searches.get(search.name)
        if earlier:
            close_trials(self._client, run_id, {t.run_id: TRIAL_STATUS[t.state] for t in search.trials if t.run_id})
            self._log_once(earlier, found)
        else:
            self._log(run_id, found)
        self._client.set_terminated(run_id, "FINISHED")
        self._open_children.remove(run_id)

    @deferred()
    def write_searches(self, searches: Sequence[Search]) -> None:
        """Log all searches to the parent, from where the report reads them."""
        with self._artifacts(self.run_id) as folder:
            save_searches(searches, folder)

    def _search_run(self, study: str, dataset: str, model: str) -> tuple[Record, str]:
        """Return what the run of a search says, and its id; opened on first use, or again."""
        record = records.search_record(study, dataset, model, self._experiment, self.run_id)
        if study not in self._search_runs:
            earlier = self._earlier_searches.get(study)
            run_id = self._reopen_child(earlier) if earlier else self._create_child(record, time.time())
            self._search_runs[study] = run_id
            self._log(run_id, Record(params=record.params))
        return record, self._search_runs[study]

    def _write_trial(self, trial: Trial, study: Record, parent: str, objective: str) -> str:
        record = records.trial_record(trial, study, parent, objective)
        run_id = self._create_child(record, trial.started_at)
        self._log(run_id, Record(params=record.params, metrics=record.metrics))
        return run_id

    def _create_child(self, record: Record, started_at: float) -> str:
        run = self._client.create_run(
            self.experiment_id,
            start_time=_milliseconds(started_at),
            tags={**record.tags, records.USER: getpass.getuser(), records.WRITER: self._token},
            run_name=record.tags[records.RUN_NAME],
        )
        run_id: str = run.info.run_id
        self._checksums[run_id] = {}
        self._open_children.append(run_id)
        return run_id

    def _reopen_child(self, run: Run) -> str:
        run_id: str = run.info.run_id
        self._open_children.append(run_id)
        reopen(self._client, run)
        return run_id

    @deferred()
    def write_tables(self, folder: Path) -> None:
        """Log the tables of all model runs to the parent."""
        self._log_files(self.run_id, folder)

    @deferred()
    def write_report(self, folder: Path) -> None:
        """Log a report's page, pictures and verdicts to the parent; its tables are there already."""
        self._client.log_artifact(self.run_id, str(folder / "verdicts.json"))
        self._client.log_artifact(self.run_id, str(folder / "index.html"), "report")
        self._client.log_artifacts(self.run_id, str(folder / "figures"), "report/figures")

    @deferred()
    def write_verdicts(self, outcome: Outcome) -> None:
        """Log what is said of the models to the parent: scalars as metrics, sentences as its description."""
        self._log_once(self._parent, records.verdict_record(outcome, self._experiment.question, time.time()))

    @deferred()
    def write_stage_seconds(self, seconds: Mapping[str, float]) -> None:
        """Log each stage's wall time to the parent."""
        self._log_once(self._parent, records.stage_seconds_record(seconds, time.time()))

    def _log_once(self, run: Run, record: Record) -> None:
        """Log but for the metrics that a run had when it was taken up: a value logged twice is a step too many."""
        new = tuple(point for point in record.metrics if point.key not in run.data.metrics)
        self._log(run.info.run_id, replace(record, metrics=new))

    def _log(self, run_id: str, record: Record) -> None:
        params = [Param(key, value) for key, value in record.params.items()]
        tags = [RunTag(key, value) for key, value in record.tags.items()]
        metrics = _metrics(record)
        first, rest = metrics[: METRICS_PER_BATCH - len(params)], metrics[METRICS_PER_BATCH - len(params) :]
        self._client.log_batch(run_id, first, params, tags)
        for start in range(0, len(rest), METRICS_PER_BATCH):
            self._client.log_batch(run_id, rest[start : start + METRICS_PER_BATCH])

    def _log_inputs(self, run_id: str, splits: Sequence[Split], context: str) -> None:
        inputs = [_dataset_input(split, context) for split in splits]
        # Of several workers that begin a search at once, MLflow lets one enter a dataset in an experiment.
        databases.again_when_outrun(self._client.log_inputs)(run_id, inputs)

    @contextmanager
    def _artifacts(self, run_id: str) -> Iterator[Path]:
        """Return a folder whose files become artifacts of a run when the block ends well."""
        with tempfile.TemporaryDirectory(prefix="photofinish-") as folder:
            yield Path(folder)
            self._log_files(run_id, Path(folder))

    def _log_files(self, run_id: str, folder: Path) -> None:
        """Log a folder's files, and their checksums beside those of what the run has already."""
        if run_id not in self._checksums:
            self._checksums[run_id] = self._logged_checksums(run_id)
        self._checksums[run_id] |= checksums_of(folder)
        save_checksums(self._checksums[run_id], folder)
        self._client.log_artifacts(run_id, str(folder))

    def _logged_checksums(self, run_id: str) -> dict[str, str]:
        if not any(file.path == CHECKSUMS for file in self._client.list_artifacts(run_id)):
            return {}
        with tempfile.TemporaryDirectory(prefix="photofinish-") as folder:
            file = Path(self._client.download_artifacts(run_id, CHECKSUMS, folder))
            return load_checksums(file, f"run {run_id}")


@deferred()
@reaching()
def write_compare(
    run_ids: Sequence[str], rows: Mapping[str, Collection[str]], looks: Mapping[str, int], folder: Path
) -> None:
    """Log what a `compare` has found as a run of its own, in the MLflow experiment of the first run that it names.

    Runs that were compared before have their run already, and are logged there.

    Parameters
    ----------
    run_ids:
        The runs compared.
    rows:
        Dataset → digests of the final rows it looked at.
    looks:
        Dataset → looks at them, this one included.
    folder:
        With `verdicts.json`, and the page where there is one.
    """
    client = connect()
    earlier = earlier_compare(client, run_ids)
    if earlier:
        _log_compared(client, earlier, folder)
        return
    first = client.get_run(run_ids[0])
    record = records.compare_record(first.data.tags[records.EXPERIMENT], run_ids, rows, looks, time.time())
    tags = {**record.tags, records.USER: getpass.getuser()}
    run = client.create_run(first.info.experiment_id, tags=tags, run_name=record.tags[records.RUN_NAME])
    run_id, status = run.info.run_id, "FAILED"
    try:
        client.log_batch(run_id, _metrics(record))
        _log_compared(client, run_id, folder)
        status = "FINISHED"
    finally:
        client.set_terminated(run_id, status)


def _log_compared(client: MlflowClient, run_id: str, folder: Path) -> None:
    client.log_artifact(run_id, str(folder / "verdicts.json"))
    if (folder / "index.html").exists():
        client.log_artifact(run_id, str(folder / "index.html"), "report")


def fail_run(run_id: str, reason: str) -> None:
    """Close a run that `mlflow run` made for work that couldn't begin."""
    client = connect()
    client.set_tag(run_id, records.REASON, reason)
    client.set_tag(run_id, records.NOTE, reason)
    client.set_terminated(run_id, "FAILED")


def _dataset_input(split: Split, context: str) -> DatasetInput:
    """Describe a dataset to MLflow; the digest, over its full content, is cut to the length MLflow takes."""
    dataset = split.dataset
    profile = {
        "rows": len(dataset.target),
        "features": dataset.n_features,
        "inputs": len(split.input_names),
        "classes": len(dataset.class_names),
        **{part: len(split.rows(part)) for part in ("train", "validation", "test")},
    }
    schema: dict[str, Any] = {"features": list(dataset.feature_names), "classes": list(dataset.class_names)}
    if dataset.columns:
        schema["kinds"] = [column.written_kind for column in dataset.columns]
    source = {"uri" if dataset.columns else "function": dataset.source, "sha256": dataset.digest}
    entity = MlflowDataset(
        name=dataset.name,
        digest=dataset.digest[:DIGEST_LENGTH],
        source_type="local" if dataset.columns else "code",
        source=json.dumps(source),
        schema=json.dumps(schema),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset=entity, tags=[InputTag("mlflow.data.context", context)])


def _save_model(trained: TrainedModel, folder: Path) -> None:
    """Write a network, with how it learned, to `network/`, or an estimator of scikit-learn to `estimator/`."""
    kind = folder / ("estimator" if isinstance(trained.network, FittedEstimator) else "network")
    kind.mkdir()
    if isinstance(trained.network, FittedEstimator):
        save_estimator(trained.network, kind)
        return
    save_network(trained.network, kind)
    save_history(trained.history, kind)
    if trained.snapshots is not None:
        save_snapshots(trained.snapshots, kind)


def _metrics(record: Record) -> list[Metric]:
    return [Metric(m.key, m.value, _milliseconds(m.time), m.step) for m in record.metrics]


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
