"""Nothing that others wrote is run, leaves its folder, or speaks to the terminal."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from urllib.parse import parse_qs, urlparse

import numpy.testing
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer

from pipeline import console
from pipeline.cli import main
from pipeline.errors import StoreError, printable
from pipeline.stages.trusted import load_trusted
from pipeline.tracking.reader import artifacts
from pipeline.training.storage import load_history, load_network, load_snapshots
from tests.conftest import TINY, Finished
from tests.faults.test_damage import SMALL, artifacts_of, complaint, store, stored

__all__ = ["store", "stored"]  # fixtures

ESCAPE = "\x1b]0;title\x07\x1b[31mred"


class Trace:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return io.open, (str(self.path), "w")


@pytest.mark.parametrize("file", ["network/weights.safetensors", "network/snapshots.npz", "estimator/estimator.skops"])
def test_a_pickle_in_the_place_of_an_artifact_is_not_run(
    file: str, store: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    """A store that someone else wrote, without checksums and with a pickle for a model: one line, and no trace."""
    trace = store.folder / "trace"
    for checksums in Path("mlruns").rglob("checksums.json"):
        checksums.unlink()
    for run in store.children:
        planted = artifacts_of(run.info.run_id) / file
        if planted.exists():
            planted.write_bytes(pickle.dumps(Trace(trace)))
    line = complaint(["report", store.parent.info.run_id, "--reports", "rebuilt"], capsys)
    assert "can be read" in line or "can't be read" in line
    assert not trace.exists()


def test_a_pickle_that_looks_like_an_array_is_not_run(tmp_path: Path) -> None:
    """Snapshots and curves whose arrays hold objects, which numpy keeps as pickle, are refused."""
    planted = numpy.array([Trace(tmp_path / "trace")], dtype=object)
    numpy.savez(tmp_path / "snapshots.npz", epochs=planted)
    numpy.savez(tmp_path / "history.npz", train_loss=planted)
    with pytest.raises(StoreError, match="holds no snapshots that can be read"):
        load_snapshots(tmp_path)
    with pytest.raises(StoreError, match="holds no learning curves that can be read"):
        load_history(tmp_path)
    with pytest.raises(StoreError, match="holds no network that can be read"):
        load_network(tmp_path)
    assert not (tmp_path / "trace").exists()


def test_a_function_in_an_estimator_is_refused(tmp_path: Path) -> None:
    """An estimator that names a function, even one of numpy's, isn't read: it would call it with what it likes."""
    skops.io.dump(FunctionTransformer(func=numpy.testing.runstring), tmp_path / "estimator.skops")
    with pytest.raises(StoreError, match=r"would make numpy\.testing.*runstring, which is neither"):
        load_trusted(tmp_path / "estimator.skops")


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system [touch trace]", "!!python/name:os.system", "!run x"])
def test_yaml_that_would_make_objects_is_one_line(
    tag: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tag in an experiment file, or behind `--set`, makes nothing and runs nothing: exit code 2, and a line."""
    Path("tiny.yaml").write_text(TINY.replace("seeds: 3", f"seeds: {tag}"), encoding="utf-8")
    assert main(["run", "tiny.yaml"]) == 2
    Path("tiny.yaml").write_text(TINY, encoding="utf-8")
    assert main(["run", "tiny.yaml", "--set", f"seeds={tag}"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert sorted(file.name for file in workspace.iterdir()) == ["tiny.yaml"]


@pytest.mark.parametrize("name", ["../up", "a/b", "/etc/x", "..", "a\nb", ESCAPE, "nul\0", ".hidden"])
@pytest.mark.parametrize("place", ["name", "datasets", "models", "--as"])
def test_names_that_leave_their_folder_are_refused(
    name: str, place: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names become files and folders: those with separators, dots or control characters are refused, in one line."""
    from ruamel.yaml import YAML

    tree = YAML(typ="safe").load(TINY)
    if place == "name":
        tree["name"] = name
    elif place != "--as":
        tree[place][name] = tree[place].pop(next(iter(tree[place])))
    Path("tiny.yaml").write_text(json.dumps(tree), encoding="utf-8")
    arguments = ["promote", "0123abcd", "--as", name] if place == "--as" else ["run", "tiny.yaml"]
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "can't be a name" in line
    assert line.isprintable()
    assert sorted(file.name for file in workspace.iterdir()) == ["tiny.yaml"]


class Climbing(BaseHTTPRequestHandler):
    """A server whose listing of artifacts names one that lies above its folder, and another by its absolute path."""

    listed: str

    def do_GET(self) -> None:
        listing = "path" in parse_qs(urlparse(self.path).query) or self.path.rstrip("/").endswith("artifacts")
        body = json.dumps({"files": [{"path": self.listed, "is_dir": False, "file_size": 4}]}) if listing else "evil"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def climbing() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Climbing)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("listed", ["../../escaped", "..%2f..%2fescaped", "{folder}/escaped"])
def test_artifacts_cannot_leave_their_folder(
    listed: str, climbing: ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a server that lists artifacts above the folder they are downloaded to nothing is written: an error tells."""
    Climbing.listed = listed.format(folder=tmp_path)
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    address = f"http://127.0.0.1:{climbing.server_port}/api/2.0/mlflow-artifacts/artifacts/0/1/artifacts"
    run = SimpleNamespace(info=SimpleNamespace(run_id="1", artifact_uri=address))
    with pytest.raises(StoreError, match="artifacts of run 1: "), artifacts(run):
        pass
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_terminals_show_what_data_say_and_obey_none_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences, turned-around text and rich's markup in what comes from data are shown, not obeyed."""
    console.Progress().note(f"column {ESCAPE} is constant")
    console.show_experiments([(Path(f"experiments/{ESCAPE}.yaml"), f"Is [red]{ESCAPE}[/red] a \u202equestion?")])
    told = capsys.readouterr()
    assert told.err == "photofinish: column \\x1b]0;title\\x07\\x1b[31mred is constant\n"
    assert "[red]" in told.out
    assert not set("\x1b\x07\u202e") & set(told.out + told.err)


def test_text_in_all_scripts_stays_as_it_is() -> None:
    """Letters, accents, emoji and no-break spaces are no commands."""
    text = "Größe · naïve − 数 🙂 1\N{NO-BREAK SPACE}000 \N{RIGHT SINGLE QUOTATION MARK}"
    assert printable(text) == text


def test_an_error_does_not_speak_to_the_terminal(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A complaint quotes what is wrong with a file without obeying it."""
    Path("tiny.yaml").write_text(
        json.dumps({"name": "tiny", "datasets": {"d": {"load": ESCAPE}}, "models": {"m": {}}}), encoding="utf-8"
    )
    assert main(["run", "tiny.yaml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "\\x1b" in line
    assert line.isprintable()


def git(folder: Path, *arguments: str) -> None:
    settings = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True)


def test_secrets_stay_out_of_what_is_logged(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes to files that look like secrets aren't in the store or on the page, which says so; nor is a password.

    The rest of the command is there as a shell takes it.
    """
    secrets = (".env", "conf/prod.env", "server.pem", "API_TOKEN.txt", "id_rsa", ".pypirc")
    Path("tiny.yaml").write_text(SMALL, encoding="utf-8")
    for name in (*secrets, "notes.txt"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("before\n", encoding="utf-8")
    git(workspace, "init", "-q")
    git(workspace, "add", "-A")
    git(workspace, "commit", "-q", "-m", "first")
    for name in secrets:
        Path(name).write_text("hunter2\n", encoding="utf-8")
    Path("notes.txt").write_text("a change that may be seen\n", encoding="utf-8")
    typed = ["photofinish", "run", "tiny.yaml", "--set", "models.relu={}", "--storage", "sqlite://user:hunter2@host/x"]
    monkeypatch.setattr(sys, "argv", typed)
    assert main(["run", "tiny.yaml", "--seeds", "1"]) == 0
    written = [file for file in Path("mlruns").rglob("*") if file.is_file()] + [Path("mlflow.db")]
    page = Path("reports/tiny/index.html").read_text(encoding="utf-8")
    assert not [file for file in written if b"hunter2" in file.read_bytes()]
    assert "hunter2" not in page
    (diff,) = Path("mlruns").rglob("uncommitted.diff")
    assert "a change that may be seen" in diff.read_text(encoding="utf-8")
    (file,) = Path("mlruns").rglob("provenance.json")
    told = json.loads(file.read_text(encoding="utf-8"))
    assert told["command"] == "photofinish run tiny.yaml --set 'models.relu={}' --storage 'sqlite://user:***@host/x'"
    assert set(told["left_out_of_diff"]) == set(secrets)
    for name in secrets:
        assert name in page
    assert "what looks like a secret isn&#39;t logged" in page or "what looks like a secret isn't logged" in page
