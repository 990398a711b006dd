"""What an experiment file says about a table from a file; the file itself is not touched here."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import Field, model_serializer, model_validator

from pipeline.errors import BadInput
from pipeline.spec import Spec
from pipeline.stages.generate import suggestion
from pipeline.stages.split import SplitSpec

KEY = "file"
CSV = (".csv", ".tsv", ".txt")
PARQUET = (".parquet", ".pq")
OF_SPLIT = ("group", "time")
OF_CSV = ("delimiter", "encoding", "decimal")

Names = Annotated[tuple[str, ...], Field(strict=False)]


class TableSpec(Spec):
    """A dataset from a CSV or Parquet file: `file: data/churn.csv, target: churned`.

    The path is relative to the experiment file's folder. Spaces around a text don't count.

    `features` lists the only columns to learn from, whatever they look like; `drop` those to leave out. `categorical`
    lists columns of numbers that are codes. `positive` is the one of two classes that is class 1. `weights` is a column
    of row weights, for training. `group` and `time` are the split's, and may stand here too. `task` says what the
    target is where that isn't clear.

    `delimiter`, `encoding`, `decimal` and `na_values` are those of `pandas.read_csv`. The first three are detected
    where they aren't given: comma, semicolon, tab or bar; UTF-8, or UTF-16 with a byte order mark; point or, where it
    doesn't delimit, comma. `na_values` are texts or numbers that mean "missing", beside empty cells and, in a CSV file,
    those that pandas takes for it (NA, NaN, null, …).
    """

    file: str
    target: str
    features: Names | None = Field(default=None, min_length=1)
    drop: Names = ()
    categorical: Names = ()
    positive: str | int | float | bool | None = None
    weights: str | None = None
    task: Literal["classification", "regression"] | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    encoding: str | None = None
    decimal: Literal[".", ","] | None = None
    na_values: Annotated[tuple[str | int | float, ...], Field(strict=False)] = ()
    split: SplitSpec = SplitSpec()

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        others = [key for key in ("make", "load") if isinstance(given, dict) and given.get(key) is not None]
        if others:
            problem = f"{' and '.join([*others, KEY])} given"
            raise BadInput(problem, remedy="give exactly one of make, load and file")
        return _with_columns_of_split(given)

    @model_validator(mode="after")
    def _check(self) -> TableSpec:
        self._check_file()
        self._check_roles()
        if self.task == "regression" and self.positive is not None:
            raise BadInput("a regression has no classes", field="positive", remedy="remove it")
        return self

    def _check_file(self) -> None:
        suffix = PurePath(self.file).suffix.lower()
        if suffix not in (*CSV, *PARQUET):
            problem = f"{self.file!r} is no kind of file that Photofinish reads"
            raise BadInput(problem, field=KEY, remedy=f"save it as {', '.join((*CSV, *PARQUET))}")
        if suffix in PARQUET:
            for key in OF_CSV:
                if getattr(self, key) is not None:
                    raise BadInput("belongs to CSV files", field=key, remedy="remove it")
        if self.delimiter is not None and (self.delimiter in '"\r\n' or not self.delimiter.isascii()):
            problem = f"{self.delimiter!r} can't delimit cells"
            raise BadInput(problem, field="delimiter", remedy='give one character, such as ";"')
        if self.decimal is not None and self.decimal == self.delimiter:
            raise BadInput("is the delimiter too", field="decimal", remedy="correct one of them")
        if self.encoding is not None:
            _check_encoding(self.encoding)

    def _check_roles(self) -> None:
        for key, name in self.roles.items():
            if name == self.target:
                raise BadInput(f"{self.target!r} is the target", field=key, remedy="name another column")
        for key in ("features", "drop"):
            if self.target in (getattr(self, key) or ()):
                raise BadInput(f"{self.target!r} is the target", field=key, remedy="remove it there")
        both = sorted(set(self.features or ()) & set(self.drop))
        if both:
            raise BadInput(f"{both[0]!r} is in features too", field="drop", remedy="remove it from one of them")
        for key in ("features", "drop", "categorical"):
            names: Sequence[str] = getattr(self, key) or ()
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                raise BadInput(f"{twice[0]!r} is listed more than once", field=key, remedy="list it once")

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        fields = type(self).model_fields
        given = {key: getattr(self, key) for key in fields if key != "split"}
        written = {key: value for key, value in given.items() if value != fields[key].default}
        lists = {key: list(value) for key, value in written.items() if isinstance(value, tuple)}
        return {**written, **lists, "split": self.split.model_dump()}

    @property
    def shares_table(self) -> bool:
        """Whether resamples are splits of one and the same table; a file's are."""
        return True

    @property
    def roles(self) -> dict[str, str]:
        """Columns that weigh, group or order the rows, by what they do."""
        named = {"weights": self.weights, "group": self.split.group, "time": self.split.time}
        return {role: name for role, name in named.items() if name is not None}


def _with_columns_of_split(given: Any) -> Any:
    """Move `group` and `time` to where the split expects them; what is no mapping is left to the schema."""
    if not isinstance(given, dict) or not isinstance(given.get("split", {}), dict | None):
        return given
    moved = {key: given[key] for key in OF_SPLIT if given.get(key) is not None}
    split = given.get("split") or {}
    for key in moved:
        if split.get(key) is not None:
            raise BadInput("is given under split too", field=key, remedy="remove one of them")
    rest = {key: value for key, value in given.items() if key not in OF_SPLIT}
    return {**rest, "split": {**split, **moved}} if moved else rest


def _check_encoding(encoding: str) -> None:
    try:
        found = codecs.lookup(encoding)
    except LookupError:
        found = None
    if found is None or not getattr(found, "_is_text_encoding", True):
        problem = f"{encoding!r} is no encoding that Python knows"
        raise BadInput(problem, field="encoding", remedy=suggestion(encoding, ["utf-8", "utf-16", "cp1252", "latin-1"]))
