"""Training data: noise moments and independence, sampler, cache, broken files."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from streamdenoise.errors import ConfigError
from train.clips.cache import cached
from train.clips.sampler import ClipSampler
from train.clips.synthetic import cut, expose, hold, parallax
from train.degradation.camera_filters import (
    average_over_time,
    enlarge,
    filter_noise,
    sharpen,
)
from train.degradation.grain import add_patterns, smear
from train.degradation.graphics import draw_graphics
from train.degradation.noise import Awgn, Camera
from train.degradation.planes import PlaneFormat, Rgb, Yuv420, plane_format
from train.degradation.sensor import Sensor
from train.validation import validation_clips

PLAIN = Camera(
    clean=0,
    dark=0,
    jpeg=0,
    h264=0,
    hevc=0,
    smeared=0,
    filtered=0,
    averaged=0,
    sharpened=0,
    enlarged=0,
    patterned=False,
    estimated=0,
    far_off=0,
)
"""Sensor noise alone, with the true levels."""


@pytest.mark.parametrize("form", [Yuv420(True), Yuv420(False), Rgb()], ids=str)
def test_awgn_has_the_expected_moments_in_every_plane(form: PlaneFormat) -> None:
    clean = torch.full((6, 3, 96, 96), 0.5)
    noise = Awgn(sigma_min=15, sigma_max=15, in_planes=0, estimated=0)
    made = noise(clean, form, torch.Generator().manual_seed(0))
    error = tuple(x - y for x, y in zip(made.noisy, made.clean, strict=True))
    torch.testing.assert_close(form.measured(error), made.levels, rtol=0.15, atol=0)
    for plane in error:  # gray itself rounds by up to 0.5
        assert abs(float(plane.mean())) < 0.6 / 255
    expected = form.white(form.noise_stds(torch.tensor([15 / 255]))[0])
    torch.testing.assert_close(made.levels, expected)


@pytest.mark.parametrize("layout", ["yuv420", "rgb"])
def test_estimates_are_in_the_units_of_the_true_levels(layout: str) -> None:
    clean = torch.full((3, 3, 256, 256), 0.5)
    noise = Awgn(sigma_min=15, sigma_max=15, in_planes=0, estimated=0)
    form = plane_format(layout)
    made = noise(clean, form, torch.Generator().manual_seed(0))
    estimate = form.estimate(made.noisy)
    torch.testing.assert_close(estimate, made.levels, rtol=0.2, atol=0)


def test_a_share_gets_the_levels_that_the_product_would_estimate() -> None:
    clean = torch.full((3, 3, 128, 128), 0.5)
    levels = [
        Awgn(sigma_min=15, sigma_max=15, in_planes=0, estimated=share)(
            clean, Yuv420(), torch.Generator().manual_seed(0)
        ).levels
        for share in (0, 1)
    ]
    assert not torch.equal(levels[0], levels[1])
    torch.testing.assert_close(levels[0], levels[1], rtol=0.4, atol=0)


@pytest.mark.parametrize("noise", [Awgn(in_planes=0.5), replace(PLAIN, smeared=0.5)])
def test_noise_is_new_in_every_frame_and_repeats_with_the_seed(
    noise: Awgn | Camera,
) -> None:
    clean = torch.full((4, 3, 64, 64), 0.5)
    for seed in range(4):
        first, again = (
            noise(clean, Yuv420(), torch.Generator().manual_seed(seed)).noisy[0]
            for _ in range(2)
        )
        assert torch.equal(first, again)
        errors = (first - first.mean()).reshape(4, -1)
        correlation = torch.corrcoef(errors) - torch.eye(4)
        assert correlation.abs().max() < 0.3


def test_camera_noise_grows_with_light_and_can_be_absent() -> None:
    ramp = torch.cat([torch.full((4, 3, 64, 32), v / 255) for v in (38, 178)], 3)
    ratios = []
    for seed in range(8):
        made = PLAIN(ramp, Yuv420(limited=False), torch.Generator().manual_seed(seed))
        linear = made.noisy[0].clamp(min=1e-4) ** 2.2
        ratios.append(float(linear[..., 34:].std() / linear[..., :30].std()))
    assert np.median(ratios) > 1.2
    made = replace(PLAIN, clean=1)(ramp, Yuv420(), torch.Generator().manual_seed(0))
    for plane, reference in zip(made.noisy, Yuv420().planes(ramp), strict=True):
        assert (plane - reference).abs().max() <= 1.001 / 255
    assert float(made.levels.max()) < 1 / 255


@pytest.mark.parametrize("level", [0.05, 0.15])
def test_the_clip_to_learn_is_as_bright_as_the_noisy_one(level: float) -> None:
    sensor = Sensor(level, 0.7, torch.tensor([1.5, 1.0, 1.2]))
    noise = torch.special.ndtri((torch.arange(4096) + 0.5) / 4096).reshape(64, 64)
    for value in (4, 40, 128, 230):
        clean = torch.full((1, 3, 64, 64), value / 255)
        noisy = sensor.show(clean, noise)
        wanted = sensor.mean(clean, torch.ones(1))
        shift = 255 * (wanted.mean((0, 2, 3)) - noisy.mean((0, 2, 3)))
        assert shift.abs().max() < 0.3
    dark = torch.full((1, 3, 1, 1), 4 / 255)
    # Black clips one side only.
    assert (sensor.mean(dark, torch.ones(1)) > dark).all()
    assert (sensor.mean(dark, torch.zeros(1)) - dark).abs().max() < 1e-3


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_codec_removes_some_noise_and_keeps_the_image(codec: str) -> None:
    ramp = torch.linspace(0.2, 0.8, 64).mul(255).round().div(255).expand(6, 3, 64, 64)
    left = []
    for seed in range(5):
        errors = []
        for share in (0.0, 1.0):
            noise = replace(PLAIN, sigma_max=150, **{codec: share})
            made = noise(ramp, Yuv420(), torch.Generator().manual_seed(seed))
            assert [p.shape for p in made.noisy] == [p.shape for p in made.clean]
            levels = made.noisy[0] * 255
            torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
            errors.append(made.noisy[0] - made.clean[0])
        before, after = errors
        assert abs(float(after.mean() - before.mean())) < 2 / 255
        left.append(float(after.std() / before.std()))
    assert 0.1 < np.median(left) < 0.97


def test_what_a_camera_does_happens_to_the_clip_to_learn_too() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 16, 16, generator=generator).repeat_interleave(4, 2)
    clean = image.repeat_interleave(4, 3).expand(6, 3, 64, 64).contiguous()
    noisy = (clean + 0.05 * torch.randn(clean.shape, generator=generator)).clamp(0, 1)
    before = (noisy - clean).std()
    sharp, dirty = sharpen(clean, noisy, generator)
    assert not torch.equal(sharp, clean)
    assert (dirty - sharp).std() > 1.1 * before
    large, dirty = enlarge(clean, noisy, generator)
    assert large.shape == dirty.shape == clean.shape
    assert (dirty - large).std() < before
    wanted, shown = average_over_time(clean, noisy, 0.05, generator)
    torch.testing.assert_close(wanted, clean)
    assert (shown - wanted)[-1].std() < 0.95 * before
    wanted, shown = average_over_time(clean.flip(0), noisy * 0 + clean, 0.0, generator)
    torch.testing.assert_close(wanted, shown)


@pytest.mark.parametrize("form", [Yuv420(), Rgb()], ids=str)
def test_graphics_have_no_noise_and_leave_the_rest(form: PlaneFormat) -> None:
    kinds = set()
    for seed in range(20):
        clean = form.planes(torch.full((2, 3, 64, 64), 128 / 255))
        noisy = tuple(plane + 0.1 for plane in clean)
        draw_graphics(noisy, clean, np.random.default_rng(seed))
        free = noisy[0] == clean[0]
        assert 0.005 < free.float().mean() < 0.6
        black = clean[0] < 17 / 255
        assert not (black & ~free).any()
        kinds.add(bool(black.any()))
        for plane, dirty in zip(clean, noisy, strict=True):
            scale = 64 // plane.shape[-1]
            same = (plane == dirty)[:, :1].float()
            assert torch.equal(same, free[:, :1, ::scale, ::scale].float())
    assert kinds == {True, False}


def test_lines_and_fixed_patterns_come_with_a_share_of_clips() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.zeros(4, 3, 32, 32)
    made = [add_patterns(noise, generator) for _ in range(60)]
    patterned = [x for x in made if not torch.equal(x, noise)]
    assert 3 < len(patterned) < 30
    assert any(torch.equal(x[0], x[1]) for x in patterned)
    assert any(not torch.equal(x[0], x[1]) for x in patterned)


def test_smeared_noise_keeps_the_power_of_luma_and_at_most_that_of_color() -> None:
    generator = torch.Generator().manual_seed(0)
    white = torch.empty(8, 3, 64, 64).normal_(generator=generator)
    weakened = 0
    for _ in range(12):
        noise = smear(white, generator)
        gray = noise.mean(1, keepdim=True)
        assert float(gray.std()) == pytest.approx(3**-0.5, rel=0.15)
        color = float((noise - gray).std()) * 1.5**0.5
        assert 0.15 < color < 1.15
        weakened += color < 0.85
    assert 0 < weakened < 12


def test_a_filter_removes_fine_grain_first_and_keeps_the_image() -> None:
    rng = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 8, 8, generator=rng).repeat_interleave(8, 2)
    clean = image.repeat_interleave(8, 3).expand(4, 3, 64, 64)
    torch.testing.assert_close(filter_noise(clean, clean, 0.05, rng), clean)
    noise = 0.05 * torch.empty(clean.shape).normal_(generator=rng)
    fine, coarse = [], []
    for _ in range(8):
        left = filter_noise(clean, clean + noise, 0.05, rng) - clean
        coarse.append(float(avg_pool2d(left, 4).std() / avg_pool2d(noise, 4).std()))
        fine.append(float(left.std() / noise.std()))
    assert np.median(fine) < 0.8 * np.median(coarse)


GRAY = torch.linspace(0.2, 0.8, 64).mul(255).round().div(255).expand(4, 3, 64, 64)


@pytest.mark.parametrize("form", [Yuv420(True), Yuv420(False), Rgb()], ids=str)
def test_a_gray_sensor_adds_no_color_noise(form: PlaneFormat) -> None:
    noise = Awgn(sigma_min=15, sigma_max=15, estimated=0, luma_only=1)
    made = noise(GRAY, form, torch.Generator().manual_seed(0))
    error = tuple(x - y for x, y in zip(made.noisy, made.clean, strict=True))
    torch.testing.assert_close(form.measured(error), made.levels, rtol=0.25, atol=1e-6)
    assert made.levels[0] > 0
    assert made.levels[3:].tolist() == [0, 0, 0, 0]


def test_a_gray_camera_adds_no_color_noise() -> None:
    for seed in range(12):
        camera = Camera(clean=0, jpeg=0, luma_only=1)
        made = camera(GRAY, Yuv420(), torch.Generator().manual_seed(seed))
        assert (made.noisy[0] - made.clean[0]).std() > 0.01 / 255
        for noisy, clean in zip(made.noisy[1:], made.clean[1:], strict=True):
            torch.testing.assert_close(noisy, clean, atol=1.001 / 255, rtol=0)
    colored = GRAY * torch.tensor([1, 0.9, 0.8])[:, None, None]
    colored = colored.mul(255).round().div(255)
    made = camera(colored, Yuv420(), torch.Generator().manual_seed(0))
    assert (made.noisy[1] - made.clean[1]).std() > 0.3 / 255


@pytest.mark.parametrize("noise", [Awgn(estimated=0), PLAIN])
def test_jittered_levels_are_off_independently(noise: Awgn | Camera) -> None:
    clean = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    clean = clean.mul(255).round().div(255)
    right, off = (
        torch.stack(
            [
                replace(noise, jittered=share)(
                    clean, Yuv420(), torch.Generator().manual_seed(seed)
                ).levels
                for seed in range(40)
            ]
        )
        for share in (0.0, 1.0)
    )
    octaves = (off / right).log2()
    assert 0.4 < octaves.abs().max() < 0.51
    for one in range(7):
        for other in range(one):
            assert (octaves[:, one] - octaves[:, other]).abs().median() > 0.1


def test_a_share_of_camera_clips_has_white_noise() -> None:
    clean = torch.full((2, 3, 64, 64), 128 / 255)
    correlations = []
    for seed in range(8):
        made = Camera(white=1)(clean, Yuv420(), torch.Generator().manual_seed(seed))
        noise = made.noisy[0] - made.noisy[0].mean()
        beside = (noise[..., 1:] * noise[..., :-1]).mean() / noise.square().mean()
        correlations.append(abs(float(beside)))
    assert max(correlations) < 0.05


def test_a_share_of_clips_is_gray(data: Path) -> None:
    videos = [np.random.default_rng(0).integers(0, 255, (8, 48, 48, 3), np.uint8)]
    stills = cached(data / "stills", data / "cache" / "s", 32)
    sampler = ClipSampler(videos, stills, video_share=1, gray=0.5)
    clips = [sampler.draw(2, 32, np.random.default_rng(i))[0] for i in range(20)]
    gray = [bool((clip == clip[..., :1]).all()) for clip in clips]
    assert 4 < sum(gray) < 16


def test_a_share_of_clips_is_blurred(data: Path) -> None:
    videos = cached(data / "video", data / "cache" / "v", 32)
    stills = cached(data / "stills", data / "cache" / "s", 32)
    sharp, soft = (
        ClipSampler(videos, stills, soft=share).draw(2, 32, np.random.default_rng(3))[0]
        for share in (0.0, 1.0)
    )
    edges = [np.abs(np.diff(x.astype(int), axis=1)).mean() for x in (sharp, soft)]
    assert edges[1] < 0.9 * edges[0]


def test_sampler_is_a_function_of_the_seed(data: Path) -> None:
    sampler = ClipSampler(
        cached(data / "video", data / "cache" / "v", 32),
        cached(data / "stills", data / "cache" / "s", 32),
    )
    kinds = set()
    for seed in range(40):
        clip, static = sampler.draw(4, 32, np.random.default_rng(seed))
        again, _ = sampler.draw(4, 32, np.random.default_rng(seed))
        assert clip.shape == (4, 32, 32, 3)
        assert clip.dtype == np.uint8
        np.testing.assert_array_equal(clip, again)
        still = bool((clip == clip[:1]).all())
        assert not static or still
        kinds.add(static)
    assert kinds == {True, False}


VIDEO = {"video_share": 1.0, "exposure": 0.0, "cuts": 0.0}
STILL = {"video_share": 0.0, "occluded_stills": 0.0, "exposure": 0.0, "cuts": 0.0}


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        (VIDEO | {"held_videos": 1.0}, {True, False}),  # some with an occluder
        (VIDEO | {"held_videos": 0.0, "occluded_videos": 1.0}, {False}),
        (STILL | {"static_stills": 1.0}, {True}),
        (STILL | {"static_stills": 0.0, "occluded_stills": 1.0}, {False}),
        (STILL | {"static_stills": 0.0, "parallax_stills": 1.0}, {False}),
        (STILL | {"static_stills": 1.0, "exposure": 1.0}, {False}),
        (STILL | {"static_stills": 1.0, "cuts": 1.0}, {False}),
    ],
)
def test_only_unchanging_clips_are_static(
    shares: dict[str, float], expected: set[bool]
) -> None:
    rng = np.random.default_rng(0)
    videos = [rng.integers(0, 255, (8, 48, 48, 3), np.uint8)]
    stills = [rng.integers(0, 255, (1, 128, 128, 3), np.uint8)]
    sampler = ClipSampler(videos, stills, **shares)
    found = set()
    for seed in range(30):
        clip, static = sampler.draw(4, 32, np.random.default_rng(seed))
        # An object may be out of sight, so the reverse does not hold.
        assert not static or (clip == clip[:1]).all()
        found.add(static)
    assert found == expected


def test_near_layers_move_faster_than_far_ones() -> None:
    # Red grows to the right and green downward, so they show where a pixel is from,
    # and blue shows its layer.
    down, right = np.mgrid[60:188, 60:188].astype(np.uint8)
    far, near = (np.dstack([right, down, np.full_like(down, b)]) for b in (0, 255))
    for seed in range(5):
        clip = parallax(far, near, 6, 64, np.random.default_rng(seed))
        assert clip.shape == (6, 64, 64, 3)
        steps = np.diff(clip[..., :2].astype(int), axis=0)
        speed = {}
        for blue in (0, 255):
            layer = clip[..., 2] == blue
            moved = steps[layer[1:] & layer[:-1]]
            speed[blue] = np.hypot(*moved.mean(axis=0))
        assert 0.05 < speed[0] < 0.8 * speed[255]


def test_exposure_is_a_smooth_gain() -> None:
    gray = hold(np.full((8, 8, 3), 100, np.uint8), 9)
    for seed in range(5):
        colors = expose(gray, np.random.default_rng(seed))[:, 0, 0].astype(int)
        for levels in colors.T:
            steps = np.diff(levels)
            assert (steps >= 0).all() or (steps <= 0).all()
            assert levels.min() >= 50
            assert levels.max() <= 175


def test_a_cut_shows_both_scenes() -> None:
    before, after = (hold(np.full((4, 4, 3), v, np.uint8), 5) for v in (10, 90))
    for seed in range(20):
        levels = cut(before, after, np.random.default_rng(seed))[:, 0, 0, 0]
        assert (levels[0], levels[-1], len(levels)) == (10, 90, 5)


def test_unreadable_files_are_named_and_skipped(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert len(cached(data / "stills", data / "cache" / "s", 32)) == 2
    assert "broken.png" in caplog.text
    assert "stills: 2 files, 1 skipped" in caplog.text
    (data / "empty").mkdir()
    with pytest.raises(ConfigError, match="no usable video or image"):
        cached(data / "empty", data / "cache" / "e", 32)
    (data / "empty" / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(ConfigError, match="no readable video"):
        validation_clips(data / "empty")
    assert "left out of the validation, unreadable: broken.mp4" in caplog.text


def test_the_cache_notices_changed_files(data: Path) -> None:
    def brightness() -> list[float]:
        return [float(x.mean()) for x in cached(data / "stills", data / "cache", 32)]

    for name in ("one", "two"):
        (data / "stills" / name).mkdir()
        gray = np.full((64, 64, 3), 10 * len(name) + ord(name[0]) % 7, np.uint8)
        cv2.imwrite(str(data / "stills" / name / "same.png"), gray)
    before = brightness()
    assert len(set(before)) == 3  # b and c are the same image
    assert brightness() == before
    cv2.imwrite(str(data / "stills" / "b.png"), np.full((80, 80, 3), 200, np.uint8))
    assert 200 in brightness()
