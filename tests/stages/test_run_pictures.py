from __future__ import annotations

import io

from PIL import Image
from sklearn.metrics import confusion_matrix

from pipeline.artifacts import EvaluatedModel
from pipeline.comparison.thresholds import Goal
from pipeline.figures.small import SmallConfusion
from pipeline.stages.reporting.run_pictures import RunPictures, png
from pipeline.stages.split import SplitSpec
from tests.stages.test_evaluate import evaluated


def test_every_kind_of_data_has_the_pictures_that_fit() -> None:
    """Plane data have a boundary and counts, other classes counts alone, a regression and a diverged run nothing."""
    made, model = evaluated("moons", SplitSpec(), n_samples=100, noise=0.3)
    assert list(RunPictures(made).draw(model)) == ["boundary.png", "confusion.png"]
    assert RunPictures(made).draw(EvaluatedModel(model.trained)) == {}
    made, model = evaluated("blobs", SplitSpec(), n_samples=100, n_features=3)
    assert list(RunPictures(made).draw(model)) == ["confusion.png"]
    made, model = evaluated("line", SplitSpec())
    assert RunPictures(made).draw(model) == {}


def test_counts_are_of_final_rows_at_the_runs_own_threshold() -> None:
    """The confusion picture counts the test rows alone, labelled by the threshold that the run has chosen."""
    made, model = evaluated("moons", SplitSpec(), Goal(level=0.8), n_samples=200, noise=0.4)
    assert model.predictions is not None
    test = model.predictions[model.predictions["split"] == "test"]
    counts = confusion_matrix(test["label"], test["p_1"] > 0.8)
    right = counts.trace() / counts.sum()
    expected = SmallConfusion(made.dataset.class_names).draw(
        counts, "d · m", f"seed 3: {100 * right:.1f} % of 40 test rows right"
    )
    drawn = RunPictures(made).draw(model)["confusion.png"]
    assert drawn == png(expected)
    with Image.open(io.BytesIO(drawn)) as image:
        assert image.size == (360, 360)
