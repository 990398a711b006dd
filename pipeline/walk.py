"""One execution of the stages: which there are, how to walk them, who listens, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, get_args

from pipeline.cluster import Cluster
from pipeline.errors import BadInput

Stage = Literal["generate", "split", "tune", "train", "evaluate", "report"]
STAGES: tuple[Stage, ...] = get_args(Stage)
DEVICES = ("auto", "cpu", "cuda")
MOST_DRAWERS = 4  # each holds the libraries and the tables in memory
PICTURES_A_DRAWER = 8  # fewer don't pay for starting a process (benchmarks/report.py)


class Listener(Protocol):
    """What the runner tells while it works."""

    def begin(self, stage: Stage, total: int) -> None:
        """Begin a stage of `total` pieces of work."""

    def advance(self, stage: Stage, amount: float) -> None:
        """Count pieces of work that are done; parts of a piece count too."""

    def end(self, stage: Stage) -> None:
        """End a stage."""

    def note(self, line: str) -> None:
        """Say what one waits for, or should know before training begins."""


@dataclass(frozen=True)
class Options:
    """How to run, as opposed to what: nothing here changes a number, but for what an older study has found."""

    until: Stage = "report"
    jobs: int = 1
    cluster: str | None = None  # address of a Dask cluster that trains, instead of `jobs` workers here
    device: str = "auto"
    reports: Path = Path("reports")
    memory: int | None = None  # bytes for the buffers of a stack of networks
    storage: str | None = None  # Optuna's; None: PHOTOFINISH_STORAGE, else optuna.db here
    fresh: bool = False  # tune and train anew, whatever there is
    svg: bool = False  # pictures as SVG too
    drawers: int | None = None  # processes that draw them; None: as many as pay

    def __post_init__(self) -> None:
        for name, right, remedy in (
            ("until", self.until in STAGES, f"give {', '.join(STAGES)}"),
            ("jobs", _counts(self.jobs), "give 1 or more"),
            ("cluster", isinstance(self.cluster, str | None), "give an address, such as tcp://HOST:8786"),
            ("device", self.device in DEVICES, f"give {', '.join(DEVICES)}"),
            ("memory", self.memory is None or _counts(self.memory), "give a number of bytes"),
            ("storage", isinstance(self.storage, str | None), "give an address, such as sqlite:///optuna.db"),
            ("fresh", isinstance(self.fresh, bool), "give True or False"),
        ):
            if not right:
                raise BadInput(f"{getattr(self, name)!r} can't be used", field=name, remedy=remedy)
        if self.cluster and self.jobs > 1:
            raise BadInput(
                f"{self.cluster} with jobs {self.jobs}",
                field="cluster",
                remedy="give one of them: a cluster has its own number of workers",
            )

    def reaches(self, stage: Stage) -> bool:
        """Whether a stage is to be walked."""
        return STAGES.index(stage) <= STAGES.index(self.until)


def _counts(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


@dataclass
class Walk:
    """One execution: listener, stopwatch, and the cluster that it was lent."""

    options: Options
    listener: Listener
    cluster: Cluster | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, stage: Stage, total: int) -> Iterator[Callable[[float], None]]:
        """Walk a stage in the block, which is given what to tell pieces of work that are done."""
        self.listener.begin(stage, total)
        started = time.perf_counter()
        yield partial(self.listener.advance, stage)
        self.seconds[stage] = time.perf_counter() - started
        self.listener.end(stage)


def drawers_that_pay(pictures: int) -> int:
    """Return how many processes draw so many pictures soonest (benchmarks/report.py measures it)."""
    from joblib import cpu_count

    return max(1, min(cpu_count(), MOST_DRAWERS, pictures // PICTURES_A_DRAWER))
