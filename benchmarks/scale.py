"""What trials and model runs cost beyond their training, where that saturates, and how far 100 and 1,000 workers carry.

    python benchmarks/scale.py                          # all of it; writes benchmarks/scale.md
    python benchmarks/scale.py --workers 1 2 --seconds 2 --out /tmp/scale.md

It starts PostgreSQL, which waits for the disk as it would at work, and `mlflow server` with served artifacts, both on
this machine, as the workers are. Everything that is measured is the product's own code; where components are to be
saturated, only training is left out.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import argparse
import contextlib
import multiprocessing
import platform
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))  # for tests/components.py

import psutil
from scale_work import (
    SEEDS,
    TRIALS,
    Cost,
    commits,
    instrument,
    ours,
    replay_runs,
    replay_trials,
    search_plan,
    write_experiment,
)

DATASETS = 8
KNOWN = (0, 1_000, 5_000)  # trials that a sampler may know
ASSUMED_CORES = 4  # of the server's host and of the database's, in the model
ASSUMED_WORKERS = (100, 1_000)
ASSUMED_SEEDS = 10  # of a population, which has one servable model


# The components, and what they count --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Counters:
    """What the components have done so far, or between two looks."""

    values: Mapping[str, float]

    def __sub__(self, earlier: Counters) -> Counters:
        return Counters({key: value - earlier.values[key] for key, value in self.values.items()})

    def __getitem__(self, key: str) -> float:
        return self.values[key]


class Components:
    """PostgreSQL and an MLflow server on it."""

    def __init__(self, postgresql: Any, server: Any, folder: Path) -> None:
        self.postgresql, self.server, self.folder = postgresql, server, folder
        (checkpointer,) = postgresql.execute("SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
        self._processes = {
            "postgresql": psutil.Process(checkpointer[0]).parent(),
            "server": next(one for one in psutil.Process().children() if "mlflow" in one.cmdline()),
        }

    @property
    def environment(self) -> dict[str, str]:
        """What its clients set."""
        return {"MLFLOW_TRACKING_URI": self.server.address}

    def look(self) -> Counters:
        """Count CPU seconds, transactions, bytes of log and of databases; a second late, as PostgreSQL tells them."""
        time.sleep(1.5)
        found: dict[str, float] = {name: _cpu_seconds(process) for name, process in self._processes.items()}
        for name in ("mlflow", "optuna"):
            ((found[f"{name} transactions"], found[f"{name} bytes"]),) = self.postgresql.execute(
                f"SELECT xact_commit, pg_database_size(datname) FROM pg_stat_database WHERE datname = '{name}'"
            )
        ((found["flushes"],),) = self.postgresql.execute("SELECT wal_sync::float FROM pg_stat_wal")
        found["artifact bytes"] = sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())
        return Counters(found)


@contextlib.contextmanager
def components(folder: Path, server_processes: int) -> Iterator[Components]:
    """Start both, as a team would have them: PostgreSQL waits for the disk."""
    from tests.components import MlflowServer, PostgreSQL

    with PostgreSQL(fsync="on") as postgresql:
        backend, artifacts = postgresql.create("mlflow"), folder / "artifacts"
        postgresql.create("optuna")
        with MlflowServer(folder / "server", backend, artifacts, workers=server_processes) as server:
            yield Components(postgresql, server, artifacts)


def _cpu_seconds(process: psutil.Process) -> float:
    """CPU seconds of a process and all its descendants, also of those that have ended."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


