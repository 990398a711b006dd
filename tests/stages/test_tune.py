"""The stage against a real SQLite storage."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from sklearn import metrics

from pipeline.artifacts import Search, Split, Trial
from pipeline.errors import AllMembersFailed, BadInput
from pipeline.execution import workers
from pipeline.stages.inference import predict
from pipeline.stages.split import SplitSpec, split
from pipeline.stages.tasks import TrainTask
from pipeline.stages.train import train
from pipeline.stages.tune import Candidate, SearchPlan, best_candidate, connect, edges, plan, tune
from pipeline.stages.tuning.proposals import StoppingRule
from pipeline.stages.tuning.spec import Dimension, TunableModelSpec, configure
from pipeline.stages.tuning.study import PROCESS, Study
from pipeline.stages.tuning.trials import rungs
from pipeline.training.population import Population
from tests.making import dataset

SPACE = {"depth": [1, 2], "width": [2, 8], "lr": [0.01, 0.3, "log"], "epochs": [4, 30, "log"]}


class Notebook:
    """Keeps a record of trials, and gives each a run id."""

    def __init__(self) -> None:
        self.trials: list[Trial] = []
        self.searches: list[Search] = []

    @contextmanager
    def trial_runs(self, search: SearchPlan, trials: Sequence[Trial]) -> Iterator[list[str]]:
        self.trials.extend(trials)
        yield [f"{search.study} {trial.number}" for trial in trials]

    def finish_search(self, search: Search) -> None:
        self.searches.append(search)


def made_split(make: str = "moons", spec: SplitSpec = SplitSpec(), **keys: Any) -> Split:  # noqa: B008
    return split(dataset("d", make=make, **{"n_samples": 120, "noise": 0.3, **keys}), spec)


def planned(made: Split, name: str = "e", class_weight: Any = None, **tuning: Any) -> SearchPlan:
    model = {
        "hidden_units": [4],
        "training": {"optimizer": "Adam", "lr": 0.05, "epochs": 20, "class_weight": class_weight},
        "tuning": {"trials": 6, "space": SPACE, "trials_at_once": 3, **tuning},
    }
    return plan(name, made, SplitSpec(), "m", TunableModelSpec.model_validate(model), (0, 1))


def searched(*plans: SearchPlan, url: str, jobs: int = 1, fresh: bool = False) -> list[Search]:
    storage = connect(url, plans, fresh=fresh)
    with workers(jobs) as submit:
        return tune(plans, storage, Notebook(), submit=submit, fresh=fresh)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'optuna.db'}"


def loaded(url: str, name: str = "e/d/m") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=url)


def dump(url: str) -> list[str]:
    """All that a storage holds; its file's bytes also change when a connection ends and the log is written into it."""
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        return list(connection.iterdump())


def outcomes(search: Search) -> list[tuple[Any, ...]]:
    return [(trial.number, trial.state, trial.value, dict(trial.params), dict(trial.steps)) for trial in search.trials]


def test_study_holds_what_was_found(url: str) -> None:
    """Each trial lies in Optuna's storage with hyperparameters, values after rungs, state and user attributes."""
    notebook = Notebook()
    search = planned(made_split())
    with workers(1) as submit:
        (found,) = tune([search], connect(url, [search]), notebook, submit=submit)
    study = loaded(url)
    assert [trial.number for trial in study.trials] == list(range(6))
    assert {trial.state.name for trial in study.trials} <= {"COMPLETE", "PRUNED"}
    assert study.best_trial.number == found.best.number
    assert study.best_value == found.best.value
    for trial, ours in zip(study.trials, found.trials, strict=True):
        assert trial.params == ours.params
        assert set(trial.params) == {"depth", "width", "lr", "epochs"}
        assert trial.intermediate_values == ours.steps
        assert trial.user_attrs["mlflow_run_id"] == f"e/d/m {trial.number}"
        assert {"dataset": "d", "model": "m", "seed": 0}.items() <= trial.user_attrs.items()
        assert trial.user_attrs["seconds"] > 0
        if ours.state == "complete":
            assert max(trial.intermediate_values) == trial.params["epochs"]
            assert trial.intermediate_values[trial.params["epochs"]] == trial.value
    assert [trial.number for trial in notebook.trials] != []
    assert notebook.searches == [found]
    assert set(study.user_attrs) >= {"objective", "space", "rows"}


