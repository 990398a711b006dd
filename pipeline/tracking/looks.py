"""Looks at test rows: how many comparisons of the store have read some rows for final numbers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from mlflow.tracking import MlflowClient

from pipeline.tracking import records
from pipeline.tracking.store import all_runs


def count_looks(client: MlflowClient, digest: str) -> int:
    """Count the runs, of all experiments, that have looked at some rows: comparisons, and those of `compare`."""
    return sum(1 for _ in all_runs(client, f"tags.`{records.look_tag(digest)}` LIKE '%'"))


def looks_at(client: MlflowClient, digests: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Count the looks at each dataset's rows; of several resamples those at the rows looked at most."""
    return {name: max(count_looks(client, digest) for digest in of) for name, of in digests.items()}


def looks_with(client: MlflowClient, digests: Mapping[str, Iterable[str]], run_ids: Sequence[str]) -> dict[str, int]:
    """Count the looks as of a `compare` of some runs: it is one more, unless these were compared before.

    Comparing the same runs again shows nothing that hasn't been seen.
    """
    new = 0 if earlier_compare(client, run_ids) else 1
    return {name: before + new for name, before in looks_at(client, digests).items()}


def earlier_compare(client: MlflowClient, run_ids: Sequence[str]) -> str | None:
    """Run id of an earlier `compare` of the same runs in the same order; None where there is none."""
    same = f"tags.`{records.COMPARED}` = '{json.dumps(list(run_ids))}' and attributes.status = 'FINISHED'"
    return next((run.info.run_id for run in all_runs(client, same)), None)
