"""Parts that all jobs share."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Protocol

from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.io.open import open_source
from streamdenoise.io.options import ReadOptions
from streamdenoise.io.protocols import Source
from streamdenoise.jobs.config import View
from streamdenoise.jobs.overlay import compose, draw_stats, view_size
from streamdenoise.pipeline.frame_denoiser import FrameDenoiser
from streamdenoise.pipeline.reader import FindReference
from streamdenoise.pipeline.reference import NoiseAdder, ReferenceReader
from streamdenoise.pipeline.stats import Stats
from streamdenoise.pipeline.writer import Render

OnOpen = Callable[[StreamInfo], None]


class Stoppable(Protocol):
    """A part of a job that any thread or signal handler may stop."""

    def stop(self) -> None: ...


class StopSwitch:
    """Stops a job from any thread or signal handler, even before it starts."""

    def __init__(self) -> None:
        self._stopped = False
        self._parts: list[Stoppable] = []
        self.signum: int | None = None
        """The signal that caused the stop, if one did; it decides the exit code."""

    def attach(self, part: Stoppable) -> None:
        """Stop `part` when `stop` is called, or now if it was called before."""
        self._parts.append(part)
        if self._stopped:
            part.stop()

    def stop(self) -> None:
        """End the job soon, with complete outputs; may be called again."""
        self._stopped = True
        for part in self._parts:
            part.stop()

    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped


def denoiser_notes(denoiser: FrameDenoiser) -> list[str]:
    """Which backend was used, and why others were not."""
    used = [f"{denoiser.model} on {denoiser.backend}"] if denoiser.backend else []
    return [*used, *denoiser.backend_notes]


def open_reference(
    stack: ExitStack,
    source: Source,
    reference: str | None,
    add_noise: float | None,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
) -> FindReference | None:
    """Open what the PSNR is measured against: added noise, or a clean `reference`."""
    if add_noise is not None:
        return NoiseAdder(add_noise)
    if reference is None:
        return None
    clean = open_source(
        reference,
        ReadOptions(
            start_s=start_s, duration_s=duration_s, pix_fmt=source.info.pix_fmt
        ),
    )
    return ReferenceReader(stack.enter_context(clean))


def renderer(view: View, overlay: bool) -> Render | None:
    """Make a function that composes output frames; None if they stay as they are."""
    if view is View.CLEAN and not overlay:
        return None

    def render(before: Frame, after: Frame, stats: Stats) -> Frame:
        frame = compose(view, before, after)
        return draw_stats(frame, stats) if overlay else frame

    return render


def view_info(info: StreamInfo, view: View) -> StreamInfo:
    """The stream that a sink gets if `view` is written."""
    width, height = view_size(view, info.width, info.height)
    return replace(info, width=width, height=height)
