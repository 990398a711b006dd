from __future__ import annotations

import gc
import hashlib
import io
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import _openml

from pipeline.artifacts import Dataset, describe
from pipeline.cli import main
from pipeline.errors import BadInput
from pipeline.experiment_file import check, from_yaml, to_yaml
from pipeline.raw_columns import features_of
from pipeline.stages.tables.blocks import raw_frames
from pipeline.stages.tables.openml import read_openml
from pipeline.stages.tables.spec import OpenmlSpec
from tests.conftest import Finished, finish
from tests.stages.tables.making import cache_openml

COLUMNS = {
    "age": "numeric",
    "work": "{Private, 'Local gov', Größe, Never}",
    "grade": "{1, 2, 3}",
    "seen": "string",
    "code": "numeric",
    "y": "{>50K, <=50K}",
}
ROWS = """\
25, Private, 3, 2024-01-31, 1, >50K
?, 'Local gov', 1, 2024-02-03, 2, <=50K
38.5, ?, 3, ?, 1, >50K
44, Private, ?, 2024-02-05, -1, <=50K
18, Größe, 2, 2024-02-06, 2, ?
"""


def fetch(folder: Path, **keys: object) -> Dataset:
    """Read a table of the cache in this folder, as an experiment file there would have it."""
    which = {} if "data_id" in keys else {"name": "tiny", "version": 2}
    spec = {"load": "openml", "data_home": "cache", "n_retries": 1, "delay": 0.001, **which, **keys}
    return read_openml("d", OpenmlSpec.model_validate(spec), folder)


