"""Experiment files: found, read from YAML with what `--set` lays over them, and written."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.complaints import complaint
from pipeline.errors import BadInput
from pipeline.experiment import Experiment
from pipeline.stages.generate import suggestion

FOLDER = Path("experiments")


def find(experiment: str, folder: Path = FOLDER) -> Path:
    """Path of an experiment given as a path, or as a bare name in `experiments/`.

    Raises
    ------
    BadInput
        When there is no such file, or a bare name fits more than one.
    """
    path = Path(experiment)
    if path.is_file():
        return path
    if path.suffix not in (".yaml", ".yml"):
        found = sorted(folder.rglob(f"{path.name}.yaml")) if folder.is_dir() else []
        found = [file for file in found if file.with_suffix("").as_posix().endswith(path.as_posix())]
        if len(found) == 1:
            return found[0]
        if found:
            raise BadInput(f"fits {' and '.join(map(str, found))}", file=experiment, remedy="give the path")
    if path.is_dir():
        raise BadInput("is a directory", file=experiment, remedy="give the YAML file itself")
    known = [file.stem for file in catalogue(folder)]
    remedy = suggestion(path.stem, known) if known else f"check the path, or run it where your {folder}/ lies"
    raise BadInput("no such experiment", file=experiment, remedy=remedy)


def catalogue(folder: Path = FOLDER) -> list[Path]:
    """Every experiment file in a folder, sorted."""
    return sorted(folder.rglob("*.yaml")) if folder.is_dir() else []


def load(path: Path, overrides: Iterable[str] = (), seeds: int | None = None, trials: int | None = None) -> Experiment:
    """Read and check an experiment file; overrides are `datasets.circles.noise=0.1`, as `--set` takes them.

    `seeds` and `trials`, where given, replace what the file says of them.

    Raises
    ------
    BadInput
        Naming file, field, value and remedy in one line.
    """
    tree = read_yaml(path)
    for override in overrides:
        _apply(override, tree)
    if seeds is not None:
        tree["seeds"] = seeds
    if trials is not None:
        _set_trials(trials, tree, str(path))
    return check(tree, str(path))


def no_tuning(file: str) -> BadInput:
    """Complain that a file has nothing to tune."""
    return BadInput(
        "the file has none",
        file=file,
        field="tuning",
        remedy="add, for instance, tuning: {trials: 20, space: {width: [4, 32], lr: [0.001, 0.1, log]}}",
    )


def _set_trials(trials: int, tree: dict[str, Any], file: str) -> None:
    """Give every search of an experiment as many trials."""
    models = tree.get("models")
    sections = [tree, *(models.values() if isinstance(models, dict) else [])]
    searches = [
        section["tuning"]
        for section in sections
        if isinstance(section, dict) and isinstance(section.get("tuning"), dict)
    ]
    if not searches:
        raise no_tuning(file)
    for search in searches:
        search["trials"] = trials


def check(tree: Any, file: str) -> Experiment:
    """Turn a tree, as read from YAML, into a checked experiment; `file` is what complaints name."""
    try:
        return Experiment.model_validate(tree)
    except ValidationError as error:
        raise complaint(error).within(file=file) from error


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; a key given twice is an error.

    Raises
    ------
    BadInput
        When the file can't be read, is no YAML, or holds no mapping.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        tree = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise BadInput(f"is not UTF-8 text (byte {error.start})", file=str(path), remedy="save it as UTF-8") from error
    except OSError as error:
        raise BadInput(f"can't be read: {error.strerror}", file=str(path)) from error
    except MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        problem, remedy = _of_layout(str(error.problem or error).splitlines()[0])
        raise BadInput(f"{line}{problem}", file=str(path), remedy=remedy) from error
    except YAMLError as error:
        raise BadInput(str(error).splitlines()[0], file=str(path), remedy="correct the YAML") from error
    if not isinstance(tree, dict):
        raise BadInput(
            "holds no mapping of keys to values", file=str(path), remedy="start with name:, datasets:, models:"
        )
    return tree


def _of_layout(problem: str) -> tuple[str, str]:
    """Put what a YAML reader finds into a writer's words where these are other ones; returns problem and remedy."""
    if "<block" in problem:
        return "is indented otherwise than what it stands beside", "align it"
    if "'\\t'" in problem:
        return "is indented by a tab", "use spaces"
    return problem, "correct the YAML"


def to_yaml(experiment: Experiment) -> str:
    """Write the resolved experiment, every default filled in; reading it gives an equal experiment."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # keep the file's order
    yaml.width = 100
    stream = io.StringIO()
    yaml.dump(experiment.model_dump(), stream)  # not by way of JSON, which has neither infinity nor numbers as keys
    return stream.getvalue()


def from_yaml(text: str) -> dict[str, Any]:
    """Read what `to_yaml` has written, as plain values."""
    from ruamel.yaml import YAML

    tree: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return tree


def _apply(override: str, tree: dict[str, Any]) -> None:
    """Lay one `key.path=value` over a tree; the value is read as YAML."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise BadInput(f"{override!r} is not KEY=VALUE", field="--set", remedy="write datasets.circles.noise=0.1")
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        remedy = f"quote it, for YAML and for the shell: --set \"{path}='{text}'\""
        raise BadInput(f"{text!r} is no YAML value", field=f"--set {path}", remedy=remedy) from error
    node: Any = tree
    for key in keys[:-1]:
        if node.get(key) is None:
            node[key] = {}
        node = node[key]
        if not isinstance(node, dict):
            raise BadInput(f"{key!r} holds no keys", field=f"--set {path}", remedy="check the path")
    node[keys[-1]] = value
