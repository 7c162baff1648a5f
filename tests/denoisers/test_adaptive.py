"""Reducing quality on a slow machine: the real model, a simulated clock."""

import json
import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamdenoise.denoisers.adaptive import (
    AdaptiveDenoiser,
    OpenDenoiser,
    smaller_model,
)
from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.denoisers.load import load_video_denoiser
from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.errors import ConfigError
from streamdenoise.frame import Frame
from streamdenoise.inference import artifact as artifact
from streamdenoise.inference.backend import Backend
from streamdenoise.inference.engine_loader import EngineLoader
from tests.denoisers.noisy_scene import noisy_frame

MAX_LAG_MS = 100.0
HALF, HALF_SECOND = "half size", "half size, every second frame"
DOWN = ["", HALF, HALF_SECOND, "bypass"]
NOISE_STD = 0.08
GIVEN_SIGMA = NOISE_STD * 255


def open_nano(model: str, half_size: bool) -> Denoiser:
    return load_video_denoiser(
        DenoiseConfig(model=model, threads=1), half_size=half_size
    )


class Stage:
    """A denoiser whose frames are as late as the test says."""

    def __init__(
        self,
        open_denoiser: OpenDenoiser = open_nano,
        model: str = "nano-awgn",
    ) -> None:
        self.now = 1000.0
        self.index = 0
        self.noise_std = NOISE_STD
        self.denoiser = AdaptiveDenoiser(
            open_denoiser, model, MAX_LAG_MS, lambda: self.now
        )
        self.denoiser.prepare(96, 64, "yuv420p")

    def frame(self, lag_ms: float) -> Frame:
        frame = noisy_frame(
            "yuv420p", 64, 96, noise_std=self.noise_std, index=self.index
        )
        self.index += 1
        self.now += 0.1
        return replace(frame, captured_at=self.now - lag_ms / 1000)

    def feed(self, lag_ms: float) -> tuple[Frame, list[Frame]]:
        frame = self.frame(lag_ms)
        return frame, self.denoiser.process(frame)

    def until(self, load_step: str, lag_ms: float) -> list[str]:
        """Feed frames until a step is reached; returns the steps on the way."""
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


def test_quality_goes_down_and_up_step_by_step_and_is_logged(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    name = "streamdenoise.denoisers.adaptive"
    with caplog.at_level(logging.INFO, name):
        assert stage.until("bypass", 150) == DOWN
        assert stage.until("", 20) == DOWN[::-1]
    logged = [(r.levelname, r.getMessage()) for r in caplog.records if r.name == name]
    late = "latency is 150 ms, above the limit of 100 ms: reducing quality to "
    well = "latency is 20 ms: raising quality to "
    assert logged == [
        ("WARNING", f"{late}half size"),
        ("WARNING", f"{late}half size, every second frame"),
        ("WARNING", f"{late}bypass"),
        ("INFO", f"{well}half size, every second frame"),
        ("INFO", f"{well}half size"),
        ("INFO", f"{well}full size and every frame"),
    ]


def test_frames_keep_their_index_and_shed_frames_are_counted(
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


def test_all_engines_are_loaded_before_the_first_switch(
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
    stage.denoiser.process(noisy_frame("yuv420p10le", 47, 65))
    assert loaded == [(48, 72, 10), (24, 40, 10)]


def test_a_step_starts_fresh_when_it_comes_back(stage: Stage) -> None:
    """It estimates the noise again, which has become stronger."""
    stage.until(HALF, 150)
    stage.until("", 20)
    stage.noise_std *= 2
    stage.until(HALF, 150)
    with open_nano("nano-awgn", True) as fresh:
        for _ in range(3):
            frame, (clean,) = stage.feed(0)
            for a, b in zip(clean.planes, fresh.process(frame)[0].planes, strict=True):
                np.testing.assert_array_equal(a, b)


def test_strength_holds_for_all_steps_and_bypass_keeps_the_figures(
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


def test_a_smaller_model_is_tried_before_half_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the same frames and noise."""
    assert smaller_model("nano") == "pico"
    assert {smaller_model(name) for name in ("pico", "nano-awgn")} == {None}
    for path in artifact.WEIGHTS.iterdir():
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(artifact, "WEIGHTS", tmp_path)
    manifest = artifact.open_artifact("nano-awgn").manifest
    rgb = artifact.open_artifact("nano-rgb-awgn").manifest
    for name, changes in {
        "tiny": {"kmac_per_px": 2.0},
        "pico-awgn": {"kmac_per_px": 5.0},
        "micro": {"kmac_per_px": 6.0, "noise": "camera"},
        "pico-rgb": {**rgb, "kmac_per_px": 6.0},
    }.items():
        changed = json.dumps({**manifest, **changes, "name": name})
        (tmp_path / f"{name}.json").write_text(changed)
    assert smaller_model("nano-awgn") == "pico-awgn"
    assert smaller_model("nano") == "micro"
    assert smaller_model("tiny") is None
    stage = Stage()
    with stage.denoiser:
        assert stage.until("bypass", 150) == [
            "",
            "model pico-awgn",
            "model pico-awgn, half size",
            "model pico-awgn, half size, every second frame",
            "bypass",
        ]
        assert stage.denoiser.model == "nano-awgn"


def test_open_denoisers_are_closed_if_the_next_fails() -> None:
    closed: list[str] = []

    class Noted(Denoiser):
        def close(self) -> None:
            closed.append(self.model)
            super().close()

    def open_one(model: str, half_size: bool) -> Denoiser:
        if half_size:
            raise ConfigError("no more of them")
        return Noted.load(model)

    with pytest.raises(ConfigError, match="no more of them"):
        AdaptiveDenoiser(open_one, "nano", MAX_LAG_MS)
    assert closed == ["nano", "pico"]