def complaint(folder: Path, **keys: object) -> str:
    with pytest.raises(BadInput) as caught:
        fetch(folder, **keys)
    return str(caught.value)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing outside is reached: the way there is by a port that nobody listens on."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setattr(urllib.request, "_opener", None)  # it remembers the way


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server in OpenML's place that answers every question alike, with status 412 until told otherwise."""

    class Handler(BaseHTTPRequestHandler):
        status, body, address = 412, b"", ""

        def do_GET(self) -> None:
            self.send_response(self.status)
            self.end_headers()
            self.wfile.write(self.body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        Handler.address = f"http://127.0.0.1:{server.server_port}"
        for constant in ("_SEARCH_NAME", "_DATA_INFO"):
            there = getattr(_openml, constant)
            monkeypatch.setattr(_openml, constant, there.replace("https://www.openml.org", Handler.address))
        yield Handler
        server.shutdown()
        thread.join()
    gc.collect()


def test_a_table_of_openml_is_read_as_one_from_a_file(tmp_path: Path) -> None:
    """Numbers, nominal values and dates become features with what is missing; nominal digits stay texts."""
    cache_openml(tmp_path / "cache", COLUMNS, ROWS)
    made = fetch(tmp_path, categorical=["code"])
    assert made.feature_names == ("age", "work", "grade", "seen", "seen: month", "seen: weekday", "code")
    assert [column.categories for column in made.columns[1:3]] == [("Größe", "Local gov", "Private"), ("1", "2", "3")]
    nan, day = np.nan, 19753  # 2024-01-31
    expected = [
        [25, 2, 2, day, 0, 2, 1],
        [nan, 1, 0, day + 3, 1, 5, 2],
        [38.5, nan, 2, nan, nan, nan, 1],
        [44, 2, nan, day + 5, 1, 0, 0],
        [18, 0, 1, day + 6, 1, 1, 2],
    ]
    np.testing.assert_array_equal(made.features, expected)
    assert made.class_names == ("<=50K", ">50K")
    assert made.target.tolist() == [1, 0, 1, 0, -1]
    assert made.source == "OpenML table 4711 (tiny, version 2)"


def test_name_and_id_give_one_dataset(tmp_path: Path) -> None:
    """It is the same table however it is asked for, and its one active version is found without naming it."""
    cache_openml(tmp_path / "cache", COLUMNS, ROWS)
    digests = {
        fetch(tmp_path, **keys).digest for keys in ({}, {"data_id": 4711}, {"name": "Tiny", "version": "active"})
    }
    assert len(digests) == 1


def test_options_of_tables_from_files_hold_here(tmp_path: Path) -> None:
    """Another target, features left out, weights, a positive class and numbers that mean "missing" are taken."""
    cache_openml(tmp_path / "cache", COLUMNS, ROWS.replace(", ?\n", ", >50K\n"))
    made = fetch(tmp_path, drop=["seen"], na_values=[44], positive="<=50K", categorical=["code"])
    assert made.class_names == (">50K", "<=50K")
    assert np.isnan(made.features[3, 0])
    other = fetch(tmp_path, target_column="code", features=["work"], na_values=[-1])
    assert (other.target.tolist(), other.feature_names) == ([0, 1, 0, -1, 1], ("work",))


def test_raw_columns_of_a_file_give_the_same_features(tmp_path: Path) -> None:
    """A CSV file with OpenML's columns is read for prediction as training read them."""
    cache_openml(tmp_path / "cache", COLUMNS, ROWS)
    made = fetch(tmp_path)
    csv = tmp_path / "new.csv"
    csv.write_text(",".join(COLUMNS) + "\n" + ROWS.replace("?", "").replace("'", "").replace(", ", ","))
    (frame,) = raw_frames(csv, describe(made.columns), **made.reading)
    np.testing.assert_array_equal(features_of(frame, describe(made.columns)), made.features)


def test_the_resolved_experiment_reads_back() -> None:
    """What is stored of an experiment is an equal experiment."""
    tiny = {"load": "openml", "name": "tiny", "version": 2, "target_column": "y", "group": "work"}
    given = check({"name": "x", "datasets": {"d": tiny}, "models": {"m": {"hidden_units": []}}}, "x.yaml")
    written = from_yaml(to_yaml(given))
    assert list(written["datasets"]["d"]) == ["load", "name", "version", "target", "split"]
    assert check(written, "x.yaml") == given


def test_what_openml_warns_of_is_a_notice(tmp_path: Path) -> None:
    """That a version was withdrawn is said beside the data."""
    cache_openml(tmp_path / "cache", COLUMNS, ROWS, status="deactivated")
    (first, *_) = fetch(tmp_path).notices
    assert first.startswith("scikit-learn says: Version 2 of dataset tiny is inactive")


@pytest.mark.usefixtures("offline")
def test_without_a_network_the_cache_is_named(tmp_path: Path) -> None:
    """One line says that OpenML can't be reached and which folder doesn't hold the table; nothing is left there."""
    said = complaint(tmp_path)
    assert said.startswith("load: OpenML can't be reached ([Errno 111] Connection refused), and scikit-learn's cache,")
    assert f"{tmp_path / 'cache'}, doesn't hold 'tiny', version 2; connect to the network" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("offline")
def test_where_nothing_is_named_scikit_learns_own_folder_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is SCIKIT_LEARN_DATA, as `sklearn.datasets.get_data_home` has it."""
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "own"))
    assert f"cache, {tmp_path / 'own'}, doesn't hold" in complaint(tmp_path, data_home=None)
    cache_openml(tmp_path / "own", COLUMNS, ROWS)
    assert fetch(tmp_path, data_home=None).n_features


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # scikit-learn doesn't close an answer of 412
def test_a_name_that_is_not_there_is_named(tmp_path: Path, refusing: Any) -> None:
    """OpenML's own answer comes out in one line; a server in trouble is said to be out of reach."""
    assert "name: OpenML: Dataset tiny with version 2 not found; look tables up" in complaint(tmp_path)
    assert "name: OpenML: No active dataset tiny found" in complaint(tmp_path, version="active")
    refusing.status = 503
    assert "can't be reached (Service Unavailable)" in complaint(tmp_path)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"@relation tiny\n@attribute a DATE\n@data\n1\n", "OpenML: Bad @ATTRIBUTE type, at line 2; look tables up"),
        (b"cut short", "OpenML: The md5 checksum of the file downloaded from"),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_table_that_cannot_be_parsed_is_named(body: bytes, said: str, tmp_path: Path, refusing: Any) -> None:
    """Whatever scikit-learn stumbles over comes out in one line."""
    refusing.status, refusing.body = 200, body
    checksum = hashlib.md5(body).hexdigest() if said.endswith("up") else "0"
    description = {"url": f"{refusing.address}/tiny.arff", "md5_checksum": checksum}
    cache_openml(tmp_path / "cache", {"a": "numeric"}, "", **description)
    assert said in complaint(tmp_path)


def test_several_active_versions_are_not_chosen_from(tmp_path: Path) -> None:
    """The remedy is to name one of them."""
    cache_openml(tmp_path / "cache", COLUMNS, ROWS, versions=(2, 5))
    assert "version: OpenML has several active tables 'tiny'" in (said := complaint(tmp_path, version="active"))
    assert "give version: 2, or another (there are 2 and 5 at least)" in said


