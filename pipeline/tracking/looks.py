"""Looks at test rows: how many comparisons of the store have read some rows for final numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mlflow.tracking import MlflowClient

from pipeline.tracking import records
from pipeline.tracking.store import all_runs


def count_looks(client: MlflowClient, digest: str) -> int:
    """Count the runs, of all experiments, that have looked at some rows: comparisons, and those of `compare`."""
    return sum(1 for _ in all_runs(client, f"tags.`{records.look_tag(digest)}` LIKE '%'"))


def looks_at(client: MlflowClient, digests: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Count the looks at each dataset's rows; of several resamples those at the rows looked at most."""
    return {name: max(count_looks(client, digest) for digest in of) for name, of in digests.items()}