@contextlib.contextmanager
def processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """Start processes that count what they do; an interrupt doesn't wait for what they are at."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=instrument)
    try:
        yield pool
    except BaseException:
        for process in list(pool._processes.values()):
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


# The measurements ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One line of a table: so many workers, who together took so much."""

    label: str
    workers: int
    units: int
    wall: float
    costs: Sequence[Cost]
    counted: Counters | None = None
    wasted: int = 0

    @property
    def rate(self) -> float:
        """Model runs or trials in a second."""
        return self.units / self.wall

    def part(self, name: str) -> float:
        """Seconds of one part, a unit, summed over workers."""
        seconds = sum(cost.rest if name == "rest" else cost.seconds[name] for cost in self.costs)
        return seconds / self.units

    @property
    def requests(self) -> Counter[str]:
        """Requests of all workers, by kind."""
        return sum((cost.requests for cost in self.costs), Counter())

    @property
    def waited(self) -> Counter[str]:
        """Seconds that all workers waited for answers, by kind of request."""
        return sum((cost.waited for cost in self.costs), Counter())

    def counter(self, name: str) -> float:
        """What the components counted, a unit."""
        return self.counted[name] / self.units if self.counted else float("nan")


class Bench:
    """Measures with a pool of processes that have everything imported."""

    def __init__(self, pool: ProcessPoolExecutor, manager: Any, running: Components, folder: Path) -> None:
        self._pool, self._manager, self._running, self._folder = pool, manager, running, folder

    def one_writer(self, workers: int) -> Row:
        """Model runs that one process writes, and so many others train."""
        folder = self._place()
        warm = write_experiment(folder, f"warm-{workers}", range(DATASETS), seeds=1)
        file = write_experiment(folder, f"one-writer-{workers}", range(DATASETS))
        words = ("--fresh", "--jobs", str(workers), "--until")
        where = (folder, self._running.environment, "run")
        self._pool.submit(ours, *where, str(warm), *words, "train").result()  # so that its workers are there
        cost = self._pool.submit(ours, *where, str(file), *words, "evaluate").result()
        return Row("one writer", workers, DATASETS * SEEDS, cost.wall, [cost])

    def own_logging(self, workers: int) -> Row:
        """Model runs that each worker trains and writes by itself."""
        folder = self._place()
        names = [f"own-{workers}-{place}" for place in range(workers)]
        files = [write_experiment(folder, name, range(DATASETS)[place::workers]) for place, name in enumerate(names)]
        commands = [("run", str(file), "--fresh", "--until", "evaluate") for file in files]
        costs = self._together(ours, [(self._place(), self._running.environment, *command) for command in commands])
        return Row("each its own", workers, DATASETS * SEEDS, max(cost.wall for cost in costs), costs)

    def search(self, workers: int) -> Row:
        """Trials of one study that so many processes share."""
        file = write_experiment(self._place(), f"search-{workers}", [0], seeds=1, tuning=True)
        command = ("tune", str(file), "--storage", self._running.postgresql.url("optuna"))
        jobs = [(self._place(), self._running.environment, *command) for _ in range(workers)]
        costs = self._together(ours, jobs)
        return Row("one study", workers, TRIALS, max(cost.wall for cost in costs), costs)

    def sqlite(self) -> tuple[Row, Row]:
        """Both kinds of work by one process on SQLite."""
        folder = self._place()
        environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
        rows = []
        for tuning in (False, True):
            units = TRIALS if tuning else DATASETS * SEEDS
            chosen, seeds = ([0], 1) if tuning else (range(DATASETS), SEEDS)
            name = "search" if tuning else "runs"
            file = write_experiment(folder, f"sqlite-{name}", chosen, seeds, tuning=tuning)
            words = ("tune", str(file)) if tuning else ("run", str(file), "--until", "evaluate")
            cost = self._pool.submit(ours, folder, environment, *words).result()
            rows.append(Row("SQLite", 1, units, cost.wall, [cost]))
        return rows[0], rows[1]

    def saturate_runs(self, workers: int, seconds: float) -> Row:
        """Write model runs without training any."""
        before, barrier = self._running.look(), self._manager.Barrier(workers)
        jobs = [(self._place(), self._running.environment, barrier, seconds) for _ in range(workers)]
        costs = self._together(replay_runs, jobs)
        units, wall = sum(cost.units for cost in costs), max(cost.wall for cost in costs)
        return Row("model runs", workers, units, wall, costs, self._running.look() - before)

    def saturate_trials(self, workers: int) -> Row:
        """Ask for trials, tell and record them without training any."""
        storage, name = self._running.postgresql.url("optuna"), f"saturate-{workers}"
        before, barrier = self._running.look(), self._manager.Barrier(workers)
        jobs = [(self._place(), self._running.environment, barrier, storage, name) for _ in range(workers)]
        costs = self._together(replay_trials, jobs)
        wasted = _given_up(storage, f"{name}/moons_0/relu")
        wall = max(cost.wall for cost in costs)
        return Row("trials", workers, TRIALS, wall, costs, self._running.look() - before, wasted)

    def raw_commits(self, workers: int, seconds: float) -> float:
        """Commits of one small row a second that the database bears."""
        self._running.postgresql.execute("CREATE TABLE IF NOT EXISTS commits (content text)", "optuna")
        url, barrier = self._running.postgresql.url("optuna"), self._manager.Barrier(workers)
        return sum(self._together(commits, [(url, barrier, seconds)] * workers)) / seconds

    def _together(self, function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
        return [one.result() for one in [self._pool.submit(function, *job) for job in jobs]]

    def _place(self) -> Path:
        """Make a folder to work in."""
        return Path(tempfile.mkdtemp(dir=self._folder))


def _given_up(storage: str, study: str) -> int:
    import optuna

    return sum(
        trial.state is optuna.trial.TrialState.FAIL
        for trial in optuna.load_study(study_name=study, storage=storage).trials
    )


def proposing(folder: Path) -> dict[int, float]:
    """Seconds that TPE takes for one proposal, by the number of trials that it knows."""
    import numpy as np
    import optuna

    from pipeline.experiment_file import load
    from pipeline.stages import tune

    plan = search_plan(load(write_experiment(folder, "proposing", [0], seeds=1, tuning=True)))
    study = tune._study(plan, tune.connect(f"sqlite:///{folder / 'proposing.db'}", [plan]))
    rng, found = np.random.default_rng(0), {}
    for known in KNOWN:
        # Its own way to propose, without the storage, which would take minutes to be filled.
        random = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for _ in range(known):
            random.tell(random.ask(study._proposer.distributions), rng.random())
        trials = random.get_trials(deepcopy=False)
        started = time.perf_counter()
        places = study._proposer.next_places(trials)
        study._proposer.propose(trials, places)
        found[known] = (time.perf_counter() - started) / len(places)
    return found


# The page -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """Everything that was measured."""

    runs: Sequence[Row]
    trials: Sequence[Row]
    run_loads: Sequence[Row]
    trial_loads: Sequence[Row]
    commits: Mapping[int, float]
    proposals: Mapping[int, float]


def page(found: Found, postgresql_version: str, server_processes: int) -> str:
    """Return the page with all tables."""
    return "\n".join(
        [
            "# What larger runs cost",
            "",
            f"Written by `python benchmarks/scale.py` on {time.strftime('%Y-%m-%d', time.gmtime())}: {_machine()};"
            f" {postgresql_version}, which waits for the disk; `mlflow server` with {server_processes} process(es) and"
            " served artifacts. Components and workers share these cores, so that more workers than cores show"
            " contention, not capacity; the model below rests on CPU seconds. What it means, and what to do about it,"
            " stands in [docs/scale-out.md](../docs/scale-out.md).",
            *_parts("A model run, by part", "model run", found.runs, ("training", "store", "upload", "servable")),
            f"{DATASETS} populations of {SEEDS} networks 2-10-10-1, 300 epochs. Seconds are summed over the processes"
            " that write; training is the stack's time, or with one writer the time spent waiting for it. Store:"
            " requests or statements other than files. Servable: the model that is logged for the best of each"
            f" population, so that {SEEDS} times as much is spent on one.",
            *_parts("A trial, by part", "trial", found.trials, ("training", "study", "store", "upload")),
            f"{TRIALS} trials of one study, two in work at a time a process. Study: Optuna's database. The rest is"
            " waiting for the others' last trials, and proposing.",
            *_requests(found),
            *_loads(found),
            *_proposals(found),
            *_model(found),
            "",
        ]
    )


def _parts(title: str, unit: str, rows: Sequence[Row], parts: Sequence[str]) -> list[str]:
    head = ["stores and writers", "workers", f"{unit}s a second", *parts, "rest"]
    body = [
        [row.label, str(row.workers), f"{row.rate:.1f}", *(f"{1000 * row.part(part):.0f}" for part in (*parts, "rest"))]
        for row in rows
    ]
    return ["", f"## {title}", f"Milliseconds a {unit}:", "", *_table(head, body), ""]


def _requests(found: Found) -> list[str]:
    run, trial = found.run_loads[0], found.trial_loads[0]
    kinds = sorted(kind for kind in run.requests | trial.requests if (run.requests + trial.requests)[kind] > 1)
    body = [[f"`{kind}`" if "/" in kind else kind, *_asked(run, kind), *_asked(trial, kind)] for kind in kinds]
    counters = {
        "transactions of MLflow's database": ("mlflow transactions", 1),
        "transactions of Optuna's database": ("optuna transactions", 1),
        "flushes of the write-ahead log": ("flushes", 1),
        "KiB in MLflow's database": ("mlflow bytes", 1024),
        "KiB in Optuna's database": ("optuna bytes", 1024),
        "KiB of artifacts": ("artifact bytes", 1024),
    }
    for text, (key, unit) in counters.items():
        body.append([text, *(cell for row in (run, trial) for cell in (f"{row.counter(key) / unit:.1f}", ""))])
    head = ["each, one process", "model run", "ms for them", "trial", "ms for them"]
    return ["", "## Requests, transactions and bytes", *_table(head, body)]


def _asked(row: Row, kind: str) -> tuple[str, str]:
    """How many requests of a kind one unit takes, and how many milliseconds they take together."""
    return f"{row.requests[kind] / row.units:.1f}", f"{1000 * row.waited[kind] / row.units:.0f}"


def _loads(found: Found) -> list[str]:
    head = ["what", "processes", "a second", "requests a second", "transactions a second"]
    head += ["server, CPU ms each", "PostgreSQL, CPU ms each", "given up"]
    body = []
    for row in (*found.run_loads, *found.trial_loads):
        transactions = row.counter("mlflow transactions") + row.counter("optuna transactions")
        rates = (row.rate, row.requests.total() / row.wall, transactions * row.rate)
        spent = (row.counter("server"), row.counter("postgresql"))
        numbers = [f"{rates[0]:.1f}", *(f"{rate:.0f}" for rate in rates[1:])]
        body.append(
            [row.label, str(row.workers), *numbers, *(f"{1000 * one:.0f}" for one in spent), str(row.wasted or "")]
        )
    for workers, rate in found.commits.items():
        body.append(["commits of one row", str(workers), f"{rate:.0f}", "", f"{rate:.0f}", "", "", ""])
    return [
        "",
        "## Saturated: the same writes without training",
        *_table(head, body),
        "",
        f"{TRIALS} trials of one study in each line, two at a time a process. Given up: proposals that were made again,"
        " since another process had asked at the same moment.",
    ]


def _proposals(found: Found) -> list[str]:
    body = [[f"{known:,}", f"{1000 * seconds:.0f}"] for known, seconds in found.proposals.items()]
    return ["", "## Proposing a trial", *_table(["trials that TPE knows", "milliseconds a proposal"], body)]


def _model(found: Found) -> list[str]:
    """From which seconds of training a unit on each component keeps up with so many workers."""
    server_row = next(row for row in found.runs if row.label == "one writer")
    written = sum(server_row.part(part) for part in ("store", "upload", "rest"))
    written += server_row.part("servable") * SEEDS / ASSUMED_SEEDS
    run, trial = found.run_loads[-1], found.trial_loads[-1]
    asked = sum(found.trial_loads[0].part(part) for part in ("study", "store", "rest"))
    ceiling = max(found.commits.values())
    seconds: dict[str, tuple[float | None, float]] = {
        "one process that writes all (`run --cluster`, `run --jobs`)": (written, asked),
        "one study, whose processes take turns in asking": (None, 1 / trial.rate),
        f"`mlflow server` on {ASSUMED_CORES} cores": (
            run.counter("server") / ASSUMED_CORES,
            trial.counter("server") / ASSUMED_CORES,
        ),
        f"PostgreSQL on {ASSUMED_CORES} cores": (
            run.counter("postgresql") / ASSUMED_CORES,
            trial.counter("postgresql") / ASSUMED_CORES,
        ),
        "PostgreSQL's flushes on this disk": (run.counter("flushes") / ceiling, trial.counter("flushes") / ceiling),
    }
    head = ["what keeps up"]
    head += [f"{workers:,} workers, {unit}" for unit in ("model run", "trial") for workers in ASSUMED_WORKERS]
    body = [
        [name, *(_duration(workers, one) for one in pair for workers in ASSUMED_WORKERS)]
        for name, pair in seconds.items()
    ]
    return [
        "",
        "## 100 and 1,000 workers: how long training has to take",
        *_table(head, body),
        "",
        "A worker that trains for t seconds asks for 1/t units a second. So a component that spends c seconds on a unit"
        " is saturated by n workers when t is less than n × c; the table says n × c. Assumed: server and database on"
        f" {ASSUMED_CORES} cores each, as fast as these, and none of them shared; {ASSUMED_SEEDS} seeds a population;"
        " work that can be shared out to all workers. A model run's t is that of its population over the number of"
        " seeds. Flushes: as many as were counted with most processes at once, since those that commit together flush"
        " together. The study's turns are those of the last line of trials above, with all that such trials cost these"
        " cores. On a network, each request of the one that writes takes a round trip more than here.",
    ]


def _duration(workers: int, cost: float | None) -> str:
    if cost is None:
        return ""
    seconds = workers * cost
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(cells)} |" for cells in (head, rule, *body)]


