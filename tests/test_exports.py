"""What packages export can be imported, and is what type checkers see."""

import ast
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

import streamdenoise

# Internal, or reached through the command line, a table, or `open_source`.
WITHOUT_EXPORTS = {
    "streamdenoise.cli",
    "streamdenoise.inference.backends",
    "streamdenoise.io.connections",
    "streamdenoise.io.ffmpeg",
    "streamdenoise.io.pictures",
    "streamdenoise.measure.quality.real",
    "streamdenoise.security",
    "streamdenoise.serve",
    "streamdenoise.serve.config",
    "streamdenoise.serve.media",
    "streamdenoise.serve.mqtt",
    "streamdenoise.serve.web",
    "streamdenoise.serve.workers",
}
PACKAGES = [
    "streamdenoise",
    *(
        module.name
        for module in pkgutil.walk_packages(streamdenoise.__path__, "streamdenoise.")
        if module.ispkg and module.name not in WITHOUT_EXPORTS
    ),
]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_exported_name_exists(name: str) -> None:
    package = import_module(name)
    assert package.__all__
    for exported in package.__all__:
        assert hasattr(package, exported)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = package.nonsense


@pytest.mark.parametrize("name", PACKAGES)
def test_type_checkers_see_the_exported_names(name: str) -> None:
    package = import_module(name)
    assert package.__file__ is not None
    tree = ast.parse(Path(package.__file__).read_text())
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(package.__all__) <= imported
