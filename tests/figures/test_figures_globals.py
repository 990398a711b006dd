from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DRAW_ALL = """
import matplotlib

def settings():
    return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}

before = settings()
import pandas as pd
from pipeline.figures import boundaries, classes, confusion, curves, regression, roc, thresholds
from pipeline.figures import calibration, disagreement, forest, noise, parallel, ranks, slices, tuning
from pipeline.figures.activations import draw_activations
from tests.figures.making import make_boundary, make_disagreement, make_history, make_ledger, make_split
from tests.figures.test_figures_tuning import search

models, names, chosen = ["linear", "relu"], ["no", "yes"], {"seeds": {"linear": 0, "relu": 0}, "part": "test"}
at_half = chosen | {"intervals": dict.fromkeys(models, (0.5, 0.5))}
ledger, plane, line = make_ledger(), make_split(), make_split(n_features=1, task="regression")
points, drawn = boundaries.points_frame(plane), dict.fromkeys(models, make_boundary(plane))
fitted = ledger.assign(prediction=ledger["p_1"], row_id=ledger["row_id"] % 60)
verdict = {"dataset": "blobs", "model": "relu", "baseline": "linear", "difference": 0.1, "low": 0.0, "high": 0.2}
verdicts = pd.DataFrame([verdict | {"decision": "better"}])
searches, one = [search("relu", [0.3, 0.2])], slices.Slice(("x", "y"), drawn, points, 2)
spread = pd.DataFrame([{"dataset": "blobs", "model": "relu", "source": "seed", "deviation": 0.1}])
figures = [
    forest.draw_forest(verdicts, metric="accuracy", baseline="linear", equivalence={"blobs": 0.01}),
    noise.draw_noise(spread, metric="accuracy"),
    disagreement.draw_disagreement("blobs", [make_disagreement()], models, feature_names="xy", part="test"),
    ranks.draw_ranks(pd.Series([1.0, 2.0], models), 0.5, datasets=9, groups=[models]),
    boundaries.draw_boundaries("blobs", drawn, points, feature_names="xy", class_names=names, part="test"),
    boundaries.draw_headline({"blobs": (drawn, points)}, part="test"),
    confusion.draw_confusion(confusion.confusion_frame(ledger, names, "test"), models, names, **chosen),
    classes.draw_classes(classes.class_frame(ledger, names, "test"), models, part="test"),
    roc.draw_roc(roc.roc_frame(ledger, names, "test"), models, names, **chosen),
    thresholds.draw_thresholds(thresholds.threshold_frame(ledger, names, "test"), models, names, **at_half),
    calibration.draw_calibration(calibration.calibration_frame(ledger, names, "test"), models, names, **chosen),
    slices.draw_slices("blobs", [one], models, class_names=names, part="test"),
    tuning.draw_tuning(searches, models),
    parallel.draw_parallel(searches, models),
    curves.draw_curves(make_history(), models, "validation"),
    regression.draw_fit(regression.fit_frame(line), fitted, models, **chosen),
    draw_activations(),
]
for figure in figures:
    figure.draw_without_rendering()

import matplotlib.pyplot
changed = [name for name, value in settings().items() if before[name] != value]
assert not changed, f"rcParams changed: {changed}"
assert not matplotlib.pyplot.get_fignums(), "figures were left with pyplot"
"""


def test_drawing_leaves_no_trace() -> None:
    """Importing and drawing every picture changes no matplotlib setting, and leaves pyplot no figure."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "error", "-c", DRAW_ALL]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
