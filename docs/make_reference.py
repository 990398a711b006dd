"""Make docs/reference.md and experiments/schema.json anew, by `make reference`.

Fields, defaults and meanings are those of the schema that `photofinish schema` prints; commands are the parser's.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline import cli, databases, schema

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/reference.md"
SCHEMA = ROOT / "experiments/schema.json"

Part = Mapping[str, Any]  # of the schema

OPENING = """# Reference

Every field of an experiment file, every command with its options, every environment variable. This page is made by
`make reference` from the code that reads them, as is [experiments/schema.json](../experiments/schema.json), the same
for editors. What the fields are for is told by [README.md](../README.md); files to start from are in
[experiments/](../experiments/README.md).

## The experiment file

One YAML file (YAML 1.2) is one question. Unknown keys are refused, and nothing is converted: `"3"` is no number. Where
the default is null, null can be written too, and the key of a section can stand alone. Any field can be set for one
run:
```
photofinish run linear_vs_relu --seeds 3 --set training.epochs=50 --set datasets.moons.noise=0.2
```
"""

COMMANDS = """## Commands

`photofinish COMMAND`, or `python -m pipeline COMMAND`; `--help` after any of them says what it takes, and
`photofinish --version` which version this is. Exit codes: 0 done, 1 failed, 2 bad input, 130 and 143 interrupted by
SIGINT and SIGTERM.
"""

ENVIRONMENT = """## Environment variables

