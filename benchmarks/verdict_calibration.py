"""Is the verdict honest? Simulated comparisons whose truth is known, judged by the code that judges real ones.

Each simulated comparison draws test rows, seeds and all that both bring about, for two models, and asks the verdict's
own functions for an interval. Counted are false alarms (models of equal skill called different), intervals that miss
the true difference, and alarms where there is something to find, beside four tests in common use. The margin of
equivalence is 0 here: an interval within it would count as no alarm, and hide false ones.

    python benchmarks/verdict_calibration.py [--comparisons 2000] [--jobs 2] [--csv FILE]
    python benchmarks/verdict_calibration.py --only "nearly perfect" 30 50 --comparisons 20000   # one cell, closer

Scores of a row follow Roe & Metz (1997): margin = skill + row + model × row + seed + seed × row, all normal, plus a
bias of the seed towards one class; the probability of the true class is a sigmoid of three margins. In some worlds rows
come in groups, with group + model × group besides. What every metric is in the long run, over all rows and all seeds,
follows by quadrature.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import itertools
import math
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.proportion import proportions_ztest

from pipeline.comparison.contributions import Predictions, contributions
from pipeline.comparison.decisions import mcnemar
from pipeline.comparison.intervals import Scores, scores

METRICS = ("accuracy", "f1", "roc_auc", "log_loss", "balanced_accuracy", "average_precision", "mcc")
SEEDS, ROWS = (2, 5, 10, 30), (50, 200, 2000)
ALPHA, EDGE = 0.05, 0.2  # EDGE: what the better model's skill is ahead, where there is a difference
STEEPNESS = 3.0  # probability = sigmoid(STEEPNESS · margin)
OURS = "verdict"
ROWS_AS_CASES = "rows as cases"  # the verdict, where rows come in groups and it isn't told
PEERS = ("one t, Satterthwaite", "paired t over seeds", "two proportions", "McNemar")


@dataclass(frozen=True)
class World:
    """Standard deviations of what makes a margin, where a margin's own noise makes models err."""

    name: str
    skill: float
    seed: float
    bias: float
    positives: float = 0.5
    row: float = 0.7
    model_row: float = 0.3
    seed_row: float = 0.4
    group: float = 0.0
    model_group: float = 0.0
    rows_of_group: int = 0  # on average; 0: rows don't come in groups
    inequality: float = 0.0  # of groups' sizes: standard deviation of their logarithms
    core: bool = True  # whether the promises are held here; the others show where they bend

    @property
    def within(self) -> float:
        """Standard deviation of margins within one seed."""
        return math.hypot(self.row, self.model_row, self.seed_row, self.group, self.model_group)

    def groups(self, random: np.random.Generator, rows: int) -> np.ndarray | None:
        """Draw the group of each row, (rows,); None where rows don't come in groups."""
        if not self.rows_of_group:
            return None
        number = rows // self.rows_of_group
        if not self.inequality:
            return np.arange(rows) % number
        weights = np.exp(self.inequality * random.standard_normal(number))
        return random.choice(number, rows, p=weights / weights.sum())


WORLDS = (
    World("calm seeds", skill=0.8, seed=0.03, bias=0.03),
    World("restless seeds", skill=0.8, seed=0.12, bias=0.12),
    World("wild seeds", skill=0.8, seed=0.2, bias=0.15),
    World("a fifth positive", skill=0.8, seed=0.1, bias=0.1, positives=0.2),
    World("a tenth positive", skill=1.2, seed=0.1, bias=0.1, positives=0.1, core=False),
    World("good models", skill=1.1, seed=0.1, bias=0.1, core=False),
    World("nearly perfect", skill=1.8, seed=0.1, bias=0.1, core=False),
    World("groups of five", 0.8, 0.1, 0.1, row=0.5, group=0.5, model_group=0.4, rows_of_group=5),
    World("unequal groups", 0.8, 0.1, 0.1, row=0.5, group=0.5, model_group=0.4, rows_of_group=5, inequality=1.0),
)


