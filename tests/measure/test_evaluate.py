"""Evaluations from end to end on small clips, and what cannot be evaluated."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamdenoise.errors import BackendUnavailableError, ConfigError, SourceError
from streamdenoise.measure.clips import find_clips, read_clip
from streamdenoise.measure.config import EvalConfig, NoiseProtocol
from streamdenoise.measure.peers.registry import find_peers
from streamdenoise.measure.quality.evaluate import evaluate
from streamdenoise.measure.quality.markdown import markdown
from streamdenoise.measure.quality.published import add_unclipped_noise
from tests.measure.waves import textured, waves_rgb, write


def test_one_run_measures_both_protocols_and_a_tuned_peer(
    clean_clips: Path, tmp_path: Path
) -> None:
    training = tmp_path / "training"
    training.mkdir()
    write(training / "other.mkv", [textured(n, period=6) for n in range(3)])
    config = EvalConfig(
        clips=str(clean_clips),
        output=str(tmp_path / "out"),
        protocol=NoiseProtocol.BOTH,
        sigmas=(20,),
        peers=("hqdn3d",),
        tune=str(training),
        frames=4,
        threads=1,
    )
    messages: list[str] = []
    report = evaluate(config, on_progress=messages.append)
    ours = ["nano-awgn (known sigma)", "nano-awgn (auto)"]
    assert report.methods() == ["noisy input", *ours, "hqdn3d"]
    assert [score.clip for score in report.scores] == ["fine"] * 4 + ["slow"] * 4
    noisy, known, auto, hqdn3d = report.scores[4:]
    assert known.psnr_y > noisy.psnr_y + 3
    assert known.psnr_yuv > noisy.psnr_yuv + 3
    assert known.ssim_y > noisy.ssim_y
    assert known.fps is not None
    assert known.fps > 0
    assert auto.sigma_estimated == pytest.approx(20, rel=0.25)
    assert report.scores[3].options == hqdn3d.options  # once per sigma
    assert "sigma 20: tuning hqdn3d on training" in messages
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


def test_without_tune_options_are_searched_on_the_measured_clip(
    clean_clips: Path,
) -> None:
    config = EvalConfig(
        clips=str(clean_clips / "slow.mkv"),
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


def test_images_are_clips_of_one_frame(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), waves_rgb(0))
    assert find_clips(tmp_path) == [tmp_path / "a.png"]
    assert len(read_clip(tmp_path / "a.png", 5)) == 1
    config = EvalConfig(
        clips=str(tmp_path), sigmas=(25,), behavior=False, protocol=NoiseProtocol.BOTH
    )
    report = evaluate(config)
    assert report.scores[1].psnr_y > report.scores[0].psnr_y + 3
    assert report.published[0].psnr > report.published[0].psnr_noisy + 3


def test_pairs_are_measured_in_rgb_each_by_itself(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, sigma in (("dim", 20), ("calm", 10)):
        clean = waves_rgb(len(name), 96, 128)
        noisy = add_unclipped_noise(clean, sigma, rng).round().clip(0, 255)
        cv2.imwrite(str(tmp_path / f"{name}_mean.png"), clean)
        cv2.imwrite(str(tmp_path / f"{name}_real.png"), noisy)
    report = evaluate(EvalConfig(pairs=str(tmp_path), peers=("none",), threads=1))
    page = markdown(report)
    assert "other denoisers" not in page
    assert "| image | input dB | nano | estimated sigma |" in page
    assert "**+" not in page
    assert not any(pair.peers for pair in report.pairs)
    assert [pair.name for pair in report.pairs] == ["calm", "dim"]
    for pair, sigma in zip(report.pairs, (10, 20), strict=True):
        assert pair.psnr_noisy == pytest.approx(20 * np.log10(255 / sigma), abs=0.3)
        assert pair.gain_db > 4
        assert pair.sigma_estimated == pytest.approx(sigma, rel=0.25)
    (tmp_path / "dim_mean.png").unlink()
    with pytest.raises(ConfigError, match=r"dim_real\.png has no clean image"):
        evaluate(EvalConfig(pairs=str(tmp_path)))


def test_peers_are_tuned_for_each_pair_and_need_no_past(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, sigma in (("calm", 5), ("dim", 20)):
        clean = waves_rgb(len(name), 272, 288)
        noisy = add_unclipped_noise(clean, sigma, rng).round().clip(0, 255)
        cv2.imwrite(str(tmp_path / f"{name}_mean.png"), clean)
        cv2.imwrite(str(tmp_path / f"{name}_real.png"), noisy)
    peers = ("hqdn3d", "nlmeans", "bm3d", "opencv-nlmeans-color")
    report = evaluate(
        EvalConfig(pairs=str(tmp_path), peers=(*peers, "atadenoise"), threads=1)
    )
    calm, dim = report.pairs
    for pair in report.pairs:
        assert tuple(pair.peers) == peers
        gains = pair.peer_gains_db
        assert gains["hqdn3d"] > 0.3
        assert all(gains[name] > 1.5 for name in peers[1:])
    for name, option in (("nlmeans", "s"), ("bm3d", "sigma"), (peers[-1], "h")):
        weak, strong = (pair.peers[name].options[option] for pair in (calm, dim))
        assert 2 * float(weak) < float(strong)
    page = markdown(report)
    assert "| image | input dB | nano | hqdn3d | nlmeans | bm3d |" in page


def test_pairs_of_different_sizes_are_an_error(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a_mean.png"), waves_rgb(0, 32, 32))
    cv2.imwrite(str(tmp_path / "a_real.png"), waves_rgb(0, 32, 48))
    with pytest.raises(ConfigError, match="differ in size"):
        evaluate(EvalConfig(pairs=str(tmp_path), threads=1))


def test_filters_that_ffmpeg_lacks_are_named_and_the_rest_is_measured(
    clean_clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "ffmpeg"
    bare.write_text("#!/bin/sh\necho ' TS hqdn3d  V->V  Denoiser'\n")
    bare.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(bare))
    config = EvalConfig(str(clean_clips / "slow.mkv"), sigmas=(20,), frames=2)
    report = evaluate(replace(config, behavior=False, threads=1))
    assert {score.vmaf for score in report.scores} == {None}
    assert "- not measured: VMAF: this build of FFmpeg has no libvmaf" in (
        markdown(report)
    )
    with pytest.raises(ConfigError, match="no bm3d filter; leave bm3d out"):
        evaluate(replace(config, peers=("all", "bm3d")))
    found, left_out = find_peers(["all"])
    opencv = ["opencv-nlmeans", "opencv-nlmeans-color"]
    assert [peer.name for peer in found] == ["hqdn3d", *opencv]
    assert "bm3d: this build of FFmpeg has no bm3d filter" in left_out
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match="missing cannot be run: No such file"):
        find_peers(["hqdn3d"])


def test_peers_left_out_are_in_the_report(
    clean_clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "streamdenoise.measure.quality.evaluate.find_peers",
        lambda *_: ([], ["bm3d: no bm3d filter"]),
    )
    config = EvalConfig(
        str(clean_clips / "slow.mkv"), sigmas=(20,), frames=1, behavior=False, threads=1
    )
    assert "- not measured: bm3d: no bm3d filter" in markdown(evaluate(config))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing to measure; give clips, --pairs, or --real"),
        ({"real": "x"}, "choose their folder with -o"),
        ({"clips": "x", "frames": 0}, "--frames 0"),
        ({"clips": "x", "threads": 0}, "--threads 0"),
        ({"clips": "x", "seed": -1}, "--seed -1"),
        ({"clips": "x", "sigmas": (0.0,)}, "--sigma 0"),
        ({"clips": "x", "sigmas": (500.0,)}, "more than 0 to 255"),
    ],
)
def test_bad_options_are_rejected(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EvalConfig(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clips": "missing"}, "missing holds no clips"),
        ({"tune": "missing"}, "missing holds no clips"),
        ({"pairs": "missing"}, "missing holds no pairs"),
        ({"peers": ("magic",)}, "no peer is named 'magic'"),
        ({"model": "magic"}, "no model is named 'magic'"),
    ],
)
def test_missing_input_is_reported_before_anything_is_measured(
    clean_clips: Path, options: dict, message: str
) -> None:
    messages: list[str] = []
    with pytest.raises(ConfigError, match=message):
        evaluate(
            EvalConfig(**{"clips": str(clean_clips), **options}),
            on_progress=messages.append,
        )
    assert not messages


@pytest.mark.parametrize(
    ("height", "width", "options", "message"),
    [
        (8, 8, {}, "a.png is 8x8; give clips of at least 32x32"),
        (8, 64, {"behavior": False}, "a.png is 64x8; give"),
        (32, 32, {}, "a.png is 32 pixels wide, too narrow .* or --no-behavior"),
    ],
)
def test_clips_that_are_too_small_are_reported_at_once(
    tmp_path: Path, height: int, width: int, options: dict, message: str
) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), waves_rgb(0, height, width))
    messages: list[str] = []
    with pytest.raises(ConfigError, match=message):
        evaluate(EvalConfig(str(tmp_path), **options), on_progress=messages.append)
    assert not messages


def test_the_smallest_frames_are_measured(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), waves_rgb(0, 32, 32))
    config = EvalConfig(str(tmp_path), sigmas=(20,), behavior=False, threads=1)
    noisy, known, _ = evaluate(config).scores
    assert known.psnr_y > noisy.psnr_y


def test_clips_of_the_same_name_are_an_error(tmp_path: Path) -> None:
    for name in ("walk.y4m", "walk.mp4"):
        (tmp_path / name).write_text("")
    with pytest.raises(
        ConfigError, match=r"walk\.mp4 and walk\.y4m have the same name"
    ):
        evaluate(EvalConfig(str(tmp_path)))


def test_peers_are_not_tuned_on_measured_clips(
    clean_clips: Path, tmp_path: Path
) -> None:
    linked = tmp_path / "linked"
    linked.symlink_to(clean_clips)
    for measured, tune in (
        (clean_clips, linked),
        (clean_clips / "slow.mkv", clean_clips),
    ):
        with pytest.raises(ConfigError, match=r"has the measured clip .*other clips"):
            evaluate(EvalConfig(str(measured), tune=str(tune)))


def test_a_file_that_is_not_a_clip_is_a_source_error(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("not a clip")
    with pytest.raises(SourceError, match=r"a\.mp4"):
        evaluate(EvalConfig(str(tmp_path / "a.mp4"), behavior=False))


def test_an_output_that_is_a_file_is_reported_at_once(
    clean_clips: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("")
    config = EvalConfig(str(clean_clips), output=str(tmp_path / "taken"))
    with pytest.raises(ConfigError, match="choose another -o"):
        evaluate(config)


def test_a_folder_that_cannot_be_written_is_reported_at_once(
    clean_clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("streamdenoise.measure.quality.evaluate.TemporaryFile", refused)
    messages: list[str] = []
    config = EvalConfig(str(clean_clips), output=str(tmp_path))
    with pytest.raises(ConfigError, match="Permission denied; choose another -o"):
        evaluate(config, on_progress=messages.append)
    assert not messages


def test_missing_packages_are_named(
    clean_clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = EvalConfig(
        str(clean_clips), output=str(tmp_path), protocol=NoiseProtocol.PUBLISHED
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
