"""What an experiment file says about a table from a file or from OpenML; the table itself is not touched here."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, WithJsonSchema, model_serializer, model_validator

from pipeline.errors import BadInput
from pipeline.spec import Spec, may_be_empty
from pipeline.stages.generate import suggestion
from pipeline.stages.split import SplitSpec

KEY = "file"
SOURCES = ("make", "load", KEY)
OPENML = "openml"
DEFAULT_TARGET = "default-target"  # scikit-learn's word for the one that OpenML names
CSV = (".csv", ".tsv", ".txt")
PARQUET = (".parquet", ".pq")
_ENDINGS = "|".join(re.sub(r"[a-z]", lambda one: f"[{one[0]}{one[0].upper()}]", end[1:]) for end in (*CSV, *PARQUET))
OF_SPLIT = ("group", "time")
OF_CSV = ("delimiter", "encoding", "decimal")

OPENML_NAME = re.compile(r"[\w.,()+-]+")  # it becomes a part of addresses, and of a path in the cache

Names = Annotated[tuple[str, ...], Field(strict=False)]


def _say_columns_of_split(schema: dict[str, Any]) -> None:
    """Let the split's columns stand beside the others, as files have them; the table itself is named first."""
    fields = schema["properties"]
    for key in OF_SPLIT:
        description = SplitSpec.model_fields[key].description
        fields[key] = {"type": ["string", "null"], "default": None, "description": description}
    may_be_empty(schema, "split")
    shared = {key: fields.pop(key) for key in (*ColumnsSpec.model_fields, *OF_SPLIT)}
    schema["properties"] = {**fields, **shared}


def _say_which(schema: dict[str, Any]) -> None:
    """Have a table of OpenML named in one of its two ways, and the target in one of its two."""
    _say_columns_of_split(schema)
    fields = schema["properties"]
    fields["target_column"] = {"type": "string", "description": "The same as `target`, by scikit-learn's name for it."}
    schema["not"] = {"required": ["target", "target_column"]}
    by_name = {"required": ["name"], "properties": {"name": {"type": "string"}, "data_id": {"type": "null"}}}
    by_number = {"data_id": {"type": "integer"}, "name": {"type": "null"}, "version": {"const": "active"}}
    schema["oneOf"] = [by_name, {"required": ["data_id"], "properties": by_number}]


class ColumnsSpec(Spec):
    """A dataset from a table of raw columns, wherever it comes from. Spaces around a text don't count.

    `group` and `time` are the split's, and may stand here too.
    """

    model_config = ConfigDict(json_schema_extra=_say_columns_of_split)

    target: str = Field(
        description="Column to predict: texts, booleans or up to 20 different whole numbers are classes, other numbers"
        " a regression."
    )
    features: Names | None = Field(
        None,
        min_length=1,
        description="The only columns to learn from, also those that would be left out; null is every column"
        " that can be learned from.",
    )
    drop: Names = Field((), description="Columns to leave out.")
    categorical: Names = Field((), description="Columns of numbers that are codes.")
    positive: str | int | float | bool | None = Field(
        None,
        description="Which of two classes is class 1, the one that precision, recall and thresholds speak of; null is"
        " the second in ascending order.",
    )
    weights: str | None = Field(
        None, description="Column of row weights, for the loss in training; scores count every row once."
    )
    task: Literal["classification", "regression"] | None = Field(
        None, description="What the target is, where it isn't what its values look like."
    )
    na_values: Annotated[tuple[str | int | float, ...], Field(strict=False)] = Field(
        (), description="Texts or numbers that mean “missing”, beside empty cells."
    )
    split: SplitSpec = Field(
        SplitSpec(), description="How this dataset is parted instead: the keys given replace the experiment's."
    )

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, given: Any) -> Any:
        sources = [key for key in SOURCES if isinstance(given, dict) and given.get(key) is not None]
        if len(sources) > 1:
            raise BadInput(f"{' and '.join(sources)} given", remedy="give exactly one of make, load and file")
        return _with_columns_of_split(given)

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_roles()
        if self.task == "regression" and self.positive is not None:
            raise BadInput("a regression has no classes", field="positive", remedy="remove it")
        return self

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
        own_first = sorted(fields, key=lambda key: key in ColumnsSpec.model_fields)
        given = {key: getattr(self, key) for key in own_first if key != "split"}
        written = {key: value for key, value in given.items() if value != fields[key].default}
        lists = {key: list(value) for key, value in written.items() if isinstance(value, tuple)}
        return {**written, **lists, "split": self.split.model_dump()}

    @property
    def shares_table(self) -> bool:
        """Whether resamples are splits of one and the same table; here they are."""
        return True

    @property
    def roles(self) -> dict[str, str]:
        """Columns that weigh, group or order the rows, by what they do."""
        named = {"weights": self.weights, "group": self.split.group, "time": self.split.time}
        return {role: name for role, name in named.items() if name is not None}