def truth(world: World, skill: float) -> dict[str, float]:
    """Every metric over all rows and seeds: Gauss-Hermite quadrature over the effects of a seed."""
    node, weight = np.polynomial.hermite_e.hermegauss(80)
    weight = weight / weight.sum()
    total = math.sqrt(world.within**2 + world.seed**2 + world.bias**2)
    seed, bias = world.seed * node[:, None], world.bias * node
    hit = stats.norm.cdf((skill + seed + bias) / world.within)
    false_hit = stats.norm.cdf(-(skill + seed - bias) / world.within)
    rate = world.positives
    labelled = rate * hit + (1 - rate) * false_hit
    f1 = 2 * rate * hit / (rate + labelled)
    mcc = rate * (hit - labelled) / np.sqrt(rate * (1 - rate) * labelled * (1 - labelled))
    in_order = stats.norm.cdf(math.sqrt(2) * (skill + world.seed * node) / world.within)
    return {
        "accuracy": float(stats.norm.cdf(skill / total)),
        "f1": float(weight @ f1 @ weight),
        "roc_auc": float(weight @ in_order),
        "balanced_accuracy": float(weight @ ((1 + hit - false_hit) / 2) @ weight),
        "average_precision": float(weight @ [average_precision(world, skill + world.seed * at) for at in node]),
        "mcc": float(weight @ mcc @ weight),
        "log_loss": float(weight @ np.logaddexp(0, -STEEPNESS * (skill + total * node))),
    }


def average_precision(world: World, skill: float) -> float:
    """Mean precision at the places of positive rows, for one seed; its bias moves no row past another."""
    at = np.linspace(-8, 8, 2001)  # where positive rows lie, in standard deviations from their mean
    found = world.positives * stats.norm.sf(at)
    false = (1 - world.positives) * stats.norm.sf(at + 2 * skill / world.within)
    return float(np.trapezoid(stats.norm.pdf(at) * found / (found + false), at))


def simulate(
    random: np.random.Generator, world: World, seeds: int, rows: int, edge: float
) -> tuple[list[Predictions], np.ndarray | None]:
    """Draw two models' predictions on the same rows, and the rows' groups; the second is ahead by `edge`."""
    labels = (random.random(rows) < world.positives).astype(np.int64)
    while labels.min() == labels.max():
        labels = (random.random(rows) < world.positives).astype(np.int64)
    sign = 2 * labels - 1
    groups = world.groups(random, rows)

    def of_groups(deviation: float) -> np.ndarray | float:
        return 0.0 if groups is None else deviation * random.standard_normal(groups.max() + 1)[groups]

    shared = world.row * random.standard_normal(rows) + of_groups(world.group)
    made = []
    for skill in (world.skill, world.skill + edge):
        margin = skill + shared + world.model_row * random.standard_normal(rows) + of_groups(world.model_group)
        margin = margin + world.seed * random.standard_normal((seeds, 1))
        margin += world.seed_row * random.standard_normal((seeds, rows))
        logits = STEEPNESS * (sign * margin + world.bias * random.standard_normal((seeds, 1)))
        positive = 1 / (1 + np.exp(-logits))
        made.append(Predictions(labels, np.stack([1 - positive, positive], axis=-1), np.full(seeds, 0.5)))
    return made, groups


def by_satterthwaite(found: Scores) -> float:
    """Half-width by one t with Satterthwaite's degrees of freedom, the usual way to use the same variances."""
    _, spread = found.differences(np.array([1]), np.array([0]))
    rows, seeds = float(spread.rows[0]), float(spread.seeds[0])
    total = max(rows + seeds, 0.0)
    if not total:
        return 0.0
    freedom = total**2 / (rows**2 / (spread.n_cases - 1) + seeds**2 / float(spread.seed_freedom[0]))
    return float(stats.t.ppf(1 - ALPHA / 2, freedom)) * math.sqrt(total)


