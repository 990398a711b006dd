"""Reaching the tracking store."""

from __future__ import annotations

import inspect
import logging
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import mlflow
from mlflow.entities import Experiment, Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from requests import RequestException
from sqlalchemy.exc import SQLAlchemyError

from pipeline import databases
from pipeline.errors import BadInput, DiskError, StoreError

P = ParamSpec("P")
Result = TypeVar("Result")

SERVED_DATABASES = ("postgresql", "mysql", "mssql")  # what MLflow takes, beside SQLite
USER, PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"  # names of variables
FEW_RETRIES = 2  # MLflow waits 0 and 4 seconds before them


def again_when_broken_off(function: Callable[P, Result]) -> Callable[P, Result]:
    """Call a function again when a server went away in the midst of its answer; a decorator.

    MLflow tries again where a server can't be reached or gives no answer, but not where the answer has begun. What the
    function asks for may have been done, and is done twice then.
    """
    return databases.again_when(_is_broken_off, function)


def _is_broken_off(error: Exception) -> bool:
    # urllib3's words, which MLflow puts into its own.
    return isinstance(error, MlflowException | RequestException) and "Connection broken" in str(error)


class PatientClient(MlflowClient):
    """MLflow's client, but that it bears answers that break off."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        for name, method in inspect.getmembers(self, inspect.ismethod):
            if not name.startswith("_"):
                setattr(self, name, again_when_broken_off(method))


def tracking_uri() -> str:
    """Return the address of the store: MLFLOW_TRACKING_URI, else `mlflow.db` in the working directory."""
    # Absolute, since MLflow keeps a store's connections by their address, wherever the process has gone since.
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path.cwd() / 'mlflow.db'}"


def address() -> str:
    """Return the address of the store for people to read, without a password."""
    return databases.shown(tracking_uri())


def as_typed(command: str) -> str:
    """Put the store's address, less a password, before a command line that wouldn't find the store by itself."""
    uri, default = address(), f"sqlite:///{Path.cwd() / 'mlflow.db'}"
    return command if uri in ("sqlite:///mlflow.db", default) else f"MLFLOW_TRACKING_URI={shlex.quote(uri)} {command}"


def connect(*, make: bool = False) -> MlflowClient:
    """Return a client of the store that MLFLOW_TRACKING_URI names, else of `mlflow.db` in the working directory.

    Parameters
    ----------
    make:
        Whether a file of SQLite that isn't there is made; who only looks for runs leaves no empty store behind.

    Raises
    ------
    BadInput
        When the address is a database's whose driver isn't installed, or a file's that isn't there.
    StoreError
        When the address is none that MLflow knows, or the store doesn't open.
    """
    # The first use of a database logs every migration; a newcomer would take it for something gone wrong.
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # An interrupt may come in the middle of a query. Its connection is then thrown away, which is all there is to do,
    # but the pool reports that at length. So does MLflow report what it raises as well.
    for name in ("sqlalchemy.pool", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # progress is ours to show
    # So are addresses: towards a server MLflow would print two lines for every run that ends, and read the whole run
    # back for it.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    uri = tracking_uri()
    mlflow.set_tracking_uri(uri)
    databases.be_patient()
    try:
        if not make and databases.is_missing(uri):
            raise BadInput(
                f"there is no tracking store at {address()}",
                remedy="go to the folder that the runs were made in, or set MLFLOW_TRACKING_URI",
            )
        if uri.startswith(SERVED_DATABASES):
            databases.check_driver(uri, "MLFLOW_TRACKING_URI")
        with databases.one_at_a_time(uri):
            databases.make_whole(uri, _make_tables)
            return _open(uri)
    except (BadInput, DiskError):
        raise
    except Exception as error:  # drivers and HTTP clients raise errors of their own
        raise unusable(error) from error


def _make_tables(uri: str) -> None:
    """Make the tables of an empty database, as MLflow does when it opens one."""
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(uri, DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)  # type: ignore[no-untyped-call]
    store.engine.dispose()


def _open(uri: str) -> MlflowClient:
    """Open the store, which makes its tables where there are none."""
    client = PatientClient(uri)
    databases.again_when_outrun(client.search_experiments)(max_results=1)
    return client


@contextmanager
def reaching() -> Iterator[None]:
    """Turn what MLflow raises when a store fails, or no longer answers, into one line.

    MLflow has tried again by then: for some four minutes, unless MLFLOW_HTTP_REQUEST_MAX_RETRIES says otherwise.

    Raises
    ------
    StoreError
        In its place.
    DiskError
        When artifacts can't be written.
    """
    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError) as error:  # the last: where MLflow's rollback fails too
        raise unusable(error) from error
    except OSError as error:
        if not DiskError.speaks_of(error):
            raise
        raise DiskError.of(error) from error
    except ModuleNotFoundError as error:
        if error.name != "boto3":
            raise
        remedy = "pip install 'photofinish[s3]'"
        raise StoreError(f"artifacts in S3 need boto3, which isn't here; {remedy}") from error
    except Exception as error:
        if not type(error).__module__.startswith(("boto3.", "botocore.")):  # which needn't be installed
            raise
        raise StoreError(f"the artifact store can't be used: {one_line(error)}") from error


@contextmanager
def impatient() -> Iterator[None]:
    """Have MLflow give up within seconds where a server doesn't answer: for what is well to have, and no more."""
    name = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
    before = os.environ.get(name)
    os.environ[name] = str(min(int(before or FEW_RETRIES), FEW_RETRIES))
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def unusable(error: Exception) -> StoreError:
    """Return the line about a store that doesn't answer as it should."""
    store = f"the tracking store {address()}"
    if databases.is_locked(error):
        return StoreError(databases.locked(store))
    text = one_line(error)
    if "error code 401" in text:
        return StoreError(f"{store} {_login_refused()}")
    if "error code 403" in text:
        return StoreError(
            f"{store} doesn't let {os.environ.get(USER, 'you')} do this: {text}; ask who runs it for the right"
        )
    away = "Max retries exceeded" in text  # urllib3's words; what follows them is no help to anyone
    return StoreError(f"{store} " + ("doesn't answer" if away else f"can't be used: {text}"))


def _login_refused() -> str:
    user = os.environ.get(USER)
    if user and os.environ.get(PASSWORD):
        return f"doesn't know user {user!r} with this password; set {USER} and {PASSWORD} to what it knows"
    return f"asks for a login; set {USER} and {PASSWORD}"


def all_runs(client: MlflowClient, filter_string: str) -> Iterator[Run]:
    """Go through the runs of all experiments that fit a filter, page by page; deleted ones are left out."""
    everywhere = experiment_ids(client)
    token: str | None = None
    while token != "":
        page = client.search_runs(everywhere, filter_string, ViewType.ACTIVE_ONLY, page_token=token)
        yield from page
        token = page.token or ""


def experiment_ids(client: MlflowClient) -> list[str]:
    """Return the ids of all MLflow experiments; deleted ones are left out."""
    return [experiment.experiment_id for experiment in _all_experiments(client)]


def _all_experiments(client: MlflowClient) -> Iterator[Experiment]:
    token: str | None = None
    while token != "":
        page = client.search_experiments(page_token=token)
        yield from page
        token = page.token or ""


def one_line(error: BaseException | None) -> str:
    """Return an error's message without its line breaks, or its kind when it has none."""
    text = error.message if isinstance(error, MlflowException) else str(error)
    return databases.without_sql(text) or type(error).__name__
