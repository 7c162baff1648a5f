"""Programs that run as child processes, by file name."""

import ast
from pathlib import Path

import pytest

import streamdenoise.io

FOLDER = Path(streamdenoise.io.__file__).parent


@pytest.mark.parametrize(
    "program", ["publishing/process.py", "sinks/window_process.py"]
)
def test_a_child_program_imports_nothing_from_the_package(program: str) -> None:
    imported: set[str] = set()
    for node in ast.walk(ast.parse((FOLDER / program).read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add("." * node.level + (node.module or ""))
    assert "struct" in imported
    assert not [n for n in imported if n.startswith((".", "streamdenoise"))]
