"""The denoiser: formats, sizes, state, strength, motion."""

import time
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from streamdenoise import Denoiser
from streamdenoise.errors import ConfigError
from streamdenoise.frame import PIX_FMTS, ColorInfo, Frame, bit_depth
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.imaging.motion import MotionFollower
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.backend import Backend
from streamdenoise.inference.backends.torch_device import Lane
from streamdenoise.inference.engine_loader import EngineLoader
from streamdenoise.io.open import open_source
from streamdenoise.network.flow_search import TorchSearch
from tests.denoisers.noisy_scene import noisy_frame, scene


@pytest.fixture
def denoiser() -> Denoiser:
    return Denoiser.load("nano-awgn", threads=1)


@pytest.mark.parametrize("pix_fmt", list(PIX_FMTS))
@pytest.mark.parametrize("size", [(64, 96), (47, 65), (1, 1), (9, 2)])
def test_every_frame_comes_out_with_its_pts_at_any_size(
    denoiser: Denoiser, pix_fmt: str, size: tuple[int, int]
) -> None:
    frames = [
        noisy_frame(pix_fmt, *size, noise_std=0.1, index=i, shift=i) for i in range(4)
    ]
    out = [clean for frame in frames for clean in denoiser.process(frame)]
    out += denoiser.flush() + denoiser.flush()
    assert [f.pts for f in out] == [f.pts for f in frames]
    for before, after in zip(frames, out, strict=True):
        assert after.pix_fmt == before.pix_fmt
        assert after.time_base == before.time_base
        assert [p.shape for p in after.planes] == [p.shape for p in before.planes]
        assert [p.dtype for p in after.planes] == [p.dtype for p in before.planes]


@pytest.mark.parametrize("pix_fmt", list(PIX_FMTS))
def test_noise_is_reduced(denoiser: Denoiser, pix_fmt: str) -> None:
    peak = (1 << bit_depth(pix_fmt)) - 1
    clean = noisy_frame(pix_fmt, 64, 96)
    for i in range(6):
        noisy = noisy_frame(pix_fmt, 64, 96, noise_std=0.08, index=i)
        (out,) = denoiser.process(noisy)
    for reference, before, after in zip(
        clean.planes, noisy.planes, out.planes, strict=True
    ):
        gain = psnr_db(reference, after, peak) - psnr_db(reference, before, peak)
        assert gain > 3


