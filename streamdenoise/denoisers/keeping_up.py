"""Chooses the model that a source leaves time for."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction

import numpy as np

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.denoisers.family import LARGEST, smaller_model
from streamdenoise.frame import Frame, StreamInfo, bit_depth
from streamdenoise.imaging.color import with_chroma

log = logging.getLogger(__name__)

_SHARE = 0.7
"""Of the time between two frames; the rest is for decoding, encoding and delays."""
_USUAL_RATE = Fraction(30)
"""Of sources that do not state theirs, such as most cameras."""
_WARM_UP, _MEASURED = 3, 8
"""Numbers of frames."""
_NOISE = 8.0
"""Standard deviation in 8-bit levels."""


def largest_that_keeps_up(
    open_denoiser: Callable[[str], Denoiser], info: StreamInfo
) -> Denoiser:
    """Load the largest model that is fast enough for a source on this machine, now.

    Each is timed with a few made frames, which takes less than a second. Nothing is
    kept for the next time, when the machine may have other work, or other limits.

    Args:
        open_denoiser: loads a shipped model by its name.
        info: of the source.

    Returns:
        The denoiser, as fresh; the smallest one if none keeps up.

    Raises:
        StreamDenoiseError: raised by `open_denoiser`.
    """
    rate = info.frame_rate or _USUAL_RATE
    interval_ms = float(1000 / rate)
    source = f"{info.width}x{info.height} at {float(rate):g} fps"
    model: str | None = LARGEST
    while True:
        with ExitStack() as stack:
            denoiser = stack.enter_context(open_denoiser(model))
            ms = _frame_ms(denoiser, info)
            smaller = smaller_model(model)
            keeps_up = ms <= _SHARE * interval_ms
            if keeps_up or smaller is None:
                stack.pop_all()
        needed = f"{model} needs {ms:.1f} of the {interval_ms:.1f} ms between frames"
        if keeps_up:
            log.info("model %s: %s of %s", model, needed, source)
            return denoiser
        if smaller is None:
            log.warning(
                "%s of %s and may not keep up; give the camera a smaller size or "
                "frame rate, or use --scale, --fps or --max-lag",
                *(needed, source),
            )
            return denoiser
        log.warning(
            "%s of %s, so the smaller %s is used; --model %s insists",
            *(needed, source, smaller, model),
        )
        model = smaller


def _frame_ms(denoiser: Denoiser, info: StreamInfo) -> float:
    """The time for a frame, once engine and caches are warm.

    The lower quartile, as a program that only starts now should not decide for weeks.
    """
    times: list[float] = []
    for frame in _moving_frames(info):
        begin = time.perf_counter()
        denoiser.process(frame)
        times.append((time.perf_counter() - begin) * 1e3)
    denoiser.reset()
    return sorted(times[_WARM_UP:])[_MEASURED // 4]


def _moving_frames(info: StreamInfo) -> Iterator[Frame]:
    """Noise over waves that move by 2 pixels a frame, as work enough for all stages."""
    rng = np.random.default_rng(0)
    height, width = info.height, info.width
    bits = bit_depth(info.pix_fmt)
    peak, dtype = (1 << bits) - 1, np.uint8 if bits == 8 else np.uint16
    rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width)
    waves = np.sin(rows / 9) + np.sin(columns / 7).astype(np.float32)
    noise = rng.normal(0, _NOISE, (height, width)).astype(np.float32)
    for number in range(_WARM_UP + _MEASURED):
        levels = 128 + 40 * np.roll(waves, 2 * number, 1)
        levels += np.roll(noise, (61 * number, 97 * number), (0, 1))
        luma = (levels.clip(0, 255) * (peak / 255)).astype(dtype)
        yield Frame(
            planes=_planes(luma, info.pix_fmt, bits),
            pix_fmt=info.pix_fmt,
            color=info.color,
            pts=number,
            time_base=Fraction(1, 25),
            index=number,
            captured_at=time.monotonic(),
        )


def _planes(luma: np.ndarray, pix_fmt: str, bits: int) -> tuple[np.ndarray, ...]:
    if pix_fmt.startswith("gray"):
        return (luma,)
    if pix_fmt.startswith("rgb"):
        return (np.repeat(luma[:, :, None], 3, 2),)
    return with_chroma((luma,), bits)
