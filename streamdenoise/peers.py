"""FFmpeg's denoisers, run through the `imageio-ffmpeg` binary, to compare with.

Each is given its best chance: its strength and the options that matter are searched on
the very clip that is then measured, against its clean reference, which no real use
could do.
"""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamdenoise.errors import ConfigError
from streamdenoise.frame import Frame, bit_depth, plane_shapes
from streamdenoise.metrics import psnr_y
from streamdenoise.noise import plane_sigmas

Options = Mapping[str, float | str]


@dataclass(frozen=True, slots=True)
class Peer:
    """A filter, and the options to search, the first value of each being the start."""

    name: str
    scales: Mapping[str, Sequence[float]]
    """Options that grow with the noise: factors on the std of the luma noise."""
    choices: Mapping[str, Sequence[float | str]]
    """Options that do not."""
    limits: tuple[float, float] = (0.0, float("inf"))
    """Range that the filter allows for the scaled options."""
    max_frames: int | None = None
    """Fewer frames for the slow ones; None takes all."""
    graph: str | None = None
    """When it is not ``name=options``: ``{o}`` stands for these, ``{key}`` for one."""

    def axes(self, luma_sigma: float) -> dict[str, tuple[float | str, ...]]:
        """Values to try for each option; `luma_sigma` is in 8-bit levels."""
        low, high = self.limits
        scaled = {
            option: tuple(
                dict.fromkeys(
                    round(min(max(factor * luma_sigma, low), high), 4)
                    for factor in factors
                )
            )
            for option, factors in self.scales.items()
        }
        return {**scaled, **{k: tuple(v) for k, v in self.choices.items()}}

    def filter(self, options: Options) -> str:
        """The filter graph as FFmpeg reads it."""
        text = ":".join(f"{key}={value}" for key, value in options.items())
        graph = (self.graph or f"{self.name}={{o}}").replace("{o}", text)
        for key, value in options.items():
            graph = graph.replace(f"{{{key}}}", str(value))
        return graph


