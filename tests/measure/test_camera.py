"""Cameras made of clean clips: their noise, and the report."""

from pathlib import Path

import numpy as np
import pytest

from streamdenoise.imaging.metrics import psnr_y
from streamdenoise.io.ffmpeg.codec_round_trip import BitRate
from streamdenoise.measure.config import EvalConfig, NoiseProtocol
from streamdenoise.measure.quality import camera
from streamdenoise.measure.quality.camera import encoded, sensor_noise
from streamdenoise.measure.quality.evaluate import evaluate
from streamdenoise.measure.quality.markdown import markdown
from tests.measure.waves import textured, write


def test_the_sensor_keeps_the_mean_and_is_noisier_in_the_dark() -> None:
    clean = textured(0)
    planes = tuple(np.full_like(plane, 128) for plane in clean.planes)
    planes[0][:, :64], planes[0][:, 64:] = 50, 180
    still = clean.with_planes(planes)
    frames = sensor_noise([still] * 12, np.random.default_rng(0))
    error = np.stack([f.planes[0] - 1.0 * still.planes[0] for f in frames])[6:]
    dark, light = error[..., :60], error[..., 68:]
    assert dark.mean() == pytest.approx(0, abs=0.4)
    assert light.mean() == pytest.approx(0, abs=0.2)
    assert 2 < light.std() < 0.7 * dark.std() < 12
    # The camera's own filter makes neighbors alike.
    alike = np.corrcoef(light[2].ravel(), light[3].ravel())[0, 1]
    assert 0.3 < alike < 0.7


def test_a_higher_bit_rate_is_nearer_to_what_was_encoded() -> None:
    frames = sensor_noise([textured(n) for n in range(12)], np.random.default_rng(0))
    for codec in ("h264", "hevc"):
        low, high = (
            psnr_y(frames, encoded(frames, codec, BitRate(bits_per_s)))
            for bits_per_s in (100_000, 4_000_000)
        )
        assert low + 4 < high


def test_the_report_has_every_camera(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera, "MEGABITS", (4.0,))
    write(tmp_path / "odd.mkv", [textured(n, 129, 97) for n in range(3)])
    messages: list[str] = []
    report = evaluate(
        EvalConfig(
            str(tmp_path / "odd.mkv"),
            protocol=NoiseProtocol.CAMERA,
            peers=("hqdn3d",),
            frames=3,
            threads=1,
        ),
        on_progress=messages.append,
    )
    assert report.model == "nano"
    assert not report.scores
    assert report.behavior is None
    methods = ["noisy input", "nano", "hqdn3d"]
    assert [score.method for score in report.cameras] == 4 * methods
    assert [s.is_still for s in report.cameras] == 6 * [True] + 6 * [False]
    assert all(20 < score.psnr_y < 60 for score in report.cameras)
    text = markdown(report)
    assert "| camera | codec | Mbit/s | noisy input | nano | hqdn3d |" in text
    cases = np.reshape([score.psnr_y for score in report.cameras], (4, 3))
    noisy, ours, _ = cases[:2].mean(0)
    (row,) = (line for line in text.splitlines() if "still, mean" in line)
    assert f"| {noisy:.2f} / " in row
    assert f"{ours - noisy:+.2f}" in row
    won = sum(ours > max(noisy, peer) for noisy, ours, peer in cases)
    assert f"ahead of every peer and the input in PSNR-Y in {won} of 4 cases" in text
    assert messages[0] == "camera 1 of 4: odd.mkv, still, h264, 4 Mbit/s"
