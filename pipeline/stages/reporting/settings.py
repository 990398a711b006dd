"""What differs between two comparisons, apart from their numbers: settings, data, rows, commit, versions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipeline.comparison.comparability import rows_digest, short
from pipeline.stages.reporting.source import ReportInput
from pipeline.units import value_text

ABSENT = "–"
NOT_SET = ((None, ABSENT), (ABSENT, None))  # stored before there was such a setting, and unset since: no difference
Path = tuple[str, ...]
Difference = tuple[str, str, str]  # what, and how either side has it


def settings_that_differ(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    """Name every key of two resolved experiments whose values differ, `training.lr`, with both values.

    Datasets and models repeat what they take over from the whole experiment; it is said there, once.
    """
    found = dict(_walk((), first, second))
    return [
        (".".join(path), *values)
        for path, values in found.items()
        if path[0] not in ("datasets", "models") or found.get(path[2:]) != values
    ]


def _walk(path: Path, first: Any, second: Any) -> Iterator[tuple[Path, tuple[str, str]]]:
    if isinstance(first, dict) and isinstance(second, dict):
        for key in dict.fromkeys([*first, *second]):
            yield from _walk((*path, str(key)), first.get(key, ABSENT), second.get(key, ABSENT))
    elif first != second and (first, second) not in NOT_SET:
        yield path, (_written(first), _written(second))


def _written(value: Any) -> str:
    """Write a value as the file has it, without what isn't set."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_written(item)}" for key, item in value.items() if item is not None) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)


def origins_that_differ(first: ReportInput, second: ReportInput) -> list[Difference]:
    """Name what else differs: hyperparameters that were found, data or final rows, commit and versions."""
    shared = [name for name in first.splits if name in second.splits]
    ours, theirs = ({**_found(side), **_data(side, shared), **_code(side)} for side in (first, second))
    return [(key, ours[key], theirs[key]) for key in ours if key in theirs and ours[key] != theirs[key]]


def _found(source: ReportInput) -> dict[str, str]:
    """Return each search's best hyperparameters."""
    return {
        f"found for {search.model} on {search.dataset}": ", ".join(
            f"{key} {value_text(value)}" for key, value in search.best.params.items()
        )
        for search in source.searches
    }


def _data(source: ReportInput, datasets: Iterable[str]) -> dict[str, str]:
    """Return the digests of data and final rows."""
    found = {}
    for name in datasets:
        split = source.splits[name]
        data, rows = (short(digest) for digest in (split.dataset.digest, rows_digest(split)))
        found[f"data of {name}"] = f"SHA-256 {data}, of its {split.final} rows {rows}"
    return found


def _code(source: ReportInput) -> dict[str, str]:
    """Return commit and versions."""
    commit = short(source.provenance["commit"]) or "not in a git repository"
    changed = " with uncommitted changes" if source.provenance["dirty"] else ""
    return {"commit": commit + changed, **source.provenance["versions"]}
