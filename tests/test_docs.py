"""What the documents say can be typed: files, links and commands."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.cli import _parser
from tests.conftest import REPOSITORY

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
