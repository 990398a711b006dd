"""The base of every spec: a part of an experiment file, checked when it is made."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Frozen, with unknown keys refused and no silent conversion (`"3"` is no number, `true` no learning rate)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
