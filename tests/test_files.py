"""Files are replaced completely or not at all."""

import os
from pathlib import Path

import pytest

from streamdenoise.errors import SinkError
from streamdenoise.files import replaced_whole
from tests.support.command import python


def test_the_new_content_takes_the_name(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")
    with replaced_whole(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), RuntimeError("No space left on device")],
)
def test_a_failed_write_changes_nothing(tmp_path: Path, error: Exception) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")

    def write_half() -> None:
        with replaced_whole(path) as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(SinkError, match=r"result\.json: No space left on device; is"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_data_is_on_the_disk_before_the_name_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result.json"
    synced: list[tuple[int, bool]] = []

    def sync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", sync)
    with replaced_whole(path) as partial:
        partial.write_bytes(b"12345")
    assert synced == [(5, False)]


def test_safetensors_is_not_needed() -> None:
    """Engines are stored by installations without the training packages."""
    program = (
        "import sys; sys.modules['safetensors'] = None\n"
        "import streamdenoise.inference.engine_store"
    )
    done = python(program)
    assert done.returncode == 0, done.stderr
