"""What a slow machine leaves out, with the real model and a clock of the test's own."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from streamdenoise.denoisers.adaptive import AdaptiveDenoiser, smaller_model
from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.denoisers.half_size import HalfSizeDenoiser
from streamdenoise.errors import ConfigError
from streamdenoise.frame import PIX_FMTS, ColorInfo, Frame, bit_depth
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.imaging.noise import plane_sigmas
from streamdenoise.inference import artifact as artifact
from streamdenoise.inference.backend import Backend
from streamdenoise.inference.engine_loader import EngineLoader
from streamdenoise.io.open import open_source
from tests.denoisers.test_denoiser import make_frame, scene

MAX_LAG_MS = 100.0
HALF, HALF_SECOND = "half size", "half size, every second frame"
DOWN = ["", HALF, HALF_SECOND, "bypass"]
SIGMA = 0.08
TOLD = SIGMA * 255


def open_nano(kind: type[Denoiser], model: str) -> Denoiser:
    return kind.load(model, threads=1)


class Stage:
    """A denoiser whose frames come out as late as the test says."""

    def __init__(
        self,
        open_denoiser: Callable[[type[Denoiser], str], Denoiser] = open_nano,
        model: str = "nano-awgn",
    ) -> None:
        self.now = 1000.0
        self.index = 0
        self.sigma = SIGMA
        self.denoiser = AdaptiveDenoiser(
            open_denoiser, model, MAX_LAG_MS, lambda: self.now
        )
        self.denoiser.prepare(96, 64, "yuv420p")

    def frame(self, lag_ms: float) -> Frame:
        frame = make_frame("yuv420p", 64, 96, sigma=self.sigma, index=self.index)
        self.index += 1
        self.now += 0.1
        return replace(frame, captured_at=self.now - lag_ms / 1000)

    def feed(self, lag_ms: float) -> tuple[Frame, list[Frame]]:
        frame = self.frame(lag_ms)
        return frame, self.denoiser.process(frame)

    def until(self, load_step: str, lag_ms: float) -> list[str]:
        """Feed frames until a step is reached; the steps on the way."""
        steps = []
        for _ in range(1000):
            self.feed(lag_ms)
            step = self.denoiser.load_step
            if not steps or step != steps[-1]:
                steps.append(step)
            if step == load_step:
                return steps
        raise AssertionError(f"{load_step!r} was never reached: {steps}")


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    with stage.denoiser:
        yield stage


def test_it_goes_down_step_by_step_and_up_again_and_says_so(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    name = "streamdenoise.denoisers.adaptive"
    with caplog.at_level(logging.INFO, name):
        assert stage.until("bypass", 150) == DOWN
        assert stage.until("", 20) == DOWN[::-1]
    said = [(r.levelname, r.getMessage()) for r in caplog.records if r.name == name]
    late = "frames come out 150 ms after their capture, more than 100 ms: the load "
    well = "frames come out 20 ms after their capture: the load "
    assert said == [
        ("WARNING", f"{late}goes down to half size"),
        ("WARNING", f"{late}goes down to half size, every second frame"),
        ("WARNING", f"{late}goes down to bypass"),
        ("INFO", f"{well}goes up to half size, every second frame"),
        ("INFO", f"{well}goes up to half size"),
        ("INFO", f"{well}goes up to full size and every frame"),
    ]


def test_frames_keep_their_place_in_the_stream_and_those_left_out_are_counted(
    stage: Stage,
) -> None:
    for load_step, expected in zip(DOWN, (12, 12, 6, 12), strict=True):
        stage.until(load_step, 150)
        shed = stage.denoiser.shed
        fed = [stage.feed(0) for _ in range(12)]
        assert stage.denoiser.load_step == load_step
        came = [(frame, out[0]) for frame, out in fed if out]
        assert len(came) == expected
        assert stage.denoiser.shed - shed == 12 - expected
        for before, after in came:
            assert (after.index, after.pts) == (before.index, before.pts)
            assert after.captured_at == before.captured_at
            assert (after is before) == (load_step == "bypass")
    assert stage.denoiser.flush() == []


def test_all_engines_are_there_before_the_first_switch(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[tuple[int, int, int]] = []
    load = EngineLoader.load

    def spy(self: EngineLoader, height: int, width: int, depth: int) -> Backend:
        loaded.append((height, width, depth))
        return load(self, height, width, depth)

    monkeypatch.setattr(EngineLoader, "load", spy)
    stage.until("bypass", 150)
    stage.until("", 20)
    assert loaded == []
    stage.denoiser.process(make_frame("yuv420p10le", 47, 65))
    assert loaded == [(48, 72, 10), (24, 40, 10)]


def test_a_step_that_was_away_starts_afresh(stage: Stage) -> None:
    """With the noise of now, too, which is stronger."""
    stage.until(HALF, 150)
    stage.until("", 20)
    stage.sigma *= 2
    stage.until(HALF, 150)
    with HalfSizeDenoiser.load("nano-awgn", threads=1) as fresh:
        for _ in range(3):
            frame, (clean,) = stage.feed(0)
            for a, b in zip(clean.planes, fresh.process(frame)[0].planes, strict=True):
                np.testing.assert_array_equal(a, b)


def test_strength_holds_for_all_steps_and_figures_go_on_in_bypass(
    stage: Stage,
) -> None:
    assert stage.denoiser.strength == 1
    stage.until(HALF, 150)
    assert stage.denoiser.sigma > 0
    stage.feed(0)
    stage.denoiser.strength = 0
    frame, (out,) = stage.feed(0)
    assert out is frame
    stage.until("bypass", 150)
    assert stage.denoiser.strength == 0
    stage.denoiser.strength = 1
    assert stage.denoiser.sigma > 0
    before, after = stage.denoiser.psnr_estimate or (0, 1)
    assert before == after
    assert stage.denoiser.backend
    assert stage.denoiser.model == "nano-awgn"


def test_a_smaller_model_comes_before_half_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same pictures and noise; the models that are shipped cost the same."""
    assert {smaller_model(name) for name in artifact.shipped_models()} == {None}
    for path in artifact.WEIGHTS.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.setattr(artifact, "WEIGHTS", tmp_path)
    manifest = artifact.open_artifact("nano-awgn").manifest
    for name, changes in {
        "tiny": {"kmac_per_px": 2.0},
        "pico": {"kmac_per_px": 5.0},
        "pico-camera": {"kmac_per_px": 6.0, "noise": "camera"},
        "pico-rgb": {"kmac_per_px": 6.0, "layout": "rgb"},
    }.items():
        changed = json.dumps({**manifest, "name": name, **changes})
        (tmp_path / f"{name}.json").write_text(changed)
    assert smaller_model("nano-awgn") == "pico"
    assert smaller_model("nano") == "pico-camera"
    assert smaller_model("tiny") is None
    stage = Stage()
    with stage.denoiser:
        assert stage.until("bypass", 150) == [
            "",
            "model pico",
            "model pico, half size",
            "model pico, half size, every second frame",
            "bypass",
        ]
        assert stage.denoiser.model == "nano-awgn"