def weighted(made: Split, first: float = 1) -> Split:
    weights = np.linspace(first, 9, len(made.dataset.target))
    return split(replace(made.dataset, weights=weights), SplitSpec())


@pytest.mark.parametrize(
    ("made", "class_weight"),
    [(made_split(), None), (weighted(made_split()), {"1": 4})],
    ids=["plain", "weighted"],
)
def test_value_is_what_training_that_network_alone_gives(made: Split, class_weight: Any, url: str) -> None:
    """A trial's objective is the validation log loss of its network trained, with its weights, by the train stage."""
    search = planned(made, class_weight=class_weight, pruner="none")
    (found,) = searched(search, url=url)
    for trial in found.trials[:3]:
        candidate = Candidate("d", "m", configure(search.given, trial.params), search.loss)
        (trained,) = train(TrainTask(made, candidate, (0,), "cpu"))
        truth = made.dataset.target[made.validation]
        expected = metrics.log_loss(truth, predict(trained.network, made, made.validation))
        assert trial.value == pytest.approx(expected, rel=1e-4)


def test_trials_of_other_weights_belong_to_another_study() -> None:
    """A study's identity changes with weights of classes and of rows; without any it says nothing of them."""
    made = made_split()
    plans = [planned(made), planned(made, class_weight="balanced"), planned(weighted(made)), planned(weighted(made, 2))]
    identities = [plan.identity() for plan in plans]
    assert all(one not in identities[:place] for place, one in enumerate(identities))
    assert "class_weight" not in str(identities[0])


def test_folds_and_seeds_are_averaged(url: str) -> None:
    """With `folds` the value is the mean over the folds of train and validation rows, and over the seeds."""
    from sklearn.model_selection import StratifiedKFold

    made = made_split()
    search = planned(made, folds=3, seeds=2, trials=2, pruner="none", objective="validation/accuracy")
    (found,) = searched(search, url=url)
    rows = np.concatenate([made.train, made.validation])
    table = replace(made.dataset, features=made.dataset.features[rows], target=made.dataset.target[rows])
    parts = StratifiedKFold(3, shuffle=True, random_state=42).split(rows, table.target)
    folds = [(train_rows, held_out) for train_rows, held_out in parts]
    for trial in found.trials:
        candidate = Candidate("d", "m", configure(search.given, trial.params), search.loss)
        scores = []
        for train_rows, held_out in folds:
            features = table.features[train_rows]
            fold = Split(
                table, train_rows, held_out, held_out[:0], features.mean(axis=0), features.std(axis=0), 0.0, 1.0
            )
            for trained in train(TrainTask(fold, candidate, (0, 1), "cpu")):
                labels = predict(trained.network, fold, held_out).argmax(axis=1)
                scores.append(metrics.accuracy_score(table.target[held_out], labels))
        assert trial.value == pytest.approx(np.mean(scores), abs=1e-9)


@pytest.mark.parametrize("tuning", [{}, {"folds": 3}])
def test_test_rows_are_out_of_reach(url: str, tmp_path: Path, tuning: dict[str, Any]) -> None:
    """Other test rows change no trial by a bit: the search is handed a table that doesn't hold them."""
    made = made_split()
    features = made.dataset.features.copy()
    features[made.test] = np.random.default_rng(0).normal(9, 5, features[made.test].shape)
    target = made.dataset.target.copy()
    target[made.test] = 1 - target[made.test]
    other = replace(made, dataset=replace(made.dataset, features=features, target=target))
    search, elsewhere = planned(made, **tuning), planned(other, **tuning)
    for part in (*search.folds, *elsewhere.folds):
        assert len(part.test) == 0
        assert len(part.dataset.target) == len(made.train) + len(made.validation)
    (found,), (also,) = searched(search, url=url), searched(elsewhere, url=f"sqlite:///{tmp_path / 'other.db'}")
    assert outcomes(found) == outcomes(also)


def test_search_goes_on_where_it_stopped(url: str, tmp_path: Path) -> None:
    """Six trials and then six more are the twelve of a search that never stopped, the older ones untouched."""
    made = made_split()
    (first,) = searched(planned(made, trials=6), url=url)
    (both,) = searched(planned(made, trials=12), url=url)
    (whole,) = searched(planned(made, trials=12), url=f"sqlite:///{tmp_path / 'whole.db'}")
    assert outcomes(both) == outcomes(whole)
    assert outcomes(both)[:6] == outcomes(first)
    (again,) = searched(planned(made, trials=9), url=url)
    assert len(again.trials) == 12


