"""FFmpeg's denoisers, run through the `imageio-ffmpeg` binary."""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamdenoise.errors import ConfigError
from streamdenoise.measure.peers.peer import (
    Axes,
    Filtered,
    Options,
    StoredClip,
    from_raw,
    scaled_axes,
)

_REAL_TIME = re.compile(r"\brtime=([0-9.]+)s")


@dataclass(frozen=True, slots=True)
class FFmpegPeer:
    """A filter and the options to search; the search starts at the first values."""

    name: str
    scales: Mapping[str, Sequence[float]]
    """Options that grow with the noise: factors on the std of the luma noise."""
    choices: Mapping[str, Sequence[float | str]]
    """Options that do not depend on the noise."""
    limits: tuple[float, float] = (0.0, float("inf"))
    """Allowed range of the scaled options."""
    max_frames: int | None = None
    """Most frames to search on, for slow filters; None uses all."""
    takes_images: bool = True
    """Images are filtered in yuv444p."""
    graph: str | None = None
    """Filter graph, if it is not ``name=options``: ``{o}`` stands for the options,
    ``{key}`` for one value."""

    @property
    def clock(self) -> str:
        return (
            "FFmpeg's own: raw frames in, filter, raw frames out, without its startup"
        )

    def axes(self, luma_sigma: float) -> Axes:
        """Values to try for each option; `luma_sigma` is in 8-bit levels."""
        return scaled_axes(self.scales, self.choices, luma_sigma, self.limits)

    def filter(self, options: Options) -> str:
        """The filter graph in FFmpeg's syntax."""
        text = ":".join(f"{key}={value}" for key, value in options.items())
        graph = (self.graph or f"{self.name}={{o}}").replace("{o}", text)
        for key, value in options.items():
            graph = graph.replace(f"{{{key}}}", str(value))
        return graph

    def run(self, options: Options, clip: StoredClip, threads: int | None) -> Filtered:
        graph = self.filter(options)
        if clip.frames[0].pix_fmt == "rgb24":
            # Most filters gain more there than in R, G and B.
            graph = f"format=yuv444p,{graph}"
        return run_filter(graph, clip, threads)


FFMPEG_PEERS: tuple[FFmpegPeer, ...] = (
    FFmpegPeer(
        "hqdn3d",
        {
            "luma_spatial": (2.2, 0.6, 1.0, 1.5, 3.2, 4.5, 6.5),
            "luma_tmp": (0.6, 0.2, 0.4, 1.0, 1.5, 2.2, 3.2),
        },
        {},
    ),
    FFmpegPeer(
        "atadenoise",
        {"0a": (0.012, 0.004, 0.007, 0.02)},
        {"0b": (0.3, 0.08, 0.15, 0.6, 1.2, 2.5, 5.0), "s": (9, 5, 17), "a": ("p", "s")},
        limits=(0.0, 0.3),
        takes_images=False,
        graph="atadenoise={o}:1a={0a}:1b={0b}:2a={0a}:2b={0b}",
    ),
    FFmpegPeer(
        "vaguedenoiser",
        {"threshold": (2.0, 0.7, 1.0, 1.4, 2.8, 4.0, 5.5)},
        {
            "method": ("garrote", "soft", "hard"),
            "nsteps": (6, 4),
            "percent": (85, 100),
            "type": ("universal", "bayes"),
        },
    ),
    FFmpegPeer(
        "fftdnoiz",
        {"sigma": (4.0, 1.4, 2.0, 2.8, 5.5, 8.0)},
        {
            "block": (32, 16, 64),
            "overlap": (0.75, 0.5),
            "prev": (0, 1),
            "next": (0, 1),
            "method": ("wiener", "hard"),
        },
        max_frames=10,
        limits=(0.0, 100.0),  # older FFmpeg stops at 30
    ),
    FFmpegPeer(
        "nlmeans",
        {"s": (0.5, 0.25, 0.35, 0.7, 1.0, 1.4)},
        {"p": (7,), "r": (9,)},
        limits=(1.0, 30.0),
        max_frames=10,
    ),
    # Groups of similar blocks (group > 1) gain nothing and take ten times as long, and
    # the second ("final") step loses quality: one block at a time works best.
    FFmpegPeer(
        "bm3d",
        {"sigma": (4.0, 2.0, 3.0, 5.5, 7.0)},
        {"block": (16, 8), "bstep": (4, 2), "group": (1,)},
        max_frames=10,
    ),
    FFmpegPeer(
        "owdenoise",
        {"ls": (1.4, 0.7, 1.0, 2.0), "cs": (1.0, 0.5, 2.0)},
        {"depth": (8,)},
        limits=(0.0, 1000.0),
        max_frames=2,
    ),
    FFmpegPeer(
        "dctdnoiz",
        {"sigma": (1.6, 1.0, 1.3, 2.0, 2.5)},
        {"n": (3, 4)},
        limits=(0.0, 999.0),
        max_frames=4,
    ),
)
"""The factors of the scales are near the optima at sigma 10, 30 and 50 on real clips.
"""

