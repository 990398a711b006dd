from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import BadInput
from pipeline.experiment_file import catalogue, find, load, to_yaml
from tests.conftest import REPOSITORY, TINY

FILES = catalogue(REPOSITORY / "experiments")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_resolved_file_reads_back_equal(path: Path, tmp_path: Path) -> None:
    """The resolved experiment, every default filled in, is itself a file that gives the same experiment."""
    experiment = load(path)
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(to_yaml(experiment), encoding="utf-8")
    assert load(resolved) == experiment


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_is_called_as_its_name(path: Path) -> None:
    """Each file in experiments/ carries its own name, so that reports and runs are found under it."""
    assert load(path).name == path.stem


def test_yaml_numbers_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    """`1e-3` is a number, as every user means it."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.replace("lr: 0.05", "lr: 1e-3"), encoding="utf-8")
    assert load(path).models["relu"].training.lr == 1e-3


def test_bare_name_that_fits_two_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare name never picks one of two files silently."""
    monkeypatch.chdir(tmp_path)
    for folder in ("experiments/a", "experiments/b"):
        Path(folder).mkdir(parents=True)
        Path(folder, "same.yaml").write_text(TINY, encoding="utf-8")
    with pytest.raises(BadInput, match="fits"):
        find("same")
    assert find("a/same") == Path("experiments/a/same.yaml")
