"""The model of `--model auto`: the largest that keeps up with a source."""

import logging
from fractions import Fraction

import numpy as np
import pytest

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.denoisers.keeping_up import largest_that_keeps_up
from streamdenoise.frame import PIX_FMTS, StreamInfo
from tests.support.frames import make_frame

SIZE = 96, 64


class Noted(Denoiser):
    """Counts how often it is closed."""

    closed = 0

    def close(self) -> None:
        self.closed += 1
        super().close()


class Opener:
    """Opens denoisers, and remembers them."""

    def __init__(self) -> None:
        self.opened: list[Noted] = []

    def __call__(self, model: str) -> Denoiser:
        denoiser = Noted.load(model, sigma=10, threads=1)
        assert isinstance(denoiser, Noted)
        self.opened.append(denoiser)
        return denoiser


def source(rate: int | None, pix_fmt: str = "yuv420p") -> StreamInfo:
    return StreamInfo(*SIZE, pix_fmt, Fraction(rate) if rate else None)


@pytest.mark.parametrize("pix_fmt", PIX_FMTS)
def test_the_largest_model_is_taken_where_time_allows(pix_fmt: str) -> None:
    with largest_that_keeps_up(Opener(), source(1, pix_fmt)) as denoiser:
        assert denoiser.model == "nano"


def test_it_starts_afresh() -> None:
    frame = make_frame(0, width=SIZE[0], height=SIZE[1])
    opener = Opener()
    with (
        largest_that_keeps_up(opener, source(1)) as chosen,
        opener("nano") as fresh,
    ):
        (mine,), (expected,) = chosen.process(frame), fresh.process(frame)
    np.testing.assert_array_equal(mine.planes[0], expected.planes[0])


def test_a_smaller_one_is_taken_where_frames_come_too_fast(
    caplog: pytest.LogCaptureFixture,
) -> None:
    opener = Opener()
    with largest_that_keeps_up(opener, source(100_000)) as denoiser:
        assert denoiser.model == "pico"
        assert denoiser.process(make_frame(0, width=SIZE[0], height=SIZE[1]))
    too_slow, chosen = opener.opened
    assert chosen is denoiser
    assert (too_slow.model, too_slow.closed) == ("nano", 1)
    first, last = caplog.messages
    assert "so the smaller pico is used; --model nano insists" in first
    assert last.startswith("pico needs ")
    assert "96x64 at 100000 fps and may not keep up; give the camera" in last


def test_a_source_that_states_no_rate_is_taken_for_a_camera(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        caplog.at_level(logging.INFO),
        largest_that_keeps_up(Opener(), source(None)) as denoiser,
    ):
        assert denoiser.model in ("nano", "pico")
    assert "of the 33.3 ms between frames of 96x64 at 30 fps" in caplog.text
