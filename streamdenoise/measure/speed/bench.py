"""Speed and quality on this machine, compared with FFmpeg's denoisers in one run.

All contenders get the same noisy clip: a clean one with white Gaussian noise added,
stored without loss as 8-bit yuv420p. They take turns, several times, and the median
counts.
"""

import itertools
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.errors import BackendError
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.imaging.metrics import psnr_y
from streamdenoise.imaging.noise import add_gaussian_noise
from streamdenoise.inference.registry import usual_backends
from streamdenoise.io.open import open_sink
from streamdenoise.machine import cpu_name, package_versions
from streamdenoise.measure.clips import (
    TICK,
    clean_clip_path,
    noisy_clip,
    read_clip,
    resized_clip,
)
from streamdenoise.measure.config import BenchConfig
from streamdenoise.measure.peers.ffmpeg import (
    FFMPEG_PEERS,
    TOO_SLOW_TO_BENCH,
    FFmpegPeer,
    ffmpeg_exe,
    run_filter,
)
from streamdenoise.measure.peers.peer import StoredClip, store
from streamdenoise.measure.peers.search import best_options
from streamdenoise.measure.plots import figure_type
from streamdenoise.measure.speed.bench_report import BenchReport, Result
from streamdenoise.measure.speed.job import CRF, PRESET, Command, file_arguments, run
from streamdenoise.security.import_path import python_child
from streamdenoise.threads import usable_cores

PEERS = tuple(peer for peer in FFMPEG_PEERS if peer.name not in TOO_SLOW_TO_BENCH)

Step = Callable[[], float]
"""Runs once and returns frames per second."""


@dataclass(frozen=True, slots=True)
class Size:
    """A frame size, and how much to run at it."""

    name: str
    width: int
    height: int
    frames: int
    """Length of the clip, for all that are fast enough."""
    slow_frames: int
    """Length for those that would take more than `_JOB_S` with all frames."""


SIZES = (
    Size("360p", 640, 360, 300, 24),
    Size("720p", 1280, 720, 150, 10),
    Size("1080p", 1920, 1080, 90, 6),
)
QUICK_SIZES = (Size("360p", 640, 360, 8, 4),)

_JOB_S = 8.0
_QUALITY_FRAMES = 24
_MEMORY_FRAMES = 12
_WARMUP_FRAMES = 3


@dataclass(frozen=True, slots=True)
class _Contender:
    name: str
    psnr_y: float
    step: Callable[[Size, int], Step]
    """Makes the step for a size and a number of frames."""
    command: Callable[[Path, Path, int], Command]
    """Makes the command of the job for an input, an output and a number of frames."""
    options: str = ""


def bench(
    config: BenchConfig, *, on_progress: Callable[[str], None] | None = None
) -> BenchReport:
    """Measure every backend that works here, and FFmpeg's denoisers.

    Args:
        config: What to measure; its `sizes` and `backends` are not used.
        on_progress: Called with progress messages.

    Raises:
        ConfigError: The clip or the `[bench]` packages are missing.
    """
    on_progress = on_progress or (lambda _: None)
    path, clip_name = clean_clip_path(config.clip)
    # Anything that may be missing is checked before half an hour of measuring.
    ffmpeg_exe()
    if config.output is not None:
        figure_type()
    sizes = QUICK_SIZES if config.quick else SIZES
    repeat = 1 if config.quick else config.repeat
    threads = config.threads or usable_cores()
    with tempfile.TemporaryDirectory(prefix="streamdenoise-bench-") as scratch:
        bench = _Bench(
            source=read_clip(path, 120),
            model=config.model,
            sigma=config.added_sigma,
            quick=config.quick,
            threads=threads,
            folder=Path(scratch),
            on_progress=on_progress,
        )
        peers = PEERS if config.peers else ()
        contenders, left_out = bench.contenders(sizes[0], peers)
        results = [
            result
            for size in sizes
            for result in bench.measure(contenders, size, repeat)
        ]
    return BenchReport(
        results=tuple(results),
        machine={
            "CPU": cpu_name(),
            "threads": str(threads),
            **package_versions(),
            "FFmpeg": _ffmpeg_version(),
        },
        clip=clip_name,
        sigma=config.added_sigma,
        repeat=repeat,
        left_out=tuple(left_out),
        searched=not config.quick,
    )


