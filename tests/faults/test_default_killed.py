"""The default run, killed by SIGKILL at random moments from its first second to its report."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from pathlib import Path
from subprocess import TimeoutExpired

import pytest
from mlflow.entities import Run

from tests.conftest import DEFAULT, runs_of
from tests.faults.making import start
from tests.faults.test_going_on import assert_same_report, by_role, whole_comparison

REPORT = Path("reports/linear_vs_relu")
ELSEWHERE = ("storage", "trial")  # parameters of searches and trials: their place, and their number
OF_SEARCHES = ("_trials", "_tuning")  # pictures: they show seconds, and trials by number
KILLS = 20
LONGEST = 4.0  # seconds from a start to its kill; a start takes about one to come to where it goes on


def killed_and_finished(folder: Path, chance: random.Random, most: int) -> int:
    """Start the default run until it has come to its end, and kill it meanwhile; returns how often."""
    kills = 0
    while True:
        process = start(folder, "run", DEFAULT)
        with suppress(TimeoutExpired):
            _, said = process.communicate(chance.uniform(0, LONGEST) if kills < most else None)
            assert process.returncode == 0, said
            return kills
        process.kill()
        kills += 1


@pytest.mark.slow
@pytest.mark.longest
@pytest.mark.timeout(900)
def test_default_run_killed_at_twenty_random_moments(default_run: Path, tmp_path: Path) -> None:
    """Killed at 20 random moments, the default run goes on each time in its parent run, and ends as if undisturbed.

    Its tables, verdicts and pictures are the same to the bit, and no run and no step of a metric is there twice. Where
    it has come to its end before it was killed so often, another one begins.
    """
    chance = random.Random(8)
    kills = 0
    while kills < KILLS:
        folder = tmp_path / str(kills)
        folder.mkdir()
        kills += killed_and_finished(folder, chance, KILLS - kills)
        assert_as_if_undisturbed(folder, default_run)


def assert_as_if_undisturbed(folder: Path, undisturbed: Path) -> None:
    runs, _ = whole_comparison(folder)
    assert searched(runs) == searched(runs_of(undisturbed)[1])
    assert_same_report(folder / REPORT, undisturbed / REPORT, but_for=OF_SEARCHES)


def searched(runs: list[Run]) -> Counter[tuple[str, ...]]:
    """What was tried, and what became of it; without trials that a kill made an end of, and that were tried again."""
    kept = [run for run in runs if not run.data.tags.get("photofinish.reason", "").startswith("given up")]
    return Counter(
        (role, run.info.status, *sorted(f"{key}={of}" for key, of in run.data.params.items() if key not in ELSEWHERE))
        for role in ("study", "trial")
        for run in by_role(kept, role)
    )
