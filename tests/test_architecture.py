"""The house keeps its order: who may import whom, and files that must say the same thing."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "pipeline"
MODULES = sorted(PACKAGE.rglob("*.py"))

# From left to right: a room imports only from rooms to its left (or beside it, where it says so in ARCHITECTURE.md).
LEVELS = {
    "errors": 0,
    "interruption": 1,
    "processes": 1,
    "databases": 2,
    "whole_files": 1,
    "spec": 1,
    "artifacts": 1,
    "labels": 1,
    "units": 1,
    "raw_columns": 1,
    "cluster": 1,
    "planes": 2,
    "training": 3,
    "comparison": 3,
    "figures": 3,
    "stages": 4,
    "experiment": 5,
    "complaints": 6,
    "experiment_file": 7,
    "schema": 8,
    "estimators": 8,
    "tracking": 8,
    "execution": 8,
    "walk": 8,
    "preparation": 9,
    "runner": 10,
    "stored": 11,
    "api": 12,
    "console": 12,
    "cli": 13,
    "__main__": 14,
    "__init__": 14,
}


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imports(path: Path) -> set[str]:
    """Every module that a file imports, those inside functions included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def label(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_imports_go_one_way(path: Path) -> None:
    """A module imports from its own room and from rooms to the left of it, never from the right or across."""
    own = room(path)
    for name in imports(path):
        if name.startswith("pipeline.") and name != "pipeline.__version__":
            other = name.split(".")[1]
            assert other == own or LEVELS[other] < LEVELS[own], f"{label(path)} imports {name}"


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("mlflow", r"tracking/"),
        ("optuna", r"stages/tuning/(proposals|storage|study)"),
        ("matplotlib", r"(figures/|stages/reporting/)"),
        ("rich", r"console"),
        ("ruamel", r"experiment_file"),
        ("distributed", r"cluster"),
    ],
)
def test_library_stays_in_its_room(library: str, allowed: str) -> None:
    """Each library with a room of its own is imported there and nowhere else."""
    users = [label(path) for path in MODULES if any(re.match(rf"{library}\b", name) for name in imports(path))]
    assert [user for user in users if not re.match(allowed, user)] == []


def test_conda_and_pyproject_agree() -> None:
    """conda.yaml installs just what pyproject.toml asks for, and a Python that it supports."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    conda = YAML(typ="safe").load((REPOSITORY / "conda.yaml").read_text(encoding="utf-8"))
    (pip,) = [item["pip"] for item in conda["dependencies"] if isinstance(item, dict)]
    assert sorted(pip) == sorted(project["dependencies"])
    (python,) = [item for item in conda["dependencies"] if str(item).startswith("python=")]
    assert project["requires-python"] == ">=" + python.removeprefix("python=")


def test_pins_are_exact_where_files_and_numbers_depend_on_them() -> None:
    """Torch, mlflow and optuna are pinned to one version each."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for library in ("torch", "mlflow", "optuna"):
        assert any(re.fullmatch(rf"{library}==\d+\.\d+\.\d+", item) for item in project["dependencies"])


def test_mlproject_entry_points_are_commands_that_parse() -> None:
    """Every entry point of MLproject is a command line that the parser takes with the defaults."""
    from pipeline.cli import make_parser

    project = YAML(typ="safe").load((REPOSITORY / "MLproject").read_text(encoding="utf-8"))
    points = project["entry_points"]
    assert set(points) == {"main", "generate", "split", "tune", "train", "evaluate", "report"}
    for name, point in points.items():
        defaults = {name: spec["default"] for name, spec in point["parameters"].items()}
        words = point["command"].format(**defaults).split()
        assert words[:3] == ["python", "-m", "pipeline"]
        options = make_parser().parse_args(words[3:])
        assert getattr(options, "until", name) == ("report" if name == "main" else name)
        assert (REPOSITORY / defaults["experiment"]).is_file()


def test_stages_are_named_in_one_order() -> None:
    """The command line offers the stages that the runner walks, in its order."""
    from pipeline import cli, walk

    assert cli.STAGES == walk.STAGES


def test_every_test_says_what_it_promises() -> None:
    """A test's docstring is the promise it keeps; none goes without."""
    for path in (REPOSITORY / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert ast.get_docstring(node), f"{path}: {node.name}"


def test_ci_runs_the_readmes_test_command() -> None:
    """`.ci/run` takes its command from the README, so that what is written there is what is run."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^pip install .*&& .*$", readme, flags=re.MULTILINE)
    assert len(commands) == 2
    assert "mlflow run . --env-manager local" in commands[0]
    assert "&& pytest " in commands[1]
    assert "README.md" in (REPOSITORY / ".ci/run").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted((REPOSITORY / "experiments").rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_is_listed(path: Path) -> None:
    """experiments/README.md names every experiment file."""
    assert path.name in (REPOSITORY / "experiments/README.md").read_text(encoding="utf-8")


def test_readme_maps_every_module() -> None:
    """The README's file map names every module and room of the package."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for path in MODULES:
        if path.name not in ("__init__.py", "__main__.py"):
            assert path.name in readme, label(path)