def test_what_is_open_is_closed_when_the_next_fails() -> None:
    closed: list[str] = []

    class Fallible(HalfSizeDenoiser):
        def close(self) -> None:
            closed.append(self.model)
            super().close()

    def open_one(kind: type[Denoiser], model: str) -> Denoiser:
        if kind is HalfSizeDenoiser:
            raise ConfigError("no more of them")
        return Fallible.load(model)

    with pytest.raises(ConfigError, match="no more of them"):
        AdaptiveDenoiser(open_one, "nano", MAX_LAG_MS)
    assert closed == ["nano"]


def detailed(pix_fmt: str, height: int, width: int, index: int, sigma: float) -> Frame:
    """Waves and squares, as in `scene`, and stripes too fine for half the size."""
    frame = make_frame(pix_fmt, height, width)
    peak = (1 << bit_depth(pix_fmt)) - 1
    rng = np.random.default_rng(index)
    planes = []
    for number, plane in enumerate(frame.planes):
        clean = scene(*plane.shape[:2])
        if number == 0:
            clean[:, : width // 4] += 0.15 * (np.arange(width // 4) // 2 % 2)
        clean = clean[..., None] if plane.ndim == 3 else clean
        noisy = (clean + rng.normal(0, sigma, plane.shape)) * peak
        planes.append(noisy.round().clip(0, peak).astype(plane.dtype))
    return replace(frame.with_planes(tuple(planes)), index=index, pts=index)


@pytest.mark.parametrize("model", ["nano", "nano-awgn"])
@pytest.mark.parametrize(
    ("pix_fmt", "size"),
    [("yuv420p", (128, 160)), *((pix_fmt, (127, 161)) for pix_fmt in PIX_FMTS)],
)
def test_half_size_is_cleaner_than_its_input_and_no_worse_than_it_claims(
    model: str, pix_fmt: str, size: tuple[int, int]
) -> None:
    peak = (1 << bit_depth(pix_fmt)) - 1
    clean = detailed(pix_fmt, *size, 0, 0)
    with HalfSizeDenoiser.load(model, threads=1) as denoiser:
        for index in range(6):
            noisy = detailed(pix_fmt, *size, index, SIGMA)
            (out,) = denoiser.process(noisy)
        assert denoiser.psnr_estimate is not None
        before, after = denoiser.psnr_estimate
    gains = [
        psnr_db(reference, b, peak) - psnr_db(reference, a, peak)
        for reference, a, b in zip(clean.planes, noisy.planes, out.planes, strict=True)
    ]
    assert min(gains) > 3
    assert after > before + 3
    if pix_fmt != "rgb24":  # whose estimate is that of luma
        assert psnr_db(clean.planes[0], out.planes[0], peak) > after


def test_half_size_keeps_detail_that_it_cannot_hold() -> None:
    """Stripes of two pixels stay where the noise is weaker than they are."""
    clean = detailed("yuv420p", 128, 160, 0, 0).planes[0]
    with HalfSizeDenoiser.load("nano-awgn", sigma=10, threads=1) as denoiser:
        for index in range(4):
            noisy = detailed("yuv420p", 128, 160, index, 10 / 255)
            (out,) = denoiser.process(noisy)
    stripes = np.s_[8:-8, 4:36]
    contrast = clean[stripes].std()
    assert out.planes[0][stripes].std() > 0.9 * contrast
    assert psnr_db(clean[stripes], out.planes[0][stripes], 255) > psnr_db(
        clean[stripes], noisy.planes[0][stripes], 255
    )


def test_texture_that_looks_like_noise_is_not_taken_out_of_the_detail() -> None:
    """Soft texture could be a camera's noise; single pixels tell the two apart."""
    frame = make_frame("yuv420p", 128, 160)
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.normal(0, 1, (128, 160)), (0, 0), 1.2)
    clean = 128 + 20 * texture / texture.std()
    with HalfSizeDenoiser.load("nano", threads=1) as denoiser:
        for _ in range(4):
            noisy = (clean + rng.normal(0, 5, clean.shape)).round().clip(0, 255)
            noisy = noisy.astype(np.uint8)
            (out,) = denoiser.process(frame.with_planes((noisy, *frame.planes[1:])))
        assert denoiser.sigma > 15
    assert psnr_db(clean, out.planes[0], 255) > psnr_db(clean, noisy, 255) + 1


