from __future__ import annotations

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline.artifacts import Snapshots
from pipeline.figures.palette import probability_image
from pipeline.planes import encode, grid, grid_points
from pipeline.stages.reporting.learning import SIDE, boundary, colours, learning, strip
from pipeline.stages.reporting.page import render
from pipeline.stages.reporting.picture import PageImage
from pipeline.stages.reporting.pictures import all_pictures
from pipeline.stages.reporting.source import ReportInput
from tests.conftest import Finished, report_input


@pytest.fixture
def source(finished: Finished) -> ReportInput:
    """What the report of the finished comparison is made from."""
    return report_input(finished)


def test_words_are_those_of_the_history(source: ReportInput) -> None:
    """Under each panel stand loss and accuracy of its own run after so many epochs, in the history's numbers."""
    found = learning(source, "circles")
    assert found is not None
    assert [panel.model for panel in found.panels] == ["linear", "relu"]
    assert found.stops[:2] == ("after 1 epoch", "after 2 epochs")
    for panel in found.panels:
        run_id = source.representatives["circles", panel.model].run_id
        own = source.history[source.history["run_id"] == run_id].set_index("epoch")
        for place, epochs in ((0, 1), (4, 5), (-1, 12)):
            said = panel.steps[place].text.replace("\u00a0", " ")
            loss, accuracy = own.loc[epochs - 1, ["validation_loss", "validation_accuracy"]]
            when = f"{'done ' if epochs == 12 else ''}after {epochs} epoch{'s' if epochs > 1 else ''}"
            assert said == f"{when}: validation loss {loss:.3f}, accuracy {100 * accuracy:.1f} %"


def test_a_network_that_is_done_keeps_its_last_frame(source: ReportInput) -> None:
    """Past its own last epoch a panel stays as it is, and says that it is done, while others go on."""
    chosen = source.representatives["circles", "linear"]
    assert chosen.snapshots is not None
    short = replace(chosen.snapshots, epochs=chosen.snapshots.epochs[:4], codes=chosen.snapshots.codes[:4])
    representatives = {**source.representatives, ("circles", "linear"): replace(chosen, snapshots=short)}
    found = learning(replace(source, representatives=representatives), "circles")
    assert found is not None
    linear, relu = found.panels
    assert [step.frame for step in linear.steps] == [0, 1, 2, 3, 3, 3, 3, 3, 3]
    assert [step.text.startswith("done after 4 epochs") for step in linear.steps] == [False] * 3 + [True] * 6
    assert [step.frame for step in relu.steps] == list(range(9))


def test_without_snapshots_the_page_has_no_such_part(source: ReportInput) -> None:
    """A comparison of an older store gets its page, without what it can't show."""
    older = {key: replace(one, snapshots=None) for key, one in source.representatives.items()}
    without = replace(source, representatives=older)
    assert learning(without, "circles") is None
    assert "How it learned" in page_of(source)
    assert "How it learned" not in page_of(without)


def page_of(source: ReportInput) -> str:
    """The page, with pictures of nothing."""
    pictures = all_pictures(source)
    return render(source, pictures, {picture.name: PageImage(b"", "") for picture in pictures})


@pytest.mark.parametrize("n_classes", [2, 3])
def test_a_strip_has_a_pixel_a_grid_point(n_classes: int) -> None:
    """Frames lie below one another, each with the second feature upwards, in the colours of its probabilities."""
    random = np.random.default_rng(0)
    codes = encode(random.dirichlet(np.ones(n_classes), size=(2, 5, 7)))
    snapshots = Snapshots(np.array([1, 2]), np.arange(7.0), np.arange(5.0), codes)
    with Image.open(io.BytesIO(strip(snapshots, n_classes, 0.3))) as image:
        pixels = np.asarray(image.convert("RGB"))
    assert pixels.shape == (10, 7, 3)
    for frame in (0, 1):
        expected = np.rint(255 * colours(n_classes, 0.3))[codes[frame]]
        assert np.array_equal(pixels[5 * frame : 5 * frame + 5][::-1], expected)


@pytest.mark.parametrize("n_classes", [2, 3, 10])
def test_a_tint_is_the_more_its_classs_the_surer(n_classes: int) -> None:
    """The further a class leads, the nearer its tint comes to that of certainty; it differs with the least lead."""
    tints = colours(n_classes, 0.5).reshape(n_classes, -1, 3)  # class by class, from no lead to certainty
    sure = probability_image(np.eye(n_classes))
    distance = np.linalg.norm(tints - sure[:, None], axis=-1)
    assert (np.diff(distance, axis=1) <= 1e-12).all()
    assert distance[:, -1] == pytest.approx(0, abs=1e-12)
    apart = np.linalg.norm(tints[:, None, 1] - tints[None, :, 1], axis=-1)
    assert apart[np.triu_indices(n_classes, 1)].min() > 0.03


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_the_line_is_where_the_prediction_changes(threshold: float) -> None:
    """The path runs where the probability of class 1 is the threshold, with the second feature upwards."""
    x, y = grid(np.array([[0.0, 0.0], [1.0, 1.0]]), points=64)
    second = 1 / (1 + np.exp(-3 * (grid_points(x, y) @ [1, 2] - 1.2))).reshape(64, 64)
    path = boundary(np.stack([1 - second, second], axis=-1), threshold)
    ((start, moves),) = re.findall(r"M([\d ]+)l([-\d ]+)", path)
    across, down = np.cumsum(np.array([start.split(), *np.reshape(moves.split(), (-1, 2))], dtype=float), axis=0).T
    features = np.stack([x[0] + across / SIDE * (x[-1] - x[0]), y[-1] - down / SIDE * (y[-1] - y[0])])
    level = 1.2 + np.log(threshold / (1 - threshold)) / 3
    assert len(across) > 60
    assert np.abs(features[0] + 2 * features[1] - level).max() < 0.01


def test_a_network_that_always_says_the_same_has_no_line() -> None:
    """Where no class changes nothing is drawn; of three classes each stretch is."""
    x, y = grid(np.array([[-1.0, -1.0], [1.0, 1.0]]), points=16)
    assert boundary(np.tile([0.4, 0.6], (16, 16, 1)), 0.5) == ""
    points = grid_points(x, y)
    scores = np.stack([points[:, 0], -points[:, 0], 2 * points[:, 1]], axis=-1)
    shares = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    assert boundary(shares.reshape(16, 16, 3), 0.5).count("M") >= 3
