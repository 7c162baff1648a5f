"""Which recorded files belong to a camera."""

from datetime import datetime
from pathlib import Path

import pytest

from streamdenoise.serve.recordings import Recordings
from streamdenoise.serve.service import UnknownCameraError
from tests.serve.running import config_of


@pytest.mark.parametrize(
    "shared", ['output = "{0}/{{camera}}-%H-%M-%S.mp4"', 'recordings = "{0}"']
)
def test_cameras_that_share_a_folder_see_only_their_own(
    tmp_path: Path, shared: str
) -> None:
    text = "[defaults]\nsource = 'testsrc:'\nsegment = '1s'\n" + shared.format(tmp_path)
    cameras = config_of(text + "\n[cameras.a]\n[cameras.a-1]\n").cameras
    files: dict[str, set[str]] = {}
    for camera in cameras:
        names = Recordings(camera.name, camera.config).by_hand
        assert names is not None
        by_hand = names.free_path(datetime(2026, 3, 4, 5, 6, 7))
        files[camera.name] = {by_hand.name}
        if camera.config.live.outputs[0].startswith(str(tmp_path)):
            files[camera.name].add(f"{camera.name}-05-06-07.mp4")
    for path in set.union(*files.values()):
        (tmp_path / path).touch()
    for camera in cameras:
        recordings = Recordings(camera.name, camera.config)
        assert {each.id for each in recordings.all()} == files[camera.name]
        for other in set.union(*files.values()) - files[camera.name]:
            with pytest.raises(UnknownCameraError):
                recordings.delete(other)