@pytest.mark.parametrize("size", [(128, 160), (47, 65), (1, 1)])
def test_models_for_rgb_take_images(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    clean = (255 * scene(*size)[..., None] * (1, 0.8, 0.6)).astype(np.uint8)
    with (
        Denoiser.load("nano-rgb-awgn", threads=1) as denoiser,
        Denoiser.load("nano-rgb-awgn", threads=1) as mirror,
    ):
        for _ in range(6):
            noisy = clean + rng.normal(0, 20, clean.shape)
            noisy = noisy.round().clip(0, 255).astype(np.uint8)
            out = denoiser(noisy, "rgb24")
            np.testing.assert_array_equal(mirror(noisy[..., ::-1]), out[..., ::-1])
        if min(size) > 20:
            assert psnr_db(clean, out, 255) > psnr_db(clean, noisy, 255) + 9
            assert denoiser.sigma == pytest.approx(20, rel=0.1)
        denoiser.reset()
        for _ in range(3):
            untouched = denoiser(clean, "rgb24")
            assert psnr_db(clean, untouched, 255) > 45


@pytest.mark.parametrize("sigma", ["auto", 20])
def test_models_for_rgb_take_gray(sigma: float | str) -> None:
    clean = noisy_frame("gray", 64, 96).planes[0]
    with Denoiser.load("nano-rgb-awgn", sigma=sigma, threads=1) as denoiser:
        for i in range(4):
            (noisy,) = noisy_frame("gray", 64, 96, noise_std=20 / 255, index=i).planes
            out = denoiser(noisy)
        assert denoiser.sigma == pytest.approx(20, rel=0.1)
        denoiser.reset()
        image = denoiser(np.stack(3 * [noisy], 2), "rgb24")
        denoiser.reset()
        np.testing.assert_array_equal(image[..., 1], denoiser(noisy))
    assert psnr_db(clean, out, 255) > psnr_db(clean, noisy, 255) + 6


@pytest.mark.parametrize("sigma", ["auto", 20])
def test_a_gray_image_in_rgb_has_the_noise_of_gray(sigma: float | str) -> None:
    (noisy,) = noisy_frame("gray", 128, 160, noise_std=20 / 255).planes
    with Denoiser.load("nano-awgn", sigma=sigma, threads=1) as denoiser:
        gray = denoiser(noisy).astype(float)
        level = denoiser.sigma
        denoiser.reset()
        image = denoiser(np.stack(3 * [noisy], 2), "rgb24")
        assert denoiser.sigma == pytest.approx(20, rel=0.1)
        assert denoiser.sigma == pytest.approx(level, rel=0.02)
    assert np.abs(image[..., 1] - gray).mean() < 1


def test_models_for_rgb_refuse_video() -> None:
    with (
        Denoiser.load("nano-rgb-awgn", threads=1) as denoiser,
        pytest.raises(ConfigError, match="works on RGB images, not on yuv420p video"),
    ):
        denoiser.process(noisy_frame("yuv420p", 64, 96))
    with (
        Denoiser.load("nano-rgb-awgn", threads=1) as denoiser,
        pytest.raises(ConfigError, match="works on RGB images, not on yuv420p video"),
    ):
        denoiser.prepare(96, 64, "yuv420p")


def test_static_scene_keeps_improving(denoiser: Denoiser) -> None:
    clean = noisy_frame("yuv420p", 64, 96).planes[0]
    scores = []
    for i in range(31):
        noisy = noisy_frame("yuv420p", 64, 96, noise_std=0.1, index=i)
        (out,) = denoiser.process(noisy)
        scores.append(psnr_db(clean, out.planes[0], 255))
    assert np.mean(scores[-5:]) > scores[0] + 2


def test_strength_zero_is_bit_exact_and_strength_scales(denoiser: Denoiser) -> None:
    noisy = noisy_frame("yuv420p", 64, 96, noise_std=0.1)
    changes = []
    for strength in (0.0, 0.5, 1.0):
        denoiser.strength = strength
        denoiser.reset()
        (out,) = denoiser.process(noisy)
        change = out.planes[0].astype(float) - noisy.planes[0]
        changes.append(np.abs(change).mean())
    assert changes[0] == 0
    assert 0 < changes[1] < changes[2]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "gray", "rgb24"])
def test_clean_patterns_stay_as_they_are(denoiser: Denoiser, pix_fmt: str) -> None:
    peak = (1 << bit_depth(pix_fmt)) - 1
    for i in range(5):
        clean = noisy_frame(pix_fmt, 128, 160, index=i, shift=2 * i)
        (out,) = denoiser.process(clean)
        for a, b in zip(clean.planes, out.planes, strict=True):
            assert psnr_db(a, b, peak) > 45


@pytest.mark.parametrize("model", ["nano", "nano-awgn"])
def test_clean_footage_stays_as_it_is(model: str) -> None:
    with (
        open_source("samples/cctv.mp4") as source,
        Denoiser.load(model, threads=1) as denoiser,
    ):
        for frame in islice(source, 12):
            (out,) = denoiser.process(frame)
            for a, b in zip(frame.planes, out.planes, strict=True):
                assert psnr_db(a, b, 255) > 45
                assert (np.abs(a.astype(int) - b) <= 1).mean() > 0.99


