"""Trying a model on one image or short clip that nobody vouches for.

The file is decoded in a sandbox, see `streamdenoise.io.sandbox`; only samples come out
of it. `streamdenoise.jobs.trial_process` also runs the rest in a process of its own.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from streamdenoise.contexts import Closing
from streamdenoise.denoisers.load import load_denoiser
from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.errors import SourceError, SourceLostError, SourceOpenError
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.imaging.added_noise import AddedNoise
from streamdenoise.imaging.error_image import error_image
from streamdenoise.imaging.metrics import Scores
from streamdenoise.io.image_paths import is_image
from streamdenoise.io.open import open_sink
from streamdenoise.io.options import (
    IMAGE_SUFFIXES,
    VIDEO_OUTPUTS,
    EncoderConfig,
    FilterOptions,
    ReadOptions,
)
from streamdenoise.io.protocols import Source
from streamdenoise.io.sandbox.confinement import SandboxLimits
from streamdenoise.io.sandbox.source import SandboxedSource
from streamdenoise.io.sinks.null import NullSink
from streamdenoise.jobs.config import View
from streamdenoise.jobs.job import (
    Parts,
    StopSwitch,
    denoiser_notes,
    limited_pools,
    renderer,
    view_info,
)
from streamdenoise.pipeline.pipeline import Pipeline
from streamdenoise.pipeline.reader import FindReference
from streamdenoise.pipeline.reference import NoiseAdder
from streamdenoise.pipeline.stats import Stats
from streamdenoise.pipeline.writer import FramePair, Output

SUFFIXES = (*IMAGE_SUFFIXES, *VIDEO_OUTPUTS)
"""Names of files that can be tried end in one of these: no list of other files does."""
RESIZED = (256, 256)
"""Width and height of what is resized, in pixels."""
IMAGES = ("original.png", "noisy.png", "denoised.png", "error.png")
"""What is written of an image, or of the middle of a clip."""
CLIP = "grid.mp4"
"""What is written of a clip: original, noisy, denoised and error, as H.264."""


_SANDBOX = SandboxLimits(memory_bytes=2 << 30, cpu_s=60, silence_s=20.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialConfig:
    """A file to try, and how."""

    source: Path
    """An image or a clip."""
    folder: Path
    """Where the results go; it exists, and has no file of their names."""
    noise: AddedNoise | None = None
    """Added to the file, which counts as clean then; None denoises it as it is."""
    resized: bool = False
    """Whether it is scaled to `RESIZED`, and made gray, first."""
    model: str = "auto"
    """As in `DenoiseConfig`."""
    strength: float = 1.0
    threads: int | None = None
    """As in `DenoiseConfig`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialLimits:
    """Limits of a trial: the size of its file, and its time."""

    file_bytes: int = 64_000_000
    image_px: int = 16_000_000
    clip_px: int = 1920 * 1080
    """Area of each frame of a clip."""
    clip_s: float = 10.0
    clip_frames: int = 600
    wall_s: float = 300.0
    """For all of it, if it runs in a process of its own."""
    sandbox: SandboxLimits = _SANDBOX


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """The results of a trial."""

    files: tuple[str, ...]
    """Names in the folder: `IMAGES`, and `CLIP` for a clip."""
    width: int
    height: int
    """Of one of the four, in pixels."""
    frames: int
    duration_s: float
    """Of the clip; 0 for an image."""
    model: str
    seconds: float
    """How long it took, from opening the file to the last result."""
    scores: Scores | None
    """Means over all frames; None without added noise, as nothing is known to be clean
    then."""
    sigma: float
    """The noise level that the model was given, see `Stats.sigma`."""
    notes: tuple[str, ...]


def run_trial(config: TrialConfig, limits: TrialLimits | None = None) -> TrialResult:
    """Add noise to an image or clip, denoise it, and compare.

    Args:
        config: What to try, and where the results go.
        limits: What the file may take.

    Raises:
        SourceError: It cannot be read, or takes more than the limits.
        StreamDenoiseError: The model cannot be used, or the results not be written. The
            folder may hold some of them.
    """
    limits = limits or TrialLimits()
    _check_file(config.source, limits)
    started_at = time.monotonic()
    denoise = DenoiseConfig(
        model=config.model, strength=config.strength, threads=config.threads
    )
    switch = StopSwitch()
    with limited_pools(config.threads), Parts(switch) as stack:
        decoder = SandboxedSource(
            str(config.source), _read_options(config, denoise), limits.sandbox
        )
        source = stack.enter_context(_Limited(decoder, config.source, limits))
        is_clip = source.is_clip
        denoiser = stack.enter_context(
            load_denoiser(denoise, single_images=not is_clip)
        )
        middle = _Middle(source.info if is_clip else None)
        outputs = [Output(NullSink(), middle.keep, "the results")]
        if is_clip:
            written = view_info(source.info, View.GRID)
            sink = open_sink(
                str(config.folder / CLIP),
                replace(written, sample_aspect=None),
                # All browsers play 4:2:0.
                encoder=EncoderConfig(preset="veryfast", crf=18, pix_fmt="yuv420p"),
            )
            outputs.append(
                Output(stack.enter_context(sink), renderer(View.GRID, False), CLIP)
            )
        stats = switch.run(
            Pipeline(
                source,
                denoiser,
                outputs,
                reference=_reference(config.noise),
                each_alone=not is_clip,
                with_ssim=True,
            )
        )
        middle.write(config.folder)
        notes = (*source.info.notes, *denoiser_notes(denoiser))
    return TrialResult(
        files=(*IMAGES, *[CLIP] * is_clip),
        width=source.info.width,
        height=source.info.height,
        frames=stats.frames_in,
        duration_s=source.duration_s if is_clip else 0.0,
        model=denoiser.model,
        seconds=time.monotonic() - started_at,
        scores=stats.scores if config.noise is not None else None,
        sigma=stats.sigma,
        notes=tuple(dict.fromkeys(notes)),
    )


