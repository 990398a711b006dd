"""The model registry: which model of an experiment's dataset is the champion, and how another becomes it."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from pipeline.errors import BadInput, Refused, StoreError
from pipeline.interruption import deferred
from pipeline.stages.compare import CompareInput
from pipeline.stages.promote import Contender, Ruling
from pipeline.tracking import records
from pipeline.tracking.compared import AGAIN, check_spelled, comparison_of, find_run, read_compared
from pipeline.tracking.descriptions import version_note
from pipeline.tracking.reader import model_runs
from pipeline.tracking.servable import download_servable
from pipeline.tracking.store import as_typed, connect, one_line, reaching

ALIAS = "champion"
LONGEST_NAME = 256  # what the registry's tables have room for


@dataclass(frozen=True)
class Champion:
    """The version that the alias stands for, and the run that it says it comes from."""

    version: str
    run_id: str  # empty where it says nothing


def find_candidate(text: str) -> Contender:
    """Find the model run that is to be promoted.

    Parameters
    ----------
    text:
        Its run id, or the beginning of it, of at least 8 digits.

    Raises
    ------
    BadInput
        When there is no such run, it is no finished model run, or another run has the servable model; those that can be
        promoted are named.
    StoreError
        When its model can't be read, or was damaged.
    """
    check_spelled(text)
    client = connect()
    run = find_run(client, text)
    role = run.data.tags.get(records.ROLE, "not one of Photofinish")
    if role == "comparison":
        raise _is_comparison(run, model_runs(client, run.info.run_id))
    if role != "model":
        raise BadInput(f"is no model run ({role})", field=run.info.run_id, remedy="give a model run's id")
    parent = comparison_of(client, run)
    if records.BEST not in run.data.tags:
        raise _is_not_served(run, model_runs(client, parent.info.run_id))
    _check_whole(run)
    return _contender(run)


def _check_whole(run: Run) -> None:
    """Refuse a model that was damaged in the store."""
    with tempfile.TemporaryDirectory(prefix="photofinish-") as folder:
        try:
            download_servable(f"models:/{_logged_model(run)}", folder)
        except (MlflowException, OSError) as error:
            raise StoreError(f"the model of run {run.info.run_id} can't be read: {one_line(error)}") from error


def _contender(run: Run) -> Contender:
    tags, params = run.data.tags, run.data.params
    return Contender(
        run.info.run_id, tags[records.EXPERIMENT], params["dataset"], params["model"], tags.get(records.DATA, "")
    )


def _is_comparison(run: Run, children: Sequence[Run]) -> BadInput:
    """Name the runs of a comparison that can be promoted; which of them is to be served is for people to say."""
    listed = ", ".join(
        f"{child.data.params['dataset']} · {child.data.params['model']} {child.info.run_id}"
        for child in children
        if records.BEST in child.data.tags
    )
    remedy = f"give the run to promote: {listed}" if listed else AGAIN
    return BadInput("is a comparison, not a model run", field=run.info.run_id, remedy=remedy)


def _is_not_served(run: Run, siblings: Sequence[Run]) -> BadInput:
    """Name the run of the same dataset and model whose model was logged."""
    own = [run.data.params[key] for key in ("dataset", "model")]
    alike = [one for one in siblings if [one.data.params[key] for key in ("dataset", "model")] == own]
    served = next((one for one in alike if records.BEST in one.data.tags), None)
    remedy = f"promote {served.info.run_id} ({served.info.run_name})" if served else AGAIN
    problem = f"has no servable model: only the best run of {' · '.join(own)} has one"
    return BadInput(problem, field=run.info.run_id, remedy=remedy)


def check_length(name: str) -> None:
    """Refuse a name that is too long for the registry.

    Raises
    ------
    BadInput
        Naming the remedy.
    """
    if len(name) > LONGEST_NAME:
        problem = f"{name[:20]!r}… has {len(name)} characters, and the registry takes {LONGEST_NAME}"
        raise BadInput(problem, field="--as", remedy="give a shorter name")


def find_champion(name: str) -> Champion | None:
    """Return the champion of a registered model; None where there is none yet."""
    client = connect()
    version = _aliased(client, name)
    return Champion(str(version.version), version.run_id or "") if version else None


def _aliased(client: MlflowClient, name: str) -> ModelVersion | None:
    try:
        aliases = client.get_registered_model(name).aliases
        return client.get_model_version(name, aliases[ALIAS]) if ALIAS in aliases else None
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise StoreError(f"the model registry: {one_line(error)}") from error


def read_challenge(candidate: Contender, champion: Champion) -> tuple[CompareInput, Contender]:
    """Read the candidate's predictions and the champion's, as `compare` does, by the champion's settings.

    Raises
    ------
    Refused
        When they can't be compared: the champion's run isn't there, or the numbers rest on different things.
    """
    client = connect()
    try:
        present = _contender(_run_of(client, champion))
        if present.dataset != candidate.dataset:
            others = f"dataset {candidate.dataset} against {present.dataset}"
            raise BadInput(others, remedy="promote it by another name: --as NAME")
        source = read_compared([champion.run_id, candidate.run_id])
    except BadInput as error:
        whose = f"{candidate.name} can't be held against the champion, version {champion.version}"
        raise Refused(f"{whose}: {error}") from error
    return source.against(present.model), present


def _run_of(client: MlflowClient, champion: Champion) -> Run:
    if not champion.run_id:
        raise BadInput("it doesn't say from which run it is")
    run = find_run(client, champion.run_id)
    comparison_of(client, run)
    return run


@deferred()
@reaching()
def register(candidate: Contender, name: str, ruling: Ruling, before: Champion | None) -> str:
    """Register the candidate's model as a new version, and make it champion; returns the version.

    The alias comes last but for the run's own tag: until then the former champion is served.
    """
    client = connect()
    version = _new_version(client, candidate, name, ruling, before)
    client.set_registered_model_alias(name, ALIAS, version)
    client.set_tag(candidate.run_id, records.PROMOTED, f"{name}/{version}")
    return version


def _new_version(client: MlflowClient, candidate: Contender, name: str, ruling: Ruling, before: Champion | None) -> str:
    source = _logged_model(client.get_run(candidate.run_id))
    try:
        _ensure(client, name)
        made = client.create_model_version(
            name,
            source=f"models:/{source}",
            run_id=candidate.run_id,
            model_id=source,
            tags=records.version_tags(candidate, ruling, before.version if before else ""),
            description=version_note(candidate, ruling),
        )
    except MlflowException as error:
        raise StoreError(f"the model registry: {one_line(error)}") from error
    return str(made.version)


def _ensure(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _logged_model(run: Run) -> str:
    """Id of the model that a run has logged."""
    outputs = run.outputs.model_outputs if run.outputs else []
    if not outputs:
        raise StoreError(f"run {run.info.run_id} has lost its model; {AGAIN}")
    model_id: str = outputs[-1].model_id
    return model_id


def address(name: str) -> str:
    """Address under which the champion is loaded and served."""
    return f"models:/{name}@{ALIAS}"


def serve_command(name: str) -> str:
    """Command line that serves the champion."""
    return as_typed(f"mlflow models serve -m {shlex.quote(address(name))} --env-manager local")


def by_hand(candidate: Contender, name: str) -> str:
    """Command line that makes a model champion whatever the verdict."""
    code = (
        f"import mlflow; version = mlflow.register_model('runs:/{candidate.run_id}/model', '{name}').version;"
        f" mlflow.MlflowClient().set_registered_model_alias('{name}', '{ALIAS}', version)"
    )
    return as_typed(f'python -c "{code}"')