Both databases lie in the folder where the command is run, unless told otherwise.
"""

# Name, default, meaning.
VARIABLES = (
    ("PHOTOFINISH_STORAGE", "`sqlite:///optuna.db`", "Optuna's storage, where `--storage` isn't given."),
    (
        databases.PATIENCE,
        f"`{databases.DEFAULT_PATIENCE:g}`",
        "Seconds for which a database that another process has locked is waited for.",
    ),
    ("MLFLOW_TRACKING_URI", "`sqlite:///mlflow.db`", "The tracking store: an address of a server or a database."),
    ("MLFLOW_TRACKING_USERNAME", "", "Login of a tracking server; `MLFLOW_TRACKING_PASSWORD` goes with it."),
    ("MLFLOW_TRACKING_PASSWORD", "", "Password of that login."),
    ("MLFLOW_EXPERIMENT_NAME", "the file's `name`", "The MLflow experiment that runs go to."),
    ("MLFLOW_EXPERIMENT_ID", "", "The same by its id; it goes before the name."),
    ("MLFLOW_RUN_ID", "", "Set by `mlflow run` for the command that it starts: the run that becomes the parent."),
    ("SCIKIT_LEARN_DATA", "`~/scikit_learn_data`", "Cache of tables of OpenML, where `data_home` isn't given."),
)


def page() -> str:
    """Return the whole reference as Markdown."""
    told = schema.make()
    sections = [(told["title"], told), *((part["title"], part) for part in _parts(told, told["$defs"]))]
    files = "\n".join(_section(title, part, told["$defs"]) for title, part in sections)
    variables = _table(("variable", "default", "meaning"), [(f"`{name}`", *others) for name, *others in VARIABLES])
    commands = "\n".join(_commands(cli.make_parser()))
    return f"{OPENING}\n{files}\n{COMMANDS}\n{commands}\n{ENVIRONMENT}\n{variables}"


def _parts(part: Any, known: Mapping[str, Part]) -> Iterator[Part]:
    """Go through the parts that a schema refers to, each once, in the order of the file."""
    seen: dict[str, Part] = {}

    def look(at: Any) -> None:
        if isinstance(at, list):
            for one in at:
                look(one)
        elif isinstance(at, dict):
            name = at.get("$ref", "").rpartition("/")[2]
            if name and name not in seen:
                seen[name] = known[name]
                look(known[name])
            for key, one in at.items():
                if key != "$defs":
                    look(one)

    look(part)
    yield from seen.values()


def _section(title: str, part: Part, known: Mapping[str, Part]) -> str:
    required = part.get("required", [])
    fields = [(name, field) for name, field in part["properties"].items() if field is not False]
    fields.sort(key=lambda one: one[0] not in required)
    rows = [
        (f"`{name}`", _type(field, known), _default(field, name in required), field["description"])
        for name, field in fields
    ]
    if isinstance(part["additionalProperties"], dict):
        rows.append(("any other key", "any", "", part["additionalProperties"]["description"]))
    return f"### {title}\n\n{part['description']}\n\n{_table(('field', 'type', 'default', 'meaning'), rows)}"


def _default(field: Part, required: bool) -> str:
    if required:
        return "required"
    if "default" not in field:
        return ""
    default = field["default"]
    if isinstance(default, str):
        return f"`{default}`" if default else "empty"
    return f"`{default:g}`" if type(default) is float else f"`{json.dumps(default)}`"


def _type(field: Part, known: Mapping[str, Part], *, many: bool = False) -> str:
    """Say in words what a field takes, of many in the plural; that it may be null is told by its default."""
    words = list(dict.fromkeys(word for word in _words(field, known, many=many) if many or word != "null"))
    for number in ("number", "numbers"):  # they include the whole ones
        if number in words and f"whole {number}" in words:
            words.remove(f"whole {number}")
    if len(words) == 1:
        return words[0]
    last = ", or " if any(" or " in word for word in words) else " or "
    return f"{', '.join(words[:-1])}{last}{words[-1]}"


def _words(field: Part, known: Mapping[str, Part], *, many: bool) -> list[str]:
    """Name each form that a field takes."""
    if "title" in field:
        return [f"`{field['title']}`"]
    if "$ref" in field:
        title = known[field["$ref"].rpartition("/")[2]]["title"]
        return [f"[{title}](#{title.lower().replace(' ', '-')})"]
    if "enum" in field:
        return [f"`{value}`" for value in field["enum"] if value is not None]
    if "const" in field:
        return [f"`{field['const']}`"]
    forms = field.get("anyOf") or field.get("oneOf")
    if forms:
        return [word for form in forms for word in _words(form, known, many=many)]
    kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
    return [_plain(kind, field, known, many=many) for kind in kinds]


def _plain(kind: str, field: Part, known: Mapping[str, Part], *, many: bool) -> str:
    ending = "s" if many else ""
    match kind:
        case "array" if "prefixItems" in field:
            return "`[low, high, log]`"
        case "array":
            once = ", each once" if field.get("uniqueItems") else ""
            return f"list of {_type(field['items'], known, many=True)}{once}"
        case "object":
            return f"mapping of names to {_type(field['additionalProperties'], known, many=True)}"
        case "integer":
            return f"whole number{ending}{_bounds(field, whole=True)}"
        case "number":
            return f"number{ending}{_bounds(field)}"
        case "boolean":
            return "true or false"
        case "string":
            return f"text{ending}"
    return kind


def _bounds(field: Part, whole: bool = False) -> str:
    low, above = field.get("minimum"), field.get("exclusiveMinimum")
    high, below = field.get("maximum"), field.get("exclusiveMaximum")
    if whole and above is not None:
        low, above = above + 1, None
    if low is not None and high is not None:
        return f" from {low} to {high}"
    said = [(" ≥", low), (" >", above), (" ≤", high), (" <", below)]
    return " and".join(f"{sign} {bound}" for sign, bound in said if bound is not None)


def _commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Write a section for each command; those of the parser itself are no commands."""
    (listed,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for choice in listed._choices_actions:
        arguments = [action for action in listed.choices[choice.dest]._actions if action.dest != "help"]
        arguments.sort(key=lambda action: bool(action.option_strings))
        rows = [(f"`{_written(action)}`", action.help or "") for action in arguments]
        table = "\n" + _table(("argument", "meaning"), rows) if rows else ""
        yield f"### photofinish {choice.dest}\n\n{choice.help[0].upper()}{choice.help[1:]}.\n{table}"


def _written(action: argparse.Action) -> str:
    """Write an argument as it is typed."""
    value = f"{{{','.join(action.choices)}}}" if action.choices and not action.metavar else str(action.metavar)
    if not action.option_strings:
        return f"{value} …" if action.nargs == "+" else f"[{value}]" if action.nargs == "?" else value
    name = action.option_strings[0]
    return name if action.nargs == 0 else " ".join([name, *[value] * (action.nargs or 1)])


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    cells = [[re.sub(r"\||<(?=\w)", r"\\\g<0>", cell) for cell in row] for row in rows]  # <name> would be HTML
    lines = [heads, ("---",) * len(heads), *cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    SCHEMA.write_text(schema.to_json(), encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