def test_reset_and_scene_cut_equal_a_fresh_start(denoiser: Denoiser) -> None:
    def other(i: int) -> Frame:
        frame = noisy_frame("yuv420p", 64, 96, noise_std=0.08, index=i, seed=7)
        return frame.with_planes((255 - frame.planes[0], *frame.planes[1:]))

    fresh = [denoiser.process(other(i))[0] for i in range(3)]
    denoiser.reset()
    for i in range(5):
        denoiser.process(noisy_frame("yuv420p", 64, 96, noise_std=0.08, index=i))
    denoiser.reset()
    again = [denoiser.process(other(i))[0] for i in range(3)]
    denoiser.reset()
    dark = noisy_frame("yuv420p", 64, 96, noise_std=0.02, index=0)
    dark = dark.with_planes((dark.planes[0] // 4 + 5, *dark.planes[1:]))
    for _ in range(3):
        denoiser.process(dark)
    assert denoiser.scene_cuts == 0
    cut = [denoiser.process(other(i))[0] for i in range(3)]
    assert denoiser.scene_cuts == 1
    for a, b, c in zip(fresh, again, cut, strict=True):
        for x, y, z in zip(a.planes, b.planes, c.planes, strict=True):
            np.testing.assert_array_equal(x, y)
            np.testing.assert_array_equal(x, z)


def test_a_change_of_size_or_format_starts_fresh(denoiser: Denoiser) -> None:
    small = noisy_frame("yuv420p", 64, 96, noise_std=0.1)
    (expected,) = denoiser.process(small)
    for pix_fmt, height in (("yuv420p10le", 64), ("gray", 64), ("yuv420p", 48)):
        denoiser.process(noisy_frame(pix_fmt, height, 96, noise_std=0.1))
    (again,) = denoiser.process(small)
    np.testing.assert_array_equal(expected.planes[0], again.planes[0])


def test_a_stream_forgets_its_past_while_it_is_off() -> None:
    noisy = noisy_frame("yuv420p", 64, 96, noise_std=0.08)
    with Denoiser.load(sigma=20, threads=1) as fresh:
        (expected,) = fresh.process(noisy)
    with Denoiser.load(sigma=20, threads=1) as denoiser:
        denoiser.process(noisy_frame("yuv420p", 64, 96, index=1, noise_std=0.08))
        denoiser.strength = 0
        (same,) = denoiser.process(noisy)
        assert same is noisy
        denoiser.strength = 1
        (out,) = denoiser.process(noisy)
    for a, b in zip(expected.planes, out.planes, strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_gain_is_estimated_for_unchanged_frames() -> None:
    with Denoiser.load("nano-awgn", sigma=0.1) as denoiser:
        denoiser.process(noisy_frame("yuv420p", 64, 96))
        assert denoiser.psnr_estimate is None


def test_half_the_strength_has_a_part_of_the_gain() -> None:
    clean = noisy_frame("gray", 128, 160).planes[0]
    gains = []
    for strength in (0, 0.5, 1):
        with Denoiser.load(
            "nano-awgn", sigma=20.4, strength=strength, threads=1
        ) as denoiser:
            for index in range(4):
                noisy = noisy_frame("gray", 128, 160, noise_std=0.08, index=index)
                (out,) = denoiser.process(noisy)
            before, after = denoiser.psnr_estimate or (0, 0)
        gains.append(after - before)
        if strength == 0.5:
            true_before, true_after = (
                psnr_db(clean, each.planes[0], 255) for each in (noisy, out)
            )
            assert gains[-1] == pytest.approx(true_after - true_before, abs=1.5)
    assert 0 == gains[0] < gains[1] < gains[2]


def test_ten_bits_equal_eight() -> None:
    eight = noisy_frame("yuv420p", 64, 96, noise_std=0.08)
    planes = tuple(
        ((p.astype(np.uint32) * 1023 + 127) // 255).astype(np.uint16)
        for p in eight.planes
    )
    ten = Frame(planes, "yuv420p10le", eight.color, 0, eight.time_base, 0, 0)
    with (
        Denoiser.load(sigma=20, threads=1) as a,
        Denoiser.load(sigma=20, threads=1) as b,
    ):
        (low,), (high,) = a.process(eight), b.process(ten)
    difference = np.abs(low.planes[0] - high.planes[0] / 1023 * 255)
    assert difference.max() < 3
    assert difference.mean() < 0.5


def test_a_given_sigma_is_used_and_auto_estimates_it(denoiser: Denoiser) -> None:
    noisy = noisy_frame("gray", 128, 160, noise_std=20 / 255)
    with Denoiser.load("nano-awgn", sigma=20) as given:
        given.process(noisy)
        assert given.sigma == pytest.approx(20)
        noisy_db, clean_db = given.psnr_estimate or (0, 0)
        assert noisy_db == pytest.approx(22.1, abs=0.1)
        assert clean_db > noisy_db + 3
    denoiser.process(noisy)
    assert denoiser.sigma == pytest.approx(20, rel=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": -1}, "outside 0 to 255"),
        ({"sigma": "loud"}, "neither a number nor 'auto'"),
        ({"strength": -0.1}, "outside 0 to 4"),
        ({"model": "missing"}, "no model is named 'missing'"),
        ({"model": "nano-rgb"}, "no nano-rgb any more: .* choose nano, or nano-rgb-"),
        ({"backend": "missing"}, "no backend is named 'missing'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Denoiser.load(**options)  # type: ignore[arg-type]


def test_every_call_returns_its_frame() -> None:
    with Denoiser.load(threads=1) as denoiser:
        frame = noisy_frame("yuv420p", 64, 96, noise_std=0.1)
        stamped = Frame(
            frame.planes,
            "yuv420p",
            frame.color,
            5,
            frame.time_base,
            9,
            time.monotonic(),
        )
        (out,) = denoiser.process(stamped)
        assert (out.index, out.captured_at) == (9, stamped.captured_at)


@pytest.mark.parametrize("pix_fmt", ["gray", "rgb24", "bgr24", "yuv420p"])
def test_an_array_that_was_drawn_on_does_not_come_back(
    denoiser: Denoiser, pix_fmt: str
) -> None:
    rng = np.random.default_rng(0)
    shape = (96, 96, 3) if pix_fmt in ("rgb24", "bgr24") else (96, 96)
    image = rng.normal(128, 20, shape).round().clip(0, 255).astype(np.uint8)
    denoiser.reset()
    first = denoiser(image, pix_fmt)
    expected = first.copy()
    first[:] = 0
    np.testing.assert_array_equal(denoiser(image.copy(), pix_fmt), expected)


def panning_frame(index: int) -> tuple[Frame, Frame]:
    """A camera pans over a random texture; returns the noisy and the clean frame."""
    noise = np.random.default_rng(0).normal(0, 1, (200, 300))
    # As in photographs, coarse and fine detail have the same strength.
    scales = (cv2.GaussianBlur(noise, (0, 0), r) * r for r in (0.8, 2, 5))
    texture = np.sum(list(scales), axis=0) / 1.2
    top, left = index, 3 * index
    frames: list[Frame] = []
    for noise_std in (0.08, 0.0):
        rng = np.random.default_rng((0, index))
        planes = []
        for n in (1, 2, 2):
            part = 0.5 + 0.4 * texture[top : top + 128, left : left + 192][::n, ::n]
            noisy = part + rng.normal(0, noise_std, part.shape)
            planes.append((noisy * 255).round().clip(0, 255).astype(np.uint8))
        frames.append(
            Frame(
                tuple(planes), "yuv420p", ColorInfo(), index, Fraction(1, 25), index, 0
            )
        )
    return frames[0], frames[1]


def test_a_panning_camera_gains_from_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    def last_psnr() -> float:
        with Denoiser.load("nano-awgn", threads=1) as denoiser:
            for index in range(8):
                noisy, clean = panning_frame(index)
                (out,) = denoiser.process(noisy)
        return psnr_db(clean.planes[0], out.planes[0], 255)

    followed = last_psnr()
    # The control: the same network without motion compensation.
    monkeypatch.setattr(MotionFollower, "flow", lambda *_: None)
    assert followed > last_psnr() + 2


def test_motion_is_searched_where_the_engine_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def last_frame() -> np.ndarray:
        with Denoiser.load("nano-awgn", backend="eager", threads=1) as denoiser:
            for index in range(4):
                (out,) = denoiser.process(panning_frame(index)[0])
        return out.planes[0]

    on_host = last_frame()
    made: list[TorchSearch] = []

    def on_device(_: Lane) -> TorchSearch:
        made.append(TorchSearch("cpu"))
        return made[-1]

    monkeypatch.setattr(Lane, "flow_search", on_device)
    assert psnr_db(last_frame(), on_host, 255) > 50
    assert len(made) == 1


@pytest.fixture
def flows(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The motion that the state follows, frame by frame; none in the first ones."""
    found: list[np.ndarray] = []
    search = MotionFollower.flow

    def noted(*args: Any) -> np.ndarray | None:
        flow = search(*args)
        if flow is not None:
            found.append(flow)
        return flow

    monkeypatch.setattr(MotionFollower, "flow", noted)
    return found


@pytest.mark.parametrize("pix_fmt", list(PIX_FMTS))
@pytest.mark.parametrize("size", [(128, 192), (101, 147)])
def test_motion_is_followed_in_every_format(
    denoiser: Denoiser,
    flows: list[np.ndarray],
    pix_fmt: str,
    size: tuple[int, int],
) -> None:
    height, width = size
    for index in range(5):
        luma, *chroma = panning_frame(index)[0].planes
        luma = luma[:height, :width]
        planes = (luma, *(c[: -(-height // 2), : -(-width // 2)] for c in chroma))
        if pix_fmt.startswith("rgb"):
            planes = (np.ascontiguousarray(np.stack([luma] * 3, -1)),)
        elif pix_fmt.startswith("gray"):
            planes = planes[:1]
        if (depth := bit_depth(pix_fmt)) > 8:
            planes = tuple(plane.astype(np.uint16) << (depth - 8) for plane in planes)
        frame = Frame(planes, pix_fmt, ColorInfo(), index, Fraction(1, 25), index, 0)
        denoiser.process(frame)
    assert len(flows) == 4
    for flow in flows:
        assert np.median(flow[3:-3, 3:-3].reshape(-1, 2), 0) == pytest.approx(
            (3, 1), abs=0.3
        )


def test_backends_agree_on_a_moving_stream(flows: list[np.ndarray]) -> None:
    outputs = {}
    for backend in ("eager", "onnxruntime", "openvino-fp32"):
        with Denoiser.load("nano", backend=backend, sigma=20, threads=1) as denoiser:
            for index in range(6):
                (out,) = denoiser.process(panning_frame(index)[0])
        outputs[backend] = out.planes[0].astype(int)
    assert len(flows) == 3 * 5
    eager, *others = outputs.values()
    assert np.abs(others[0] - others[1]).max() <= 1
    # Eager has a vector for each pixel, the others one for each block of 4x4.
    for other in others:
        assert np.abs(other - eager).max() <= 6
        assert psnr_db(other, eager, 255) > 50


def test_a_moving_stream_can_be_reset_paused_and_closed(
    denoiser: Denoiser, flows: list[np.ndarray]
) -> None:
    frames = [panning_frame(index)[0] for index in range(5)]
    fresh = [denoiser.process(frame)[0].planes[0] for frame in frames]

    def again() -> None:
        for frame, expected in zip(frames, fresh, strict=True):
            (out,) = denoiser.process(frame)
            np.testing.assert_array_equal(out.planes[0], expected)

    denoiser.reset()
    again()
    denoiser.strength = 0
    denoiser.process(frames[2])
    denoiser.strength = 1
    again()
    denoiser.close()
    denoiser.reset()
    again()
    assert len(flows) == 4 * 4


def test_the_prepared_engine_is_used() -> None:
    sizes = []

    class Noted(EngineLoader):
        def load(self, height: int, width: int, depth: int) -> Backend:
            sizes.append((height, width, depth))
            return super().load(height, width, depth)

    artifact = open_artifact("nano-awgn")
    with Denoiser(artifact, Noted(artifact, threads=1)) as denoiser:
        denoiser.prepare(65, 47, "yuv420p")
        assert denoiser.backend
        denoiser.process(noisy_frame("yuv420p", 47, 65, noise_std=0.1))
    assert sizes == [(48, 72, 8)]


@pytest.mark.parametrize(
    ("model", "pix_fmt"),
    [
        ("nano-awgn", "yuv420p"),
        ("nano-awgn", "yuv420p10le"),
        ("nano-awgn", "rgb24"),
        ("nano-rgb-awgn", "rgb24"),
    ],
)
def test_preparing_has_no_influence_on_the_stream(model: str, pix_fmt: str) -> None:
    frames = [noisy_frame(pix_fmt, 65, 97, noise_std=0.1, index=i) for i in range(3)]
    denoiser = Denoiser.load(model, threads=1)
    denoiser.prepare(97, 65, pix_fmt)
    prepared = [denoiser.process(frame)[0] for frame in frames]
    fresh = Denoiser.load(model, threads=1)
    for frame, clean in zip(frames, prepared, strict=True):
        for a, b in zip(fresh.process(frame)[0].planes, clean.planes, strict=True):
            np.testing.assert_array_equal(a, b)


def test_more_noise_is_removed_from_a_file_that_hides_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clean = (255 * scene(128, 160)[..., None] * (1, 0.9, 0.8)).astype(np.uint8)
    grain = cv2.GaussianBlur(rng.normal(0, 12, clean.shape), (0, 0), 0.7)
    noisy = (clean + grain).round().clip(0, 255).astype(np.uint8)
    path = tmp_path / "noisy.jpg"
    assert cv2.imwrite(str(path), noisy, [cv2.IMWRITE_JPEG_QUALITY, 60])
    with open_source(str(path)) as source:
        (frame,) = source
    assert frame.hidden_noise
    gains = []
    for each in (replace(frame, hidden_noise=()), frame):
        with Denoiser.load("nano", threads=1) as denoiser:
            (out,) = denoiser.process(each)
        before, after = (
            psnr_db(clean[..., ::-1], image.planes[0], 255) for image in (frame, out)
        )
        gains.append(after - before)
    assert gains[1] > gains[0] + 0.2
