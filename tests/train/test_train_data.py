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
from train.degradation.noise import Awgn, Camera, filter_noise, smear
from train.degradation.planes import PlaneFormat, Rgb, Yuv420, plane_format
from train.validation import validation_clips


@pytest.mark.parametrize("form", [Yuv420(True), Yuv420(False), Rgb()], ids=str)
def test_awgn_has_the_expected_moments_in_every_plane(form: PlaneFormat) -> None:
    clean = torch.full((6, 3, 96, 96), 0.5)
    noise = Awgn(sigma_min=15, sigma_max=15, in_planes=0, estimated=0)
    planes, levels = noise(clean, form, torch.Generator().manual_seed(0))
    error = tuple(
        plane - clean_plane
        for plane, clean_plane in zip(planes, form.planes(clean), strict=True)
    )
    torch.testing.assert_close(form.measured(error), levels, rtol=0.05, atol=0)
    for plane in error:  # gray itself rounds by up to 0.5
        assert abs(float(plane.mean())) < 0.6 / 255
    expected = form.noise_stds(torch.tensor([15 / 255]))[0]
    torch.testing.assert_close(levels, expected)


def test_estimates_are_in_the_units_of_the_true_levels() -> None:
    clean = torch.full((3, 3, 128, 128), 0.5)
    noise = Awgn(sigma_min=15, sigma_max=15, in_planes=0, estimated=0)
    for layout in ("yuv420", "rgb"):
        form = plane_format(layout)
        planes, levels = noise(clean, form, torch.Generator().manual_seed(0))
        estimate = form.estimate(planes, (1,))
        torch.testing.assert_close(estimate, levels, rtol=0.12, atol=0)


def test_a_share_gets_the_level_that_the_product_would_estimate() -> None:
    clean = torch.full((3, 3, 128, 128), 0.5)
    levels = [
        Awgn(sigma_min=15, sigma_max=15, in_planes=0, estimated=share)(
            clean, Yuv420(), torch.Generator().manual_seed(0)
        )[1]
        for share in (0, 1)
    ]
    assert not torch.equal(levels[0], levels[1])
    torch.testing.assert_close(levels[0], levels[1], rtol=0.15, atol=0)


@pytest.mark.parametrize(
    "noise", [Awgn(in_planes=0.5), Camera(clean=0, jpeg=0, h264=0)]
)
def test_noise_is_new_in_every_frame_and_repeats_with_the_seed(
    noise: Awgn | Camera,
) -> None:
    clean = torch.full((4, 3, 64, 64), 0.5)
    for seed in range(4):
        (first, *_), _ = noise(clean, Yuv420(), torch.Generator().manual_seed(seed))
        (again, *_), _ = noise(clean, Yuv420(), torch.Generator().manual_seed(seed))
        assert torch.equal(first, again)
        errors = (first - first.mean()).reshape(4, -1)
        correlation = torch.corrcoef(errors) - torch.eye(4)
        assert correlation.abs().max() < 0.2


def test_camera_noise_grows_with_light_and_can_be_absent() -> None:
    ramp = torch.cat([torch.full((4, 3, 64, 32), v) for v in (0.15, 0.7)], 3)
    shot = Camera(clean=0, jpeg=0, h264=0, smeared=0, filtered=0)
    ratios = []
    for seed in range(8):
        (y, _, _), _ = shot(
            ramp, Yuv420(limited=False), torch.Generator().manual_seed(seed)
        )
        linear = y.clamp(min=1e-4) ** 2.2
        ratios.append(float(linear[..., 34:].std() / linear[..., :30].std()))
    assert np.median(ratios) > 1.2
    planes, levels = Camera(clean=1, jpeg=0, h264=0, estimated=0)(
        ramp, Yuv420(), torch.Generator().manual_seed(0)
    )
    for plane, reference in zip(planes, Yuv420().planes(ramp), strict=True):
        assert (plane - reference).abs().max() <= 1.001 / 255
    assert float(levels.max()) < 1 / 255


