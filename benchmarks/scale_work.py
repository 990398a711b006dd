"""What the processes of `scale.py` do and what it costs them: our commands, and the same writes without training."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pipeline.experiment import Experiment
from pipeline.experiment_file import load

if TYPE_CHECKING:
    from pipeline.artifacts import Split
    from pipeline.stages.tune import SearchPlan
    from pipeline.stages.tuning.trials import TrialsTask
    from pipeline.tracking.writer import ComparisonWriter

SEEDS, TRIALS = 3, 64
SPACE = "{depth: [1, 3], width: [4, 16], lr: [0.001, 0.1, log], epochs: [100, 300, log]}"
EXPERIMENT = """\
name: NAME
datasets:
DATASETS
models: {relu: {hidden_units: [10, 10]}}
training: {optimizer: Adam, lr: 0.01, epochs: 300}
seeds: SEEDS
"""
TUNING = f"tuning: {{trials: TRIALS, trials_at_once: 2, space: {SPACE}}}\n"

Barrier = Any  # multiprocessing's, behind a proxy


@dataclass
class Clock:
    """Seconds by part, and requests by kind, of one process; a part within a part belongs to the outer one."""

    seconds: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    waited: Counter[str] = field(default_factory=Counter)  # seconds for the answers, by kind of request
    wall: float = 0.0
    inside: bool = False

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, its time counted as a part's."""

        @functools.wraps(function)
        def measured(*arguments: Any, **named: Any) -> Any:
            if self.inside or threading.current_thread() is not threading.main_thread():  # heartbeats are no one's
                return function(*arguments, **named)
            self.inside, started = True, time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.inside = False
                self.seconds[part] += time.perf_counter() - started

        return measured

    def stage(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function of a stage: what counts is what happens in it."""

        @functools.wraps(function)
        def measured(*arguments: Any, **named: Any) -> Any:
            for counter in (self.seconds, self.requests, self.waited):
                counter.clear()
            started = time.perf_counter()
            result = function(*arguments, **named)
            self.wall = time.perf_counter() - started
            return result

        return measured

    def result(self, units: int = 0) -> Cost:
        """Return what was measured since a stage began."""
        return Cost(self.wall, Counter(self.seconds), Counter(self.requests), Counter(self.waited), units)


@dataclass(frozen=True)
class Cost:
    """What one process, or several together, took."""

    wall: float
    seconds: Counter[str]
    requests: Counter[str]
    waited: Counter[str]
    units: int = 0  # model runs or trials

    @property
    def rest(self) -> float:
        """Seconds that are no part's: evaluation, pictures, files, sampling."""
        return self.wall - self.seconds.total()


clock = Clock()


def instrument() -> None:
    """Have this process count what its stores cost."""
    import requests
    from mlflow.tracking import MlflowClient
    from optuna.storages import RDBStorage

    from pipeline import runner
    from pipeline.tracking import writer

    for owner, part in ((MlflowClient, "store"), (RDBStorage, "study")):
        for name, function in list(vars(owner).items()):
            if not name.startswith("_") and callable(function):
                setattr(owner, name, clock.timed("upload" if name.startswith("log_artifact") else part, function))
    writer.log_servable = clock.timed("servable", writer.log_servable)
    runner.map_tasks = functools.partial(_waiting, runner.map_tasks)
    runner.workers = functools.partial(_timed_workers, runner.workers)
    runner._train_and_evaluate = clock.stage(runner._train_and_evaluate)
    runner._tune = clock.stage(runner._tune)
    requests.Session.send = _counted(requests.Session.send)


def _waiting(map_tasks: Callable[..., Any], *arguments: Any, **named: Any) -> Iterator[Any]:
    """Count as training, or as waiting for it, what passes until the next result is there."""
    results = map_tasks(*arguments, **named)
    following = clock.timed("training", functools.partial(next, results, None))
    yield from iter(following, None)


@contextlib.contextmanager
def _timed_workers(workers: Callable[..., Any], *arguments: Any, **named: Any) -> Iterator[Callable[..., Any]]:
    with workers(*arguments, **named) as submit:
        yield lambda *task: SimpleNamespace(result=clock.timed("training", submit(*task).result))


def _counted(send: Callable[..., Any]) -> Callable[..., Any]:
    def counted(session: Any, request: Any, **named: Any) -> Any:
        path = request.url.split("?")[0]
        kind = "files" if "/mlflow-artifacts/" in path else "/".join(path.split("/")[-2:])
        started = time.perf_counter()
        answer = send(session, request, **named)
        clock.requests[kind] += 1
        clock.waited[kind] += time.perf_counter() - started
        return answer

    return counted


def ours(folder: Path, environment: Mapping[str, str], *words: str) -> Cost:
    """Run one of our commands in this process, in a folder, towards a store."""
    from pipeline.cli import main

    os.environ.update(environment)
    os.chdir(folder)
    with contextlib.redirect_stdout(io.StringIO()):
        code = main(words)
    if code:
        raise RuntimeError(f"photofinish {' '.join(words)} ended with exit code {code}")
    return clock.result()


def replay_runs(folder: Path, environment: Mapping[str, str], barrier: Barrier, seconds: float) -> Cost:
    """Write one trained model run again and again, for so many seconds."""
    from pipeline.stages.evaluate import evaluate
    from pipeline.stages.reporting.run_pictures import RunPictures
    from pipeline.stages.tasks import TrainTask
    from pipeline.stages.train import train
    from pipeline.stages.tune import settle

    experiment = load(write_experiment(folder, f"replay-{uuid.uuid4().hex[:8]}", [0], seeds=1))
    split, ((model_name, spec),) = make_split(experiment), experiment.models.items()
    task = TrainTask(split, settle(split, model_name, spec.as_given()), (0,), "cpu")
    (trained,) = train(task)
    model = evaluate(split, trained, task.goal)
    pictures = RunPictures(split).draw(model)

    def write(comparison: ComparisonWriter) -> int:
        units, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            run_id = comparison.write_training(trained, split)
            comparison.write_evaluation(model, split, run_id, pictures)
            comparison.finish(model, run_id, evaluated=True)
            units += 1
        return units

    with _comparison(folder, environment, experiment) as comparison:
        barrier.wait()
        units = clock.stage(write)(comparison)
        measured = clock.result(units)
        barrier.wait()  # nobody closes a run while others are measured
    return measured


def replay_trials(folder: Path, environment: Mapping[str, str], barrier: Barrier, storage: str, name: str) -> Cost:
    """Take part in a search whose trials take no time."""
    from pipeline.stages import tune

    experiment = load(write_experiment(folder, name, [0], seeds=1, tuning=True))
    plans = [search_plan(experiment)]
    with _comparison(folder, environment, experiment) as comparison:
        reached = tune.connect(storage, plans)
        barrier.wait()
        clock.stage(tune.tune)(plans, reached, comparison, submit=_at_once)
        measured = clock.result()
        barrier.wait()
    return measured


@contextlib.contextmanager
def _comparison(folder: Path, environment: Mapping[str, str], experiment: Experiment) -> Iterator[ComparisonWriter]:
    from pipeline.tracking.opening import open_comparison

    os.environ.update(environment)
    os.chdir(folder)
    with open_comparison(experiment, "replay", fresh=True, excludes=False, note=lambda _: None) as comparison:
        yield comparison


def make_split(experiment: Experiment) -> Split:
    """Make and part the experiment's only dataset."""
    from pipeline.stages.generate import generate
    from pipeline.stages.split import split

    ((name, spec),) = experiment.datasets.items()
    return split(generate(name, spec), spec.split)


def search_plan(experiment: Experiment) -> SearchPlan:
    """Plan the experiment's only search."""
    from pipeline.stages.tune import plan

    ((_, dataset),), ((model, spec),) = experiment.datasets.items(), experiment.models.items()
    return plan(experiment.name, make_split(experiment), dataset.split, model, spec, experiment.seeds)


def _at_once(_: Any, task: TrialsTask) -> SimpleNamespace:
    """Take a task as if it were handed in, and give what training would, without training."""
    from pipeline.stages.tuning.trials import TrialOutcome

    outcomes = [
        TrialOutcome(one, time.time(), {one.spec.training.epochs: one.spec.training.lr}, 0.001)
        for one in task.proposals
    ]
    return SimpleNamespace(result=lambda: outcomes)


def commits(url: str, barrier: Barrier, seconds: float) -> int:
    """Commit a row at a time; returns how many."""
    import psycopg2
    from sqlalchemy.engine import make_url

    address = make_url(url)
    connection = psycopg2.connect(
        host=address.host,
        port=address.port,
        user=address.username,
        password=address.password,
        dbname=address.database,
    )
    connection.autocommit = True
    cursor, count = connection.cursor(), 0
    barrier.wait()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        cursor.execute("INSERT INTO commits VALUES (%s)", ("x" * 100,))
        count += 1
    connection.close()
    return count


def write_experiment(
    folder: Path, name: str, datasets: Sequence[int], seeds: int = SEEDS, *, tuning: bool = False
) -> Path:
    """Write an experiment file; datasets are told by their numbers."""
    lines = [f"  moons_{place}: {{make: moons, noise: 0.3, random_state: {place}}}" for place in datasets]
    text = EXPERIMENT.replace("NAME", name).replace("DATASETS", "\n".join(lines)).replace("SEEDS", str(seeds))
    file = folder / f"{name}-{os.getpid()}.yaml"
    file.write_text(text + (TUNING.replace("TRIALS", str(TRIALS)) if tuning else ""), encoding="utf-8")
    return file
