"""The real components of a team's installation: PostgreSQL, `mlflow server`, an S3 store; on loopback, for a while.

A component that isn't installed is a reason to skip, and a failure where PHOTOFINISH_ALL_COMPONENTS is set, as in CI.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import pytest
import requests

ALL_COMPONENTS = bool(os.environ.get("PHOTOFINISH_ALL_COMPONENTS"))  # read once: no test has such settings
PASSWORD = "a password of twenty, and: @/%"  # with what addresses must quote
LOGIN = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": "correct horse battery"}


def missing(component: str, install: str) -> NoReturn:
    """Skip what needs a component, or fail where all of them have to be there."""
    message = f"{component} isn't here; install it: {install}"
    if ALL_COMPONENTS:
        pytest.fail(message)
    pytest.skip(message)


def needs(package: str, install: str) -> None:
    """Skip, or fail, where a package isn't installed."""
    if find_spec(package) is None:
        missing(package, install)


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as free:
        free.bind((host, 0))
        port: int = free.getsockname()[1]
        return port


class PostgreSQL:
    """A cluster of its own in a temporary folder: user `photofinish`, a password, TCP on one address only.

    It doesn't wait for the disk, since tests kill processes and no machines; `PostgreSQL(fsync="on")` does, as every
    other setting of postgresql.conf may be given. Root can't run it: then it is nobody's.
    """

    user = "photofinish"

    def __init__(self, host: str = "127.0.0.1", **settings: str) -> None:
        self.host, self.port = host, free_port(host)
        self._settings = {"fsync": "off", "max_connections": "200", **settings}
        self._programs = _postgresql_programs()
        needs("psycopg2", "pip install psycopg2-binary")

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="postgresql-"))  # not below pytest's, which is closed to nobody
        if _runs_as_root():
            nobody = pwd.getpwnam("nobody")
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
        (self._folder / "password").write_text(PASSWORD, encoding="utf-8")
        password = f"--pwfile={self._folder / 'password'}"
        self._call("initdb", "--no-sync", "-U", self.user, "-A", "scram-sha-256", password, "-E", "UTF8", "--locale=C")
        (self._folder / "password").unlink()
        with (self._data / "pg_hba.conf").open("a", encoding="utf-8") as file:
            file.write("host all all all scram-sha-256\n")
        self.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        with contextlib.suppress(AssertionError):  # stopped already
            self.stop()
        shutil.rmtree(self._folder)

    @property
    def log(self) -> str:
        """What the server wrote."""
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = {
            "port": str(self.port),
            "listen_addresses": self.host,
            "unix_socket_directories": "",
            **self._settings,
        }
        options = " ".join(f"-c {key}='{value}'" for key, value in settings.items())
        self._call("pg_ctl", "--wait", "--timeout=60", "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it; `immediate` is a crash: connections break at once, and the next start recovers."""
        self._call("pg_ctl", "--wait", "-m", mode, "stop")

    def restart(self, seconds_away: float = 0.0) -> None:
        """Crash it and start it again."""
        self.stop()
        time.sleep(seconds_away)
        self.start()

    def url(self, database: str, *, password: str = PASSWORD, driver: str = "psycopg2") -> str:
        """Return a database's address, whether it exists or not."""
        from sqlalchemy.engine import URL

        address = URL.create(f"postgresql+{driver}", self.user, password, self.host, self.port, database)
        return address.render_as_string(hide_password=False)

    def create(self, database: str) -> str:
        """Make an empty database; returns its address."""
        self.execute(f'CREATE DATABASE "{database}"')
        return self.url(database)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run one statement outside of transactions; returns the rows, if there are any."""
        import psycopg2

        connection = psycopg2.connect(
            host=self.host, port=self.port, user=self.user, password=PASSWORD, dbname=database
        )
        with contextlib.closing(connection):
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _call(self, program: str, *arguments: str) -> None:
        prefix = ["runuser", "-u", "nobody", "--"] if _runs_as_root() else []
        command = [*prefix, str(self._programs / program), "-D", str(self._data), *arguments]
        done = subprocess.run(
            command,
            cwd=self._folder,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{program}: {done.stdout}"


class _Server:
    """A process that answers HTTP, with all that it starts; its output is kept in a file."""

    def __init__(self, folder: Path, host: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.host, self.port = folder, host, free_port(host)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.stop()

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def is_running(self) -> bool:
        """Whether it was started, and not stopped since."""
        return self._process is not None

    @property
    def log(self) -> str:
        """What the server wrote."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start it and wait until it answers."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "AWS_"))}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.folder,
                env={**inherited, **self._environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def stop(self, signal_number: int = signal.SIGTERM) -> None:
        """End it; by SIGKILL what hasn't ended itself within ten seconds."""
        if self._process is None:
            return
        process, self._process = self._process, None
        for number in (signal_number, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)

    @property
    def _log(self) -> Path:
        return self.folder / f"{type(self).__name__}.log"

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _environment(self) -> Mapping[str, str]:
        raise NotImplementedError

    def _ready(self) -> str:
        raise NotImplementedError

    def _wait(self, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self._process is not None
            assert self._process.poll() is None, f"the server ended too early: {self.log[-2000:]}"
            with contextlib.suppress(requests.RequestException):
                if requests.get(self._ready(), timeout=5).ok:
                    return
            time.sleep(0.2)
        raise TimeoutError(self.log[-2000:])


class MlflowServer(_Server):
    """`mlflow server` on a backend store.

    Parameters
    ----------
    folder:
        Where it works, and keeps the users of its login.
    backend:
        Address of the backend store.
    artifacts:
        Where artifacts are kept: a path or an address such as `s3://bucket`.
    login:
        Whether it asks for a name and a password, those of `LOGIN`.
    serve_artifacts:
        Whether artifacts go through the server, or clients reach `artifacts` themselves.
    workers:
        Number of its processes.
    environment:
        What else it needs to know, such as an object store's credentials.
    host:
        Address to listen on.
    """

    def __init__(
        self,
        folder: Path,
        backend: str,
        artifacts: str | Path,
        *,
        login: bool = False,
        serve_artifacts: bool = True,
        workers: int = 1,
        environment: Mapping[str, str] | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__(folder, host)
        self._backend, self._artifacts, self._workers = backend, str(artifacts), workers
        self._login, self._serve_artifacts, self._extra = login, serve_artifacts, environment or {}
        if login:
            needs("flask_wtf", "pip install Flask-WTF")

    @property
    def client_environment(self) -> dict[str, str]:
        """What clients set to reach it."""
        return {"MLFLOW_TRACKING_URI": self.address, **(LOGIN if self._login else {})}

    def _command(self) -> Sequence[str]:
        served = ["--serve-artifacts", "--artifacts-destination", self._artifacts]
        direct = ["--no-serve-artifacts", "--default-artifact-root", self._artifacts]
        address = ["--host", self.host, "--port", str(self.port), "--workers", str(self._workers)]
        login = ["--app-name", "basic-auth"] if self._login else []
        where = served if self._serve_artifacts else direct
        return [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--backend-store-uri",
            self._backend,
            *where,
            *address,
            *login,
        ]

    def _environment(self) -> Mapping[str, str]:
        no_jobs = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # more processes, of which we use none
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true"}
        return {**no_jobs, **quiet, **self._extra, **(self._login_settings() if self._login else {})}

    def _login_settings(self) -> Mapping[str, str]:
        settings = self.folder / "basic_auth.ini"
        settings.write_text(
            f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{self.folder / 'basic_auth.db'}\n"
            f"admin_username = {LOGIN['MLFLOW_TRACKING_USERNAME']}\n"
            f"admin_password = {LOGIN['MLFLOW_TRACKING_PASSWORD']}\n"
            "auth_cache_ttl_seconds = 60\n",  # else every request costs what it costs to check a password
            encoding="utf-8",
        )
        return {"MLFLOW_AUTH_CONFIG_PATH": str(settings), "MLFLOW_FLASK_SERVER_SECRET_KEY": "for tests"}

    def _ready(self) -> str:
        return f"{self.address}/health"


class ObjectStore(_Server):
    """moto's S3 with one empty bucket."""

    bucket = "artifacts"

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        super().__init__(folder, host)
        needs("moto", "pip install 'moto[server]'")
        needs("boto3", "pip install boto3")

    @property
    def uri(self) -> str:
        """The bucket's address."""
        return f"s3://{self.bucket}"

    @property
    def client_environment(self) -> dict[str, str]:
        """What clients set to reach it."""
        return {
            "MLFLOW_S3_ENDPOINT_URL": self.address,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def start(self) -> None:
        super().start()
        requests.put(f"{self.address}/{self.bucket}", timeout=30).raise_for_status()

    def keys(self) -> list[str]:
        """Return the names of all objects in the bucket."""
        import boto3

        client = boto3.client(
            "s3",
            endpoint_url=self.address,
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def _command(self) -> Sequence[str]:
        return [sys.executable, "-m", "moto.server", "-H", self.host, "-p", str(self.port)]

    def _environment(self) -> Mapping[str, str]:
        return {}

    def _ready(self) -> str:
        return f"{self.address}/moto-api/"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One PostgreSQL for all tests, each of which makes databases of its own; who stops it starts it again."""
    with PostgreSQL() as server:
        yield server


def _postgresql_programs() -> Path:
    """Return the folder that holds initdb and pg_ctl."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    spec = find_spec("pgserver")
    if spec is not None and spec.origin is not None:
        folders.append(Path(spec.origin).parent / "pginstall" / "bin")
    for folder in folders:
        if all((folder / program).is_file() for program in ("initdb", "pg_ctl", "postgres")):
            if _runs_as_root() and shutil.which("runuser") is None:
                missing("runuser, without which root can't start PostgreSQL", "apt-get install util-linux")
            return folder
    missing("PostgreSQL", "apt-get install postgresql, or: pip install pgserver")


def _runs_as_root() -> bool:
    return os.geteuid() == 0
