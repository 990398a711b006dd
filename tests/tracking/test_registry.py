from __future__ import annotations

import re
import shlex
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from pipeline.cli import main
from pipeline.labels import predicted_labels
from pipeline.stages.promote import FIXED
from pipeline.tracking.descriptions import escaped
from tests.conftest import own_store, runs_of
from tests.serving import serving

MODELS = """\
  linear: {hidden_units: []}
  logistic: {sklearn: LogisticRegression}
  boom: {hidden_units: [8], training: {optimizer: SGD, lr: 1.0e+30}}
"""
RINGS = f"""\
name: rings
datasets:
  circles: {{make: circles, n_samples: 400, noise: 0.03}}
split: {{test_size: 0.5}}
models:
{MODELS}\
  relu: {{hidden_units: [8], activation: relu}}
training: {{optimizer: Adam, lr: 0.1, epochs: 60}}
seeds: 2
"""
RELU = RINGS.replace(MODELS, "")
NAME = "rings-circles"
COMPARISONS = {
    "rings": RINGS,
    "again": RELU.replace("epochs: 60", "epochs: 50") + "compare: {equivalence: 0.05}\n",
    "other data": RELU.replace("noise: 0.03", "noise: 0.3"),
    "other dataset": RELU.replace("circles:", "disc:"),
    "other split": RELU.replace("test_size: 0.5", "test_size: 0.5, random_state: 1"),
    "other rule": RELU + "threshold: f1\n",
    "no test rows": RELU.replace("test_size: 0.5", "test_size: 0"),
}


@dataclass(frozen=True)
class Store:
    """A store with comparisons of one experiment, some of them on other grounds, by what they are called here."""

    folder: Path  # also the working directory
    ids: dict[str, str]

    @property
    def client(self) -> MlflowClient:
        return runs_of(self.folder)[0]

    def runs(self, name: str, model: str) -> list[Run]:
        """Model runs of a comparison, those with a servable model last."""
        own = [
            run
            for run in runs_of(self.folder)[1]
            if run.data.tags.get("mlflow.parentRunId") == self.ids[name] and run.data.params["model"] == model
        ]
        return sorted(own, key=lambda run: "photofinish.best" in run.data.tags)

    def served(self, name: str, model: str) -> str:
        """Run id of the one whose model can be served."""
        run = self.runs(name, model)[-1]
        assert run.data.tags["photofinish.best"] == "true"
        run_id: str = run.info.run_id
        return run_id

    def champion(self, name: str = NAME) -> ModelVersion:
        return self.client.get_model_version_by_alias(name, "champion")

    def registered(self) -> dict[str, tuple[int, str]]:
        """How many versions each registered model has, and which of them is champion."""
        return {
            model.name: (
                len(self.client.search_model_versions(f"name = '{model.name}'")),
                str(model.aliases.get("champion", "")),
            )
            for model in self.client.search_registered_models()
        }


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """All comparisons, made by the real command, once."""
    folder = tmp_path_factory.mktemp("registry")
    ids: dict[str, str] = {}
    with own_store(folder):
        for name, text in COMPARISONS.items():
            Path("rings.yaml").write_text(text, encoding="utf-8")
            assert main(["run", "rings.yaml", "--until", "evaluate"]) == 0
            found = [run for run in runs_of(folder)[1] if run.data.tags["photofinish.role"] == "comparison"]
            ids[name] = next(run.info.run_id for run in found if run.info.run_id not in ids.values())
    return Store(folder, ids)


