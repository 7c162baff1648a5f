"""Every file and heading that the pages name exists."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, anchors, blocks, commands, inline_code, links
from tests.support.command import ROOT

_PATH = re.compile(
    r"(?:\.ci|\.github|docs|samples|streamdenoise|tests|train)/[\w./@-]+"
)
_MADE = ("train/runs", "tests/faults/runs")
"""Folders that only appear when something runs."""


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for link in links(page):
        target, _, anchor = link.partition("#")
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), link
        if anchor:
            assert anchor in shown_anchors(path.resolve()), link


def shown_anchors(path: Path) -> set[str]:
    """Anchors of a page and, on the site, of the files that it includes."""
    page = str(path.relative_to(ROOT))
    shown = {page}
    if path.parent == ROOT / "docs":
        targets = [path.parent / link.partition("#")[0] for link in links(page)]
        shown |= {
            str(target.resolve().relative_to(ROOT))
            for target in targets
            if target.suffix == ".md" and target.resolve().parent != path.parent
        }
    return set().union(*map(anchors, shown))


@pytest.mark.parametrize("page", PAGES)
def test_paths_exist(page: str) -> None:
    words = [
        word for block in blocks(page) for line in commands(block) for word in line
    ]
    for word in [*words, *inline_code(page)]:
        if _PATH.fullmatch(word) and not word.startswith(_MADE):
            assert (ROOT / word.partition("::")[0]).exists(), word
