"""What windows save and cost, on a clip that stands still."""

import pytest

from streamdenoise.measure.clips import clean_clip_path
from streamdenoise.measure.speed import windows


def test_a_still_scene_takes_less_and_loses_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, _ = clean_clip_path(None)
    windows.main([str(path), "--size", "640x448", "--frames", "34", "--scene", "empty"])
    *_, row = capsys.readouterr().out.splitlines()
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:2] == [path.name, "empty"]
    assert float(cells[4]) < 0.95
    assert float(cells[6]) > -0.05
