"""Speed and quality on this machine, beside FFmpeg's denoisers, in one run.

Everything gets the same noisy clip: a clean one, with white Gaussian noise added,
stored without loss as 8-bit yuv420p. Contenders take turns, several times over, and
the median counts.
"""

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.errors import BackendError, ConfigError
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.imaging.metrics import psnr_y
from streamdenoise.imaging.noise import add_gaussian_noise
from streamdenoise.inference.registry import usual_backends
from streamdenoise.io.open import open_sink
from streamdenoise.machine import cpu_name, package_versions, usable_cores
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
    ffmpeg_exe,
    run_filter,
)
from streamdenoise.measure.peers.peer import store
from streamdenoise.measure.peers.search import best_options
from streamdenoise.measure.plots import figure_type
from streamdenoise.measure.speed.bench_report import CRF, PRESET, BenchReport, Result

PEERS = tuple(peer for peer in FFMPEG_PEERS if peer.name not in TOO_SLOW_TO_BENCH)

Step = Callable[[], float]
"""Runs once and returns frames per second."""


@dataclass(frozen=True, slots=True)
class Size:
    """A picture size, and how much to run at it."""

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


@dataclass(slots=True)
class _Contender:
    name: str
    psnr_y: float
    step: Callable[[Size, int], Step]
    """Makes the step for a size and a number of frames."""
    command: Callable[[Path, Path, int], list[str]]
    """Command line of the job: input, output, frames."""
    options: str = ""


def bench(
    config: BenchConfig, *, on_progress: Callable[[str], None] | None = None
) -> BenchReport:
    """Measure every backend that works here, and FFmpeg's denoisers.

    Args:
        config: what to measure; its `sizes` and `backends` are not used.
        on_progress: gets a line for each thing that is measured.

    Raises:
        ConfigError: the clip or the `[bench]` packages are missing.
    """
    tell = on_progress or (lambda _: None)
    ffmpeg_exe()
    figure_type()
    path, clip_name = clean_clip_path(config.clip)
    model, sigma, quick = config.model, config.sigma, config.quick
    sizes = QUICK_SIZES if quick else SIZES
    repeat = 1 if quick else config.repeat
    threads = config.threads or usable_cores()
    source = read_clip(path, 120)
    left_out: list[str] = []
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="streamdenoise-bench-") as scratch:
        folder = Path(scratch)
        contenders = _contenders(
            source,
            sizes[0],
            model,
            sigma,
            threads,
            quick,
            config.peers,
            folder,
            left_out,
            tell,
        )
        for size in sizes:
            results += _measure(
                contenders, source, size, sigma, repeat, quick, folder, tell
            )
    return BenchReport(
        results=tuple(results),
        machine=_machine(threads),
        clip=clip_name,
        sigma=sigma,
        repeat=repeat,
        left_out=tuple(left_out),
        searched=not quick,
    )


def _contenders(
    source: Sequence[Frame],
    size: Size,
    model: str,
    sigma: float,
    threads: int,
    quick: bool,
    peers: bool,
    folder: Path,
    left_out: list[str],
    tell: Callable[[str], None],
) -> list[_Contender]:
    """Everything that works here, with its quality and its settings."""
    frames = min(size.frames, _QUALITY_FRAMES)
    clean = resized_clip(source, size.width, size.height, frames)
    noisy = noisy_clip(clean, sigma)
    stored = store(noisy, folder / "search.yuv")
    found = [_ffmpeg_contender("none", "null", psnr_y(clean, noisy), threads, folder)]
    for backend in usual_backends():
        tell(f"quality of {backend}")
        try:
            with Denoiser.load(model, backend=backend, threads=threads) as denoiser:
                denoised = [f for frame in noisy for f in denoiser.process(frame)]
        except BackendError as exc:
            left_out.append(str(exc))
            continue
        quality = psnr_y(clean, denoised)
        found.append(_own_contender(backend, model, sigma, quality, threads, source))
    for peer in PEERS if peers else ():
        tell(f"best options of {peer.name}")
        if quick:
            luma = 0.64 * sigma
            options = {key: values[0] for key, values in peer.axes(luma).items()}
        else:
            options = best_options(peer, sigma, [(clean, stored)], threads)
        graph = peer.filter(options)
        few = stored.first(peer.max_frames)
        filtered = run_filter(graph, few, threads).frames
        quality = psnr_y(clean[: len(filtered)], filtered)
        found.append(_ffmpeg_contender(peer.name, graph, quality, threads, folder))
    return found


