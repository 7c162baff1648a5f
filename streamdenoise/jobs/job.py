"""Parts that all jobs share."""

import logging
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Protocol

from streamdenoise.errors import ConfigError, HungError
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.imaging.added_noise import AddedNoise
from streamdenoise.imaging.opencv_pool import limited_opencv
from streamdenoise.io.image_paths import has_number, is_image
from streamdenoise.io.memory_limit import check_memory
from streamdenoise.io.open import encodes, open_source
from streamdenoise.io.options import Hwaccel, NetworkOptions, ReadOptions
from streamdenoise.io.pictures.picture import MULTIPAGE_SUFFIXES
from streamdenoise.io.protocols import Source, beside_of
from streamdenoise.jobs.config import View
from streamdenoise.jobs.overlay import compose, draw_stats, view_size
from streamdenoise.pipeline.frame_denoiser import FrameDenoiser
from streamdenoise.pipeline.pipeline import OnStats, Pipeline
from streamdenoise.pipeline.reader import FindReference
from streamdenoise.pipeline.reference import NoiseAdder, ReferenceReader
from streamdenoise.pipeline.stats import Stats
from streamdenoise.pipeline.writer import FramePair, Render
from streamdenoise.progress import Stage
from streamdenoise.threads import limited_threads

log = logging.getLogger(__name__)

_STEP_BYTES_PER_PX = 60
_ENCODER_BYTES_PER_PX = 70
"""Memory that a job takes for each pixel of a frame, measured with video of 8K: 76 in
tiles, and 80 to 175 more for x264 with its presets veryfast and medium."""

OnOpen = Callable[[StreamInfo], None]


class Stoppable(Protocol):
    """A part of a job that any thread or signal handler may stop."""

    def stop(self) -> None: ...


class StopSwitch:
    """Stops a job from any thread or signal handler, even before it starts."""

    def __init__(self) -> None:
        self._stopped = False
        self._parts: list[Stoppable] = []
        self._pipeline: Pipeline | None = None
        self.stage = Stage()
        """What the job has in hand before and after its pipeline runs."""
        self.signum: int | None = None
        """The signal that caused the stop, if one did; it decides the exit code."""

    def attach(self, part: Stoppable) -> None:
        """Stop `part` when `stop` is called, or now if it was called before."""
        self._parts.append(part)
        if self._stopped:
            part.stop()

    def run(self, pipeline: Pipeline, on_stats: OnStats | None = None) -> Stats:
        """Run `pipeline`, which `stop` stops; see `Pipeline.run`."""
        self.attach(pipeline)
        self._pipeline = pipeline
        try:
            return pipeline.run(on_stats)
        finally:
            self._parts.remove(pipeline)

    @property
    def is_reading(self) -> bool:
        """Whether a thread still reads the source, see `Pipeline.is_reading`."""
        return self._pipeline is not None and self._pipeline.is_reading

    @property
    def has_begun(self) -> bool:
        """Whether outputs may hold frames by now, which an error would lose."""
        return self._pipeline is not None

    @property
    def is_bounded(self) -> bool:
        """Whether the part that works now ends soon after `stop`, whatever hangs."""
        return self._pipeline is not None and self._pipeline.is_watching

    def stop(self) -> None:
        """End the job soon, with complete outputs; may be called again."""
        self._stopped = True
        for part in list(self._parts):  # other threads may change it
            part.stop()

    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped


@contextmanager
def limited_pools(threads: int | None) -> Generator[None]:
    """Limit the threads of decoders, encoders, engines and OpenCV each meanwhile.

    Args:
        threads: as the user said; None is only what the machine gives.
    """
    with limited_threads(threads), limited_opencv():
        yield


class Parts(ExitStack[None]):
    """The parts of a job, which are closed at the end unless threads still use them."""

    def __init__(self, switch: StopSwitch) -> None:
        super().__init__()
        self._switch = switch

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(exc, HungError) or self._switch.is_reading:
            return
        with self._switch.stage.doing("closing the input and the model"):
            super().__exit__(exc_type, exc, traceback)


