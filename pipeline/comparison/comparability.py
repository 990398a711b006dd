"""Comparability: what final numbers rest on, and a refusal to set those beside each other that rest on other things."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.artifacts import Split
from pipeline.errors import BadInput

_SHORT = 8


@dataclass(frozen=True)
class Terms:
    """What the final numbers of one model run rest on."""

    data: str  # SHA-256 of the data's content
    rows: str  # SHA-256 over that, part and row ids
    metrics: str  # version of the metric definitions
    threshold: str  # the rule for labels: "f1", "argmax"; empty for a regression
    part: str  # "test" or "validation"
    resample: int


@dataclass(frozen=True)
class RowsLookedAt:
    """The rows that a dataset's final numbers come from, and how often a store's comparisons have looked at them."""

    rows: int
    part: str  # "test" or "validation"
    digest: str  # SHA-256, as in Terms
    looks: int  # this one counted in


def short(identifier: str) -> str:
    """Return the first digits of a digest or run id, which are enough for people."""
    return identifier[:_SHORT]


def may_be_run_id(text: str) -> bool:
    """Whether a text is spelled as a run id, or as the first digits of one that are enough."""
    return re.fullmatch(f"[0-9a-f]{{{_SHORT},32}}", text) is not None


def rows_digest(split: Split) -> str:
    """SHA-256 over data content, part and row ids of the final rows, in whatever order they come."""
    ids = np.sort(split.rows(split.final)).astype("<i8")
    return hashlib.sha256(f"{split.dataset.digest} {split.final} ".encode() + ids.tobytes()).hexdigest()


def rows_looked_at(splits: Mapping[str, Split], looks: Mapping[str, int]) -> dict[str, RowsLookedAt]:
    """Describe the final rows of every dataset whose looks are known."""
    return {
        name: RowsLookedAt(len(split.rows(split.final)), split.final, rows_digest(split), looks[name])
        for name, split in splits.items()
        if name in looks
    }


def look_notes(splits: Mapping[str, Split], looks: Mapping[str, int]) -> list[str]:
    """Say from the second look on how often final rows have been looked at, and what that means."""
    alike: dict[str, list[str]] = {}
    for name, split in splits.items():
        if looks.get(name, 0) > 1:
            alike.setdefault(looks_words(split.final, looks[name]), []).append(name)
    return [
        f"{', '.join(of)}: {words}; what was chosen by them is no longer tested by them." for words, of in alike.items()
    ]


def looks_words(part: str, looks: int) -> str:
    """Say how often some rows have been looked at."""
    return f"these {part} rows have been looked at {'once' if looks == 1 else f'{looks} times'} in this store"


def check(terms: Mapping[str, Terms]) -> None:
    """Refuse model runs of one dataset and resample whose numbers don't rest on the same things.

    Parameters
    ----------
    terms:
        By the name of each run, as a complaint is to call it.

    Raises
    ------
    BadInput
        Naming two runs, what differs between them, and the remedy.
    """
    named = list(terms.items())
    for name, found in named[1:]:
        first, expected = named[0]
        differing = list(differences(expected, found))
        if differing:
            what = ", ".join(difference for difference, _ in differing)
            raise BadInput(f"{first} and {name} can't be compared: {what}", remedy=differing[0][1])


def differences(first: Terms, second: Terms) -> Iterator[tuple[str, str]]:
    """Yield what differs, with its remedy; not what merely follows from another difference."""
    if first.resample != second.resample:
        yield f"resample {first.resample} against {second.resample}", "compare runs of the same resample"
    elif first.data != second.data:
        yield (
            f"other data content (SHA-256 {short(first.data)} against {short(second.data)})",
            "compare runs of the same table, or of the same generator, arguments and random_state",
        )
    elif first.part == second.part and first.rows != second.rows:
        yield (
            f"other {first.part} rows (SHA-256 {short(first.rows)} against {short(second.rows)})",
            "compare runs of the same split: test_size, random_state, stratify and shuffle",
        )
    if first.part != second.part:
        yield f"{first.part} rows against {second.part} rows", "compare runs of which both have test rows, or neither"
    if first.metrics != second.metrics:
        yield (
            f"metric definitions {first.metrics} against {second.metrics}",
            "run the older one again with this version of Photofinish",
        )
    if first.threshold != second.threshold:
        yield (
            f"threshold rule {first.threshold} against {second.threshold}",
            "run one of them with the other's threshold",
        )
