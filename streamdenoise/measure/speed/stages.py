"""What each stage of a whole job takes: `streamdenoise file`, as users run it.

Jobs run as processes of their own, in turns, and `streamdenoise.stage_times` measures
inside of them. Their inputs are like the streams of an IP camera: noise, then H.264
with the rate control of a camera.
"""

import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

from streamdenoise.errors import ConfigError
from streamdenoise.frame import Frame
from streamdenoise.imaging.noise import add_gaussian_noise
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.load import check_backend
from streamdenoise.io.ffmpeg.camera_file import CameraFile
from streamdenoise.io.ffmpeg.codec_round_trip import BitRate
from streamdenoise.io.open import open_source
from streamdenoise.machine import cpu_name, package_versions
from streamdenoise.measure.clips import (
    clean_clip_path,
    hand_held_frames,
    read_clip,
    resized_frames,
)
from streamdenoise.measure.config import BenchConfig
from streamdenoise.measure.output import writing_to
from streamdenoise.measure.peers.ffmpeg import ffmpeg_exe
from streamdenoise.measure.plots import figure_type
from streamdenoise.measure.speed.job import CRF, PRESET, file_arguments, run
from streamdenoise.measure.speed.stage_report import PEER, StageCase, StageReport
from streamdenoise.security.import_path import python_child
from streamdenoise.stage_times import JobTimes, StageTime
from streamdenoise.threads import usable_cores
from streamdenoise.units import parse_size

MOTIONS = {"still": resized_frames, "hand-held": hand_held_frames}
"""Name of a clip -> what makes its frames."""

_HD_PX = 1280 * 720
_HD_MBIT_PER_S = (6, 45)
"""Bit rates at 720p: of an IP camera, and of a good recording."""
_HD_FRAMES, _LEAST_FRAMES, _MOST_FRAMES = 150, 75, 300
"""Length of the clips: at 720p, and the limits for larger and smaller frames."""
_SKIP, _QUICK_SKIP = 25, 4
"""Frames at the start that do not count."""
_QUICK_FRAMES = 24
_SOURCE_FRAMES = 120
_PEER_FRAMES = 50
"""Of the clip, as the peer is slow."""
_AUTO = "auto"