def denoiser_notes(denoiser: FrameDenoiser) -> list[str]:
    """Which backend was used, and why others were not."""
    used = [f"{denoiser.model} on {denoiser.backend}"] if denoiser.backend else []
    return [*used, *denoiser.backend_notes]


def check_network(network: NetworkOptions) -> None:
    """Check what is said of certificates before anything is opened.

    Raises:
        ConfigError: The file of CA certificates cannot be used.
    """
    if network.tls_ca is not None:
        from streamdenoise.io.connections.trust import CertificateError, trust_of

        try:
            trust_of(network).check()
        except CertificateError as exc:
            raise ConfigError(f"{exc}; {exc.advice}") from exc
    if network.insecure:
        log.warning(
            "--insecure: certificates are not checked, so anyone on the way can read "
            "passwords and video"
        )


def open_reference(
    stack: ExitStack,
    source: Source,
    reference: str | None,
    add_noise: AddedNoise | None,
    *,
    options: ReadOptions | None = None,
) -> FindReference | None:
    """Open what results are compared with: a clean `reference`, or the source itself.

    The source is clean if noise is added to it and there is no `reference`. `options`
    are those that `source` was opened with.
    """
    find = None
    if reference is not None:
        options = replace(options or ReadOptions(), hwaccel=Hwaccel.NONE)
        clean = open_source(reference, replace(options, pix_fmt=source.info.pix_fmt))
        find = ReferenceReader(stack.enter_context(clean))
    return find if add_noise is None else NoiseAdder(add_noise, find)


def loss_notes(source: Source, output: str) -> list[str]:
    """Notes about what `source` has and frames and `output` do not hold."""
    lost = list(source.info.losses)
    tags = source.info.tags
    if not encodes(output):  # encoders state what they cannot keep
        hdr = tags.mastering_display is not None or tags.content_light is not None
        lost += ["HDR10 metadata"] * hdr
        lost += ["stereo layout"] * bool(tags.stereo)
    beside = beside_of(source)
    if beside is not None and not beside.is_wanted:
        kinds = {"audio": "sound", "subtitle": "subtitle text"}
        found = {kinds[each.type] for each in beside.streams if each.type in kinds}
        lost += sorted(found)
    return [f"{output}: {name} is left out" for name in lost]


def check_job_memory(name: str, info: StreamInfo, outputs: Sequence[str]) -> None:
    """Refuse frames that a job of them has too little memory for.

    Args:
        name: of the source.
        info: of the frames that are written.
        outputs: where to.

    Raises:
        SourceOpenError: There is too little.
    """
    encoders = sum(map(encodes, outputs))
    work = _STEP_BYTES_PER_PX + _ENCODER_BYTES_PER_PX * encoders
    check_memory(name, info.width, info.height, work)


def check_pages(name: str, source: Source, target: str) -> None:
    """Refuse a file of several pictures if the output holds one.

    Raises:
        ConfigError: It does.
    """
    path = Path(target)
    holds_one = is_image(path) and path.suffix.lower() not in MULTIPAGE_SUFFIXES
    if not holds_one or has_number(path) or os.path.isdir(path):
        return
    pages = source.info.pictures
    if pages > 1:
        raise ConfigError(
            f"{name} has {pages} pictures, but {target} holds one; use .tif, .png, "
            ".webp or .gif, a name with %03d, or a video such as .mp4"
        )


def renderer(view: View, overlay: bool) -> Render | None:
    """Make a function that composes output frames; None if they stay as they are."""
    if view is View.CLEAN and not overlay:
        return None

    def render(pair: FramePair, stats: Stats) -> Frame:
        frame = compose(view, pair)
        return draw_stats(frame, stats) if overlay else frame

    return render


def view_info(info: StreamInfo, view: View) -> StreamInfo:
    """The stream that a sink gets if `view` is written."""
    width, height = view_size(view, info.width, info.height)
    return replace(info, width=width, height=height)
