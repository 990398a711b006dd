from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from pipeline.cli import main
from pipeline.comparison.decisions import mcnemar
from pipeline.comparison.verdict import MCNEMAR
from pipeline.figures.palette import model_colours
from pipeline.tracking.reader import latest_comparison
from tests.conftest import Finished, own_store, runs_of

BOTH = """\
name: both
datasets:
  a+b: {make: circles, n_samples: 60, noise: 0.03}
  wine: {load: wine}
models:
  linear: {hidden_units: [2], activation: identity}
  relu: {hidden_units: [3], activation: relu}
training: {optimizer: Adam, lr: 0.05, epochs: 3}
seeds: 2
"""
ONE = """\
name: one
datasets:
  a+b: {make: circles, n_samples: 60, noise: 0.03}
models:
  relu: {hidden_units: [3], activation: relu}
training: {optimizer: Adam, lr: 0.05, epochs: 6}
seeds: 2
compare: {alpha: 0.1}
"""
PICTURES = ("boundaries", "curves", "confusion")
COMPARE, SIDE_BY_SIDE = ("compare",), ("report", "--compare")
CHANGES = {
    "other data": "datasets.a+b.noise=0.3",
    "other split": "split.random_state=1",
    "other rule": "threshold=f1",
    "no test rows": "split.test_size=0",
    "resampled": "resamples=2",
}


@dataclass(frozen=True)
class Store:
    """A store of comparisons, with their run ids by what they are called here."""

    folder: Path  # also the working directory
    artifacts: Path
    ids: dict[str, str]

    @property
    def client(self) -> MlflowClient:
        return runs_of(self.folder)[0]

    def children(self, name: str, **params: str) -> list[str]:
        """Run ids of a comparison's model runs with some parameters, by seed."""
        _, runs = runs_of(self.folder)
        own = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == self.ids[name]]
        fitting = [run for run in own if params.items() <= run.data.params.items()]
        return [run.info.run_id for run in sorted(fitting, key=lambda run: run.data.params["seed"])]

    def everything(self) -> tuple[int, list[Path]]:
        """Count of runs, and every file."""
        files = [*self.folder.rglob("*"), *self.artifacts.rglob("*")]
        return len(runs_of(self.folder)[1]), sorted(files)

    def verdicts(self, *run_ids: str) -> dict[str, Any]:
        """What `compare` wrote to `reports/`."""
        name = "-".join(["compare", *(run_id[:8] for run_id in run_ids)])
        written: dict[str, Any] = json.loads((self.folder / "reports" / name / "verdicts.json").read_text("utf-8"))
        return written


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two comparisons that fit together, and some that don't; each made by the real command, once."""
    folder = tmp_path_factory.mktemp("compared")
    ids: dict[str, str] = {}
    with own_store(folder):
        Path("both.yaml").write_text(BOTH, encoding="utf-8")
        Path("one.yaml").write_text(ONE, encoding="utf-8")
        commands = {"both": ["both.yaml"], "one": ["one.yaml"], "not evaluated": ["one.yaml", "--until", "train"]}
        commands |= {name: ["one.yaml", "--seeds", "1", "--set", change] for name, change in CHANGES.items()}
        for name, arguments in commands.items():
            assert main(["run", "--until", "evaluate", *arguments]) == 0
            ids[name] = next(run_id for run_id in comparisons(folder) if run_id not in ids.values())
    return Store(folder, folder, ids)