def _own_contender(
    backend: str,
    model: str,
    sigma: float,
    quality: float,
    threads: int,
    source: Sequence[Frame],
) -> _Contender:
    def make_step(size: Size, frames: int) -> Step:
        # A dozen different frames, there and back: memory holds no whole clip.
        clean = resized_clip(source, size.width, size.height, _MEMORY_FRAMES)
        few = noisy_clip(clean, sigma)
        order = few + few[-2:0:-1]

        def step() -> float:
            with Denoiser.load(model, backend=backend, threads=threads) as denoiser:
                for frame in order[:_WARMUP_FRAMES]:
                    denoiser.process(frame)
                start = time.perf_counter()
                for frame in itertools.islice(itertools.cycle(order), frames):
                    denoiser.process(frame)
                return frames / (time.perf_counter() - start)

        return step

    def command(noisy: Path, out: Path, frames: int) -> list[str]:
        return [
            *(sys.executable, "-m", "streamdenoise", "file", str(noisy)),
            *("-o", str(out), "--overwrite", "--model", model),
            *("--backend", backend, "--threads", str(threads)),
            *("--codec", "x264", "--preset", PRESET, "--crf", str(CRF)),
            *("--duration", str(frames / 25)),
        ]

    return _Contender(f"streamdenoise {backend}", quality, make_step, command)


def _ffmpeg_contender(
    name: str, graph: str, quality: float, threads: int, folder: Path
) -> _Contender:
    def command(noisy: Path, frames: int) -> list[str]:
        return [
            *(ffmpeg_exe(), "-hide_banner", "-nostdin", "-loglevel", "error", "-y"),
            *("-i", str(noisy), "-frames:v", str(frames)),
            *("-filter_complex_threads", str(threads), "-lavfi", graph),
        ]

    def make_step(size: Size, frames: int) -> Step:
        to_null = [*command(_clip_path(folder, size), frames), "-f", "null", "-"]
        return lambda: _timed(to_null, frames)

    def job(noisy: Path, out: Path, frames: int) -> list[str]:
        encode = ("-c:v", "libx264", "-preset", PRESET, "-crf", str(CRF))
        return [*command(noisy, frames), *encode, "-pix_fmt", "yuv420p", str(out)]

    return _Contender(name, quality, make_step, job, graph)


def _measure(
    contenders: Sequence[_Contender],
    source: Sequence[Frame],
    size: Size,
    sigma: float,
    repeat: int,
    quick: bool,
    folder: Path,
    tell: Callable[[str], None],
) -> list[Result]:
    """All contenders at one size, in turns."""
    noisy, out = _clip_path(folder, size), folder / "out.mp4"
    tell(f"{size.name}: writing the noisy clip")
    _write_clip(source, size, sigma, noisy)
    results, runs = [], []
    for contender in contenders:
        tell(f"{size.name}: {contender.name}: trying")
        fps = contender.step(size, size.slow_frames)()
        frames = int(min(size.frames, max(size.slow_frames, fps * _JOB_S)))
        if quick:
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
            tell(f"{size.name}: {result.name}: run {turn + 1} of {repeat}")
            result.step_fps.append(step())
            result.job_fps.append(_timed(job, result.frames))
            out.unlink(missing_ok=True)
    noisy.unlink()
    return results


def _write_clip(source: Sequence[Frame], size: Size, sigma: float, path: Path) -> None:
    """The noisy clip as yuv4mpegpipe: no loss, and next to no cost to read."""
    rng = np.random.default_rng(0)
    clean = resized_clip(source, size.width, size.height, size.frames)
    info = StreamInfo(size.width, size.height, "yuv420p", Fraction(25), TICK)
    with open_sink(str(path), info) as sink:
        for frame in clean:
            sink.write(add_gaussian_noise(frame, sigma, rng))


def _clip_path(folder: Path, size: Size) -> Path:
    return folder / f"noisy-{size.name}.y4m"


def _timed(command: Sequence[str], frames: int) -> float:
    """Run a command and return frames per second of its wall-clock time.

    Raises:
        ConfigError: it failed.
    """
    start = time.perf_counter()
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    elapsed = time.perf_counter() - start
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        name = Path(command[0]).name
        raise ConfigError(f"a measured job failed ({name}): {last}; see its message")
    return frames / elapsed


def _machine(threads: int) -> dict[str, str]:
    return {
        "CPU": cpu_name(),
        "threads": str(threads),
        **package_versions(),
        "FFmpeg": _ffmpeg_version(),
    }


def _ffmpeg_version() -> str:
    done = subprocess.run(
        [ffmpeg_exe(), "-version"], capture_output=True, text=True, check=False
    )
    words = done.stdout.split()
    return words[2] if len(words) > 2 else "?"
