"""The evaluation: its measures on what can be worked out, and real runs, tiny."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.errors import BackendUnavailableError, ConfigError, SourceError
from streamdenoise.frame import ColorInfo, Frame, StreamInfo, plane_shapes
from streamdenoise.imaging.metrics import psnr_db, psnr_uv, psnr_y
from streamdenoise.imaging.noise import add_gaussian_noise, plane_sigmas
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.io.open import open_sink
from streamdenoise.io.options import EncoderConfig
from streamdenoise.measure.clips import find_clips, read_clip
from streamdenoise.measure.config import EvalConfig, NoiseProtocol
from streamdenoise.measure.peers.peer import StoredClip, store
from streamdenoise.measure.peers.registry import find_peers
from streamdenoise.measure.peers.search import tuning_cases
from streamdenoise.measure.quality.anchors import ANCHORS, SIGMAS
from streamdenoise.measure.quality.behavior import (
    MIN_WIDTH,
    Behavior,
    CleanInput,
    Ghosting,
    StaticScene,
    clean_psnr_y,
    ghosting,
    static_scene,
)
from streamdenoise.measure.quality.evaluate import evaluate, write_report
from streamdenoise.measure.quality.markdown import markdown
from streamdenoise.measure.quality.pairs import PairScore
from streamdenoise.measure.quality.published import (
    FloatDenoiser,
    PublishedScore,
    add_unclipped_noise,
)
from streamdenoise.measure.quality.report import EvalReport
from streamdenoise.measure.quality.video import Score
from streamdenoise.measure.quality.vmaf import vmaf, why_no_vmaf

TICK = Fraction(1, 25)
BT709 = ColorInfo(1, 1, 1, 1)


def textured(
    index: int, width: int = 128, height: int = 96, period: float = 9.0
) -> Frame:
    """Waves that move two pixels a frame, far from black and white."""
    planes = []
    for h, w in plane_shapes("yuv420p", width, height):
        scale = w / width
        rows = np.arange(h)[:, None] / (period * scale)
        columns = (np.arange(w) + 2 * index * scale) / (period * scale)
        height_of_waves = 25 if w == width else 4  # colors stay within RGB
        waves = np.sin(rows) + np.sin(columns)
        planes.append((125 + height_of_waves * waves).astype(np.uint8))
    return Frame(tuple(planes), "yuv420p", BT709, index, TICK, index, 0.0)


def write(path: Path, frames: Sequence[Frame]) -> None:
    info = StreamInfo(
        frames[0].width, frames[0].height, "yuv420p", Fraction(25), TICK, color=BT709
    )
    with open_sink(str(path), info, encoder=EncoderConfig("ffv1")) as sink:
        for frame in frames:
            sink.write(frame)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean")
    write(folder / "slow.mkv", [textured(n) for n in range(4)])
    write(folder / "fine.mkv", [textured(n, period=4) for n in range(4)])
    return folder


# The published protocol


def test_published_noise_is_neither_clipped_nor_rounded() -> None:
    rgb = np.zeros((64, 64, 3), np.uint8)
    rgb[:32] = 255
    noisy = add_unclipped_noise(rgb, 20, np.random.default_rng(0))
    assert noisy.dtype == np.float32
    assert noisy.max() > 300
    assert noisy.min() < -45
    assert np.any(noisy != noisy.round())
    assert (noisy - rgb).std() == pytest.approx(20, rel=0.03)
    assert (noisy - rgb).mean() == pytest.approx(0, abs=0.7)
    assert psnr_db(rgb, noisy, 255) == pytest.approx(22.11, abs=0.1)


def test_published_noise_is_independent_for_each_frame_and_channel() -> None:
    rng = np.random.default_rng(0)
    still = np.full((64, 64, 3), 128, np.uint8)
    noise = [add_unclipped_noise(still, 10, rng) - 128 for _ in range(3)]
    flat = np.stack([frame[..., c].ravel() for frame in noise for c in range(3)])
    others = np.corrcoef(flat)[~np.eye(9, dtype=bool)]
    assert np.abs(others).max() < 0.06
    again = add_unclipped_noise(still, 10, np.random.default_rng(0)) - 128
    np.testing.assert_array_equal(again, noise[0])


def waves_rgb(index: int, height: int = 101, width: int = 135) -> np.ndarray:
    x = np.arange(width) + 2 * index
    luma = 120 + 40 * np.sin(np.arange(height)[:, None] / 9) + 30 * np.sin(x / 7)
    return np.stack([luma, luma * 0.9, luma * 0.8 + 20], axis=2).astype(np.uint8)


@pytest.mark.parametrize("model", ["nano-awgn", "nano-rgb-awgn"])
def test_the_model_in_float_gains_on_odd_sizes_and_keeps_its_range(model: str) -> None:
    rng = np.random.default_rng(0)
    denoiser = FloatDenoiser(open_artifact(model), 101, 135, 30, 1)
    for index in range(4):
        clean = waves_rgb(index)
        noisy = add_unclipped_noise(clean, 30, rng)
        denoised = denoiser(noisy)
    denoiser.close()
    assert denoised.shape == clean.shape
    assert denoised.dtype == np.float32
    assert 0 <= denoised.min() <= denoised.max() <= 255
    assert psnr_db(clean, denoised, 255) > psnr_db(clean, noisy, 255) + 9


@pytest.mark.parametrize("model", ["nano-awgn", "nano-rgb-awgn"])
def test_the_model_in_float_does_what_the_denoiser_does_to_pictures(model: str) -> None:
    """On noise that 8 bits can hold both agree, but for the rounding between."""
    rng = np.random.default_rng(0)
    exact = FloatDenoiser(open_artifact(model), 96, 128, 20, 1)
    with Denoiser.load(model, backend="onnxruntime", sigma=20, threads=1) as denoiser:
        for index in range(4):
            noisy = add_unclipped_noise(waves_rgb(index, 96, 128), 20, rng)
            held = noisy.round().clip(0, 255)
            ours = exact(held)
            product = denoiser(held.astype(np.uint8), "rgb24")
    exact.close()
    assert psnr_db(product, ours, 255) > 46


def test_anchors_fall_with_the_noise() -> None:
    for anchor in ANCHORS:
        assert len(anchor.psnr) == len(SIGMAS)
        assert list(anchor.psnr) == sorted(anchor.psnr, reverse=True)


# Behavior


def identity(noisy: Sequence[Frame]) -> Sequence[Frame]:
    return noisy


def running_mean(noisy: Sequence[Frame]) -> Sequence[Frame]:
    total = np.zeros(noisy[0].planes[0].shape)
    output = []
    for count, frame in enumerate(noisy, 1):
        total += frame.planes[0]
        luma = (total / count).round().astype(np.uint8)
        output.append(frame.with_planes((luma, *frame.planes[1:])))
    return output


def test_a_still_scene_that_is_left_alone_neither_gains_nor_flickers_less() -> None:
    scene = static_scene("a", textured(0), 20, identity)
    luma = plane_sigmas(20, BT709, 64, 64)[0]
    assert len(scene.psnr_y) == 36
    assert scene.psnr_y[0] == pytest.approx(20 * np.log10(255 / luma), abs=0.15)
    assert scene.gain_db == pytest.approx(0, abs=0.2)
    assert scene.late_rise_db == pytest.approx(0, abs=0.05)
    assert scene.flicker_in == pytest.approx(luma, rel=0.03)
    assert scene.flicker_db == 0


def test_a_running_mean_gains_as_the_root_of_the_frames() -> None:
    scene = static_scene("a", textured(0), 20, running_mean)
    assert scene.gain_db == pytest.approx(10 * np.log10(30), abs=0.4)
    # Means of n frames, n from 17 to 26 and from 27 to 36.
    late = [10 * np.log10(n) for n in range(17, 37)]
    expected = np.mean(late[10:]) - np.mean(late[:10])
    assert scene.late_rise_db == pytest.approx(expected, abs=0.15)
    assert scene.flicker_db < -12


def shows_the_past(share: float, frames_ago: int):
    def denoise(noisy: Sequence[Frame]) -> Sequence[Frame]:
        output = []
        for n, frame in enumerate(noisy):
            then = noisy[max(0, n - frames_ago)].planes[0]
            luma = (1 - share) * frame.planes[0] + share * then
            planes = (luma.round().astype(np.uint8), *frame.planes[1:])
            output.append(frame.with_planes(planes))
        return output

    return denoise


def test_ghosts_are_measured_as_the_share_that_still_shows() -> None:
    still, other = textured(0, 256, 192), textured(0, 256, 192, period=3)
    names = ("still", "other")
    ghost = ghosting(names, still, other, 10, shows_the_past(0.3, 2))
    assert (ghost.clip, ghost.object_clip) == names
    assert ghost.residue == pytest.approx(0.3, abs=0.04)
    assert ghost.excess_db > 2
    none = ghosting(names, still, other, 10, identity)
    assert none.residue == pytest.approx(0, abs=0.03)
    assert none.excess_db == pytest.approx(0, abs=0.05)
    assert none.mse_fresh == pytest.approx(none.mse, rel=0.1)
    assert none.mse == pytest.approx(plane_sigmas(10, BT709, 64, 64)[0] ** 2, rel=0.1)


def test_an_object_from_a_smaller_clip_fits() -> None:
    ghost = ghosting(
        ("a", "b"), textured(0, 256, 192), textured(1, 34, 32), 10, identity
    )
    assert np.isfinite(ghost.excess_db)


def test_the_object_moves_over_the_narrowest_picture_and_no_narrower_one() -> None:
    for width in (MIN_WIDTH, MIN_WIDTH + 1):
        still = textured(0, width, 32)
        assert np.isfinite(ghosting(("a", "b"), still, still, 10, identity).excess_db)
    still = textured(0, MIN_WIDTH - 1, 32)
    with pytest.raises(ValueError, match="shape"):
        ghosting(("a", "b"), still, still, 10, identity)


def test_noise_that_rounding_takes_away_leaves_nothing_to_compare() -> None:
    scene = static_scene("a", textured(0), 0.01, identity)
    assert (scene.gain_db, scene.late_rise_db, scene.flicker_db) == (0, 0, 0)
    ghost = ghosting(("a", "b"), textured(0), textured(1), 0.01, identity)
    assert ghost.excess_db == 0


def test_clean_input_is_measured_on_the_frames_that_differ() -> None:
    clip = [textured(n) for n in range(3)]
    luma, *chroma = clip[1].planes
    changed = clip[1].with_planes((luma + 1, *chroma))
    quality = clean_psnr_y(clip, [clip[0], changed, clip[2]])
    assert quality == pytest.approx(20 * np.log10(255))
    assert clean_psnr_y(clip, clip) == float("inf")


# The report


def scores(clip: str, values: Sequence[float]) -> list[Score]:
    methods = ("noisy input", "nano (known sigma)", "nano (auto)", "hqdn3d")
    found = [
        Score(clip, 30, method, value, value, 0.5, psnr_yuv=value, fps=25.0)
        for method, value in zip(methods, values, strict=True)
    ]
    found[0] = replace(found[0], fps=None)
    found[2] = replace(found[2], sigma_estimated=33.6, psnr_estimated=values[2] + 1)
    return found


def test_wins_and_means_are_of_sigma_auto() -> None:
    cases = scores("a", (20, 30, 28, 29)) + scores("b", (20, 30, 29, 28))
    report = EvalReport("nano", 4, scores=cases)
    assert report.wins() == {"hqdn3d": (1, 2)}
    text = markdown(report)
    assert "nano (auto) is better than hqdn3d in 1 of 2 cases" in text
    assert "| 30 | **mean** | 20.00 / 20.00 | **30.00** / 30.00 |" in text
    assert "| 30 | hqdn3d | 28.50 | 28.50 | 0.5000 | - | 25.0 |" in text
    assert "off by 1.00 dB on average" in text


def test_the_report_says_how_the_peers_got_their_options() -> None:
    cases = scores("a", (20, 30, 28, 29))
    flattered = EvalReport("nano", 4, scores=cases, clocks={"hqdn3d": "a watch"})
    assert "on the measured clip itself" in markdown(flattered)
    assert "- fps of hqdn3d: a watch" in markdown(flattered)
    tuned = replace(flattered, tuned_on="train")
    assert "options tuned on the clips of `train`" in markdown(tuned)


def test_behavior_pairs_and_published_are_summed_up(tmp_path: Path) -> None:
    rising = tuple(30 + n / 10 for n in range(36))
    report = EvalReport(
        "nano",
        4,
        kmac_per_px=9.8,
        scores=scores("a", (20, 30, 28, 29)) + scores("b", (20, 30, 29.5, 28)),
        behavior=Behavior(
            static=[
                StaticScene("a", 30, rising, 10.0, 1.0),
                StaticScene("b", 30, (30.0,) * 36, 10.0, 10.0),
            ],
            ghosts=[
                Ghosting("a", "b", 30, 20.0, 10.0, 20.0, 0.1),
                Ghosting("b", "a", 30, 10.0, 10.0, 20.0, -0.2),
            ],
            clean=[
                CleanInput("a", float("inf"), 0.1),
                CleanInput("b", 48.0, 0.8),
            ],
        ),
        published=[
            PublishedScore("a", 20, 22.1, 33.0),
            PublishedScore("b", 20, 22.1, 35.0),
        ],
        pairs=[PairScore("x", 35.0, 36.0, 4.0), PairScore("y", 36.0, 35.5, 1.0)],
        not_measured=["VMAF: no libvmaf"],
    )
    text = markdown(report)
    assert "| 30 | 30.00 dB | 31.45 dB | +0.00 dB (b) | +0.50 dB | 1 of 2 |" in text
    assert "| -10.0 dB |" in text  # half of 20 dB less variance
    assert (
        "| 15.0 | 10.0 | 20.0 | +1.51 dB | +3.01 dB (a) | -5.0% | -20.0% (b) |" in text
    )
    assert "| 30 | 12.0% | +12.0% (a) | 0 of 2 | -1.25 dB | -2.00 dB (a) |" in text
    assert "worst 48.00 dB (b); highest estimate 0.80" in text
    assert "| **mean** | 34.00 |" in text
    assert "output is rounded to 8 bits" in text.replace("\n", " ")
    assert "input 35.50 dB, output 35.75 dB, mean gain +0.25 dB" in text
    assert "worst gain -0.50 dB (y); 1 of 2 gain" in text
    assert "- not measured: VMAF: no libvmaf" in text

    write_report(report, tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "eval.json").read_text())
    assert stored["behavior"]["clean"][0]["psnr_y"] == "inf"
    assert stored["pairs"][1]["psnr"] == 35.5
    for name in ("fps.png", "static.png", "cost.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")
    (tmp_path / "taken" / "cost.png").mkdir(parents=True)
    with pytest.raises(ConfigError, match="choose another -o"):
        write_report(report, tmp_path / "taken")


# Real runs


def test_one_run_measures_both_protocols_and_a_tuned_peer(
    clips: Path, tmp_path: Path
) -> None:
    training = tmp_path / "training"
    training.mkdir()
    write(training / "other.mkv", [textured(n, period=6) for n in range(3)])
    config = EvalConfig(
        clips=str(clips),
        output=str(tmp_path / "out"),
        protocol=NoiseProtocol.BOTH,
        sigmas=(20,),
        peers=("hqdn3d",),
        tune=str(training),
        frames=4,
        threads=1,
    )
    told_of: list[str] = []
    report = evaluate(config, on_progress=told_of.append)
    ours = ["nano-awgn (known sigma)", "nano-awgn (auto)"]
    assert report.methods() == ["noisy input", *ours, "hqdn3d"]
    assert [score.clip for score in report.scores] == ["fine"] * 4 + ["slow"] * 4
    noisy, told, auto, hqdn3d = report.scores[4:]
    assert told.psnr_y > noisy.psnr_y + 3
    assert told.psnr_yuv > noisy.psnr_yuv + 3
    assert told.ssim_y > noisy.ssim_y
    assert told.fps is not None
    assert told.fps > 0
    assert auto.sigma_estimated == pytest.approx(20, rel=0.25)
    assert report.scores[3].options == hqdn3d.options  # once a sigma, not a clip
    assert "sigma 20: tuning hqdn3d on training" in told_of
    for score in report.published:
        assert score.psnr_noisy == pytest.approx(22.1, abs=0.2)
        assert score.psnr > score.psnr_noisy + 5
    behavior = report.behavior
    assert behavior is not None
    assert [scene.clip for scene in behavior.static] == ["fine", "slow"]
    assert all(scene.gain_db > 1 for scene in behavior.static)
    assert all(scene.flicker_db < -6 for scene in behavior.static)
    assert [g.object_clip for g in behavior.ghosts] == ["slow", "fine"]
    assert all(abs(ghost.residue) < 0.5 for ghost in behavior.ghosts)
    assert min(clean.psnr_y for clean in behavior.clean) > 40

    text = (tmp_path / "out" / "eval.md").read_text()
    assert text == markdown(report)
    assert "tuned on the clips of `training`" in text
    stored = json.loads((tmp_path / "out" / "eval.json").read_text())
    assert [s["method"] for s in stored["scores"][:4]] == report.methods()
    assert {p.name for p in (tmp_path / "out").glob("*.png")} == {
        "fps.png",
        "static.png",
        "cost.png",
    }


def test_options_are_searched_on_the_clip_itself_without_tune(clips: Path) -> None:
    config = EvalConfig(
        clips=str(clips / "slow.mkv"),
        sigmas=(20,),
        peers=("hqdn3d",),
        frames=3,
        behavior=False,
        threads=1,
    )
    report = evaluate(config)
    assert report.behavior is None
    assert not report.published
    assert "on the measured clip itself" in markdown(report)
    assert report.scores[-1].psnr_y > report.scores[0].psnr_y + 1


def test_pictures_are_clips_of_one_frame(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), waves_rgb(0))
    assert find_clips(tmp_path) == [tmp_path / "a.png"]
    assert len(read_clip(tmp_path / "a.png", 5)) == 1
    config = EvalConfig(
        clips=str(tmp_path), sigmas=(25,), behavior=False, protocol=NoiseProtocol.BOTH
    )
    report = evaluate(config)
    assert report.scores[1].psnr_y > report.scores[0].psnr_y + 3
    assert report.published[0].psnr > report.published[0].psnr_noisy + 3


def test_tuning_takes_a_few_clips_from_all_over_the_folder(tmp_path: Path) -> None:
    for number in range(7):
        cv2.imwrite(str(tmp_path / f"{number}.png"), waves_rgb(number, 32, 48))
    cases = tuning_cases(tmp_path, 20, tmp_path, 0)
    assert len(cases) == 4
    first = read_clip(tmp_path / "0.png", 1)[0]
    np.testing.assert_array_equal(cases[0][0][0].planes[0], first.planes[0])
    last = read_clip(tmp_path / "6.png", 1)[0]
    np.testing.assert_array_equal(cases[-1][0][0].planes[0], last.planes[0])
    assert cases[0][1].raw != cases[1][1].raw


def test_pairs_are_measured_in_rgb_each_by_itself(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, sigma in (("dim", 20), ("calm", 10)):
        clean = waves_rgb(len(name), 96, 128)
        noisy = add_unclipped_noise(clean, sigma, rng).round().clip(0, 255)
        cv2.imwrite(str(tmp_path / f"{name}_mean.png"), clean)
        cv2.imwrite(str(tmp_path / f"{name}_real.png"), noisy)
    report = evaluate(EvalConfig(pairs=str(tmp_path), threads=1))
    assert [pair.name for pair in report.pairs] == ["calm", "dim"]
    for pair, sigma in zip(report.pairs, (10, 20), strict=True):
        assert pair.psnr_noisy == pytest.approx(20 * np.log10(255 / sigma), abs=0.3)
        assert pair.gain_db > 4
        assert pair.sigma_estimated == pytest.approx(sigma, rel=0.25)
    (tmp_path / "dim_mean.png").unlink()
    with pytest.raises(ConfigError, match=r"dim_real\.png has no clean picture"):
        evaluate(EvalConfig(pairs=str(tmp_path)))


def test_real_footage_is_shown_before_and_after(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noisy = waves_rgb(0, 96, 128) + rng.normal(0, 12, (96, 128, 3))
    cv2.imwrite(str(tmp_path / "street.png"), noisy.clip(0, 255))
    out = tmp_path / "out"
    report = evaluate(EvalConfig(real=str(tmp_path), model="nano", output=str(out)))
    (street,) = report.footage
    assert street.clip == "street"
    assert street.sigma_estimated > 3
    picture = cv2.imread(str(out / "street_before_after.png"))
    assert picture is not None
    assert picture.shape == (96, 128 + 4 + 128, 3)
    before, after = picture[:, :128].astype(float), picture[:, 132:].astype(float)
    clean = waves_rgb(0, 96, 128)
    assert psnr_db(clean, after, 255) > psnr_db(clean, before, 255) + 3
    assert "(street_before_after.png)" in (out / "eval.md").read_text()


def test_pairs_of_different_sizes_are_an_error(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a_mean.png"), waves_rgb(0, 32, 32))
    cv2.imwrite(str(tmp_path / "a_real.png"), waves_rgb(0, 32, 48))
    with pytest.raises(ConfigError, match="differ in size"):
        evaluate(EvalConfig(pairs=str(tmp_path), threads=1))


# VMAF


@pytest.fixture
def stored_clip(tmp_path: Path) -> StoredClip:
    return store([textured(n) for n in range(3)], tmp_path / "clean.yuv")


def test_vmaf_falls_with_noise(stored_clip: StoredClip, tmp_path: Path) -> None:
    if why_no_vmaf() is not None:
        pytest.skip("this FFmpeg has no libvmaf")
    rng = np.random.default_rng(0)
    noisy = store(
        [add_gaussian_noise(frame, 40, rng) for frame in stored_clip.frames],
        tmp_path / "noisy.yuv",
    )
    same = vmaf(stored_clip, stored_clip, 1)
    assert same > 90
    assert vmaf(stored_clip, noisy, 1) < same - 20
    assert not list(tmp_path.glob("*.json"))


def test_what_ffmpeg_lacks_is_named_and_the_rest_is_measured(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "ffmpeg"
    bare.write_text("#!/bin/sh\necho ' TS hqdn3d  V->V  Denoiser'\n")
    bare.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(bare))
    config = EvalConfig(str(clips / "slow.mkv"), sigmas=(20,), frames=2)
    report = evaluate(replace(config, behavior=False, threads=1))
    assert {score.vmaf for score in report.scores} == {None}
    assert "- not measured: VMAF: this build of FFmpeg has no libvmaf" in (
        markdown(report)
    )
    with pytest.raises(ConfigError, match="no bm3d filter; leave bm3d out"):
        evaluate(replace(config, peers=("all", "bm3d")))
    found, left_out = find_peers(["all"])
    assert [peer.name for peer in found] == ["hqdn3d", "opencv-nlmeans"]
    assert "bm3d: this build of FFmpeg has no bm3d filter" in left_out
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match="missing cannot be run: No such file"):
        find_peers(["hqdn3d"])


def test_peers_left_out_are_in_the_report(
    clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "streamdenoise.measure.quality.evaluate.find_peers",
        lambda *_: ([], ["bm3d: no bm3d filter"]),
    )
    config = EvalConfig(
        str(clips / "slow.mkv"), sigmas=(20,), frames=1, behavior=False, threads=1
    )
    assert "- not measured: bm3d: no bm3d filter" in markdown(evaluate(config))


# V-BM3D


def test_a_python_without_vapoursynth_is_told_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"named 'vapoursynth'; pip install"):
        find_peers([], Path(sys.executable))
    with pytest.raises(ConfigError, match="cannot be run: No such file"):
        find_peers([], tmp_path / "python")
    with pytest.raises(ConfigError, match="give --vapoursynth"):
        find_peers(["v-bm3d"])


def test_v_bm3d_gains(stored_clip: StoredClip, tmp_path: Path) -> None:
    python = os.environ.get("STREAMDENOISE_VAPOURSYNTH")
    if python is None:
        pytest.skip("STREAMDENOISE_VAPOURSYNTH names no Python with VapourSynth")
    rng = np.random.default_rng(0)
    frames = [add_gaussian_noise(frame, 20, rng) for frame in stored_clip.frames]
    noisy = store(frames, tmp_path / "noisy.yuv")
    (peer,), _ = find_peers([], Path(python))
    options = {key: values[0] for key, values in peer.axes(13).items()}
    filtered = peer.run(options, noisy, 1)
    assert filtered.seconds > 0
    clean = stored_clip.frames
    assert psnr_y(clean, filtered.frames) > psnr_y(clean, frames) + 6
    assert psnr_uv(clean, filtered.frames) > psnr_uv(clean, frames) + 5


# What cannot be measured


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing to measure; give clips, --pairs, or --real"),
        ({"real": "x"}, "say with -o where they go"),
        ({"clips": "x", "frames": 0}, "--frames 0"),
        ({"clips": "x", "threads": 0}, "--threads 0"),
        ({"clips": "x", "seed": -1}, "--seed -1"),
        ({"clips": "x", "sigmas": (0.0,)}, "--sigma 0"),
        ({"clips": "x", "sigmas": (500.0,)}, "more than 0 to 255"),
    ],
)
def test_options_that_cannot_be_used(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EvalConfig(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clips": "missing"}, "missing holds no clean clips"),
        ({"tune": "missing"}, "missing holds no clean clips"),
        ({"pairs": "missing"}, "missing holds no pairs"),
        ({"peers": ("magic",)}, "no peer is named 'magic'"),
        ({"model": "magic"}, "no model is named 'magic'"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_measured(
    clips: Path, options: dict, message: str
) -> None:
    told: list[str] = []
    with pytest.raises(ConfigError, match=message):
        evaluate(
            EvalConfig(**{"clips": str(clips), **options}), on_progress=told.append
        )
    assert not told


@pytest.mark.parametrize(
    ("height", "width", "options", "message"),
    [
        (8, 8, {}, "a.png is 8x8; give pictures of at least 32x32"),
        (8, 64, {"behavior": False}, "a.png is 64x8; give"),
        (32, 32, {}, "a.png is 32 wide, too narrow .* or --no-behavior"),
    ],
)
def test_pictures_too_small_are_said_at_once(
    tmp_path: Path, height: int, width: int, options: dict, message: str
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), waves_rgb(0, height, width))
    told: list[str] = []
    with pytest.raises(ConfigError, match=message):
        evaluate(EvalConfig(str(tmp_path), **options), on_progress=told.append)
    assert not told


def test_the_smallest_pictures_are_measured(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), waves_rgb(0, 32, 32))
    config = EvalConfig(str(tmp_path), sigmas=(20,), behavior=False, threads=1)
    noisy, told, _ = evaluate(config).scores
    assert told.psnr_y > noisy.psnr_y


def test_clips_that_would_share_a_name_are_refused(tmp_path: Path) -> None:
    for name in ("walk.y4m", "walk.mp4"):
        (tmp_path / name).write_text("")
    with pytest.raises(ConfigError, match=r"walk\.mp4 and walk\.y4m would have one"):
        evaluate(EvalConfig(str(tmp_path)))


def test_peers_are_not_tuned_on_what_is_measured(clips: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.symlink_to(clips)
    for measured, tune in ((clips, linked), (clips / "slow.mkv", clips)):
        with pytest.raises(ConfigError, match=r"has the measured clip .*other clips"):
            evaluate(EvalConfig(str(measured), tune=str(tune)))


def test_a_file_that_is_no_clip_is_a_source_error(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no clip")
    with pytest.raises(SourceError, match=r"a\.mp4"):
        evaluate(EvalConfig(str(tmp_path / "a.mp4"), behavior=False))


def test_an_output_that_is_a_file_is_said_at_once(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    config = EvalConfig(str(clips), output=str(tmp_path / "taken"))
    with pytest.raises(ConfigError, match="choose another -o"):
        evaluate(config)


def test_a_folder_that_cannot_be_written_is_said_at_once(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("streamdenoise.measure.quality.evaluate.TemporaryFile", refused)
    told: list[str] = []
    config = EvalConfig(str(clips), output=str(tmp_path))
    with pytest.raises(ConfigError, match="Permission denied; choose another -o"):
        evaluate(config, on_progress=told.append)
    assert not told


def test_missing_packages_are_named(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = EvalConfig(
        str(clips), output=str(tmp_path), protocol=NoiseProtocol.PUBLISHED
    )
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(ConfigError, match=r"streamdenoise\[bench\]"):
            evaluate(config)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(
        sys.modules, "streamdenoise.inference.backends.onnxruntime", raising=False
    )
    with pytest.raises(BackendUnavailableError, match=r"streamdenoise\[onnx\]"):
        evaluate(config)
