"""What the documents say can be typed: files, links and commands."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline import schema
from pipeline.cli import main, make_parser
from pipeline.experiment_file import check, find
from tests.conftest import REPOSITORY, Finished, runs_of

REFERENCE = runpy.run_path(str(REPOSITORY / "docs/make_reference.py"))
PAGES = sorted((REPOSITORY / "docs").glob("*.md"))
README = REPOSITORY / "README.md"
# Each command line of the README → the test that runs it, with other names and less to do where that is all the same.
RUN_BY = {
    "pip install -e . && mlflow run . --env-manager local": (
        "test_default_experiment.py::test_default_experiment_tells_its_story"
    ),
    "mlflow run .": "test_default_experiment.py::test_default_experiment_tells_its_story",
    "mlflow run . -P experiment=moons-logistic -P seeds=3 -P jobs=2": "test_mlflow_run.py::test_main_entry_point",
    "mlflow ui": "test_mlflow_ui.py::test_compare_page_shows_both_curves_and_both_pictures",
    "mlflow models serve -m runs:/RUN_ID/model --env-manager local": (
        "test_own_table.py::test_the_champion_is_served_without_photofinish"
    ),
    "mlflow models serve -m models:/churn-churn@champion --env-manager local --port 5001": (
        "test_own_table.py::test_the_champion_is_served_without_photofinish"
    ),
    "mlflow models serve": "test_own_table.py::test_the_champion_is_served_without_photofinish",
    "photofinish run mine": "test_docs.py::test_the_readmes_own_experiment_can_be_followed",
    "photofinish run mine --seeds 3 --set training.epochs=50 --set datasets.noisy.noise=0.2": (
        "test_docs.py::test_the_readmes_own_experiment_can_be_followed"
    ),
    "photofinish run mine --until split": "test_docs.py::test_the_readmes_own_experiment_can_be_followed",
    "photofinish tune linear_vs_relu --trials 40 --jobs 2": (
        "test_tuning.py::test_tune_searches_and_trains_nothing_else"
    ),
    "optuna best-trial --study-name linear_vs_relu/moons/relu --storage sqlite:///optuna.db": (
        "test_tuning.py::test_optunas_own_command_line_reads_the_studies"
    ),
    "optuna create-study": "test_tuning.py::test_study_made_by_hand_is_continued",
    "photofinish report linear_vs_relu": (
        "tracking/test_contract.py::test_report_of_an_experiment_takes_its_newest_comparison"
    ),
    "photofinish report RUN_ID --svg": "tracking/test_contract.py::test_pictures_are_the_same_whoever_draws_them",
    "photofinish report --compare RUN_ID RUN_ID": "tracking/test_compared.py::test_two_comparisons_side_by_side",
    "photofinish compare RUN_ID RUN_ID…": "tracking/test_compared.py::test_the_comparing_is_a_run_of_its_own",
    "photofinish promote RUN_ID": "tracking/test_registry.py::test_a_better_model_becomes_champion",
    "photofinish predict RUN_ID table.csv": "test_own_table.py::test_a_model_goes_by_many_names_and_to_many_files",
    "photofinish predict models:/churn-churn@champion new_customers.csv --out predictions.csv": (
        "test_own_table.py::test_a_model_goes_by_many_names_and_to_many_files"
    ),
    "photofinish schema": "test_schema.py::test_the_committed_schema_is_the_printed_one",
    "mlflow server": "scale/test_server.py::test_with_login",
    "mlflow server --app-name basic-auth --host 127.0.0.1 --backend-store-uri sqlite:///mlflow.db"
    " --artifacts-destination ./artifacts": "scale/test_server.py::test_with_login",
    "export MLFLOW_AUTH_ADMIN_PASSWORD=… MLFLOW_FLASK_SERVER_SECRET_KEY=…": "scale/test_server.py::test_with_login",
}
RUN_BY_CI = {"python -m venv .venv && . .venv/bin/activate", "pip install -e '.[test]' && pytest -n 4 --dist worksteal"}
RUN_BY_NOBODY = {
    "pip install 'mlflow[auth]'",  # what the tests of a login need of it is in .[test]
    "pip install pip-audit && pip-audit",  # speaks with pypi.org, and of today's faults
    "mlflow models predict",  # named as what isn't trusted
}
CHECKED = ("run", "tune", "predict", "promote", "report", "compare", "list")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What links to a page's headings end in."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands(page: Path) -> list[list[str]]:
    """Every command line of ours in a page's blocks: by itself, after `exec` or variables, or as listed arguments."""
    text = "\n".join(blocks(page, r"\w*"))
    lines = re.findall(rf"^(?:exec |\w+=\S+ )*photofinish ((?:{'|'.join(CHECKED)})\b.*)$", text, re.MULTILINE)
    listed = [found.replace(",", " ") for found in re.findall(r"args: \[photofinish, (.*)\]", text)]
    return [shlex.split(line, comments=True) for line in lines + listed]


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.stem)
def test_files_in_the_docs_parse(page: Path) -> None:
    """YAML parses, without a key given twice, Python compiles, and whole experiment files are taken as such."""
    for text in blocks(page, "yaml"):
        trees = list(YAML(typ="safe").load_all(text))
        assert all(trees)
        for tree in trees:
            if {"name", "datasets", "models"} <= set(tree):
                check(tree, page.name)
    for text in blocks(page, "python"):
        ast.parse(text)


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.stem)
def test_links_in_the_docs_lead_somewhere(page: Path) -> None:
    """Every link within the repository names a file or folder that is there, and a heading in it."""
    links = re.findall(r"\]\(([^)]*)\)", page.read_text(encoding="utf-8"))
    for target, _, anchor in (link.partition("#") for link in links if "://" not in link):
        linked = (page.parent / target).resolve() if target else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), anchor


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.stem)
def test_commands_in_the_docs_are_taken(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser takes every command line of ours, and experiments are there, but for the reader's own."""
    monkeypatch.chdir(REPOSITORY)
    for words in commands(page):
        options = make_parser().parse_args(words)
        if words[0] in ("run", "tune") and not re.fullmatch(r"\w+\.yaml|mine", options.experiment):
            find(options.experiment)


def test_each_command_of_the_readme_is_run_by_a_test() -> None:
    """No command line of the README's blocks and sentences is without a test, and the tests named are there."""
    text = README.read_text(encoding="utf-8")
    programs = "photofinish|mlflow|optuna|pip|python|pytest|export"
    typed = [
        line for block in blocks(README, r"\w*") for line in re.findall(rf"^(?:{programs}) .*$", block, re.MULTILINE)
    ]
    sentences = " ".join(re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE).split())
    named = re.findall(rf"`((?:{programs}) [^`]*)`", sentences)
    found = {re.sub(r" +#.*", "", line) for line in (*typed, *named)}
    assert found == RUN_BY.keys() | RUN_BY_CI | RUN_BY_NOBODY
    for place in RUN_BY.values():
        file, _, function = place.partition("::")
        assert f"def {function}(" in (REPOSITORY / "tests" / file).read_text(encoding="utf-8"), place


