"""The base of every spec: a part of an experiment file, checked when it is made."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Frozen, with unknown keys refused and no silent conversion (`"3"` is no number, `true` no learning rate).

    Each field has its meaning in its `description`, which the JSON schema and docs/reference.md take over. (Docstrings
    under fields would be read from the source at every start, and `photofinish list` would be slower by it.)
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def may_be_empty(schema: dict[str, Any], *keys: str) -> None:
    """Let keys of a JSON schema stand alone, which YAML reads as null and the reader as not given."""
    for key in keys:
        field = schema["properties"][key]
        said = {word: field.pop(word) for word in ("description", "default") if word in field}
        forms = field["anyOf"] if [*field] == ["anyOf"] else [field]
        schema["properties"][key] = {"anyOf": [*forms, {"type": "null"}], **said}