def test_h264_removes_some_noise_and_keeps_the_image() -> None:
    ramp = torch.linspace(0.2, 0.8, 64).expand(6, 3, 64, 64)
    reference = Yuv420().planes(ramp)
    left = []
    for seed in range(5):
        errors = []
        for h264 in (0.0, 1.0):
            noise = Camera(
                150, clean=0, jpeg=0, h264=h264, smeared=0, filtered=0, estimated=0
            )
            planes, _ = noise(ramp, Yuv420(), torch.Generator().manual_seed(seed))
            assert [p.shape for p in planes] == [p.shape for p in reference]
            levels = planes[0] * 255
            torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
            errors.append(planes[0] - reference[0])
        before, after = errors
        assert abs(float(after.mean() - before.mean())) < 2 / 255
        left.append(float(after.std() / before.std()))
    assert 0.1 < np.median(left) < 0.97


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


GRAY = torch.linspace(0.2, 0.8, 64).expand(4, 3, 64, 64)


@pytest.mark.parametrize("form", [Yuv420(True), Yuv420(False), Rgb()], ids=str)
def test_a_gray_sensor_adds_no_color_noise(form: PlaneFormat) -> None:
    noise = Awgn(sigma_min=15, sigma_max=15, estimated=0, luma_only=1)
    planes, levels = noise(GRAY, form, torch.Generator().manual_seed(0))
    error = [
        noisy - clean for noisy, clean in zip(planes, form.planes(GRAY), strict=True)
    ]
    torch.testing.assert_close(
        form.measured(tuple(error)), levels, rtol=0.05, atol=1e-6
    )
    assert levels[0] > 0
    assert levels[1:].tolist() == [0, 0]


def test_a_gray_camera_adds_no_color_noise() -> None:
    chroma = Yuv420().planes(GRAY)[1:]
    for seed in range(12):
        camera = Camera(clean=0, jpeg=0, luma_only=1)
        (luma, *noisy), _ = camera(GRAY, Yuv420(), torch.Generator().manual_seed(seed))
        assert (luma - Yuv420().planes(GRAY)[0]).std() > 0.3 / 255
        for plane, clean in zip(noisy, chroma, strict=True):
            assert torch.equal(plane, clean)
    colored = GRAY * torch.tensor([1, 0.9, 0.8])[:, None, None]
    planes, _ = camera(colored, Yuv420(), torch.Generator().manual_seed(0))
    assert (planes[1] - Yuv420().planes(colored)[1]).std() > 0.3 / 255


@pytest.mark.parametrize("noise", [Awgn(estimated=0), Camera(clean=0, too_low=0)])
def test_jittered_levels_are_off_independently_in_each_plane(
    noise: Awgn | Camera,
) -> None:
    clean = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    right, off = (
        torch.stack(
            [
                replace(noise, jittered=share)(
                    clean, Yuv420(), torch.Generator().manual_seed(seed)
                )[1]
                for seed in range(40)
            ]
        )
        for share in (0.0, 1.0)
    )
    octaves = (off / right).log2()
    assert 0.4 < octaves.abs().max() < 0.51
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (octaves[:, one] - octaves[:, other]).abs().median() > 0.1


def test_a_share_of_camera_clips_has_white_noise() -> None:
    clean = torch.full((2, 3, 64, 64), 0.5)
    white = Camera(white=1)(clean, Yuv420(), torch.Generator().manual_seed(3))
    camera = Camera(white=0)(clean, Yuv420(), torch.Generator().manual_seed(3))
    assert not torch.equal(white[0][0], camera[0][0])
    correlations = []
    for seed in range(8):
        (luma, *_), _ = Camera(white=1)(
            clean, Yuv420(), torch.Generator().manual_seed(seed)
        )
        noise = luma - luma.mean()
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
        levels = expose(gray, np.random.default_rng(seed))[:, 0, 0, 0].astype(int)
        steps = np.diff(levels)
        assert (steps >= 0).all() or (steps <= 0).all()
        assert levels.min() >= 50
        assert levels.max() <= 142


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
