"""Stores of engines, and a backend that needs engines on any machine."""

from pathlib import Path

import pytest

from streamdenoise.inference import background_build
from streamdenoise.inference.engine_folders import FOLDER_VARIABLE
from streamdenoise.inference.engine_store import EngineStore
from streamdenoise.inference.registry import BACKENDS
from tests.inference import stored_openvino as stand_in


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineStore:
    """The usual store, in a folder that does not exist yet."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "engines"))
    return EngineStore()


@pytest.fixture
def stored_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO needs engines, as runtimes of GPUs do: they are built for real."""
    monkeypatch.setitem(BACKENDS, "openvino", stand_in.entry())
    program = ("-m", stand_in.__name__)
    monkeypatch.setattr(background_build, "PROGRAM", program)