def peers(models: list[Predictions], difference: float, found: Scores) -> dict[str, bool]:
    """Whether common tests call two models' accuracies different."""
    right = [model.labels() == model.truth for model in models]
    per_seed = [table.mean(axis=1) for table in right]
    hits, rows = [int(table[0].sum()) for table in right], len(models[0].truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # equal values all through: no p-value, hence no alarm
        paired = float(stats.ttest_rel(*per_seed).pvalue)
        proportions = float(proportions_ztest(hits, [rows, rows])[1])
    return {
        "one t, Satterthwaite": abs(difference) > by_satterthwaite(found),
        "paired t over seeds": paired < ALPHA,
        "two proportions": proportions < ALPHA,
        "McNemar": mcnemar(right[0][0], right[1][0], ALPHA)[0] < ALPHA,
    }


def run_cell(
    world: World, seeds: int, rows: int, edge: float, comparisons: int, stream: int
) -> list[dict[str, object]]:
    """Count alarms and misses over many comparisons of one kind."""
    random = np.random.default_rng([stream, seeds, rows, round(1000 * edge)])
    ahead, behind = truth(world, world.skill + edge), truth(world, world.skill)
    counts: dict[tuple[str, str], list[int]] = {}
    for _ in range(comparisons):
        models, groups = simulate(random, world, seeds, rows, edge)
        for metric in METRICS:
            parts = [contributions(metric, model) for model in models]
            found = scores(parts, groups)
            differences, spread = found.differences(np.array([1]), np.array([0]))
            difference, half = float(differences[0]), float(spread.half_width(ALPHA)[0])
            missed = abs(difference - (ahead[metric] - behind[metric])) > half
            _count(counts, metric, OURS, abs(difference) > half, missed)
            if groups is not None:
                _, of_rows = scores(parts).differences(np.array([1]), np.array([0]))
                alarm = abs(difference) > float(of_rows.half_width(ALPHA)[0])
                _count(counts, metric, ROWS_AS_CASES, alarm, False)
            if metric == "accuracy":
                for peer, alarm in peers(models, difference, found).items():
                    _count(counts, metric, peer, alarm, False)
    cell = {"world": world.name, "core": world.core, "seeds": seeds, "rows": rows, "edge": edge}
    return [
        cell | {"metric": metric, "test": test, "comparisons": comparisons, "alarms": alarms, "misses": misses}
        for (metric, test), (alarms, misses) in counts.items()
    ]


def _count(counts: dict[tuple[str, str], list[int]], metric: str, test: str, alarm: bool, missed: bool) -> None:
    entry = counts.setdefault((metric, test), [0, 0])
    entry[0] += alarm
    entry[1] += missed


def table(found: pd.DataFrame, column: str, tests: tuple[str, ...], metrics: tuple[str, ...]) -> str:
    """Percentages, a row for each number of seeds and rows."""
    lines = []
    for (world, seeds, rows), cell in found.groupby(["world", "seeds", "rows"], sort=False):
        values = [
            f"{100 * one[column].iloc[0] / one['comparisons'].iloc[0]:.1f}"
            for metric, test in itertools.product(metrics, tests)
            for one in [cell[(cell["metric"] == metric) & (cell["test"] == test)]]
        ]
        lines.append(f"| {world} | {seeds} × {rows} | {cell['comparisons'].iloc[0]:,} | " + " | ".join(values) + " |")
    names = [test if len(tests) > 1 else metric for metric, test in itertools.product(metrics, tests)]
    heads = ["world", "seeds × rows", "comparisons", *names]
    return "\n".join([f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads), *lines])