class Broken(Notebook):
    """Fails on the second batch."""

    @contextmanager
    def trial_runs(self, search: SearchPlan, trials: Sequence[Trial]) -> Iterator[list[str]]:
        if self.trials:
            raise OSError("the store is gone")
        with super().trial_runs(search, trials) as run_ids:
            yield run_ids


def test_trials_that_were_given_up_are_proposed_again(url: str, tmp_path: Path) -> None:
    """When something breaks in the midst of a batch, its trials fail with the reason, and no other is lost.

    Going on, it proposes what it would have proposed.
    """
    made = made_split()
    search = planned(made, trials=9)
    search = replace(search, given=configure(search.given, {"depth": 1}))
    with pytest.raises(OSError, match="the store is gone"), workers(1) as submit:
        tune([search], connect(url, [search]), Broken(), submit=submit)
    broken = [trial for trial in loaded(url).trials if trial.state.name == "FAIL"]
    assert broken
    assert {trial.user_attrs["failure"] for trial in broken} == {"stopped: OSError"}
    (found,) = searched(search, url=url)
    (whole,) = searched(search, url=f"sqlite:///{tmp_path / 'whole.db'}")

    def proposed(of: Search) -> list[Any]:
        return sorted((*trial.params.values(), trial.value) for trial in of.trials)

    assert proposed(found) == proposed(whole)


class Interrupted(Exception):
    """What stops a search in a test."""