# Factors were laid around the optima at sigma 10, 30 and 50 on real clips.
PEERS: tuple[Peer, ...] = (
    Peer(
        "hqdn3d",
        {
            "luma_spatial": (2.2, 0.6, 1.0, 1.5, 3.2, 4.5, 6.5),
            "luma_tmp": (0.6, 0.2, 0.4, 1.0, 1.5, 2.2, 3.2),
        },
        {},
    ),
    Peer(
        "atadenoise",
        {"0a": (0.012, 0.004, 0.007, 0.02)},
        {"0b": (0.3, 0.08, 0.15, 0.6, 1.2, 2.5, 5.0), "s": (9, 5, 17), "a": ("p", "s")},
        limits=(0.0, 0.3),
        graph="atadenoise={o}:1a={0a}:1b={0b}:2a={0a}:2b={0b}",
    ),
    Peer(
        "vaguedenoiser",
        {"threshold": (2.0, 0.7, 1.0, 1.4, 2.8, 4.0, 5.5)},
        {
            "method": ("garrote", "soft", "hard"),
            "nsteps": (6, 4),
            "percent": (85, 100),
            "type": ("universal", "bayes"),
        },
    ),
    Peer(
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
    Peer(
        "nlmeans",
        {"s": (0.5, 0.25, 0.35, 0.7, 1.0, 1.4)},
        {"p": (7,), "r": (9,)},
        limits=(1.0, 30.0),
        max_frames=10,
    ),
    # Groups of similar blocks (group > 1) gained nothing here and cost ten times more,
    # and the second ("final") step lost quality: one block at a time is its best use.
    Peer(
        "bm3d",
        {"sigma": (4.0, 2.0, 3.0, 5.5, 7.0)},
        {"block": (16, 8), "bstep": (4, 2), "group": (1,)},
        max_frames=10,
    ),
)


def ffmpeg_exe() -> str:
    """Path of the FFmpeg binary.

    Raises:
        ConfigError: the package that brings it is missing.
    """
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as exc:
        raise ConfigError(
            f"FFmpeg's denoisers need the imageio-ffmpeg binary, which is not here "
            f"({exc}); pip install 'streamdenoise[bench]'"
        ) from exc


def run_filter(
    graph: str, clip: Sequence[Frame], raw: Path, threads: int | None
) -> list[Frame]:
    """Filter a clip with FFmpeg and read the result back.

    Args:
        graph: filter graph.
        clip: the noisy frames; gives format, size and timestamps.
        raw: the same frames as raw planes, as `write_raw` writes them.
        threads: for the filter; None takes one for each core.

    Raises:
        ConfigError: FFmpeg refused the graph.
    """
    first = clip[0]
    count = str(threads or 0)  # FFmpeg's 0 is one a core
    command = [
        ffmpeg_exe(),
        *("-hide_banner", "-nostdin", "-loglevel", "error"),
        *("-f", "rawvideo", "-pix_fmt", first.pix_fmt),
        *("-video_size", f"{first.width}x{first.height}", "-framerate", "25"),
        *("-i", str(raw), "-frames:v", str(len(clip))),
        *("-filter_complex_threads", count),
        *("-lavfi", graph, "-f", "rawvideo", "-pix_fmt", first.pix_fmt, "-"),
    ]
    done = subprocess.run(command, capture_output=True, check=False)
    dtype = np.uint8 if bit_depth(first.pix_fmt) == 8 else np.uint16
    shapes = plane_shapes(first.pix_fmt, first.width, first.height)
    samples = np.frombuffer(done.stdout, dtype)
    per_frame = sum(int(np.prod(shape)) for shape in shapes)
    if done.returncode or len(samples) != per_frame * len(clip):
        reason = " ".join(done.stderr.decode(errors="replace").split())[-300:]
        raise ConfigError(
            f"FFmpeg gave {len(samples) // per_frame} of {len(clip)} frames for "
            f"-lavfi {graph!r}: {reason or 'no message'}; check that this build has it"
        )
    return [
        frame.with_planes(_planes(samples[i * per_frame : (i + 1) * per_frame], shapes))
        for i, frame in enumerate(clip)
    ]


def write_raw(clip: Sequence[Frame], path: Path) -> None:
    """Write the planes of every frame one after the other, as FFmpeg's rawvideo."""
    with path.open("wb") as file:
        for frame in clip:
            for plane in frame.planes:
                file.write(np.ascontiguousarray(plane).data)


def search(
    peer: Peer, luma_sigma: float, score: Callable[[Options], float]
) -> tuple[dict[str, float | str], float]:
    """Best options of a peer: one option after the other, all of them twice.

    Args:
        peer: what to search.
        luma_sigma: std of the luma noise in 8-bit levels.
        score: higher is better (PSNR-Y in dB).

    Returns:
        The options and their score.
    """
    axes = peer.axes(luma_sigma)
    best = {option: values[0] for option, values in axes.items()}
    best_score = score(best)
    seen = {tuple(best.values())}
    for option in (*axes, *axes):
        for value in axes[option]:
            options = {**best, option: value}
            if tuple(options.values()) in seen:
                continue
            seen.add(tuple(options.values()))
            options_score = score(options)
            if options_score > best_score:
                best, best_score = options, options_score
    return best, best_score


def best_options(
    peer: Peer,
    sigma: float,
    clean: Sequence[Frame],
    noisy: Sequence[Frame],
    raw: Path,
    threads: int | None,
) -> dict[str, float | str]:
    """Options with the best PSNR-Y, searched on the frames that `peer` allows."""
    count = min(len(clean), peer.max_frames or len(clean))

    def measure(options: Options) -> float:
        filtered = run_filter(peer.filter(options), noisy[:count], raw, threads)
        return psnr_y(clean[:count], filtered)

    luma = plane_sigmas(sigma, clean[0].color, clean[0].pix_fmt)[0]
    return search(peer, luma, measure)[0]


def find_peer(name: str) -> Peer:
    """The row of `PEERS` with this name.

    Raises:
        ConfigError: there is none.
    """
    for peer in PEERS:
        if peer.name == name:
            return peer
    names = ", ".join(peer.name for peer in PEERS)
    raise ConfigError(f"no peer is named {name!r}; choose from {names}")


def _planes(
    samples: np.ndarray, shapes: tuple[tuple[int, ...], ...]
) -> tuple[np.ndarray, ...]:
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    return tuple(
        part.reshape(shape)
        for part, shape in zip(np.split(samples, ends[:-1]), shapes, strict=True)
    )