OnProgress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Clip:
    """A video to measure, and what was measured."""

    size: str
    name: str
    path: Path
    runs: list[JobTimes] = field(default_factory=list)
    peer_fps: list[float] = field(default_factory=list)

    def case(self) -> StageCase:
        """The run with the median CPU time: its stages add up."""
        times = sorted(self.runs, key=lambda run: run.cpu_ms)
        peer_fps = median(self.peer_fps) if self.peer_fps else None
        return StageCase(self.size, self.name, times[(len(times) - 1) // 2], peer_fps)


def bench_stages(
    config: BenchConfig, on_progress: OnProgress | None = None
) -> StageReport:
    """Measure the stages of whole jobs.

    Args:
        config: What to measure.
        on_progress: Called with progress messages.

    Raises:
        ConfigError: This is not Linux, there is no such size, model, backend or clip,
            a clip is too short, a job fails, or Matplotlib, for the plot, is missing.
        BackendError: The backend does not work here.
        SourceError: The clip cannot be read.
    """
    on_progress = on_progress or (lambda _: None)
    if sys.platform != "linux":
        raise ConfigError(
            "--stages needs the CPU time of each thread, which is read on Linux only; "
            "use bench without --stages here"
        )
    # Anything that may be missing is checked before minutes of measuring.
    if config.output is not None:
        figure_type()
    if config.peers:
        ffmpeg_exe()
    model = open_artifact(config.model)
    for backend in set(config.backends) - {_AUTO}:
        check_backend(backend, model)
    load = os.getloadavg()[0]
    skip, repeat = _SKIP, config.repeat
    if config.quick:
        skip, repeat = _QUICK_SKIP, 1
    with ExitStack() as stack:
        scratch = Path(
            stack.enter_context(
                tempfile.TemporaryDirectory(prefix="streamdenoise-bench-")
            )
        )
        if config.clip is not None:
            clips = [_given(config.clip)]
        else:
            folder = scratch
            if config.output is not None:
                folder = config.output / "clips"
                stack.enter_context(writing_to(folder))
            clips = list(_made(config, folder, on_progress))
        for turn in range(repeat):
            for clip in clips:
                on_progress(f"{clip.size}: {clip.name}: run {turn + 1} of {repeat}")
                clip.runs.append(_measured(clip.path, scratch, skip, config))
                if config.peers:
                    clip.peer_fps.append(_peer_fps(clip.path, scratch))
    return StageReport(
        command=config.command,
        model=model.name,
        sigma=None if config.clip else config.added_sigma,
        repeat=repeat,
        quick=config.quick,
        cpu=cpu_name(),
        cores=usable_cores(),
        threads=config.threads,
        load=load,
        versions=package_versions(),
        cases=tuple(clip.case() for clip in clips),
    )


def make_clips(
    source: Sequence[Frame],
    size: tuple[int, int],
    frames: int,
    sigma: float,
    paths: dict[tuple[str, float], Path],
) -> None:
    """Write noisy clips such as cameras record, 25 frames a second.

    Args:
        source: The clean clip.
        size: Width and height in pixels; even.
        frames: Length of the clips.
        sigma: Std of the noise in RGB, in 8-bit levels.
        paths: Name of `MOTIONS` and Mbit/s -> file.
    """
    for motion, moved in MOTIONS.items():
        rng = np.random.default_rng(0)
        with ExitStack() as stack:
            files = [
                stack.enter_context(
                    CameraFile(path, *size, BitRate(round(mbit_per_s * 1e6)))
                )
                for (name, mbit_per_s), path in paths.items()
                if name == motion
            ]
            for clean in moved(source, *size, frames):
                noisy = add_gaussian_noise(clean, sigma, rng)
                for file in files:
                    file.write(noisy)


def _made(
    config: BenchConfig, folder: Path, on_progress: OnProgress
) -> Iterator[_Clip]:
    """The clips of all sizes, written to a folder."""
    names = config.sizes or (("360p",) if config.quick else ("720p", "1080p"))
    sizes = {name: parse_size(name) for name in names}
    for name, size in sizes.items():
        if size[0] % 2 or size[1] % 2:
            raise ConfigError(
                f"--size {name} cannot be measured, because cameras send frames of "
                "even size; give an even width and height"
            )
    source = read_clip(clean_clip_path(None)[0], _SOURCE_FRAMES)
    for name, size in sizes.items():
        scale = math.prod(size) / _HD_PX
        frames = _QUICK_FRAMES
        if not config.quick:
            frames = round(_HD_FRAMES / scale)
            frames = min(max(frames, _LEAST_FRAMES), _MOST_FRAMES)
        paths = {
            (motion, rate * scale): folder / f"{name}-{motion}-{rate * scale:.3g}M.mp4"
            for rate in _HD_MBIT_PER_S[: 1 if config.quick else None]
            for motion in MOTIONS
        }
        on_progress(f"{name}: writing the clips")
        make_clips(source, size, frames, config.added_sigma, paths)
        for (motion, mbit_per_s), path in paths.items():
            yield _Clip(name, f"{motion}, {mbit_per_s:.3g} Mbit/s", path)


def _given(path: Path) -> _Clip:
    """A video of the user."""
    with open_source(str(clean_clip_path(path)[0])) as source:
        return _Clip(f"{source.info.width}x{source.info.height}", path.name, path)


def _measured(path: Path, scratch: Path, skip: int, config: BenchConfig) -> JobTimes:
    """Run a job and return what its stages took.

    Raises:
        ConfigError: It failed, or was too short.
    """
    report, out = scratch / "stages.json", scratch / "out.mp4"
    backend = config.backends[0] if config.backends else _AUTO
    run(
        python_child(
            *("-m", "streamdenoise.cli.measured", str(report), str(skip)),
            *file_arguments(path, out, config.model, backend, config.threads),
        )
    )
    out.unlink()
    found = json.loads(report.read_text())
    if not found["frames"]:
        raise ConfigError(
            f"{path} is too short to be measured; give a video of {2 * skip} frames "
            "or more"
        )
    stages = tuple(StageTime(**stage) for stage in found["stages"])
    return JobTimes(**{**found, "stages": stages})


def _peer_fps(path: Path, scratch: Path) -> float:
    """Frames a second of the same job with FFmpeg's `PEER`, start and end included.

    Raises:
        ConfigError: It failed.
    """
    out = scratch / "peer.mp4"
    log = scratch / "peer.log"
    seconds = run(
        (
            [
                *(ffmpeg_exe(), "-hide_banner", "-nostdin", "-loglevel", "error"),
                *("-i", str(path), "-frames:v", str(_PEER_FRAMES), "-vf", PEER),
                *("-c:v", "libx264", "-preset", PRESET, "-crf", str(CRF)),
                *("-progress", str(log), "-y", str(out)),
            ],
            None,
        )
    )
    out.unlink()
    frames = [x for x in log.read_text().splitlines() if x.startswith("frame=")]
    return int(frames[-1].removeprefix("frame=")) / seconds