TOO_SLOW_TO_BENCH = ("owdenoise", "dctdnoiz")
"""These take more than a second a frame at 720p, for less quality than others."""


def ffmpeg_exe() -> str:
    """Path of the FFmpeg binary of imageio-ffmpeg.

    Raises:
        ConfigError: The package is missing.
    """
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as exc:
        raise ConfigError(
            "comparing with FFmpeg needs imageio-ffmpeg, which is not installed "
            f"({exc}); pip install 'streamdenoise[bench]'"
        ) from exc


def ffmpeg_filters() -> frozenset[str]:
    """Names of the filters in this build of FFmpeg.

    Raises:
        ConfigError: The binary is missing or cannot be run.
    """
    command = [ffmpeg_exe(), "-hide_banner", "-filters"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as exc:
        raise ConfigError(
            f"FFmpeg at {command[0]} cannot be run: {exc.strerror}; check "
            "IMAGEIO_FFMPEG_EXE"
        ) from exc
    # Columns: flags, name, inputs and outputs, description.
    lines = (line.split(maxsplit=2) for line in done.stdout.splitlines())
    return frozenset(line[1] for line in lines if len(line) == 3)


def run_filter(graph: str, clip: StoredClip, threads: int | None) -> Filtered:
    """Filter a clip with FFmpeg and read the result back.

    Args:
        graph: Filter graph.
        clip: The noisy frames, whose format, size and timestamps are kept.
        threads: Threads of the filter; None uses one per core.

    Raises:
        ConfigError: FFmpeg refused the graph.
    """
    first = clip.frames[0]
    command = [
        *(ffmpeg_exe(), "-hide_banner", "-nostdin", "-nostats", "-benchmark"),
        *("-loglevel", "level+info"),
        *raw_input(clip),
        *("-frames:v", str(len(clip.frames))),
        *("-filter_complex_threads", str(threads or 0)),  # 0: one per core
        *("-lavfi", graph, "-f", "rawvideo", "-pix_fmt", first.pix_fmt, "-"),
    ]
    done = subprocess.run(command, capture_output=True, check=False)
    log = done.stderr.decode(errors="replace")
    try:
        frames = from_raw(done.stdout, clip.frames)
    except ValueError as exc:
        errors = [line for line in log.splitlines() if re.search("error|fatal", line)]
        reason = " ".join(" ".join(errors).split())[-300:]
        raise ConfigError(
            f"FFmpeg returned {exc} for -lavfi {graph!r}: {reason or 'no message'}; "
            "check that this build has the filter"
        ) from exc
    clock = _REAL_TIME.search(log)
    return Filtered(frames, float(clock[1]) if clock else float("nan"))


def raw_input(clip: StoredClip) -> list[str]:
    """FFmpeg's options for a stored clip as an input."""
    first = clip.frames[0]
    return [
        *("-f", "rawvideo", "-pix_fmt", first.pix_fmt),
        *("-video_size", f"{first.width}x{first.height}", "-framerate", "25"),
        *("-i", str(clip.raw)),
    ]
