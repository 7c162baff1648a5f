"""Real footage: every figure on clips whose truth is known, and the whole report."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
import pytest

from streamdenoise.errors import ConfigError, SourceError
from streamdenoise.frame import ColorInfo, Frame, StreamInfo
from streamdenoise.imaging.alignment import displacement, find_flow, follow, smooth
from streamdenoise.io.open import open_sink
from streamdenoise.io.options import EncoderConfig
from streamdenoise.measure.config import EvalConfig
from streamdenoise.measure.peers.registry import find_peers
from streamdenoise.measure.quality.evaluate import evaluate
from streamdenoise.measure.quality.real.artifacts import border_steps, shift
from streamdenoise.measure.quality.real.contenders import LADDERS, peeks, tune
from streamdenoise.measure.quality.real.detail import detail_kept, ghost
from streamdenoise.measure.quality.real.residue import measure_residue
from streamdenoise.measure.quality.real.scene import LAG, Scene, prepare_scene
from streamdenoise.measure.quality.real.upsnr import (
    UnbiasedError,
    psnr_of,
    psnr_to_later_mean,
)
from tests.measure.waves import TICK, textured, waves_rgb, write

SIZE = (144, 192)


def gray(luma: np.ndarray, index: int = 0) -> Frame:
    """A gray frame of levels, rounded and clipped."""
    plane = np.clip(np.round(luma), 0, 255).astype(np.uint8)
    return Frame((plane,), "gray", ColorInfo(), index, TICK, index, 0.0)


def picture(frame: int = 0, step: float = 0.0) -> np.ndarray:
    """Smooth random texture beside a flat area, moved by `step` pixels a frame."""
    rng = np.random.default_rng(7)
    wide = rng.normal(0, 1, (SIZE[0], SIZE[1] + 64)).astype(np.float32)
    texture = smooth(wide, 1.2) * 60 + smooth(wide, 6.0) * 200
    texture[:, SIZE[1] // 2 :] *= np.linspace(1, 0, SIZE[1] // 2 + 64) ** 2
    columns, rows = np.meshgrid(np.arange(SIZE[1]), np.arange(SIZE[0]))
    at = (columns + frame * step).astype(np.float32)
    moved = cv2.remap(texture, at, rows.astype(np.float32), cv2.INTER_LANCZOS4)
    return 120 + moved


def noisy_clip(
    sigma: float, step: float = 0.0, frames: int = 24
) -> tuple[list[np.ndarray], list[Frame]]:
    """Clean luma, and the frames with white noise."""
    rng = np.random.default_rng(1)
    clean = [picture(t, step) for t in range(frames)]
    noisy = [
        gray(luma + rng.normal(0, sigma, luma.shape), t) for t, luma in enumerate(clean)
    ]
    return clean, noisy


def filtered(frames: Sequence[Frame], change: Callable) -> list[Frame]:
    return [gray(change(f.planes[0].astype(np.float32)), f.index) for f in frames]


def true_psnr(
    scene: Scene, clean: Sequence[np.ndarray], output: Sequence[Frame]
) -> float:
    errors = []
    for moment, (luma,) in zip(scene.moments, scene.at_moments(output), strict=True):
        square = (luma - clean[moment.index]) ** 2
        cells = square.reshape(SIZE[0] // 16, 16, SIZE[1] // 16, 16).mean((1, 3))
        errors.append(cells[moment.aligned].mean())
    return psnr_of(float(np.mean(errors)))


@pytest.mark.parametrize("step", [0.0, 1.3], ids=["fixed", "moving"])
def test_upsnr_is_the_true_psnr(step: float) -> None:
    clean, noisy = noisy_clip(8.0, step)
    scene = prepare_scene(noisy, 12)
    assert scene.is_fixed is (step == 0)
    measure = UnbiasedError(scene)
    before = measure.mse(scene.noisy)
    assert before is not None
    assert psnr_of(before[0]) == pytest.approx(true_psnr(scene, clean, noisy), abs=0.3)
    for name, output in {
        "half of the noise": [
            gray((f.planes[0] + c) / 2, f.index)
            for f, c in zip(noisy, clean, strict=True)
        ],
        "blur": filtered(noisy, lambda luma: smooth(luma, 1.0)),
        "too much blur": filtered(noisy, lambda luma: smooth(luma, 3.0)),
    }.items():
        after = measure.mse(scene.at_moments(output))
        assert after is not None
        gain = psnr_of(after[0]) - psnr_of(before[0])
        true_gain = true_psnr(scene, clean, output) - true_psnr(scene, clean, noisy)
        assert gain == pytest.approx(true_gain, abs=0.5), name


def test_a_mean_of_later_frames_is_the_reference_of_a_fixed_camera() -> None:
    clean, noisy = noisy_clip(8.0, frames=40)
    scene = prepare_scene(noisy, 12)
    assert scene.denoised == 12
    perfect = psnr_to_later_mean(scene, [(luma,) for luma in clean[3:12]])
    same = psnr_to_later_mean(scene, scene.noisy)
    assert perfect is not None
    assert same is not None
    assert same == pytest.approx(psnr_of(64 * (1 + 1 / 24)), abs=0.1)
    assert perfect == pytest.approx(psnr_of(64 / 24), abs=0.8)
    moving = prepare_scene(noisy_clip(8.0, 1.3)[1], 12)
    assert psnr_to_later_mean(moving, moving.noisy) is None


@pytest.mark.parametrize("step", [0.0, 1.3], ids=["fixed", "moving"])
def test_detail_falls_with_blur_and_not_with_noise(step: float) -> None:
    clean, noisy = noisy_clip(6.0, step)
    scene = prepare_scene(noisy, 12)

    def kept(output: Sequence[Frame]) -> float:
        share = detail_kept(scene, scene.at_moments(output))
        assert share is not None
        return share

    assert kept(noisy) == pytest.approx(1)
    assert kept([gray(luma) for luma in clean]) == pytest.approx(1, abs=0.05)
    slight, strong = (
        kept(filtered(noisy, lambda luma, std=std: smooth(luma, std)))
        for std in (0.7, 2.0)
    )
    assert 0.5 < slight < 0.95
    assert strong < 0.4


def test_noise_that_is_left_is_measured_by_scale_and_time() -> None:
    rng = np.random.default_rng(2)
    noisy = [gray(rng.normal(120, 8, SIZE), t) for t in range(24)]
    scene = prepare_scene(noisy, 12)
    residue = measure_residue(scene, scene.noisy)
    assert residue.spatial == pytest.approx((8, 4, 2), rel=0.1)
    assert residue.temporal == pytest.approx(8, rel=0.1)
    assert residue.pumping == pytest.approx(0.5, rel=0.3)
    frozen = [scene.noisy[0]] * len(scene.moments)
    assert measure_residue(scene, frozen).temporal == 0
    waves = [(luma + 4 * np.cos(np.pi * t),) for t, (luma,) in enumerate(scene.noisy)]
    assert (measure_residue(scene, waves).pumping or 0) > 1.5


def test_a_ghost_is_the_share_of_the_last_frame() -> None:
    _, noisy = noisy_clip(3.0, 1.3)
    scene = prepare_scene(noisy, 12)
    mixed = [
        gray(0.7 * f.planes[0] + 0.3 * noisy[max(f.index - 1, 0)].planes[0], f.index)
        for f in noisy
    ]
    assert ghost(scene, scene.at_moments(mixed)) == pytest.approx(0.3, abs=0.06)
    blurred = filtered(noisy, lambda luma: smooth(luma, 1.0))
    assert ghost(scene, scene.at_moments(blurred)) == pytest.approx(0, abs=0.03)
    fixed = prepare_scene(noisy_clip(3.0)[1], 12)
    assert ghost(fixed, fixed.noisy) is None


def test_borders_of_blocks_are_seen_and_noise_has_none() -> None:
    noise = np.random.default_rng(0).normal(120, 5, (96, 128)).astype(np.float32)
    assert border_steps([(noise,)]) == pytest.approx(1, abs=0.05)
    flat = np.full((96, 128), 90, np.float32)
    assert border_steps([(flat,)]) == 1
    blocks = np.random.default_rng(1).normal(0, 4, (24, 32)).repeat(4, 0).repeat(4, 1)
    assert border_steps([((noise + blocks).astype(np.float32),)]) > 1.4


def test_a_shift_in_brightness_and_color_is_found() -> None:
    scene = prepare_scene([textured(n) for n in range(4)], 4)
    shifted = [(y + 2, u, v - 1) for y, u, v in scene.noisy]
    for planes in shifted:
        planes[0][32:48, 64:80] += 5
    found = shift(scene, shifted)
    part = 5 / (6 * 8)
    assert found.mean == pytest.approx((2 + part, 0, -1), abs=0.01)
    assert found.worst == pytest.approx((7, 0, 1), abs=0.01)


def test_flow_and_displacement_are_exact_to_a_fraction_of_a_pixel() -> None:
    first, second = picture(0), picture(1, 2.5)
    flow = find_flow(first, second)
    inside = np.s_[24:-24, 24:72]
    assert np.abs(flow[inside] - (-2.5, 0)).mean() < 0.1
    aligned = follow(second, flow)
    error = np.abs(aligned - first)[inside]
    assert error.mean() < 0.1 * np.abs(second - first)[inside].mean()
    assert displacement(first, second) == pytest.approx(2.5, abs=0.3)
    rng = np.random.default_rng(0)
    again = first + rng.normal(0, 10, first.shape)
    assert displacement(first, again) < 0.3


def test_peers_are_tuned_for_the_clip(tmp_path: Path) -> None:
    clean, noisy = noisy_clip(10.0)
    scene = prepare_scene(noisy, 12)
    measure = UnbiasedError(scene)
    before = measure.mse(scene.noisy)
    assert before is not None
    peers, _ = find_peers(
        ["hqdn3d", "nlmeans", "opencv-nlmeans-color", "vaguedenoiser"]
    )

    def error(denoised: Mapping[int, Frame]) -> float:
        return float(
            np.mean([(f.planes[0] - clean[n]) ** 2 for n, f in denoised.items()])
        )

    for peer in peers:
        tuned = tune(peer, noisy[:12], 10.0, error, range(4, 12), tmp_path, 1)
        assert [f.pix_fmt for f in tuned.frames] == ["gray"] * 12
        after = measure.mse(scene.at_moments(tuned.frames))
        assert after is not None
        assert psnr_of(after[0]) > psnr_of(before[0]) + 2, peer.name


def test_a_peer_must_not_see_what_it_is_compared_with() -> None:
    (peer,), _ = find_peers(["atadenoise"])
    assert not peeks(peer, prepare_scene(noisy_clip(8.0, 1.3)[1], 12))
    short = prepare_scene(noisy_clip(8.0, 1.3, 6)[1], 12)
    assert short.lag is not None
    assert short.lag < LAG
    assert peeks(peer, short)


def test_settings_grow_with_the_noise_and_stay_in_range() -> None:
    strengths = [step["s"] for step in LADDERS["nlmeans"].settings(4.0)]
    assert strengths == [1.0, 2.0, 4.0, 8.0, 14.0]
    assert [step["s"] for step in LADDERS["nlmeans"].settings(0.1)] == [1.0]


def test_one_report_has_clips_pairs_and_what_does_not_decode(tmp_path: Path) -> None:
    footage = tmp_path / "footage"
    pairs = footage / "indoor"
    pairs.mkdir(parents=True)
    rng = np.random.default_rng(0)
    frames = []
    for n in range(9):
        clean = textured(n)
        planes = tuple(
            np.clip(plane + rng.normal(0, 12, plane.shape), 0, 255).astype(np.uint8)
            for plane in clean.planes
        )
        frames.append(clean.with_planes(planes))
    write(footage / "street [1] (2).mkv", frames)
    (footage / "broken.mp4").write_text("not a video")
    cv2.imwrite(str(pairs / "wall_mean.png"), waves_rgb(0, 96, 128))
    noisy = waves_rgb(0, 96, 128) + rng.normal(0, 12, (96, 128, 3))
    cv2.imwrite(str(pairs / "wall_real.png"), noisy.clip(0, 255))
    out = tmp_path / "out"
    report = evaluate(
        EvalConfig(
            real=str(footage), output=str(out), peers=("hqdn3d",), frames=9, threads=1
        )
    )
    (street,) = report.real
    assert [score.method for score in street.scores] == ["input", "nano", "hqdn3d"]
    assert (street.scores[1].gain_y or 0) > 2
    assert [(p.folder, p.name) for p in report.pairs] == [("indoor", "wall")]
    assert any("broken.mp4" in reason for reason in report.not_measured)

    text = (out / "eval.md").read_text()
    assert "## Real footage" in text
    assert "other denoisers is at the best of a few settings" in text
    assert list(report.pairs[0].peers) == ["hqdn3d"]
    assert "| indoor | 1 |" in text
    assert "| image | input dB | nano | hqdn3d | estimated sigma |" in text
    page = (out / "eval.html").read_text()
    for crop in street.crops:
        assert f'src="{quote(crop.image)}"' in page
        image = cv2.imread(str(out / crop.image))
        assert image is not None
        assert image.shape[0] == 3 * 96 + 24
        assert image.std() > 5
    assert page.count("<table>") == page.count("</table>") >= 3
    assert "|" not in page
    stored = json.loads((out / "eval.json").read_text())
    assert stored["real"][0]["scores"][1]["gain_y"] == street.scores[1].gain_y


def test_an_image_is_measured_as_far_as_one_can_tell(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noisy = waves_rgb(0, 96, 128) + rng.normal(0, 12, (96, 128, 3))
    cv2.imwrite(str(tmp_path / "street.png"), noisy.clip(0, 255))
    out = tmp_path / "out"
    report = evaluate(EvalConfig(real=str(tmp_path), output=str(out), threads=1))
    (street,) = report.real
    assert [score.method for score in street.scores] == ["input", "nano"]
    assert street.sigma_estimated > 3
    before, after = (score.residue.spatial for score in street.scores)
    assert before is not None
    assert after is not None
    assert after[0] < 0.5 * before[0]
    assert street.scores[1].gain_y is None
    text = (out / "eval.md").read_text()
    assert "128x96, one image" in text
    assert "| clip | input dB | nano | detail kept |\n" in text
    assert "other denoisers" not in text


def test_models_for_rgb_are_measured_on_the_same_planes(tmp_path: Path) -> None:
    _, noisy = noisy_clip(12.0)
    with open_sink(
        str(tmp_path / "infrared.mkv"),
        StreamInfo(SIZE[1], SIZE[0], "gray", time_base=TICK),
        encoder=EncoderConfig("ffv1"),
    ) as sink:
        for frame in noisy:
            sink.write(frame)
    out = str(tmp_path / "out")
    report = evaluate(
        EvalConfig(
            real=str(tmp_path / "infrared.mkv"),
            output=out,
            model="nano-rgb-awgn",
            peers=("none",),
            frames=8,
            threads=1,
        )
    )
    (infrared,) = report.real
    before, after = infrared.scores
    assert after.method == "nano-rgb-awgn"
    assert (after.gain_y or 0) > 0.5
    assert after.gain_uv is None
    assert abs(after.shift.mean[0]) < 1
    assert before.upsnr_y == pytest.approx(psnr_of(144), abs=0.3)


def test_a_place_without_footage_is_an_error(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    with pytest.raises(ConfigError, match="holds no clips; give a folder"):
        evaluate(EvalConfig(real=str(tmp_path), output=out))
    with pytest.raises(ConfigError, match="missing does not exist; give a noisy"):
        evaluate(EvalConfig(real=str(tmp_path / "missing"), output=out))


def test_a_clip_that_cannot_be_measured_alone_is_an_error(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    broken = tmp_path / "broken.mp4"
    broken.write_text("not a video")
    with pytest.raises(SourceError, match=r"broken\.mp4"):
        evaluate(EvalConfig(real=str(broken), output=out))
    write(tmp_path / "small.mkv", [textured(n, 64, 24) for n in range(2)])
    with pytest.raises(
        ConfigError, match=r"small\.mkv is 64x24; give clips of at least"
    ):
        evaluate(EvalConfig(real=str(tmp_path), output=out))
