"""What pydantic finds wrong with an experiment, said in one line of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from pipeline.comparison.spec import CompareSpec
from pipeline.errors import BadInput
from pipeline.experiment import Experiment, TrackingSpec
from pipeline.spec import Spec
from pipeline.stages.generate import suggestion
from pipeline.stages.split import SplitSpec
from pipeline.stages.tables.spec import OF_SPLIT, ColumnsSpec, OpenmlSpec, TableSpec
from pipeline.stages.tuning.spec import SpaceSpec, TunableModelSpec, TuningSpec
from pipeline.training.spec import TrainingSpec


def complaint(error: ValidationError) -> BadInput:
    """Return the first of pydantic's complaints in our words, with the number of the others."""
    details = error.errors(include_url=False)
    first = details[0]
    # What is wrong in `training:` or `split:` comes up again wherever these defaults were merged in.
    distinct = {(detail["type"], detail["loc"][-1:], repr(detail["input"])) for detail in details}
    others = f" (and {len(distinct) - 1} more)" if len(distinct) > 1 else ""
    # Parts of the location that pydantic adds for unions and functions aren't keys of the file.
    field = ".".join(str(part) for part in first["loc"] if not re.search(r"[\[(]|^(int|float)$", str(part)))
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, BadInput):
        return BadInput(cause.problem, field=cause.field, remedy=cause.remedy + others).within(field=field)
    return _translate(first, field, others)


def _translate(detail: Mapping[str, Any], field: str, others: str) -> BadInput:
    kind, value = detail["type"], detail["input"]
    if kind == "missing":
        return BadInput("is missing", field=field, remedy=f"add it{others}")
    if kind == "extra_forbidden":
        known = _keys_beside(field, OpenmlSpec if "[openml]" in detail["loc"] else TableSpec)
        return BadInput(
            f"unknown key (value {value!r})", field=field, remedy=suggestion(field.split(".")[-1], known) + others
        )
    message = str(detail["msg"])
    message = message.replace("Input should be", "should be").replace("Input should have", "should have")
    message = message.replace("a valid dictionary", "a mapping of names to values")
    message = re.sub(r" or instance of \w+", "", message).replace("a valid tuple", "a list")
    if kind == "too_short":
        message = "is empty: give at least one"
    shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}…"
    return BadInput(f"{shown} can't be used", field=field, remedy=f"{message[0].lower()}{message[1:]}{others}")


def _keys_beside(field: str, table: type[ColumnsSpec]) -> list[str]:
    """Known keys of the section that an unknown one stands in."""
    parts = field.split(".")
    spec: type[Spec] = Experiment
    if len(parts) >= 2:
        sections: dict[str, type[Spec]] = {"split": SplitSpec, "training": TrainingSpec, "compare": CompareSpec}
        sections |= {"tracking": TrackingSpec}
        sections |= {"models": TunableModelSpec, "datasets": table, "tuning": TuningSpec, "space": SpaceSpec}
        named = [sections[part] for part in parts[:-1] if part in sections]
        spec = named[-1] if named else Experiment
    return [*spec.model_fields, *(OF_SPLIT if spec is table else ())]