class TableSpec(ColumnsSpec):
    """A dataset from a CSV or Parquet file: `file: data/churn.csv, target: churned`.

    `delimiter`, `encoding`, `decimal` and `na_values` are those of `pandas.read_csv`. In a CSV file what pandas takes
    for missing (NA, NaN, null, …) is so too.
    """

    model_config = ConfigDict(title="Table from a file")

    file: str = Field(
        description="Path from the experiment file's folder: CSV (.csv, .tsv, .txt) or Parquet (.parquet, .pq).",
        json_schema_extra={"pattern": rf"\.({_ENDINGS})$"},
    )
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = Field(
        None, description="Character between a CSV file's cells; null detects comma, semicolon, tab or bar."
    )
    encoding: str | None = Field(
        None, description="Encoding of a CSV file; null detects UTF-8, and UTF-16 with a byte order mark."
    )
    decimal: Literal[".", ","] | None = Field(
        None, description="Decimal mark of a CSV file; null detects point or, where it doesn't delimit, comma."
    )

    @model_validator(mode="after")
    def _check_file(self) -> Self:
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
        return self


class OpenmlSpec(ColumnsSpec):
    """A dataset of OpenML: `load: openml, name: adult, version: 2`, or `load: openml, data_id: 1590`.

    The arguments are those of scikit-learn's `fetch_openml`, and `target_column` is another word for `target`.
    """

    model_config = ConfigDict(title="Table of OpenML", json_schema_extra=_say_which)

    load: Literal["openml"] = Field(description="`openml`, for a table of OpenML.")
    name: str | None = Field(
        None, description="Name of the table; either it or `data_id`.", json_schema_extra={"pattern": r"^[\w.,()+-]+$"}
    )
    version: Annotated[int, WithJsonSchema({"type": "integer", "minimum": 1})] | Literal["active"] = Field(
        "active", description="Version of the table of that name; `active` is the one that OpenML marks so."
    )
    data_id: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Number of the table, which has its version already; either it or `name`."
    )
    data_home: str | None = Field(
        None,
        description="Folder of the cache, from the experiment file's folder; null is `SCIKIT_LEARN_DATA`, else"
        " `~/scikit_learn_data`.",
    )
    cache: bool = Field(True, description="Whether what was downloaded is kept and taken from there.")
    n_retries: Annotated[int, Field(ge=1)] = Field(3, description="How often a request that fails is made again.")
    delay: Annotated[float, Field(gt=0)] = Field(1.0, description="Seconds between these requests.")
    target: str = Field(DEFAULT_TARGET, description="Column to predict; `default-target` is OpenML's own.")

    @model_validator(mode="before")
    @classmethod
    def _rename_target(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "target_column" not in given:
            return given
        if "target" in given:
            raise BadInput("is given as target too", field="target_column", remedy="remove one of them")
        return {"target" if key == "target_column" else key: value for key, value in given.items()}

    @model_validator(mode="after")
    def _check_which(self) -> Self:
        if (self.name is None) == (self.data_id is None):
            problem = "no table is named" if self.name is None else "name and data_id given"
            raise BadInput(problem, remedy="give name and version, or data_id")
        if self.name is not None and not OPENML_NAME.fullmatch(self.name):
            raise BadInput(f"{self.name!r} is no name of OpenML's", field="name", remedy="write it without spaces")
        if self.version != "active":
            if self.data_id is not None:
                raise BadInput("data_id has a version already", field="version", remedy="remove it")
            if self.version < 1:
                raise BadInput(f"{self.version} is no version", field="version", remedy="give 1 or more")
        return self

    def with_target(self, target: str) -> Self:
        """Return the same with the target that OpenML names.

        Raises
        ------
        BadInput
            When a column has that role and another.
        """
        resolved = self.model_copy(update={"target": target})
        resolved._check_roles()
        return resolved

    @property
    def asked_for(self) -> str:
        """The table in words, before anything is known of it."""
        if self.data_id is not None:
            return f"data_id {self.data_id}"
        return f"{self.name!r}" if self.version == "active" else f"{self.name!r}, version {self.version}"


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
