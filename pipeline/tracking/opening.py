"""The run that a comparison is written to: found or made, of one experiment of MLflow's, owned by one process."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from uuid import uuid4

from mlflow.entities import Experiment as MlflowExperiment
from mlflow.entities import Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from pipeline.errors import StoreError
from pipeline.experiment import Experiment
from pipeline.interruption import deferred
from pipeline.tracking import lease, records
from pipeline.tracking.resume import find_interrupted, take_over, take_up
from pipeline.tracking.store import connect, reaching
from pipeline.tracking.writer import ComparisonWriter

# Opens the UI on its pages for training runs; without it they lie behind those for language models.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}


@contextmanager
def open_comparison(
    experiment: Experiment, identity: str, *, fresh: bool, excludes: bool, note: Callable[[str], None]
) -> Iterator[ComparisonWriter]:
    """Open the parent run, and close it after the block; meanwhile this process owns the experiment.

    The parent is the run that `mlflow run` made, which takes over what an interrupted comparison has left; else that
    interrupted comparison, which goes on; else a new one. It lies in the MLflow experiment that `mlflow run` or
    MLFLOW_EXPERIMENT_NAME / _ID chose, else in the one called as the file's `name`.

    Parameters
    ----------
    experiment:
        What is to be run.
    identity:
        SHA-256 over all that is to be done: a comparison goes on with one of the same.
    fresh:
        Whether to go on with none.
    excludes:
        Whether nobody else may train the same at the same time.
    note:
        Told what one waits for.

    Raises
    ------
    Occupied
        When another process runs the same experiment; nothing was created then.
    StoreError
        When the store can't be reached, in the block too, or the experiment was deleted in it.
    DiskError
        When artifacts can't be written.
    """
    with reaching():
        client = connect(make=True)
        with deferred():
            given = os.environ.get("MLFLOW_RUN_ID", "")
            made = client.get_run(given) if given else None
            experiment_id = made.info.experiment_id if made else _experiment_id(client, experiment.name)
        with (
            lease.take(client, experiment_id, experiment.name, excludes=excludes, note=note) as owner,
            ExitStack() as stack,
        ):
            with deferred():  # a signal now is raised when the run is known to the stack, which closes it
                # Those that only search share their trials, and may all be at it.
                goes_on = excludes and not fresh
                interrupted = find_interrupted(client, experiment_id, identity, given) if goes_on else None
                tags = {**lease.owner_tag(owner), records.IDENTITY: identity}
                comparison = stack.enter_context(_open(client, experiment, experiment_id, made, interrupted, tags))
            yield comparison


def _open(
    client: MlflowClient,
    experiment: Experiment,
    experiment_id: str,
    made: Run | None,
    interrupted: Run | None,
    tags: Mapping[str, str],
) -> ComparisonWriter:
    """Open the run that `mlflow run` made, else the interrupted one, else a new one, with all that goes on in it."""
    token = uuid4().hex
    tags = {
        **tags,
        records.ROLE: "comparison",
        records.EXPERIMENT: experiment.name,
        records.WRITER: token,
    }
    run_id = _open_run(client, made or interrupted, experiment_id, experiment.name, tags)
    if made and interrupted:
        take_over(client, interrupted, run_id)
    elif interrupted:
        take_up(client, interrupted)
    return ComparisonWriter(client, client.get_run(run_id), experiment, token, interrupted)


def _open_run(client: MlflowClient, there: Run | None, experiment_id: str, name: str, tags: Mapping[str, str]) -> str:
    """Return the id of a run that is open, with tags that say whose it is; of a new one unless there is one."""
    if there is None:
        run = client.create_run(experiment_id, tags={**tags, records.USER: getpass.getuser()}, run_name=name)
        return str(run.info.run_id)
    run_id: str = there.info.run_id
    client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
    client.update_run(run_id, status="RUNNING", name=there.info.run_name or name)
    return run_id


def _experiment_id(client: MlflowClient, name: str) -> str:
    chosen: str | None = os.environ.get("MLFLOW_EXPERIMENT_ID")
    if chosen:
        return chosen
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or name
    found = client.get_experiment_by_name(name) or _create_experiment(client, name)
    if found.lifecycle_stage == "deleted":
        raise StoreError(
            f"the MLflow experiment {name!r} was deleted;"
            f" restore it by: mlflow experiments restore -x {found.experiment_id}"
        )
    experiment_id: str = found.experiment_id
    return experiment_id


def _create_experiment(client: MlflowClient, name: str) -> MlflowExperiment:
    try:
        return client.get_experiment(client.create_experiment(name, tags=EXPERIMENT_TAGS))
    except MlflowException:
        found = client.get_experiment_by_name(name)
        if found is None:
            raise
        return found  # another process has just made it