def test_the_readmes_own_experiment_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is taken as it stands, its commands run, a wrong key is told in the very words."""
    text = README.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    Path("experiments").mkdir()
    (experiment,) = [block for block in blocks(README, "yaml") if block.startswith("name: mine")]
    Path("experiments/mine.yaml").write_text(experiment, encoding="utf-8")
    assert main(["run", "mine", "--set", "training.lrr=0.01"]) == 2
    assert capsys.readouterr().err.strip() in text
    plain, quick = (words for words in commands(README) if words[:2] == ["run", "mine"])
    assert main([*plain, "--until", "split"]) == 0
    assert main([*quick, "--until", "evaluate"]) == 0
    assert "mine: mean ± standard deviation over 3 seeds" in capsys.readouterr().out
    client, runs = runs_of(tmp_path)
    files = {file.path for run in runs for file in client.list_artifacts(run.info.run_id)}
    assert "experiment.yaml" in files


def test_commands_are_found() -> None:
    """The pages that are there to be typed have commands in them that the test above has found."""
    assert all(
        commands(REPOSITORY / "docs" / f"{name}.md") for name in ("tutorial", "own-data", "scale-out", "clusters")
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_page_is_listed(page: Path) -> None:
    """The README links to every page of the docs."""
    assert f"](docs/{page.name})" in README.read_text(encoding="utf-8")


def test_own_data_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page's script makes the table, the experiment file takes it, and what is said of both is what is printed."""
    page = REPOSITORY / "docs" / "own-data.md"
    text = page.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (script,), experiment = blocks(page, "python"), blocks(page, "yaml")[0]
    exec(script, {})
    Path("churn.yaml").write_text(experiment, encoding="utf-8")

    refused = re.findall(r"^photofinish (run .*)\n(photofinish: .*)$", text, re.MULTILINE)
    assert refused
    for line, said in refused:
        assert main(shlex.split(line)) == 2
        assert capsys.readouterr().err.strip() == said
    assert not Path("mlflow.db").exists()

    assert main(["run", "churn.yaml", "--until", "split"]) == 0
    noted = capsys.readouterr().err.splitlines()
    assert noted
    assert all(line in text for line in noted)


