from __future__ import annotations

import pandas as pd
import pytest

from pipeline.comparison.spec import CompareSpec
from pipeline.comparison.thresholds import HALF
from pipeline.errors import BadInput
from pipeline.stages.compare import CompareInput, Entry, names, pairs, with_one_baseline


def entry(digit: str, *models: str, **spec: object) -> Entry:
    empty = pd.DataFrame()
    return Entry(
        digit * 32, models, CompareSpec.model_validate(spec), {"d": "accuracy"}, frozenset(), HALF, empty, empty
    )


def test_only_names_that_several_have_get_an_id() -> None:
    """A model's name stays as it is unless another comparison has one of that name."""
    entries = [entry("1", "linear", "relu"), entry("2", "relu", "tanh")]
    assert list(names(entries).values()) == ["linear", "relu@11111111", "relu@22222222", "tanh"]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        # Namesakes: did the change help?
        (
            [entry("1", "linear", "relu"), entry("2", "linear", "relu")],
            [("linear@22222222", "linear@11111111"), ("relu@22222222", "relu@11111111")],
        ),
        # What has no namesake is held against the first baseline.
        (
            [entry("1", "linear", "relu", baseline="relu"), entry("2", "relu", "tanh")],
            [("linear", "relu@11111111"), ("relu@22222222", "relu@11111111"), ("tanh", "relu@11111111")],
        ),
        # A third comparison's model is held against the first of its name, which is held against the baseline.
        (
            [entry("1", "linear"), entry("2", "tanh"), entry("3", "tanh")],
            [("tanh@22222222", "linear"), ("tanh@33333333", "tanh@22222222")],
        ),
        # Single runs without the experiment's baseline: the first model is it.
        ([entry("1", "relu", "tanh", baseline="linear")], [("tanh", "relu")]),
    ],
)
def test_pairs(entries: list[Entry], expected: list[tuple[str, str]]) -> None:
    """Models of one name are compared with the first of them, all others with the first comparison's baseline."""
    assert pairs(entries) == expected


def test_one_model_is_no_comparison() -> None:
    """Seeds of one model can't be compared with one another."""
    with pytest.raises(BadInput, match="all runs are seeds of one model, relu; name runs of two models"):
        pairs([entry("1", "relu")])


def test_first_comparisons_settings_count() -> None:
    """Where comparisons have other settings than the first, a note says which and whose count."""
    entries = (entry("1", "a", equivalence=0.0), entry("2", "b"), entry("3", "c", alpha=0.1, equivalence=0.0))
    assert CompareInput(("1" * 32, "2" * 32, "3" * 32), entries, {}, {}, ("d: left out.",)).notes({}) == [
        "d: left out.",
        "compare.equivalence: 0.0 counts, as in 11111111; 22222222 has 0.01.",
        "compare.alpha: 0.05 counts, as in 11111111; 33333333 has 0.1.",
    ]


def test_pairs_of_several_baselines_are_named_in_full() -> None:
    """Where pairs have baselines of their own, a picture's rows name both models, and a name in common once."""
    frame = pd.DataFrame({"model": ["relu@2", "tanh"], "baseline": ["relu@1", "linear"]})
    assert with_one_baseline(frame)["model"].tolist() == ["relu: 2 − 1", "tanh − linear"]
    assert with_one_baseline(frame)["baseline"].nunique() == 1
    pd.testing.assert_frame_equal(with_one_baseline(frame[:1]), frame[:1])