@pytest.mark.parametrize(
    "tuning",
    [
        {"trials": 16, "trials_at_once": None, "pruner": "hyperband"},
        {"trials": 16, "trials_at_once": 5, "pruner": "median"},
        {"trials": 14, "trials_at_once": 4, "sampler": "grid"},
        pytest.param({"trials": 88, "trials_at_once": None, "pruner": "hyperband"}, marks=pytest.mark.slow),
    ],
)
def test_search_interrupted_between_trials_ends_as_if_undisturbed(
    url: str, tmp_path: Path, tuning: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted again and again between two trials of a batch, it has the trials of one that never was.

    So too where a quarter of the starts is killed, and leaves its trials running.
    """
    search = planned(made_split(), **tuning)
    (whole,) = searched(search, url=f"sqlite:///{tmp_path / 'whole.db'}")
    chance, tell, interruptions = np.random.default_rng(0), Study.tell, 0

    def told(study: Study, *arguments: Any) -> bool:
        if chance.random() < 4 / tuning["trials"]:
            raise Interrupted
        return tell(study, *arguments)

    monkeypatch.setattr(Study, "tell", told)
    while True:
        with monkeypatch.context() as patch:
            if killed := chance.random() < 0.25:
                patch.setattr(Study, "give_up", lambda *_: None)
            try:
                (found,) = searched(search, url=url)
                break
            except Interrupted:
                interruptions += 1
        if killed:
            leave_to_the_dead(url)
    assert interruptions > 1
    assert [(*one[1:],) for one in outcomes(found)] == [(*one[1:],) for one in outcomes(whole)]
    assert found.best.value == whole.best.value
    assert {trial.state.name for trial in loaded(url).trials} <= {"COMPLETE", "PRUNED", "FAIL"}


def leave_to_the_dead(url: str) -> None:
    """Have running trials belong to a process that is gone."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    study = loaded(url)
    for trial in study.trials:
        if trial.state is optuna.trial.TrialState.RUNNING:
            place, _, started = trial.system_attrs[PROCESS]
            study._storage.set_trial_system_attr(trial._trial_id, PROCESS, [place, gone.pid, started])


def test_workers_change_no_number(url: str, tmp_path: Path) -> None:
    """Two processes find what one finds, several studies at once."""
    made, other = made_split(), made_split("circles", noise=0.1)
    plans = [planned(made, name="one", pruner="hyperband"), planned(other, name="two", trials=5)]
    one = searched(*plans, url=url)
    two = searched(*plans, url=f"sqlite:///{tmp_path / 'two.db'}", jobs=2)
    assert [outcomes(search) for search in one] == [outcomes(search) for search in two]


def test_training_of_trials_can_be_ended_between_epochs(url: str) -> None:
    """Whoever is told of the epochs of trials may end their training, as a worker does that nobody waits for."""

    def give_up(population: Population) -> None:
        if population.epoch == 3:
            raise InterruptedError

    search = planned(made_split())
    with workers(1) as submit, pytest.raises(InterruptedError):
        tune([search], connect(url, [search]), Notebook(), submit=submit, announce=give_up)


def test_searches_of_other_seeds_differ(url: str, tmp_path: Path) -> None:
    """The sampler is seeded: the same seed proposes the same, another one something else."""
    made = made_split()
    (found,) = searched(planned(made), url=url)
    (other,) = searched(planned(made, random_state=1), url=f"sqlite:///{tmp_path / 'other.db'}")
    assert [trial.params for trial in found.trials] != [trial.params for trial in other.trials]


@pytest.mark.parametrize(
    "sampler",
    ["tpe", "random", "gp", "grid", "cmaes"],
)
@pytest.mark.parametrize("pruner", ["median", "hyperband", "none"])
def test_every_sampler_and_pruner(url: str, sampler: str, pruner: str) -> None:
    """Every sampler works with every pruner, on ranges and choices, and within the space."""
    space = {**SPACE, "optimizer": ["SGD", "Adam", "AdamW"], "batch_size": [16, 32, None], "momentum": [0.0, 0.9]}
    (found,) = searched(planned(made_split(), trials=14, space=space, sampler=sampler, pruner=pruner), url=url)
    assert len(found.trials) == 14
    for trial in found.trials:
        assert set(trial.params) == set(space)
        assert 2 <= trial.params["width"] <= 8
        assert trial.params["optimizer"] in ("SGD", "Adam", "AdamW")
    assert (pruner == "none") <= all(trial.state == "complete" for trial in found.trials)


def test_grid_ends_with_its_last_point(url: str) -> None:
    """A grid smaller than the number of trials is searched once, each point once."""
    space = {"depth": [1, 2, 3], "width": [2, 4, 8], "activation": ["relu", "tanh"]}
    search = planned(made_split(), trials=50, space=space, sampler="grid", pruner="none")
    (found,) = searched(search, url=url)
    points = [tuple(trial.params.values()) for trial in found.trials]
    assert len(points) == len(set(points)) == 18


def test_hopeless_trials_stop_early(url: str) -> None:
    """The median pruner stops trials at a rung, and their networks train no further."""
    notebook = Notebook()
    space = {"lr": [0.0001, 0.5, "log"]}
    search = planned(made_split(), trials=30, space=space, sampler="random", trials_at_once=10)
    search = replace(search, given=configure(search.given, {"epochs": 54}))
    with workers(1) as submit:
        tune([search], connect(url, [search]), notebook, submit=submit)
    pruned = [trial for trial in notebook.trials if trial.state == "pruned"]
    assert pruned
    for trial in pruned:
        assert trial.history is not None
        assert max(trial.steps) == len(trial.history.train_loss)
        assert max(trial.steps) in rungs(54)


def test_diverged_trial_counts_and_says_why(url: str) -> None:
    """A trial whose network diverges is one of the trials asked for; it ends pruned, with the reason."""
    space = {"lr": [0.1, 1e30, "log"], "epochs": [30, 30]}
    model = {"hidden_units": [4], "training": {"optimizer": "SGD"}, "tuning": {"trials": 8, "space": space}}
    search = plan("e", made_split(), SplitSpec(), "m", TunableModelSpec.model_validate(model), [0])
    (found,) = searched(search, url=url)
    assert len(found.trials) == 8
    failed = [trial for trial in found.trials if trial.state == "failed"]
    assert failed
    assert all("became" in (trial.failure or "") or "finite" in (trial.failure or "") for trial in failed)
    stored = {trial.number: trial for trial in loaded(url).trials}
    assert all(stored[trial.number].state.name == "PRUNED" for trial in failed)
    assert all("failure" in stored[trial.number].user_attrs for trial in failed)


def test_search_in_which_everything_diverges_fails(url: str) -> None:
    """When no trial comes to its end there is no best one, and the error says what to lower."""
    search = planned(made_split(), trials=2, space={"lr": [1e30, 1e35, "log"]})
    search = replace(search, given=configure(search.given, {"optimizer": "SGD"}))
    with pytest.raises(AllMembersFailed, match=r"none of 2 trials was completed: .*; lower the upper end of lr"):
        searched(search, url=url)


def test_enqueued_trials_come_first(url: str) -> None:
    """Trials enqueued by hand are taken before new ones; what they leave open is filled in."""
    optuna.create_study(storage=url, study_name="e/d/m").enqueue_trial({"width": 7, "depth": 2})
    loaded(url).enqueue_trial({"lr": 0.123})
    (found,) = searched(planned(made_split()), url=url)
    assert len(found.trials) == 6
    assert {"width": 7, "depth": 2}.items() <= found.trials[0].params.items()
    assert found.trials[1].params["lr"] == 0.123
    assert [trial.user_attrs["worker"] for trial in loaded(url).trials]


@pytest.mark.parametrize("strange", [{"width": 99}, {"wdth": 3}, {"lr": "high"}])
def test_enqueued_trial_outside_the_space_fails(url: str, strange: dict[str, Any]) -> None:
    """A trial enqueued with what isn't in the space is marked as failed with the reason, and doesn't count."""
    optuna.create_study(storage=url, study_name="e/d/m").enqueue_trial(strange)
    (found,) = searched(planned(made_split()), url=url)
    assert len(found.trials) == 6
    first = loaded(url).trials[0]
    assert first.state.name == "FAIL"
    assert "outside the space" in first.user_attrs["failure"]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"space": {"width": [2, 9]}}, "space"),
        ({"objective": "validation/rmse"}, "doesn't fit"),
        ({"objective": "validation/accuracy"}, "doesn't maximize"),
        ({"folds": 3}, "on other rows"),
        ({"seeds": 2}, "seeds"),
    ],
)
def test_study_of_another_question_is_refused(url: str, change: dict[str, Any], word: str) -> None:
    """A study that searches another space, objective or other rows isn't continued; the line says how to go on."""
    made = made_split()
    searched(planned(made), url=url)
    before = dump(url)
    with pytest.raises(BadInput) as caught:
        connect(url, [planned(made, **change)])
    line = str(caught.value)
    assert word in line
    if word != "doesn't fit":
        assert "--fresh" in line
        assert "optuna delete-study" in line
    assert dump(url) == before