def test_the_tutorial_reads_what_runs_leave(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tutorial's lines of Python find their files and columns beside a report, and print a table."""
    monkeypatch.chdir(tmp_path)
    for script in blocks(REPOSITORY / "docs" / "tutorial.md", "python"):
        (name,) = re.findall(r'"(reports/.*?)"', script)
        Path(name).parent.mkdir(parents=True)
        shutil.copy(finished.report / Path(name).name, name)
        exec(script, {})
        assert len(capsys.readouterr().out.splitlines()) > 1


def test_the_statistics_quote_the_calibration() -> None:
    """The digest's numbers are those of the full table, in the world that the page names."""
    full = (REPOSITORY / "benchmarks" / "verdict_calibration.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| restless seeds \| (.*?) \| [\d,]+ \| (.*) \|$", full, re.MULTILINE)
    page = (REPOSITORY / "docs" / "statistics.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^\| (\d+ × \d+) \| (.*) \|$", page, re.MULTILINE)
    assert quoted
    for size, numbers in quoted:
        by_metric, _, by_test, found = [rest for of, rest in cells if of == size]
        assert numbers in (by_metric, by_test, found), size


def test_the_reference_is_up_to_date() -> None:
    """docs/reference.md is what `make reference` makes of the specs and the parser."""
    assert (REPOSITORY / "docs/reference.md").read_text(encoding="utf-8") == REFERENCE["page"]()


def test_the_reference_has_every_field_and_option() -> None:
    """No field of a spec that a file can give, and no option of a command, is missing."""
    page = REFERENCE["page"]()
    told = schema.make()
    for section in (told, *told["$defs"].values()):
        for name, field in section["properties"].items():
            assert field is False or f"| `{name}` | " in page, name
    for option in re.findall(r'"(--[a-z]+)"', (REPOSITORY / "pipeline/cli.py").read_text(encoding="utf-8")):
        assert option in page


def test_the_reference_has_the_environment_variables_that_are_read() -> None:
    """Our own variables are all there, and each one that is there is read somewhere."""
    package = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "pipeline").rglob("*.py"))
    told = {name for name, *_ in REFERENCE["VARIABLES"]}
    assert set(re.findall(r'"(PHOTOFINISH_[A-Z_]+)"', package)) <= told
    assert [name for name in told if f'"{name}"' not in package] == []