def promises(found: pd.DataFrame) -> list[str]:
    """Hold the counts against what the verdict promises; a line for each kind of promise."""
    ours = found[(found["test"] == OURS)]
    core = ours[ours["core"]]
    enough = (core["seeds"] >= 5) & (core["rows"] >= 200)
    rates = ours.assign(alarm=ours["alarms"] / ours["comparisons"], covered=1 - ours["misses"] / ours["comparisons"])
    null, real = rates[rates["edge"] == 0], rates
    over = [
        stats.binomtest(int(cell.alarms), int(cell.comparisons), ALPHA, alternative="greater").pvalue
        for cell in null.itertuples()
    ]
    adjusted = np.minimum(np.array(over) * len(over), 1.0)
    lines = [
        f"False alarms over 5 %: {sum(p < 0.05 for p in over)} of {len(over)} cells at the 5 % level, one by one"
        f" ({0.05 * len(over):.0f} expected by chance were all at exactly 5 %); {int((adjusted < 0.05).sum())} after"
        f" Bonferroni; largest rate {100 * null['alarm'].max():.1f} %.",
    ]
    quiet = null[null["core"] & (null["seeds"] >= 5) & (null["rows"] >= 200)]
    for metric, cells in quiet.groupby("metric", sort=False):
        lowest = cells.loc[cells["alarm"].idxmin()]
        lines.append(
            f"{metric}: false alarms from 5 seeds × 200 rows on {100 * cells['alarm'].min():.1f} to"
            f" {100 * cells['alarm'].max():.1f} % (lowest: {lowest['world']}, {lowest['seeds']} × {lowest['rows']});"
            f" coverage {_coverage(real, enough, metric)}; lowest coverage of any cell"
            f" {100 * real.loc[real['metric'] == metric, 'covered'].min():.1f} %."
        )
    return lines


def _coverage(rates: pd.DataFrame, enough: pd.Series, metric: str) -> str:
    cells = rates.loc[enough.index[enough]]
    covered = cells.loc[cells["metric"] == metric, "covered"]
    return f"{100 * covered.min():.1f} to {100 * covered.max():.1f} %"


def main() -> None:
    """Run all cells and print tables and promises."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--comparisons", type=int, default=2000, help="simulated comparisons a cell (half for 2,000 rows)"
    )
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--csv", type=Path, help="where all counts go")
    parser.add_argument("--only", nargs=3, metavar=("WORLD", "SEEDS", "ROWS"), help="one world and size alone")
    options = parser.parse_args()
    started = time.perf_counter()
    cells = [
        (world, seeds, rows, edge, options.comparisons if rows < 2000 else options.comparisons // 2, place)
        for (place, world), seeds, rows, edge in itertools.product(enumerate(WORLDS), SEEDS, ROWS, (0.0, EDGE))
        if not options.only or options.only == [world.name, str(seeds), str(rows)]
    ]
    if not cells:
        parser.error(f"no such cell: {' '.join(options.only)}")
    parts = joblib.Parallel(options.jobs)(joblib.delayed(run_cell)(*cell) for cell in cells)
    found = pd.DataFrame(list(itertools.chain.from_iterable(parts)))
    if options.csv:
        found.to_csv(options.csv, index=False)
    null, real = found[found["edge"] == 0], found[found["edge"] > 0]
    print("\nTruth, behind → ahead:")
    for world in WORLDS:
        behind, ahead = truth(world, world.skill), truth(world, world.skill + EDGE)
        print(f"  {world.name}: " + ", ".join(f"{name} {behind[name]:.3f} → {ahead[name]:.3f}" for name in METRICS))
    print("\n## False alarms, % (two models of equal skill)\n\n" + table(null, "alarms", (OURS,), METRICS))
    print("\n## 95 % intervals that miss the true difference, %\n\n" + table(real, "misses", (OURS,), METRICS))
    print("\n## Accuracy, false alarms, %\n\n" + table(null, "alarms", (OURS, *PEERS), ("accuracy",)))
    print("\n## Accuracy, alarms where the second model is better, %\n")
    print(table(real, "alarms", (OURS, *PEERS), ("accuracy",)))
    grouped = null[null["world"].isin([world.name for world in WORLDS if world.rows_of_group])]
    if len(grouped):
        print("\n## Rows in groups taken for cases of their own, false alarms, %\n")
        print(table(grouped, "alarms", (ROWS_AS_CASES,), METRICS))
    print("\n## Promises\n\n" + "\n".join(promises(found)))
    print(f"\n{found['comparisons'].iloc[0]:,} comparisons a cell, {time.perf_counter() - started:.0f} s.")


if __name__ == "__main__":
    main()