@pytest.fixture
def store(original: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A copy of the store that a test may write to; artifacts stay where they are."""
    shutil.copy(original.folder / "mlflow.db", tmp_path)
    monkeypatch.chdir(tmp_path)
    return replace(original, folder=tmp_path)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 1) -> str:
    """The one line that `promote` answers with."""
    capsys.readouterr()
    assert main(["promote", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_the_first_model_becomes_champion(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a champion the model is registered as version 1, says whence it is, and nothing is compared.

    The beginning of the id is enough. Its run says under which name and version it was promoted.
    """
    run_id, before = store.served("rings", "linear"), len(runs_of(store.folder)[1])
    assert main(["promote", run_id[:8]]) == 0
    printed = capsys.readouterr().out.splitlines()
    sentence = f"linear ({run_id[:8]}) is the first champion on circles: there was none to compare it with."
    assert printed == [
        sentence,
        f"champion  models:/{NAME}@champion, version 1",
        f"serve     mlflow models serve -m models:/{NAME}@champion --env-manager local",
    ]
    champion, run = store.champion(), store.client.get_run(run_id)
    assert (champion.version, champion.run_id, champion.status) == (1, run_id, "READY")
    assert champion.tags == {
        "photofinish.run_id": run_id,
        "photofinish.data": run.data.tags["photofinish.data"],
        "photofinish.decision": "first",
        "photofinish.verdict": sentence,
        "photofinish.champion_before": "",
    }
    assert champion.description == f"**rings · circles · linear**, run `{run_id}`.\n\n{escaped(sentence)}"
    assert run.data.tags["photofinish.promoted"] == f"{NAME}/1"
    assert len(runs_of(store.folder)[1]) == before


def test_a_better_model_becomes_champion(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A better one takes the alias, with verdict and predecessor in its tags; holding them together is a look.

    The look is a run of `compare`, counted once however often the two are compared.
    """
    linear, relu = store.served("rings", "linear"), store.served("rings", "relu")
    assert main(["promote", linear]) == 0
    capsys.readouterr()
    assert main(["promote", relu]) == 0
    printed = capsys.readouterr().out
    sentence = printed.splitlines()[0]
    start = f"relu ({relu[:8]}) is better than linear ({linear[:8]}), the champion, on circles: accuracy +"
    assert sentence.startswith(start)
    assert sentence.endswith(f"200 test rows. {FIXED}.")
    assert "circles: these test rows have been looked at" in printed
    assert f"models:/{NAME}@champion, version 2" in printed
    champion = store.champion()
    assert (champion.version, champion.run_id) == (2, relu)
    tags = [champion.tags[f"photofinish.{key}"] for key in ("decision", "verdict", "champion_before")]
    assert tags == ["better", sentence, "1"]
    (look,) = [run for run in runs_of(store.folder)[1] if run.data.tags["photofinish.role"] == "compare"]
    assert look.info.run_name == f"compare · {linear[:8]} · {relu[:8]}"
    assert [file.path for file in store.client.list_artifacts(look.info.run_id)] == ["verdicts.json"]
    assert main(["compare", linear, relu]) == 0
    assert look.data.metrics["looks/circles"] == 4  # of two comparisons that trained on these data and two of `compare`
    assert not Path("reports", "compare").exists()


def test_the_difference_is_that_of_the_two_served_models(store: Store) -> None:
    """What is said of two models is the candidate's score less the champion's, those of their very runs.

    They may be of different comparisons, and of different kinds.
    """
    for champion, comparison in (("linear", "rings"), ("logistic", "rings"), ("linear", "again")):
        ids, name = [store.served("rings", champion), store.served(comparison, "relu")], f"{champion} {comparison}"
        assert [main(["promote", run_id, "--as", name]) for run_id in ids] == [0, 0]
        before, after = (store.client.get_run(run_id).data.metrics["test/accuracy"] for run_id in ids)
        said = store.champion(name).tags["photofinish.verdict"]
        assert f"accuracy +{100 * (after - before):.1f} points, 95 % interval [" in said


def test_a_worse_model_is_refused(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A worse one: exit code 1 and a line with the verdict; nothing is registered, and the run isn't marked.

    The command that the line ends with overrules it, and the next one is then held against that champion.
    """
    relu, linear = store.served("rings", "relu"), store.served("rings", "linear")
    assert main(["promote", relu]) == 0
    line = refused(capsys, linear)
    start = (
        f"photofinish: not promoted: linear ({linear[:8]}) is worse than relu ({relu[:8]}), the champion, on circles"
    )
    assert line.startswith(f"{start}: accuracy −")
    assert store.registered() == {NAME: (1, "1")}
    assert "photofinish.promoted" not in store.client.get_run(linear).data.tags
    _, _, command = line.partition(" To make it champion all the same: ")
    program, option, code = shlex.split(command)
    assert (program, option) == ("python", "-c")
    exec(code)
    assert (store.champion().version, store.champion().run_id) == (2, linear)
    assert main(["promote", relu]) == 0
    assert f"is better than linear ({linear[:8]}), the champion" in capsys.readouterr().out


def test_an_undecided_one_is_refused(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Not to be told apart is no reason to promote: the line says how far behind it may be, and what would tell.

    By a champion whose experiment has a wider margin the same two are equivalent: its settings count.
    """
    relu, again = store.served("rings", "relu"), store.served("again", "relu")
    assert main(["promote", relu]) == 0
    line = refused(capsys, again)
    start = rf"photofinish: not promoted: relu \({again[:8]}\) may be worse than relu \({relu[:8]}\), the champion, on"
    assert re.match(start + r" circles by up to \d\.\d points, more than the margin of 1.0 point: accuracy ", line), (
        line
    )
    assert re.search(
        r"If the difference is as it looks, about [\d,]+ test rows would tell\. To make it champion", line
    ), line
    assert store.registered() == {NAME: (1, "1")}
    assert main(["promote", again, "--as", "wide"]) == 0
    assert main(["promote", relu, "--as", "wide"]) == 0
    printed = capsys.readouterr().out
    assert "are equivalent on circles (a difference within ±5.0 points counts as none)" in printed
    assert f"compare.equivalence: 0.05 counts, as in {store.ids['again'][:8]}; " in printed
    assert store.champion("wide").tags["photofinish.decision"] == "equivalent"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("other data", r"other data content \(SHA-256 \w{8} against \w{8}\); compare runs of the same table"),
        ("other split", r"other test rows \(SHA-256 \w{8} against \w{8}\); compare runs of the same split"),
        ("other rule", "threshold rule 0.5 against f1; run one of them with the other's threshold"),
        ("no test rows", "test rows against validation rows"),
    ],
)
def test_models_on_other_grounds_are_refused(
    name: str, expected: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model tested on other data, rows or labels is refused by what differs; nothing is registered, no look taken."""
    relu, other = store.served("rings", "relu"), store.served(name, "relu")
    assert main(["promote", relu]) == 0
    before = len(runs_of(store.folder)[1])
    line = refused(capsys, other)
    start = (
        rf"photofinish: not promoted: relu \({other[:8]}\) can't be held against the champion, version 1: circles · "
    )
    assert re.match(f"{start}.* can't be compared: {expected}", line), line
    assert "To make it champion all the same: python -c" in line
    assert store.registered() == {NAME: (1, "1")}
    assert len(runs_of(store.folder)[1]) == before


def test_a_champion_that_cannot_be_read_is_not_replaced(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A champion whose run was deleted, or that names none, can't be compared with: refused, with the reason."""
    relu, linear = store.served("rings", "relu"), store.served("rings", "linear")
    assert main(["promote", linear]) == 0
    store.client.delete_run(linear)
    assert f"version 1: {linear}: no such run in sqlite:///" in refused(capsys, relu)
    store.client.create_registered_model("by_hand")
    source = store.client.get_run(linear).outputs.model_outputs[0].model_id
    model = store.client.get_logged_model(source)
    store.client.create_model_version("by_hand", model.artifact_location)
    store.client.set_registered_model_alias("by_hand", "champion", "1")
    assert "version 1: it doesn't say from which run it is" in refused(capsys, relu, "--as", "by_hand")


def test_a_champion_of_another_dataset_is_refused(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """A name stands for one dataset: a model of another one isn't held against its champion."""
    linear, disc = store.served("rings", "linear"), store.served("other dataset", "relu")
    assert main(["promote", linear]) == 0
    line = refused(capsys, disc, "--as", NAME)
    assert "version 1: dataset disc against circles; promote it by another name: --as NAME. To make it champion" in line
    assert store.registered() == {NAME: (1, "1")}


def test_the_champion_again_changes_nothing(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Promoting the champion once more says so: no version, no look, exit code 0."""
    relu = store.served("rings", "relu")
    assert main(["promote", relu]) == 0
    before = len(runs_of(store.folder)[1])
    capsys.readouterr()
    assert main(["promote", relu]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(
        f"relu ({relu[:8]}) is the champion already; nothing was changed.\nchampion  models:/{NAME}"
    )
    assert store.registered() == {NAME: (1, "1")}
    assert len(runs_of(store.folder)[1]) == before


def test_a_name_of_ones_own(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """`--as NAME` registers under that name, quoted where a shell would need it; the usual one isn't touched."""
    assert main(["promote", store.served("rings", "logistic"), "--as", "my rings"]) == 0
    printed = capsys.readouterr().out
    assert "mlflow models serve -m 'models:/my rings@champion' --env-manager local" in printed
    assert store.registered() == {"my rings": (1, "1")}


def test_another_store_is_named_in_the_command(
    store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the store isn't the one that MLflow would find, the commands to copy begin with its address."""
    linear, relu = store.served("rings", "linear"), store.served("rings", "relu")
    uri = f"sqlite:///{store.folder / 'mlflow.db'}"
    (store.folder / "elsewhere").mkdir()
    monkeypatch.chdir(store.folder / "elsewhere")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert main(["promote", relu]) == 0
    assert f"serve     MLFLOW_TRACKING_URI={uri} mlflow models serve -m models:/" in capsys.readouterr().out
    assert f"all the same: MLFLOW_TRACKING_URI={uri} python -c" in refused(capsys, linear)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["{served}", "--as", "a/b"], "--as: 'a/b' can't be a name; use letters"),
        (["{served}", "--as", "a:b"], "--as: 'a:b' can't be a name"),
        (["{served}", "--as", "a@champion"], "--as: 'a@champion' can't be a name"),
        (["{served}", "--as", ".."], "--as: '..' can't be a name"),
        (["{served}", "--as", ""], "--as: '' can't be a name"),
        (
            ["{served}", "--as", "x" * 300],
            "--as: 'xxxxxxxxxxxxxxxxxxxx'… has 300 characters, and the registry takes 256",
        ),
        (["relu"], "relu: is no run id; give its 32 digits"),
        (["0" * 32], "0" * 32 + ": no such run in sqlite:///"),
        (["{failed}"], "{failed}: isn't finished (FAILED); run its experiment again"),
        (
            ["{plain}"],
            "{plain}: has no servable model: only the best run of circles · relu has one; promote {served} (",
        ),
        (["{stray}"], "{stray}: is no model run (not one of Photofinish); give a model run's id"),
        (["{killed}"], "{killed}: belongs to {parent}, which isn't finished (KILLED)"),
        (
            ["{comparison}"],
            "{comparison}: is a comparison, not a model run; give the run to promote: circles · linear ",
        ),
    ],
)
def test_what_cannot_be_promoted(
    arguments: list[str], expected: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong name or id: exit code 2, a line that names the remedy, and nothing registered."""
    ids = {"served": store.served("rings", "relu"), "plain": store.runs("rings", "relu")[0].info.run_id}
    ids |= {"failed": store.runs("rings", "boom")[0].info.run_id, "comparison": store.ids["rings"]}
    ids |= {"killed": store.served("other rule", "relu"), "parent": store.ids["other rule"]}
    if "stray" in expected:
        ids["stray"] = store.client.create_run("0").info.run_id
    store.client.set_terminated(store.ids["other rule"], "KILLED")
    line = refused(capsys, *(text.format(**ids) for text in arguments), code=2)
    assert line.startswith(f"photofinish: {expected.format(**ids)}")
    if arguments == ["{comparison}"]:
        assert f"circles · relu {ids['served']}" in line
        assert ids["plain"] not in line
    assert store.registered() == {}


@pytest.mark.slow
@pytest.mark.parametrize("model", ["relu", "logistic"])
def test_the_champion_is_served_with_the_ledgers_numbers(
    model: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """The printed `mlflow models serve` answers with the ledger's probabilities and labels, whatever kind it is."""
    run_id = store.served("rings", model)
    assert main(["promote", run_id]) == 0
    command = capsys.readouterr().out.partition("serve ")[2].strip()
    table = pd.read_parquet(store.client.download_artifacts(store.ids["rings"], "data/circles.parquet"))
    predictions = pd.read_parquet(store.client.download_artifacts(run_id, "predictions.parquet"))
    raw = table.loc[predictions["row_id"], ["feature_0", "feature_1"]].to_numpy()
    with serving(command) as address:
        answer = requests.post(f"{address}/invocations", json={"inputs": raw.tolist()}, timeout=60)
    answer.raise_for_status()
    served = np.array(answer.json()["predictions"])
    expected = predictions[["p_0", "p_1"]].to_numpy()
    np.testing.assert_allclose(served[:, :-1], expected, rtol=0, atol=1e-6)
    assert np.array_equal(served[:, -1], predicted_labels(expected))
