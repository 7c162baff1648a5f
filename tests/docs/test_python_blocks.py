"""Every Python block of the pages runs, with the real denoiser, on a small clip."""

from pathlib import Path

import numpy as np
import pytest

from tests.docs.pages import PAGES, Block, blocks
from tests.support.clips import write_clip

PYTHON = [
    block for page in PAGES for block in blocks(page) if block.language == "python"
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The present folder, with the file that the blocks read."""
    write_clip(tmp_path / "noisy.mp4", codec="libx264", num_frames=4)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_blocks() -> None:
    pages = {block.page for block in PYTHON}
    assert {"README.md", "docs/embedding.md"} <= pages


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_a_python_block_runs(block: Block, folder: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (64, 96, 3), np.uint8) for _ in range(2)]
    names = {"__name__": str(block), "images": images}
    exec(compile(block.text, str(block), "exec"), names)
    result = names.get("clean")
    if isinstance(result, np.ndarray):
        assert result.dtype == np.uint8
        assert result.ndim == 3
    if "clean.mp4" in block.text:
        assert (folder / "clean.mp4").stat().st_size > 0