@pytest.mark.parametrize(
    ("keys", "description", "said"),
    [
        ({"target": "Y"}, {}, "target: OpenML table 4711 (tiny, version 2) has no column 'Y'; did you mean 'y'?"),
        ({"drop": ["agee"]}, {}, "drop: OpenML table 4711 (tiny, version 2) has no column 'agee'; did you mean 'age'?"),
        ({"drop": ["y"]}, {}, "drop: 'y' is the target; remove it there"),
        (
            {},
            {"default_target_attribute": None},
            "target: OpenML table 4711 (tiny, version 2) has no target of its own",
        ),
        (
            {},
            {"default_target_attribute": "y,work"},
            "has several targets, y,work; name one of its columns, 'age', 'work'",
        ),
        ({}, {"format": "Sparse_ARFF"}, "name: OpenML: Sparse ARFF datasets cannot be loaded with as_frame=True"),
        ({"target": "code"}, {}, "column 'code': class '-1' has a single row"),
    ],
)
@pytest.mark.usefixtures("offline")
def test_what_cannot_be_used_is_named(
    keys: dict[str, object], description: dict[str, object], said: str, tmp_path: Path
) -> None:
    """Table, column and remedy stand in one line."""
    cache_openml(tmp_path / "cache", COLUMNS, ROWS, **description)
    assert said in complaint(tmp_path, **keys)


def test_a_cache_that_is_a_file_is_named(tmp_path: Path) -> None:
    """A folder that can't be used isn't taken for a network that can't be reached."""
    (tmp_path / "cache").write_text("")
    assert "data_home: scikit-learn's cache can't be used" in complaint(tmp_path)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, "datasets.d: no table is named; give name and version, or data_id"),
        ({"name": "tiny", "data_id": 1}, "datasets.d: name and data_id given; give name"),
        ({"data_id": 1, "version": 1}, "datasets.d.version: data_id has a version already; remove it"),
        ({"name": "tiny", "version": 0}, "datasets.d.version: 0 is no version"),
        ({"name": "tiny", "version": "2"}, "datasets.d.version: '2' can't be used"),
        ({"name": "a b"}, "datasets.d.name: 'a b' is no name of OpenML's"),
        ({"name": "tiny", "make": "moons"}, "datasets.d: make and load given; give exactly one"),
        ({"name": "tiny", "file": "t.csv"}, "datasets.d: load and file given; give exactly one"),
        ({"name": "tiny", "target": "y", "target_column": "y"}, "datasets.d.target_column: is given as target too"),
        ({"name": "tiny", "data_hom": "x"}, "datasets.d.data_hom: unknown key (value 'x'); did you mean 'data_home'?"),
        ({"name": "tiny", "encoding": "x"}, "datasets.d.encoding: unknown key (value 'x')"),
    ],
)
def test_what_an_experiment_file_says_is_checked_before_anything_is_fetched(keys: dict[str, object], said: str) -> None:
    """Field, value and remedy stand in one line."""
    with pytest.raises(BadInput) as caught:
        check({"name": "x", "datasets": {"d": {"load": "openml", **keys}}, "models": {"m": {"hidden_units": []}}}, "")
    assert said in str(caught.value)


EXPERIMENT = """\
name: tiny
datasets: {d: {load: openml, name: tiny, version: 2, data_home: cache, drop: [seen]}}
models: {linear: {hidden_units: []}, tree: {sklearn: DecisionTreeClassifier, max_depth: 2}}
training: {epochs: 3}
seeds: 2
"""


def test_from_openml_to_predictions_of_raw_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real commands train on a table of OpenML, say so on the page, and predict a file of its raw columns."""
    cache_openml(tmp_path / "cache", COLUMNS, "".join(ROWS.splitlines(keepends=True)[:4]) * 20)
    done = finish(EXPERIMENT, tmp_path)
    assert "OpenML table 4711 (tiny, version 2): 80 rows" in (done.report / "index.html").read_text()
    monkeypatch.chdir(tmp_path)
    Path("new.csv").write_text("work,grade,age,code\nLocal gov,1,,2\nunheard of,3,25,1\n", encoding="utf-8")
    for model in ("linear", "tree"):
        capsys.readouterr()
        assert main(["predict", f"runs:/{best(done, model)}/model", "new.csv"]) == 0
        predicted = pd.read_csv(io.StringIO(capsys.readouterr().out))
        assert predicted["label"].tolist() == ["<=50K", ">50K"]


def best(done: Finished, model: str) -> str:
    """The run of a model that holds a servable model."""
    return next(
        run.info.run_id
        for run in done.children
        if run.data.params["model"] == model and "photofinish.best" in run.data.tags
    )


@pytest.mark.usefixtures("offline")
def test_without_a_network_nothing_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command ends with exit code 2 and one line that names file, field and the folder that was looked at."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(EXPERIMENT.replace("drop:", "n_retries: 1, delay: 0.001, drop:"), encoding="utf-8")
    assert main(["run", "tiny.yaml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("photofinish: tiny.yaml: datasets.d.load: OpenML can't be reached (")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]