def _machine() -> str:
    """Say in words what it runs on."""
    from importlib.metadata import version

    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next((line.split(": ")[1] for line in text.splitlines() if line.startswith("model name")), "")
    versions = ", ".join(f"{name} {version(name)}" for name in ("mlflow", "optuna", "torch"))
    return f"{os.cpu_count()} cores of {model or platform.machine()}, {versions}"


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Measure everything; returns the page."""
    begun = time.perf_counter()

    def say(what: str) -> None:
        print(f"{time.perf_counter() - begun:4.0f} s: {what}", file=sys.stderr, flush=True)

    with (
        components(folder, options.server_processes) as running,
        multiprocessing.Manager() as manager,
        processes(max(options.workers)) as pool,
    ):
        bench = Bench(pool, manager, running, folder)
        say("imports")
        bench.own_logging(max(options.workers))  # so that every process has imported what it needs
        say("SQLite")
        run_sqlite, search_sqlite = bench.sqlite()
        runs, trials, run_loads, trial_loads = [run_sqlite], [search_sqlite], [], []
        raw = {}
        for workers in options.workers:
            say(f"{workers} workers: model runs")
            runs.append(bench.one_writer(workers))
            runs.append(bench.own_logging(workers))
            say(f"{workers} workers: trials")
            trials.append(bench.search(workers))
            say(f"{workers} workers: saturated")
            run_loads.append(bench.saturate_runs(workers, options.seconds))
            trial_loads.append(bench.saturate_trials(workers))
            raw[workers] = bench.raw_commits(workers, min(options.seconds, 2))
        say("proposals")
        version = running.postgresql.execute("SELECT split_part(version(), ' (', 1)")[0][0]
        found = Found(runs, trials, run_loads, trial_loads, raw, proposing(folder))
    return page(found, str(version), options.server_processes)


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=6.0, help="length of each saturated measurement")
    parser.add_argument("--server-processes", type=int, default=1, help="of mlflow server, whose default is 4")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "benchmarks" / "scale.md")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="photofinish-scale-"))
    try:
        text = measure(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    options.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