def test_fresh_search_forgets_the_old_one(url: str) -> None:
    """`fresh` deletes what the study held, and searches another space under the same name."""
    made = made_split()
    searched(planned(made), url=url)
    (found,) = searched(planned(made, trials=3, space={"width": [2, 9]}), url=url, fresh=True)
    assert len(found.trials) == len(loaded(url).trials) == 3


def test_trials_of_unknown_origin_are_refused(url: str) -> None:
    """A study that someone's own script has filled isn't mixed with our trials."""
    optuna.create_study(storage=url, study_name="e/d/m").optimize(lambda trial: trial.suggest_float("x", 0, 1), 1)
    with pytest.raises(BadInput, match="unknown origin"):
        connect(url, [planned(made_split())])


def _not_a_database(folder: Path) -> str:
    (folder / "notes.txt").write_text("no database" * 100)
    return f"sqlite:///{folder / 'notes.txt'}"


def _another_programs(folder: Path) -> str:
    connection = sqlite3.connect(folder / "mlflow.db")
    connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
    connection.commit()
    return f"sqlite:///{folder / 'mlflow.db'}"


def _of_another_version(folder: Path) -> str:
    url = f"sqlite:///{folder / 'old.db'}"
    optuna.storages.RDBStorage(url)
    connection = sqlite3.connect(folder / "old.db")
    connection.execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
    connection.commit()
    return url


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda folder: f"sqlite:///{folder}/no/such/folder/o.db", ["can't be used", "unable to open"]),
        (lambda _: "optuna.db", ["no address of a database", "sqlite:///optuna.db"]),
        (lambda _: "postgresql+psycopg2://me:secret@127.0.0.1:1/x", ["can't be used"]),
        (_not_a_database, ["can't be used", "not a database"]),
        (_another_programs, ["another program's database"]),
        (_of_another_version, ["schema", "optuna storage upgrade"]),
    ],
    ids=["folder", "address", "refused", "text", "mlflow", "schema"],
)
def test_storage_that_cannot_be_used(tmp_path: Path, make: Callable[[Path], str], parts: list[str]) -> None:
    """A storage out of reach or of another schema: one line that names it, without its password, and a remedy."""
    url = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadInput) as caught:
        connect(url, [planned(made_split())])
    line = str(caught.value)
    assert line.startswith("storage: ")
    assert "secret" not in line
    for part in parts:
        assert part in line
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("tuning", "spec", "parts"),
    [
        ({}, SplitSpec(validation_size=0), ["no validation rows", "tuning.folds"]),
        ({"objective": "validation/mae"}, SplitSpec(), ["objective", "doesn't fit a binary target"]),
        ({"folds": 60}, SplitSpec(), ["folds", "60 folds, but 48"]),
        ({"seeds": 3}, SplitSpec(), ["seeds", "3 of 2"]),
        ({"space": {"batch_size": [8, 500]}}, SplitSpec(), ["batch_size", "500 is more than the 72"]),
    ],
)
def test_data_that_cannot_be_searched_on(tuning: dict[str, Any], spec: SplitSpec, parts: list[str]) -> None:
    """No validation rows, and objectives, folds, seeds or batches that don't fit, are refused."""
    with pytest.raises(BadInput) as caught:
        planned(made_split(spec=spec), **tuning)
    for part in ("models.m.tuning", *parts):
        assert part in str(caught.value)


