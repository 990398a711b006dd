"""The JSON schema of experiment files, by which editors complete and check them."""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from pipeline.experiment import Experiment
from pipeline.spec import Spec


class _AsWritten(GenerateJsonSchema):
    """Pydantic's, without the titles of fields and the defaults of whole sections, which their own fields have."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        if isinstance(schema.get("default"), Spec):
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def make() -> dict[str, Any]:
    """Return the schema, of JSON Schema's draft 2020-12.

    It says what each section holds. What depends on two fields at once, on the data, or on the arguments of a function
    or class of scikit-learn is left to the reader, `pipeline.experiment_file.load`.
    """
    return {"$schema": _AsWritten.schema_dialect, **Experiment.model_json_schema(schema_generator=_AsWritten)}


def to_json() -> str:
    """Write the schema, as experiments/schema.json has it."""
    return json.dumps(make(), indent=2, ensure_ascii=False) + "\n"
