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
        for name, value, known in (("until", self.until, STAGES), ("device", self.device, DEVICES)):
            if value not in known:
                raise BadInput(f"{value!r} can't be used", field=name, remedy=f"give {', '.join(known)}")
        if not isinstance(self.jobs, int) or self.jobs < 1:
            raise BadInput(f"{self.jobs!r} processes can't work", field="jobs", remedy="give 1 or more")
        if self.cluster and self.jobs > 1:
            raise BadInput(
                f"{self.cluster} with jobs {self.jobs}",
                field="cluster",
                remedy="give one of them: a cluster has its own number of workers",
            )

    def reaches(self, stage: Stage) -> bool:
        """Whether a stage is to be walked."""
        return STAGES.index(stage) <= STAGES.index(self.until)


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