def test_folds_do_without_validation_rows(url: str) -> None:
    """Cross-validation takes its rows from the training part where there is no validation part."""
    (found,) = searched(planned(made_split(spec=SplitSpec(validation_size=0)), folds=3, trials=2), url=url)
    assert len(found.trials) == 2


def test_regression_is_tuned_too(url: str) -> None:
    """A regression is searched by the mean squared error in the target's units, or by R² upwards."""
    made = split(dataset("d", make="line", n_samples=80), SplitSpec())
    (by_error,) = searched(planned(made, trials=4), url=url)
    assert (by_error.objective, by_error.minimizes) == ("validation/mse", True)
    (by_share,) = searched(planned(made, trials=4, name="r2", objective="validation/r2"), url=url)
    assert not by_share.minimizes
    assert by_share.best.value == max(trial.value for trial in by_share.trials if trial.value is not None)


def test_best_hyperparameters_are_what_is_trained(url: str) -> None:
    """The best trial's hyperparameters replace the model's own, and nothing else."""
    search = planned(made_split())
    (found,) = searched(search, url=url)
    spec = best_candidate(search, found).spec
    best = found.best.params
    assert spec.hidden_units == (best["width"],) * best["depth"]
    assert (spec.training.lr, spec.training.epochs) == (best["lr"], best["epochs"])
    assert (spec.activation, spec.training.optimizer) == ("relu", "Adam")


@pytest.mark.parametrize(
    ("best", "found"),
    [
        ({"lr": 0.001, "width": 4}, ("lr lower", "width lower")),
        ({"lr": 0.0999, "width": 32}, ("lr upper", "width upper")),
        ({"lr": 0.01, "width": 18}, ()),
    ],
)
def test_best_at_the_edge_is_named(best: dict[str, float], found: tuple[str, ...]) -> None:
    """A best value at an end of its range is named with the end, on the range's own scale."""
    dimensions = {"lr": Dimension("lr", 0.001, 0.1, log=True), "width": Dimension("width", 4, 32)}
    assert edges(best, dimensions) == found


def test_ends_that_cannot_be_moved_are_no_edges() -> None:
    """A width of 1 or a weight decay of 0 can't be undercut, and choices have no ends."""
    dimensions = {
        "width": Dimension("width", 1, 9),
        "weight_decay": Dimension("weight_decay", 0.0, 0.1),
        "optimizer": Dimension("optimizer", choices=("SGD", "Adam")),
    }
    assert edges({"width": 1, "weight_decay": 0.0, "optimizer": "SGD"}, dimensions) == ()


def test_stopping_rule_is_the_median_of_what_is_known() -> None:
    """A trial is stopped when it is worse than the median at its rung of ten others that came to their ends."""
    known = [
        optuna.trial.create_trial(value=float(value), intermediate_values={30: float(value)}) for value in range(11)
    ]
    for number, trial in enumerate(known):
        trial.number = number
    running = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING)
    running.number = 11
    rule = StoppingRule("s", "minimize", "median", 100, [*known, running], {11: 11})
    assert not rule(11, 30, 4.0)
    assert rule(11, 34, 4.0) is False  # nobody else was looked at there
    rule = StoppingRule("s", "minimize", "median", 100, [*known, running], {11: 11})
    assert rule(11, 30, 6.0)
