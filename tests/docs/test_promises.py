"""Each promise has tests, and they exist."""

import ast
import re
from functools import cache

import pytest

from tests.docs.pages import text_of
from tests.support.command import ROOT

_ROWS = re.compile(r"^\| (?!promise |---)(.+) \| (.+) \|$", re.MULTILINE)
_NODE = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+(?:::\w+)?))?`")
PROMISES = [match.groups() for match in _ROWS.finditer(text_of("docs/promises.md"))]


@cache
def names_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    names = set[str]()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names |= {
                f"{node.name}::{each.name}"
                for each in node.body
                if isinstance(each, ast.FunctionDef)
            }
    return {name for name in names if name.rpartition("::")[2].startswith("test_")}


def test_there_are_promises():
    assert len(PROMISES) > 20


@pytest.mark.parametrize(("promise", "tests"), PROMISES, ids=[p for p, _ in PROMISES])
def test_a_promise_names_tests_that_exist(promise: str, tests: str):
    named = _NODE.findall(tests)
    assert named
    assert _NODE.sub("", tests).replace(",", "").strip() == ""
    for path, name in named:
        assert names_in(path), path
        assert not name or name in names_in(path), f"{path}::{name}"