@dataclass(frozen=True, slots=True)
class _Bench:
    source: Sequence[Frame]
    """The clean clip, at its own size."""
    model: str
    sigma: float
    quick: bool
    threads: int
    folder: Path
    """For scratch files."""
    on_progress: Callable[[str], None]

    def contenders(
        self, size: Size, peers: Sequence[FFmpegPeer]
    ) -> tuple[list[_Contender], list[str]]:
        """Everything that works here, with its quality and options.

        Returns:
            The contenders; and why backends were left out.
        """
        frames = min(size.frames, _QUALITY_FRAMES)
        clean = resized_clip(self.source, size.width, size.height, frames)
        noisy = noisy_clip(clean, self.sigma)
        stored = store(noisy, self.folder / "search.yuv")
        found, left_out = [self._filter("none", "null", psnr_y(clean, noisy))], []
        for backend in usual_backends():
            self.on_progress(f"quality of {backend}")
            try:
                with self._load(backend) as denoiser:
                    denoised = [f for frame in noisy for f in denoiser.process(frame)]
            except BackendError as exc:
                left_out.append(str(exc))
                continue
            found.append(self._own(backend, psnr_y(clean, denoised)))
        found += [self._peer(peer, clean, stored) for peer in peers]
        return found, left_out

    def measure(
        self, contenders: Sequence[_Contender], size: Size, repeat: int
    ) -> list[Result]:
        """All contenders at one size, in turns."""
        noisy, out = self._clip_path(size), self.folder / "out.mp4"
        self.on_progress(f"{size.name}: writing the noisy clip")
        self._write_clip(size, noisy)
        results, runs = [], []
        for contender in contenders:
            self.on_progress(f"{size.name}: {contender.name}: trying")
            fps = contender.step(size, size.slow_frames)()
            frames = int(min(size.frames, max(size.slow_frames, fps * _JOB_S)))
            if self.quick:
                frames = size.frames
            results.append(
                Result(
                    contender.name,
                    size.name,
                    contender.psnr_y,
                    frames,
                    options=contender.options,
                )
            )
            runs.append(
                (contender.step(size, frames), contender.command(noisy, out, frames))
            )
        for turn in range(repeat):
            for result, (step, job) in zip(results, runs, strict=True):
                self.on_progress(
                    f"{size.name}: {result.name}: run {turn + 1} of {repeat}"
                )
                result.step_fps.append(step())
                result.job_fps.append(result.frames / run(job))
                out.unlink(missing_ok=True)
        noisy.unlink()
        return results

    def _load(self, backend: str) -> Denoiser:
        return Denoiser.load(self.model, backend=backend, threads=self.threads)

    def _own(self, backend: str, quality: float) -> _Contender:
        def make_step(size: Size, frames: int) -> Step:
            # A dozen frames, back and forth: memory cannot hold the whole clip.
            clean = resized_clip(self.source, size.width, size.height, _MEMORY_FRAMES)
            few = noisy_clip(clean, self.sigma)
            order = few + few[-2:0:-1]

            def step() -> float:
                with self._load(backend) as denoiser:
                    for frame in order[:_WARMUP_FRAMES]:
                        denoiser.process(frame)
                    start = time.perf_counter()
                    for frame in itertools.islice(itertools.cycle(order), frames):
                        denoiser.process(frame)
                    return frames / (time.perf_counter() - start)

            return step

        def command(noisy: Path, out: Path, frames: int) -> Command:
            return python_child(
                *("-m", "streamdenoise"),
                *file_arguments(noisy, out, self.model, backend, self.threads),
                *("--duration", str(frames / 25)),
            )

        return _Contender(f"streamdenoise {backend}", quality, make_step, command)

    def _peer(
        self, peer: FFmpegPeer, clean: Sequence[Frame], noisy: StoredClip
    ) -> _Contender:
        """One of FFmpeg's denoisers, with its best options."""
        self.on_progress(f"best options of {peer.name}")
        if self.quick:
            luma = 0.64 * self.sigma
            options = {key: values[0] for key, values in peer.axes(luma).items()}
        else:
            options = best_options(peer, self.sigma, [(clean, noisy)], self.threads)
        graph = peer.filter(options)
        filtered = run_filter(graph, noisy.first(peer.max_frames), self.threads).frames
        return self._filter(peer.name, graph, psnr_y(clean[: len(filtered)], filtered))

    def _filter(self, name: str, graph: str, quality: float) -> _Contender:
        def command(noisy: Path, frames: int) -> list[str]:
            return [
                *(ffmpeg_exe(), "-hide_banner", "-nostdin", "-loglevel", "error", "-y"),
                *("-i", str(noisy), "-frames:v", str(frames)),
                *("-filter_complex_threads", str(self.threads), "-lavfi", graph),
            ]

        def make_step(size: Size, frames: int) -> Step:
            to_null = [*command(self._clip_path(size), frames), "-f", "null", "-"]
            return lambda: frames / run((to_null, None))

        def job(noisy: Path, out: Path, frames: int) -> Command:
            encode = ("-c:v", "libx264", "-preset", PRESET, "-crf", str(CRF))
            to_file = ("-pix_fmt", "yuv420p", str(out))
            return [*command(noisy, frames), *encode, *to_file], None

        return _Contender(name, quality, make_step, job, graph)

    def _clip_path(self, size: Size) -> Path:
        return self.folder / f"noisy-{size.name}.y4m"

    def _write_clip(self, size: Size, path: Path) -> None:
        """Write the noisy clip as yuv4mpegpipe: lossless, and cheap to read."""
        rng = np.random.default_rng(0)
        clean = resized_clip(self.source, size.width, size.height, size.frames)
        info = StreamInfo(size.width, size.height, "yuv420p", Fraction(25), TICK)
        with open_sink(str(path), info) as sink:
            for frame in clean:
                sink.write(add_gaussian_noise(frame, self.sigma, rng))


def _ffmpeg_version() -> str:
    done = subprocess.run(
        [ffmpeg_exe(), "-version"], capture_output=True, text=True, check=False
    )
    words = done.stdout.split()
    return words[2] if len(words) > 2 else "?"
