"""Other denoisers, tuned for each clip of real footage.

Every one gets a few settings from weak to strong, and the one with the least error
counts: better than a user could do.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from streamdenoise.frame import Frame
from streamdenoise.imaging.color import with_chroma
from streamdenoise.measure.peers.peer import Options, Peer, store
from streamdenoise.measure.quality.real.scene import LAG, Scene, full_range

_TUNING_FRAMES = 2
_ORDINARY_SIGMA = 2.0


@dataclass(frozen=True, slots=True)
class Ladder:
    """Settings of a peer, from weak to strong."""

    factors: tuple[Mapping[str, float], ...]
    """For each setting: option -> factor on the std of the luma noise."""
    limits: tuple[float, float]
    """Allowed range of these options."""
    fixed: Options
    """Options that all settings share."""
    is_temporal: bool = False
    """Whether it looks at other frames; if not, it is tuned on `_TUNING_FRAMES`."""
    lookahead: int = 0
    """Later frames that it looks at; it must not see the frame that its outputs are
    compared with (`Scene.lag`)."""

    def settings(self, luma_sigma: float) -> list[Options]:
        """The settings for noise of this std in 8-bit levels, each once."""
        low, high = self.limits
        found = [
            {
                **{
                    option: round(min(max(factor * luma_sigma, low), high), 3)
                    for option, factor in step.items()
                },
                **self.fixed,
            }
            for step in self.factors
        ]
        return [step for n, step in enumerate(found) if step not in found[:n]]


def _each(option: str, *factors: float) -> tuple[Mapping[str, float], ...]:
    return tuple({option: factor} for factor in factors)


LADDERS: dict[str, Ladder] = {
    "nlmeans": Ladder(
        _each("s", 0.25, 0.5, 1.0, 2.0, 3.5), (1.0, 30.0), {"p": 7, "r": 9}
    ),
    "hqdn3d": Ladder(
        tuple(
            {"luma_spatial": spatial, "luma_tmp": temporal}
            for spatial, temporal in (
                *((0.1, 0.8), (0.1, 2.5), (0.6, 0.8), (0.6, 2.5)),
                *((1.2, 0.8), (1.2, 2.5), (2.5, 2.5), (4.0, 5.0)),
            )
        ),
        (0.1, 255.0),  # FFmpeg takes 0 for its default
        {},
        is_temporal=True,
    ),
    "atadenoise": Ladder(
        tuple(
            {"0a": each, "0b": total}
            for each, total in ((0.004, 0.01), (0.01, 0.03), (0.02, 0.1), (0.05, 0.3))
        ),
        (0.0, 0.3),
        {"s": 2 * LAG - 1, "a": "p"},
        is_temporal=True,
        lookahead=LAG - 1,
    ),
    "bm3d": Ladder(
        _each("sigma", 1.2, 2.5, 4.0, 6.0, 9.0),
        (0.1, 999.0),
        {"block": 16, "bstep": 4, "group": 1},
    ),
    "opencv-nlmeans-color": Ladder(
        _each("h", 0.4, 0.8, 1.2, 2.0), (0.1, 100.0), {"template": 7, "search": 21}
    ),
}
"""Peers by name that are measured unless others are named."""


def peeks(peer: Peer, scene: Scene) -> bool:
    """Whether a peer would see the frames that its outputs are compared with."""
    ladder = LADDERS.get(peer.name)
    return bool(ladder and scene.lag and ladder.lookahead >= scene.lag)


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a peer made of a clip, at its best setting."""

    frames: list[Frame]
    options: Options


def tune(
    peer: Peer,
    noisy: Sequence[Frame],
    luma_sigma: float | None,
    error: Callable[[Mapping[int, Frame]], float],
    sample: Sequence[int],
    folder: Path,
    threads: int | None,
) -> Tuned:
    """Denoise a clip with the setting that has the least error.

    Args:
        peer: One of `LADDERS`, or another one, whose first axis is tried then.
        noisy: The clip, 8-bit yuv420p or gray; or one image in rgb24.
        luma_sigma: Std of the noise in 8-bit levels; None if it is not known: then
            there is no choice, and it gets the middle setting for an ordinary camera.
        error: Rates denoised frames, given by their index; lower is better.
        sample: Indices of the frames to rate. Peers that look at one frame at a time
            get only some of them to choose by.
        folder: For a file that is not needed afterwards.
        threads: See `Peer.run`.

    Raises:
        ConfigError: The peer failed.
    """
    sigma = luma_sigma or _ORDINARY_SIGMA
    ladder = LADDERS.get(peer.name)
    settings = ladder.settings(sigma) if ladder else _own_settings(peer, sigma)

    def run(options: Options, indices: Sequence[int]) -> dict[int, Frame]:
        frames = [noisy[index] for index in indices]
        denoised = denoise_with(peer, options, frames, folder, threads)
        return dict(zip(indices, denoised, strict=True))

    everything = range(len(noisy))
    if luma_sigma is None:
        best = settings[len(settings) // 2]
    elif ladder is None or ladder.is_temporal:

        def error_of_all(options: Options) -> float:
            denoised = run(options, everything)
            return error({index: denoised[index] for index in sample})

        best = min(settings, key=error_of_all)
    else:
        middle = len(sample) // 2
        few = sample[middle : middle + _TUNING_FRAMES]
        best = min(settings, key=lambda options: error(run(options, few)))
    return Tuned(list(run(best, everything).values()), best)


def denoise_with(
    peer: Peer,
    options: Options,
    frames: Sequence[Frame],
    folder: Path,
    threads: int | None,
) -> list[Frame]:
    """Denoise frames with one setting of a peer; see `tune`."""
    clip = store([_as_taken(frame) for frame in frames], folder / "noisy.yuv")
    return [
        before.with_planes(after.planes[: len(before.planes)])
        for before, after in zip(
            frames, peer.run(options, clip, threads).frames, strict=True
        )
    ]


def _own_settings(peer: Peer, sigma: float) -> list[Options]:
    """The values of a peer's first axis; its other options as the search starts."""
    axes = peer.axes(sigma)
    start = {option: values[0] for option, values in axes.items()}
    option, values = next(iter(axes.items()))
    return [{**start, option: value} for value in values]


def _as_taken(frame: Frame) -> Frame:
    """A frame in rgb24 or yuv420p, which peers take; gray gets neutral chroma."""
    if frame.pix_fmt == "rgb24":
        return frame
    planes = with_chroma(frame.planes, 8)
    return replace(full_range(frame), planes=planes, pix_fmt="yuv420p")
