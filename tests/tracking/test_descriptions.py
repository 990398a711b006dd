from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.artifacts import EvaluatedModel, History, Network, TrainedModel
from pipeline.comparison.verdict import Verdict
from pipeline.stages.split import SplitSpec, split
from pipeline.tracking.descriptions import LONGEST_TAG, comparison_note, escaped, model_note
from tests.making import dataset

ONE = Verdict(
    dataset="circles",
    model="relu",
    baseline="linear",
    metric="accuracy",
    primary=True,
    model_score=0.99,
    baseline_score=0.5,
    difference=0.49,
    low=0.42,
    high=0.56,
    margin=0.01,
    p_value=0.001,
    adjusted_p_value=0.001,
    decision="better",
    method="two-way random effects",
    seeds=(3, 3),
    seeds_asked=(3, 3),
    rows=200,
    groups=None,
    resamples=1,
    pairs=1,
    rows_needed=None,
    groups_needed=None,
    seeds_needed=None,
    labels="",
    sentence="relu is better than linear on circles: accuracy +49.0 points.",
)


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("a|b*", r"a\|b\*"),
        ("linear_vs_relu", r"linear\_vs\_relu"),
        ("1. first", r"1\. first"),
        ("[link](x) `code` ~~gone~~", r"\[link\](x) \`code\` \~\~gone\~\~"),
        ("<script>alert(1)</script> &amp;", "&lt;script>alert(1)&lt;/script> &amp;amp;"),
        ("two\n\nlines", "two lines"),
        ("accuracy +49.2 points, 95 % interval", "accuracy +49.2 points, 95 % interval"),
    ],
)
def test_text_stays_text(text: str, markdown: str) -> None:
    """What Markdown or HTML would take for a sign of its own is guarded; other text is left as it is."""
    assert escaped(text) == markdown


def test_description_begins_with_what_came_out() -> None:
    """The question, then a line for each pair over all datasets, then sentences: the UI shows the first lines alone."""
    moons = replace(ONE, dataset="moons", decision="not separable", sentence="They can't be told apart on moons.")
    note = comparison_note("Is it worth it?", [ONE, moons, replace(ONE, dataset="spirals"), replace(ONE, model="tanh")])
    assert note.split("\n")[:8] == [
        "**Is it worth it?**",
        "",
        "relu against linear by accuracy: **better** on circles and spirals; **not separable** on moons.",
        "",
        f"- {ONE.sentence}",
        "- They can't be told apart on moons.",
        f"- {ONE.sentence}",
        f"- {ONE.sentence}",
    ]
    assert "`report/index.html`" in note
    assert comparison_note("", [ONE]).startswith(f"- {ONE.sentence}")


def test_description_fits_into_a_tag() -> None:
    """Of too many verdicts the last are left out whole, and the note says how many; where to look is still said."""
    many = [replace(ONE, model=f"model {number}", sentence=f"Number {number}. {'x' * 90}.") for number in range(200)]
    note = comparison_note("Which?", many)
    assert LONGEST_TAG - 110 < len(note) <= LONGEST_TAG
    said = [line for line in note.split("\n") if line.startswith("- Number")]
    assert said == [f"- {one.sentence}" for one in many[: len(said)]]
    assert f"- And {200 - len(said)} more, in `verdicts.json`." in note
    assert "`report/index.html`" in note


def trained(failure: str | None = None) -> TrainedModel:
    losses = np.array([3.0, 1.0, 2.0])
    history = History(losses, losses, losses, losses)
    return TrainedModel("moons", "a_b", 3, {}, Network("relu", (), ()), history, "", 0.0, 0.0, failure=failure)


def test_a_model_run_says_what_it_scored_and_on_which_rows() -> None:
    """Scores with the rows they are of, and where validation loss was lowest; of a diverged run, why it ended."""
    moons = split(dataset("moons", make="moons", n_samples=100), SplitSpec())
    metrics = {"accuracy": 0.925, "f1": 0.9, "log_loss": 0.1414, "best/validation_loss": 1.0, "best/epoch": 1.0}
    assert model_note(EvaluatedModel(trained(), metrics), moons).split("\n\n") == [
        r"a\_b on moons, after 3 epochs: accuracy **92.5 %** · log loss **0.141** on 20 test rows.",
        "Lowest validation loss: 1, at epoch 1 of 0 to 2.",
    ]
    assert model_note(EvaluatedModel(trained("loss is nan")), moons) == "Not finished: loss is nan."
