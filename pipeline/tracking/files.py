"""How splits and searches lie in the artifact store: Parquet for tables, JSON for the rest, no pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.artifacts import Column, Dataset, Encoding, Floats, Integers, Search, Split, Trial, describe
from pipeline.stages.trusted import load_trusted, save_trusted

SEARCHES = "tuning.json"
PARTS = ("train", "validation", "test")


def save_split(split: Split, folder: Path) -> None:
    """Write a dataset with its parts, `<name>.parquet`, what describes it, `<name>.json`, and its encoding, as skops.

    Those of resample 0 lie in the folder itself, those of resample r in its folder `resample_<r>`.
    """
    dataset = split.dataset
    folder = _folder_of(split.resample, folder)
    folder.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(dataset.features, columns=list(_column_names(dataset)))
    table["target"] = dataset.target
    for column, values in (("group", dataset.groups), ("time", dataset.times), ("weight", dataset.weights)):
        if values is not None:
            table[column] = values
    # Rows keep their order within a part (an unshuffled or shuffled split alike), so ranks are stored, not flags.
    for part in PARTS:
        ranks = np.full(len(table), -1, dtype=np.int64)
        ranks[split.rows(part)] = np.arange(len(split.rows(part)))  # type: ignore[arg-type]
        table[f"{part}_rank"] = ranks
    table.to_parquet(folder / f"{dataset.name}.parquet", index=False)
    description = {
        "task": dataset.task,
        "source": dataset.source,
        "digest": dataset.digest,
        "recipe": dict(dataset.recipe),
        "feature_names": list(dataset.feature_names),
        "class_names": list(dataset.class_names),
        "center": split.center.tolist(),
        "scale": split.scale.tolist(),
        "target_center": split.target_center,
        "target_scale": split.target_scale,
        "columns": describe(dataset.columns),
        "reading": dict(dataset.reading),
        "notices": list(dataset.notices),
        "inputs": list(split.input_names),
    }
    if split.encoding:
        description["numbers"] = split.encoding.n_numbers
        save_trusted(split.encoding.transformer, folder / _encoding_file(dataset.name))
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    (folder / f"{dataset.name}.json").write_text(text, encoding="utf-8")


def load_split(name: str, folder: Path, resample: int = 0) -> Split:
    """Read a split back, equal to the one that was saved."""
    folder = _folder_of(resample, folder)
    table = pd.read_parquet(folder / f"{name}.parquet")
    description = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    n_features = len(description["feature_names"])
    features: Floats = np.ascontiguousarray(table.iloc[:, :n_features].to_numpy(dtype=np.float64))
    dataset = Dataset(
        name=name,
        features=features,
        target=table["target"].to_numpy(),
        task=description["task"],
        feature_names=tuple(description["feature_names"]),
        class_names=tuple(description["class_names"]),
        source=description["source"],
        digest=description["digest"],
        recipe=description.get("recipe", {}),  # those that Photofinish 0.1 wrote have none
        groups=_optional(table, "group"),
        times=_optional(table, "time"),
        weights=_optional(table, "weight"),
        columns=tuple(_column(plain) for plain in description.get("columns", ())),
        reading=description.get("reading", {}),
        notices=tuple(description.get("notices", ())),
    )
    train, validation, test = (_rows(table[f"{part}_rank"].to_numpy()) for part in PARTS)
    return Split(
        dataset,
        train,
        validation,
        test,
        center=np.array(description["center"]),
        scale=np.array(description["scale"]),
        target_center=description["target_center"],
        target_scale=description["target_scale"],
        resample=resample,
        encoding=_encoding(description, folder / _encoding_file(name)),
    )


def _column(plain: dict[str, Any]) -> Column:
    return Column(**{**plain, "categories": tuple(plain["categories"])})


def _encoding(description: Mapping[str, Any], file: Path) -> Encoding | None:
    if "numbers" not in description:
        return None
    return Encoding(load_trusted(file), tuple(description["inputs"]), description["numbers"])


def _encoding_file(name: str) -> str:
    return f"{name}.encoding.skops"


def save_searches(searches: Sequence[Search], folder: Path) -> None:
    """Write searches, `tuning.json`, all but the trials' learning curves, which their own runs have."""
    plain = [{**asdict(search), "best": search.best.number} for search in searches]
    for search in plain:
        for trial in search["trials"]:
            del trial["history"]
    (folder / SEARCHES).write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load_searches(folder: Path) -> tuple[Search, ...]:
    """Read searches back; none when the comparison had none."""
    file = folder / SEARCHES
    if not file.is_file():
        return ()
    return tuple(_search(plain) for plain in json.loads(file.read_text(encoding="utf-8")))


def _search(plain: dict[str, Any]) -> Search:
    trials = tuple(
        Trial(**{**trial, "steps": {int(step): value for step, value in trial["steps"].items()}})
        for trial in plain["trials"]
    )
    best = next(trial for trial in trials if trial.number == plain["best"])
    return Search(**{**plain, "trials": trials, "best": best, "edges": tuple(plain["edges"])})


def _optional(table: pd.DataFrame, column: str) -> Any:
    """Values of a column that not every table has."""
    return table[column].to_numpy() if column in table else None


def _folder_of(resample: int, folder: Path) -> Path:
    return folder / f"resample_{resample}" if resample else folder


def _rows(ranks: Integers) -> Integers:
    members = np.flatnonzero(ranks >= 0)
    rows: Integers = members[np.argsort(ranks[members], kind="stable")]
    return rows


def _column_names(dataset: Dataset) -> tuple[str, ...]:
    """Column positions: names of features may collide with ours, and are kept in the JSON."""
    return tuple(f"feature_{column}" for column in range(dataset.n_features))