@pytest.fixture
def store(original: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A copy of the store that a test may write to; artifacts stay where they are."""
    shutil.copy(original.folder / "mlflow.db", tmp_path)
    monkeypatch.chdir(tmp_path)
    return replace(original, folder=tmp_path)


def table_rows(page: str) -> list[list[str]]:
    """Words in the cells of a page's table, row by row."""
    rows = re.findall("<tr>(.*?)</tr>", page.rpartition("<tbody>")[2])
    return [[re.sub("<.*?>", "", cell) for cell in re.findall("<t[hd].*?>(.*?)</t[hd]>", row)] for row in rows]


def comparisons(folder: Path) -> list[str]:
    _, runs = runs_of(folder)
    return [run.info.run_id for run in runs if run.data.tags["photofinish.role"] == "comparison"]


def refused(store: Store, capsys: pytest.CaptureFixture[str], *run_ids: str, command: Sequence[str] = COMPARE) -> str:
    """The one line that a command answers with, having left nothing behind."""
    before = store.everything()
    capsys.readouterr()
    assert main([*command, *run_ids]) == 2
    assert store.everything() == before
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_models_of_one_name_are_compared_across_comparisons(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """`compare A B` says whether the change helped relu, on the datasets that both have, by A's settings."""
    first, second = store.ids["both"], store.ids["one"]
    assert main(["compare", first, second]) == 0
    printed = capsys.readouterr().out
    assert f"relu@{second[:8]} − relu@{first[:8]}" in printed
    assert "wine: left out, since only some of the runs have it." in printed
    assert f"compare.alpha: 0.05 counts, as in {first[:8]}; {second[:8]} has 0.1." in printed
    written = store.verdicts(first, second)
    assert (written["compared"], written["alpha"]) == ([first, second], 0.05)
    (shown,) = [verdict for verdict in written["verdicts"] if verdict["primary"]]
    assert (shown["dataset"], shown["seeds"], shown["rows"]) == ("a+b", [2, 2], 12)
    for score, name in (("model_score", "one"), ("baseline_score", "both")):
        runs = [store.client.get_run(child) for child in store.children(name, dataset="a+b", model="relu")]
        assert shown[score] == pytest.approx(np.mean([run.data.metrics["test/accuracy"] for run in runs]))
    folder = store.folder / "reports" / f"compare-{first[:8]}-{second[:8]}"
    assert {path.name for path in folder.iterdir()} == {"verdicts.json", "forest.png"}


def test_the_comparing_is_a_run_of_its_own(store: Store) -> None:
    """`compare` leaves a run that names what it compared; the newest comparison is still the newest."""
    newest = latest_comparison("one")
    ids = [store.ids["one"], store.ids["both"]]
    assert main(["compare", ids[0][:8], ids[1]]) == 0
    (run,) = [run for run in runs_of(store.folder)[1] if run.data.tags["photofinish.role"] == "compare"]
    assert run.info.status == "FINISHED"
    assert run.info.run_name == f"compare · {ids[0][:8]} · {ids[1][:8]}"
    assert json.loads(run.data.tags["photofinish.compared"]) == ids
    assert run.info.experiment_id == store.client.get_run(ids[0]).info.experiment_id
    assert [file.path for file in store.client.list_artifacts(run.info.run_id)] == ["verdicts.json"]
    assert latest_comparison("one") == newest


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("other data", r"other data content \(SHA-256 \w{8} against \w{8}\); compare runs of the same table"),
        ("other split", r"other test rows \(SHA-256 \w{8} against \w{8}\); compare runs of the same split"),
        ("other rule", r"threshold rule 0.5 against f1; run one of them with the other's threshold"),
        ("no test rows", r"test rows against validation rows; compare runs of which both have test rows"),
    ],
)
def test_numbers_on_other_grounds_are_refused(
    name: str, expected: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other data, rows or threshold rule: exit code 2 and a line that names both runs and the difference."""
    line = refused(store, capsys, store.ids["one"], store.ids[name])
    runs = [rf"a\+b · relu · seed 0 \(\w{{8}} of {store.ids[of][:8]}\)" for of in ("one", name)]
    assert re.match(rf"photofinish: {runs[0]} and {runs[1]} can't be compared: {expected}", line), line


def test_other_metric_definitions_are_refused(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers by other definitions are refused, by `compare` and by the report of a comparison that mixes them."""
    child, *_ = store.children("both", dataset="a+b", model="relu", seed="1")
    store.client.set_tag(child, "photofinish.metrics", "0")
    line = refused(store, capsys, store.ids["one"], store.ids["both"])
    assert f"a+b · relu · seed 1 ({child[:8]} of" in line
    assert "metric definitions 1 against 0; run the older one again" in line
    assert main(["report", store.ids["both"]]) == 1
    complaint = capsys.readouterr().err
    assert f"the model runs of {store.ids['both']} don't belong together" in complaint
    assert "metric definitions 1 against 0" in complaint
    assert not Path("reports").exists()


def test_runs_that_say_nothing_of_their_grounds_are_refused(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs of an older version carry no digests: they are refused rather than taken for alike."""
    child, *_ = store.children("one", seed="1")
    for tag in ("data", "rows", "metrics"):
        store.client.delete_tag(child, f"photofinish.{tag}")
    line = refused(store, capsys, store.ids["one"], store.ids["both"])
    assert line.startswith(f"photofinish: {child}: doesn't say what its numbers rest on")


def test_two_single_runs_get_the_exact_test(store: Store) -> None:
    """Two single model runs are compared by McNemar's exact test on their stored labels."""
    (linear, *_), (relu, *_) = (store.children("both", dataset="wine", model=model) for model in ("linear", "relu"))
    assert main(["compare", relu, linear]) == 0
    (shown,) = [verdict for verdict in store.verdicts(relu, linear)["verdicts"] if verdict["primary"]]
    assert (shown["model"], shown["baseline"], shown["dataset"]) == ("relu", "linear", "wine")
    assert (shown["method"], shown["seeds"]) == (MCNEMAR, [1, 1])
    right = []
    for run_id in (relu, linear):
        table = pd.read_parquet(store.client.download_artifacts(run_id, "predictions.parquet"))
        test = table[table["split"] == "test"]
        right.append(test[["p_0", "p_1", "p_2"]].to_numpy().argmax(axis=1) == test["label"].to_numpy())
    assert right[0].sum() != right[1].sum()
    assert shown["p_value"] == pytest.approx(mcnemar(*right, 0.05)[0])


def test_single_runs_of_one_model_are_its_seeds(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs of one model are compared together with another model's; by themselves they are no comparison."""
    relu, linear = (store.children("both", dataset="wine", model=model) for model in ("relu", "linear"))
    assert main(["compare", *relu, *linear]) == 0
    verdicts = store.verdicts(*relu, *linear)["verdicts"]
    assert {tuple(verdict["seeds"]) for verdict in verdicts} == {(2, 2)}
    assert "all runs are seeds of one model, relu" in refused(store, capsys, *relu)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["{one}"], "{one}: is the only run named; name at least two different ones"),
        (["{one}", "{one}"], "{one}: is the only run named"),
        (["{one}", "0" * 32], "0" * 32 + ": no such run in sqlite:///"),
        (["{one}", "relu"], "relu: is no run id; give its 32 digits"),
        (["{one}", "{not evaluated}"], "{not evaluated}: has no evaluated model runs"),
        (["{one}", "{child}"], "{child}: belongs to {one}, which is named too"),
        (["{one}", "{wine}"], "compare: no dataset in common (a+b against wine)"),
        (["{one}", "{stray}"], "{stray}: is neither a comparison nor a model run (not one of Photofinish)"),
        (["{one}", "{killed}"], "{killed}: isn't finished (KILLED); run its experiment again"),
        (["{both}", "{of killed}"], "{of killed}: belongs to {killed}, which isn't finished (KILLED)"),
    ],
)
def test_runs_that_are_none_to_compare(
    given: list[str], expected: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong id, or one that holds nothing to compare: exit code 2, and a line that begins with the id."""
    ids = {**store.ids, "child": store.children("one")[0], "wine": store.children("both", dataset="wine")[0]}
    if "stray" in expected:
        ids["stray"] = store.client.create_run("0").info.run_id
    if "killed" in expected:
        ids |= {"killed": store.ids["other rule"], "of killed": store.children("other rule")[0]}
        store.client.set_terminated(ids["killed"], "KILLED")
    line = refused(store, capsys, *(text.format(**ids) for text in given))
    assert line.startswith(f"photofinish: {expected.format(**ids)}")


def test_resamples_that_only_some_have_are_left_out(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A comparison of two resamples is compared with one of a single one on that alone, and a note says so."""
    first, second = store.ids["resampled"], store.ids["both"]
    assert main(["compare", first, second]) == 0
    assert "a+b: compared on resample 0 alone, which all of the runs have." in capsys.readouterr().out
    shown = [verdict for verdict in store.verdicts(first, second)["verdicts"] if verdict["primary"]]
    assert {(verdict["model"], verdict["resamples"]) for verdict in shown} == {("linear", 1), (f"relu@{second[:8]}", 1)}
    runs = [store.children("resampled", resample="1")[0], store.children("both", dataset="a+b", model="linear")[0]]
    assert "can't be compared: resample 1 against 0; compare runs of the same resample" in refused(store, capsys, *runs)


def test_every_look_at_test_rows_counts(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Comparisons and `compare` each count as a look at their test rows, over all experiments of the store.

    A comparison that stops before stage evaluate looks at none; one on other rows of the data looks at others; of
    several resamples the rows that were looked at most count. Rows whose model runs are all reused get no further look.
    """
    names = ("both", "one", "other rule", "other split", "other data", "resampled")
    runs = {name: store.client.get_run(store.ids[name]) for name in (*names, "not evaluated")}
    assert [runs[name].data.metrics["looks/a_b"] for name in names] == [1, 2, 3, 1, 1, 3]
    assert runs["both"].data.metrics["looks/wine"] == 1
    assert not any("look" in key for key in (*runs["not evaluated"].data.tags, *runs["not evaluated"].data.metrics))
    ids = [store.ids["both"], store.ids["one"]]
    assert main(["compare", *ids]) == 0
    (rows,) = store.verdicts(*ids)["test_sets"].values()
    assert (rows["rows"], rows["part"], rows["looks"]) == (12, "test", 4)
    assert "a+b: these test rows have been looked at 4 times in this store" in capsys.readouterr().out


def test_comparing_the_same_again_is_no_new_look(store: Store) -> None:
    """What `compare` has shown once is shown again without another look or run; in the other order it is another."""
    ids = [store.ids["both"], store.ids["one"]]
    for expected in (4, 4):
        assert main(["compare", *ids]) == 0
        assert store.verdicts(*ids)["test_sets"]["a+b"]["looks"] == expected
    (run,) = [run for run in runs_of(store.folder)[1] if run.data.tags["photofinish.role"] == "compare"]
    assert run.data.metrics["looks/a_b"] == 4
    assert main(["compare", *reversed(ids)]) == 0
    assert store.verdicts(*reversed(ids))["test_sets"]["a+b"]["looks"] == 5


def test_two_comparisons_side_by_side(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """`report --compare` gives the verdicts, the look and the run of `compare`, and a page with both sides' pictures.

    Made again it is the same page to the byte, and no further look.
    """
    first, second = store.ids["both"], store.ids["one"]
    folder = store.folder / "reports" / f"compare-{first[:8]}-{second[:8]}"
    assert main(["report", "--compare", first[:8], second]) == 0
    assert f"report    {folder.relative_to(store.folder) / 'index.html'}" in capsys.readouterr().out
    page = (folder / "index.html").read_bytes()
    assert main(["report", "--compare", first, second, "--jobs", "2"]) == 0
    assert (folder / "index.html").read_bytes() == page
    judged = store.verdicts(first, second)
    assert judged["test_sets"]["a+b"]["looks"] == 4
    (run,) = [run for run in runs_of(store.folder)[1] if run.data.tags["photofinish.role"] == "compare"]
    assert [file.path for file in store.client.list_artifacts(run.info.run_id, "report")] == ["report/index.html"]
    assert main(["compare", first, second]) == 0
    assert store.verdicts(first, second) == judged
    pictures = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
    of_both = {f"figures/{side[:8]}/a+b_{kind}.png" for side in (first, second) for kind in PICTURES}
    assert pictures == {"forest.png", *of_both, *(f"figures/{side[:8]}/headline.png" for side in (first, second))}


def test_page_says_what_differs_and_which_scores_are_judged(store: Store) -> None:
    """Settings that differ are a row with both values; scores stand side by side, with a verdict where there is one.

    A model has the same colour on both sides.
    """
    first, second = store.ids["both"], store.ids["one"]
    assert main(["report", "--compare", first, second, "--svg"]) == 0
    folder = store.folder / "reports" / f"compare-{first[:8]}-{second[:8]}"
    page = (folder / "index.html").read_text(encoding="utf-8")
    differing, scores = (table_rows(text) for text in page.split("</table>")[:2])
    values = {row[0]: tuple(row[1:]) for row in differing}
    assert values["name"] == ("both", "one")
    assert values["training.epochs"] == ("3", "6")
    assert values["compare.alpha"] == ("0.05", "0.1")
    assert values["datasets.wine"][1] == "–"
    assert not any(key.startswith(("models.relu", "data of", "torch")) for key in values)
    rows = {(row[0], row[1]): row[2:] for row in scores}
    assert list(rows) == [(dataset, model) for dataset in ("a+b", "wine") for model in ("linear", "relu")]
    (verdict,) = [one for one in store.verdicts(first, second)["verdicts"] if one["primary"]]
    _, ours, theirs, _, _, _, decision = rows["a+b", "relu"]
    assert (ours[:5], theirs[:5]) == (f"{verdict['baseline_score']:.3f}", f"{verdict['model_score']:.3f}")
    assert decision == verdict["decision"]
    assert {rows[key][2] for key in rows if key != ("a+b", "relu")} == {"–"}
    curves = (folder / "figures" / second[:8] / "a+b_curves.svg").read_text(encoding="utf-8").upper()
    colours = model_colours(["linear", "relu"])
    assert colours["relu"] in curves  # as on the first side, though relu is the only model here
    assert colours["linear"] not in curves


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("other data", "other data content (SHA-256 "),
        ("other split", "other test rows (SHA-256 "),
        ("other rule", "threshold rule 0.5 against f1"),
        ("no test rows", "test rows against validation rows"),
    ],
)
def test_what_cannot_be_compared_is_shown_without_a_verdict(
    name: str, reason: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Numbers on other grounds are shown with the reason for no verdict; that is no look, and leaves no run."""
    ids, runs = [store.ids["one"], store.ids[name]], store.everything()[0]
    assert main([*SIDE_BY_SIDE, *ids]) == 0
    assert f"a+b: no verdict: {reason}" in capsys.readouterr().out
    folder = store.folder / "reports" / "-".join(["compare", *(run_id[:8] for run_id in ids)])
    assert {path.name for path in folder.iterdir()} == {"index.html", "figures"}
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert f"a+b: no verdict: {reason}" in page
    assert "None of the datasets can be compared" in page
    assert store.everything()[0] == runs


def test_resamples_of_one_side_are_left_out_side_by_side(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a comparison with more resamples the verdict is on those that both have, as in `compare`."""
    first, second = store.ids["resampled"], store.ids["both"]
    assert main([*SIDE_BY_SIDE, first, second]) == 0
    assert "a+b: compared on resample 0 alone, which all of the runs have." in capsys.readouterr().out
    written = store.verdicts(first, second)
    assert main(["compare", first, second]) == 0
    assert store.verdicts(first, second) == written


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["{one}", "{one}"], "{one}: is the only run named"),
        (["{one}", "0" * 32], "0" * 32 + ": no such run in sqlite:///"),
        (["{one}", "relu"], "relu: is no run id"),
        (["{one}", "{child}"], "{child}: is no comparison (model); give its comparison's, {one}"),
        (["{one}", "{not evaluated}"], "{not evaluated}: has no evaluated model runs"),
        (["{one}", "{killed}"], "{killed}: isn't finished (KILLED)"),
        (["{one}"], "argument --compare: expected 2 arguments"),
        (["{one}", "{both}", "{resampled}"], "--compare: names all that is shown"),
        ([], "argument --compare: expected 2 arguments"),
    ],
)
def test_what_cannot_stand_side_by_side(
    given: list[str], expected: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """Anything but two finished comparisons: exit code 2, and a line that begins with what is wrong."""
    ids = {**store.ids, "child": store.children("one")[0]}
    if "killed" in expected:
        ids["killed"] = store.ids["other rule"]
        store.client.set_terminated(ids["killed"], "KILLED")
    line = refused(store, capsys, *(text.format(**ids) for text in given), command=SIDE_BY_SIDE)
    assert line.startswith(f"photofinish: {expected.format(**ids)}")


@pytest.fixture
def older(store: Store) -> Iterator[str]:
    """A comparison made before there was balanced accuracy, average precision or Matthews correlation."""
    path = Path(store.client.download_artifacts(store.ids["both"], "metrics.csv"))
    text = path.read_text(encoding="utf-8")
    runs = pd.read_csv(path)
    runs.drop(columns=["balanced_accuracy", "average_precision", "mcc"]).to_csv(path, index=False)
    yield store.ids["both"]
    path.write_text(text, encoding="utf-8")


def test_metrics_that_came_later_are_read_from_the_predictions(store: Store, older: str) -> None:
    """A report of an older comparison has the numbers that it would have today, and so has what it is compared with."""
    assert main(["report", older]) == 0
    rebuilt = pd.read_csv(store.folder / "reports" / "both" / "metrics.csv").set_index("run_id")
    assert len(rebuilt) == 8
    for run_id, row in rebuilt.iterrows():
        measured = store.client.get_run(str(run_id)).data.metrics
        for metric in ("accuracy", "balanced_accuracy", "average_precision", "mcc"):
            assert row[metric] == pytest.approx(measured[f"test/{metric}"], rel=1e-12)
    page = (store.folder / "reports" / "both" / "index.html").read_text(encoding="utf-8")
    assert "Matthews correlation" in page

    assert main(["compare", store.ids["one"], older]) == 0
    metrics = {one["metric"] for one in store.verdicts(store.ids["one"], older)["verdicts"]}
    assert "mcc" in metrics
    assert main([*SIDE_BY_SIDE, store.ids["one"], older]) == 0


def test_report_shows_the_looks_of_its_day(store: Store, finished: Finished) -> None:
    """A report says how often its test rows had been looked at when the comparison was made, and isn't a look."""
    assert main(["report", store.ids["one"]]) == 0
    page = Path("reports/one/index.html").read_text(encoding="utf-8")
    assert "These test rows have been looked at 2 times in this store." in page
    assert "what was chosen by them is no longer tested by them" in page
    written = json.loads(Path("reports/one/verdicts.json").read_text(encoding="utf-8"))
    assert written["test_sets"]["a+b"]["looks"] == 2
    assert main(["compare", store.ids["both"], store.ids["one"]]) == 0
    assert store.verdicts(store.ids["both"], store.ids["one"])["test_sets"]["a+b"]["looks"] == 4
    page = (finished.report / "index.html").read_text(encoding="utf-8")
    assert page.count("These test rows have been looked at once in this store.") == 2
    assert "no longer tested" not in page
