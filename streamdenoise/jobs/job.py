"""What all jobs share."""

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
from streamdenoise.pipeline.reader import FindReference
from streamdenoise.pipeline.reference import NoiseAdder, ReferenceReader
from streamdenoise.pipeline.stats import Stats
from streamdenoise.pipeline.writer import Render

OnStats = Callable[[Stats], None]
OnOpen = Callable[[StreamInfo], None]


class Stoppable(Protocol):
    """What can be ended soon, from any thread or signal handler."""

    def stop(self) -> None: ...


class Reporting(Protocol):
    """A denoiser, as far as it tells what did the work."""

    model: str

    @property
    def backend(self) -> str: ...

    @property
    def backend_notes(self) -> tuple[str, ...]: ...


class StopSwitch:
    """Stops a job from any thread or signal handler, also before it has begun."""

    def __init__(self) -> None:
        self._stopped = False
        self._parts: list[Stoppable] = []
        self.signum: int | None = None
        """The signal that asked for the stop, if one did: it decides the exit code."""

    def attach(self, part: Stoppable) -> None:
        """Make `part` one to stop: at once, if `stop` was called before."""
        self._parts.append(part)
        if self._stopped:
            part.stop()

    def stop(self) -> None:
        """End the job soon, with complete outputs; any number of times."""
        self._stopped = True
        for part in self._parts:
            part.stop()

    @property
    def stopped(self) -> bool:
        return self._stopped

    def is_stopped(self) -> bool:
        """The same, for those who ask again and again."""
        return self._stopped


def denoiser_notes(denoiser: Reporting) -> list[str]:
    """Which backend did the work, and why not another."""
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
    """What the PSNR is measured against, if the user gave something."""
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
    """How the output's picture is made; None for the clean picture alone."""
    if view is View.CLEAN and not overlay:
        return None

    def render(before: Frame, after: Frame, stats: Stats) -> Frame:
        picture = compose(view, before, after)
        return draw_stats(picture, stats) if overlay else picture

    return render


def view_info(info: StreamInfo, view: View) -> StreamInfo:
    """The stream that a sink gets when `view` is written."""
    width, height = view_size(view, info.width, info.height)
    return replace(info, width=width, height=height)
