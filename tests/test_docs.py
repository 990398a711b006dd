"""What the documents say can be typed: files, links and commands."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline import schema
from pipeline.cli import _parser
from tests.conftest import REPOSITORY

REFERENCE = runpy.run_path(str(REPOSITORY / "docs/make_reference.py"))
PAGES = sorted((REPOSITORY / "docs").glob("*.md"))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What links to a page's headings end in."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_files_in_the_docs_parse(page: Path) -> None:
    """YAML parses, without a key given twice, and Python compiles."""
    for text in blocks(page, "yaml"):
        assert all(YAML(typ="safe").load_all(text))
    for text in blocks(page, "python"):
        ast.parse(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_in_the_docs_lead_somewhere(page: Path) -> None:
    """Every link within the repository names a file that is there, and a heading in it."""
    links = re.findall(r"\]\(([^)]*)\)", page.read_text(encoding="utf-8"))
    for target, _, anchor in (link.partition("#") for link in links if "://" not in link):
        linked = (page.parent / target).resolve() if target else page
        assert linked.is_file(), target
        assert not anchor or anchor in anchors(linked), anchor


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_in_the_docs_are_taken(page: Path) -> None:
    """Every command line of ours, in files and by themselves, is one that the parser takes."""
    text = page.read_text(encoding="utf-8")
    lines = re.findall(r"^(?:exec |\w+=\S+ )*photofinish ((?:run|tune) .*)$", text, re.MULTILINE)
    listed = [found.replace(",", " ") for found in re.findall(r"args: \[photofinish, (.*)\]", text)]
    assert lines
    for words in lines + listed:
        _parser().parse_args(shlex.split(words))


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