def test_the_network_is_told_what_noise_is_left_at_half_size() -> None:
    told: list[np.ndarray] = []
    shapes: list[tuple[int, ...]] = []
    nano = artifact.open_artifact("nano-awgn")

    class Watched(EngineLoader):
        def load(self, height: int, width: int, depth: int) -> Backend:
            engine = super().load(height, width, depth)
            step = engine.step

            def watch(planes: list, sigmas: np.ndarray, strength: float) -> list:
                told.append(sigmas)
                shapes.append(planes[0].shape)
                return step(planes, sigmas, strength)

            engine.step = watch
            return engine

    loader = Watched(nano, threads=1)
    with HalfSizeDenoiser(nano, sigma=20, loader=loader) as denoiser:
        denoiser.process(make_frame("yuv420p", 64, 96, sigma=SIGMA))
        assert denoiser.sigma == pytest.approx(20)
    assert shapes == [(32, 48)]
    whole = plane_sigmas(20, ColorInfo(), 96, 64)
    np.testing.assert_allclose(told[0] * 255, np.array(whole) / 2, rtol=1e-5)


def test_half_size_stays_within_ten_bits() -> None:
    """Black and white squares with noise, where enlarging overshoots."""
    frame = make_frame("yuv420p10le", 64, 96)
    rows, columns = np.indices((64, 96))
    edges = 1023 * ((rows // 7 + columns // 7) % 2)
    rng = np.random.default_rng(0)
    luma = (edges + rng.normal(0, 40, edges.shape)).round().clip(0, 1023)
    noisy = frame.with_planes((luma.astype(np.uint16), *frame.planes[1:]))
    with HalfSizeDenoiser.load("nano-awgn", sigma=10, threads=1) as denoiser:
        (out,) = denoiser.process(noisy)
    assert out.planes[0].max() == 1023


@pytest.mark.parametrize("pix_fmt", list(PIX_FMTS))
@pytest.mark.parametrize("size", [(1, 1), (9, 2), (47, 65)])
def test_half_size_takes_any_size(pix_fmt: str, size: tuple[int, int]) -> None:
    with HalfSizeDenoiser.load("nano-awgn", sigma=TOLD, threads=1) as denoiser:
        denoiser.prepare(size[1], size[0], pix_fmt)
        for index in range(3):
            noisy = make_frame(pix_fmt, *size, sigma=SIGMA, index=index)
            (out,) = denoiser.process(noisy)
            assert (out.pts, out.pix_fmt) == (noisy.pts, noisy.pix_fmt)
            assert [p.shape for p in out.planes] == [p.shape for p in noisy.planes]
            assert [p.dtype for p in out.planes] == [p.dtype for p in noisy.planes]


def test_models_for_rgb_work_at_half_size() -> None:
    clean = make_frame("rgb24", 127, 161)
    with HalfSizeDenoiser.load("nano-rgb-awgn", threads=1) as denoiser:
        for index in range(4):
            noisy = make_frame("rgb24", 127, 161, sigma=SIGMA, index=index)
            (out,) = denoiser.process(noisy)
    gain = psnr_db(clean.planes[0], out.planes[0], 255) - psnr_db(
        clean.planes[0], noisy.planes[0], 255
    )
    assert gain > 6


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv420p10le", "gray", "rgb24"])
def test_half_size_does_clean_patterns_no_harm(pix_fmt: str) -> None:
    peak = (1 << bit_depth(pix_fmt)) - 1
    with HalfSizeDenoiser.load("nano-awgn", threads=1) as denoiser:
        for index in range(4):
            clean = make_frame(pix_fmt, 128, 160, index=index, shift=2 * index)
            (out,) = denoiser.process(clean)
            for a, b in zip(clean.planes, out.planes, strict=True):
                assert psnr_db(a, b, peak) > 45


@pytest.mark.parametrize("model", ["nano", "nano-awgn"])
def test_half_size_does_clean_footage_no_harm(model: str) -> None:
    with (
        open_source("samples/cctv.mp4") as source,
        HalfSizeDenoiser.load(model, threads=1) as denoiser,
    ):
        for frame in islice(source, 8):
            (out,) = denoiser.process(frame)
            for a, b in zip(frame.planes, out.planes, strict=True):
                assert psnr_db(a, b, 255) > 45