def _check_file(path: Path, limits: TrialLimits) -> None:
    if path.suffix.lower() not in SUFFIXES:
        raise SourceOpenError(
            f"{path} cannot be tried; give an image or a clip whose name ends in one "
            f"of {', '.join(SUFFIXES)}"
        )
    try:
        size = os.stat(path).st_size
    except OSError as exc:
        why = str(exc.strerror).lower()
        raise SourceOpenError(f"{path} cannot be opened: {why}") from exc
    if size > limits.file_bytes:
        raise SourceOpenError(
            f"{path} has {size / 1e6:.0f} MB; at most {limits.file_bytes / 1e6:.0f} MB "
            "can be tried"
        )


def _read_options(config: TrialConfig, denoise: DenoiseConfig) -> ReadOptions:
    options = ReadOptions(as_stored=True, audio="none", subtitles="none")
    if config.resized:
        return replace(options, filters=FilterOptions(scale=RESIZED), pix_fmt="gray")
    if not is_image(config.source):
        with load_denoiser(denoise) as denoiser:
            # Models of RGB refuse YUV, which video is read as.
            if denoiser.layout == "rgb":
                return replace(options, pix_fmt="rgb24")
    return options


def _reference(noise: AddedNoise | None) -> FindReference:
    if noise is not None:
        return NoiseAdder(noise)
    return lambda frame: (frame, frame)


class _Limited(Closing):
    """An image, or a clip that may not be too large or too long."""

    def __init__(self, source: Source, path: Path, limits: TrialLimits) -> None:
        self._source = source
        self._path = path
        self._limits = limits
        self._notes: list[str] = []
        self.duration_s = 0.0
        """Of the frames so far."""
        info = source.info
        self.is_clip = not info.pictures or info.is_animation
        most = limits.clip_px if self.is_clip else limits.image_px
        try:
            if info.width * info.height > most:
                kind = "a clip" if self.is_clip else "an image"
                raise SourceOpenError(
                    f"{path} has {info.width}x{info.height} pixels; {kind} may have "
                    f"{most / 1e6:.3g} million, scale it down first"
                )
            expected = self._expected_s()
            if self.is_clip and expected is not None:
                self._check_length(expected, info.num_frames or 0)
        except SourceError:
            source.close()
            raise

    @property
    def info(self) -> StreamInfo:
        info = self._source.info
        return replace(info, notes=(*info.notes, *self._notes))

    @property
    def skipped(self) -> int:
        return self._source.skipped

    def __iter__(self) -> Iterator[Frame]:
        first_s = None
        pages = self.info.pictures
        for number, stored in enumerate(self._source):
            frame = replace(stored, still=None)
            if stored.still is not None and stored.still.alpha is not None:
                self._note("transparency is dropped")
            if not self.is_clip:
                if pages > 1:
                    self._note(f"only the first of its {pages} images is used")
                yield frame
                return
            if first_s is None:
                first_s = frame.time_s
            shown = frame.duration or 0
            end_s = frame.time_s + float(shown * frame.time_base) - first_s
            self.duration_s = max(self.duration_s, end_s)
            self._check_length(frame.time_s - first_s, number + 1)
            yield frame

    def close(self) -> None:
        self._source.close()

    def _note(self, text: str) -> None:
        note = f"{self._path}: {text}"
        if note not in self._notes:
            self._notes.append(note)

    def _expected_s(self) -> float | None:
        info = self._source.info
        if info.num_frames is None or not info.frame_rate:
            return None
        return float(info.num_frames / info.frame_rate)

    def _check_length(self, seconds: float, frames: int) -> None:
        # What a file says of its length is an estimate.
        if seconds > 1.05 * self._limits.clip_s:
            raise SourceLostError(
                f"{self._path} is longer than {self._limits.clip_s:g} s, the most that "
                "can be tried; cut a part out of it"
            )
        if frames > self._limits.clip_frames:
            raise SourceLostError(
                f"{self._path} has more than {self._limits.clip_frames} frames, the "
                "most that can be tried; cut a part out of it"
            )


class _Middle:
    """Keeps the frame in the middle of a clip, as far as its length is known."""

    def __init__(self, info: StreamInfo | None) -> None:
        self._place = ((info and info.num_frames) or 0) // 2
        self._pair: FramePair | None = None

    def keep(self, pair: FramePair, stats: Stats) -> Frame:
        """Take a frame; a `Render` for an output that writes nothing."""
        if self._pair is None or pair.noisy.index <= self._place:
            self._pair = pair
        return pair.clean

    def write(self, folder: Path) -> None:
        """Write `IMAGES`.

        Raises:
            SinkError: One cannot be written.
        """
        assert self._pair is not None, "a source has a frame"
        noisy, clean, original, _ = self._pair
        assert original is not None
        frames = (original, noisy, clean, error_image(original, clean))
        for name, frame in zip(IMAGES, frames, strict=True):
            info = StreamInfo(frame.width, frame.height, frame.pix_fmt)
            with open_sink(str(folder / name), info) as sink:
                sink.write(frame)
