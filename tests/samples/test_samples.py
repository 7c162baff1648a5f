"""The scripts in samples/ work, each in its own process."""

import re
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamdenoise.frame import ColorInfo, Frame, StreamInfo, plane_shapes
from streamdenoise.imaging.metrics import psnr_y
from streamdenoise.imaging.noise import add_gaussian_noise
from streamdenoise.io.open import open_sink
from streamdenoise.io.options import EncoderConfig
from streamdenoise.measure.clips import read_clip
from tests.support.command import SAMPLES, outcome

TICK = Fraction(1, 25)
BT709 = ColorInfo(1, 1, 1, 1)


def clean_clip(frames: int = 5) -> list[Frame]:
    ramp = [
        (np.add.outer(np.arange(h), np.arange(w)) * 100 // (w + h) + 70).astype(
            np.uint8
        )
        for h, w in plane_shapes("yuv420p", 96, 64)
    ]
    return [
        Frame(tuple(ramp), "yuv420p", BT709, i, TICK, i, 0.0) for i in range(frames)
    ]


@pytest.fixture(scope="module")
def noisy_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inbox") / "noisy.mkv"
    info = StreamInfo(96, 64, "yuv420p", Fraction(25), TICK, color=BT709)
    rng = np.random.default_rng(0)
    with open_sink(str(path), info, encoder=EncoderConfig("ffv1")) as sink:
        for frame in clean_clip():
            sink.write(add_gaussian_noise(frame, 25, rng))
    return path


def run(script: str, *arguments: object) -> str:
    """Run a script as a reader would, and return its output."""
    done = outcome([sys.executable, SAMPLES / script, *arguments])
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_cleaner(output: Path, noisy: Path, frames: int) -> None:
    clean = clean_clip(frames)
    cleaned = read_clip(output, 99)
    assert len(cleaned) == frames
    assert psnr_y(clean, cleaned) > psnr_y(clean, read_clip(noisy, frames)) + 3


def test_opencv_loop(noisy_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "clean.mp4"
    said = run("opencv_loop.py", noisy_file, "-o", out, "--no-window", "--frames", 4)
    assert said.startswith("4 frames, backend ")
    assert_cleaner(out, noisy_file, 4)


def test_pyav_loop(noisy_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "clean.mp4"
    said = run("pyav_loop.py", noisy_file, out)
    assert said.startswith("5 frames, backend ")
    assert_cleaner(out, noisy_file, 5)
    with av.open(str(out)) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range) == (1, 1)


def test_folder_watcher(noisy_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "outbox"
    said = run("folder_watcher.py", noisy_file.parent, out, "--once")
    assert "noisy.mkv" in said
    assert_cleaner(out / "noisy.mp4", noisy_file, 5)
    assert run("folder_watcher.py", noisy_file.parent, out, "--once") == ""


def test_folder_watcher_continues_after_a_broken_video(
    noisy_file: Path, tmp_path: Path
) -> None:
    inbox, out = tmp_path / "inbox", tmp_path / "outbox"
    inbox.mkdir()
    (inbox / "a_broken.mp4").write_bytes(b"not a video")
    (inbox / "b_good.mkv").write_bytes(noisy_file.read_bytes())
    with pytest.raises(AssertionError, match="a_broken"):
        run("folder_watcher.py", inbox, out, "--once")
    assert [path.name for path in out.iterdir()] == ["b_good.mp4"]


def test_make_images(tmp_path: Path) -> None:
    said = run("make_images.py", "-o", tmp_path, "--frames", 3)
    match = re.search(r"PSNR-Y ([\d.]+) -> ([\d.]+) dB", said)
    assert match
    before, after = map(float, match.groups())
    assert after > before + 3
    for name, count in (("night_street.png", 2), ("cctv.png", 3)):
        image = cv2.imread(str(tmp_path / name))
        assert image is not None
        assert image.shape[1] > count * 400


def test_the_sample_clips_match_their_readme() -> None:
    for name, size, frames in (
        ("night_street.mp4", (1280, 720), 45),
        ("cctv.mp4", (384, 216), 90),
    ):
        with av.open(str(SAMPLES / name)) as container:
            video = container.streams.video[0]
            assert (video.width, video.height, video.frames) == (*size, frames)
        assert name in (SAMPLES / "README.md").read_text()
