"""Cameras made of clean clips, so that the truth behind their noise is known.

A clean clip, or one of its frames held still, gets what a surveillance camera adds: the
noise of a sensor, smoothed as demosaicing does; the camera's own recursive filter; and
H.264 or HEVC at a bit rate. All methods are compared with the clean frames.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from streamdenoise.frame import Frame
from streamdenoise.imaging.alignment import smooth
from streamdenoise.imaging.color import frame_to_rgb, rgb_to_yuv420_exact
from streamdenoise.imaging.metrics import plane_psnrs, psnr_uv, psnr_y
from streamdenoise.io.ffmpeg.codec_round_trip import BitRate, codec_round_trip
from streamdenoise.measure.clips import read_clip
from streamdenoise.measure.config import EvalConfig
from streamdenoise.measure.peers.peer import Options, Peer
from streamdenoise.measure.quality.real.contenders import tune
from streamdenoise.measure.quality.video import NOISY, run_model

MEGABITS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Bit rates per second at 25 frames a second."""
_FULL_WELL = 600.0
"""Electrons at white: a small sensor at a high gain."""
_READ_NOISE = 5.0
"""Std in electrons."""
_DEMOSAICED_PX = (1.0, 0.6, 1.0)
"""Std of the Gaussian that stands for demosaicing, of R, G and B."""
_KEEP = 0.5
"""Share of the last frame that the camera's filter keeps where nothing moves."""
_MOVES = 12.0
"""Difference in 8-bit levels, smoothed, at which it keeps nothing."""

Codec = Literal["h264", "hevc"]
_CODECS: tuple[Codec, ...] = ("h264", "hevc")


@dataclass(frozen=True, slots=True)
class CameraScore:
    """One method on one clip, seen through one camera."""

    clip: str
    is_still: bool
    """Whether one frame was held still; otherwise the clip moves as it does."""
    codec: Codec
    megabits: float
    """Per second."""
    method: str
    psnr_y: float
    """Against the clean frames, in dB."""
    psnr_uv: float
    options: Options = field(default_factory=dict)
    """Setting of a peer."""


def measure_cameras(
    config: EvalConfig,
    paths: Sequence[Path],
    peers: Sequence[Peer],
    on_progress: Callable[[str], None],
) -> list[CameraScore]:
    """Measure the model with estimated sigma, and peers tuned for each case.

    Args:
        config: Model, frames, threads, seed.
        paths: Clean clips.
        peers: Denoisers to compare with.
        on_progress: Called with progress messages.

    Raises:
        ConfigError: A peer failed.
        SourceError: A clip does not decode.
    """
    scores, number = [], 0
    cases = len(paths) * 2 * len(_CODECS) * len(MEGABITS)
    for path in paths:
        moving = [even(frame) for frame in read_clip(path, config.frames)]
        still = [
            replace(moving[len(moving) // 2], pts=f.pts, index=f.index) for f in moving
        ]
        for clean in (still, moving):
            rng = np.random.default_rng(config.seed)
            # The rate control and the filter settle in a mirrored run.
            seen = sensor_noise([*clean[::-1], *clean], rng)
            name = "still" if clean is still else "moving"
            for codec in _CODECS:
                for megabits in MEGABITS:
                    number += 1
                    on_progress(
                        f"camera {number} of {cases}: {path.name}, {name}, {codec}, "
                        f"{megabits:g} Mbit/s"
                    )
                    rate = BitRate(round(megabits * 1e6))
                    noisy = encoded(seen, codec, rate)[len(clean) :]
                    case = (path.stem, clean is still, codec, megabits)
                    scores += _measure(config, case, clean, noisy, peers)
    return scores


def _measure(
    config: EvalConfig,
    case: tuple[str, bool, Codec, float],
    clean: Sequence[Frame],
    noisy: Sequence[Frame],
    peers: Sequence[Peer],
) -> list[CameraScore]:
    def score(
        method: str, frames: Sequence[Frame], options: Options | None = None
    ) -> CameraScore:
        luma, chroma = psnr_y(clean, frames), psnr_uv(clean, frames)
        return CameraScore(*case, method, luma, chroma, dict(options or {}))

    def error(denoised: Mapping[int, Frame]) -> float:
        return -float(
            np.mean([plane_psnrs(clean[n], f)[0] for n, f in denoised.items()])
        )

    run = run_model(config, noisy, "auto")
    scores = [score(NOISY, noisy), score(run.model, run.frames)]
    sigma = 255 / 10 ** (scores[0].psnr_y / 20)
    with TemporaryDirectory(prefix="streamdenoise-eval-") as scratch:
        for peer in peers:
            tuned = tune(
                *(peer, noisy, sigma, error, range(len(noisy))),
                *(Path(scratch), config.threads),
            )
            scores.append(score(peer.name, tuned.frames, tuned.options))
    return scores


def sensor_noise(clean: Sequence[Frame], rng: np.random.Generator) -> list[Frame]:
    """What a camera has before it encodes: shot and read noise, smoothed, filtered.

    Its std follows the slope of the tone curve, so that the mean stays.

    Args:
        clean: 8-bit yuv420p.
        rng: Source of all randomness.
    """
    shown, frames = np.empty(0, np.float32), []
    for frame in clean:
        rgb = frame_to_rgb(frame).astype(np.float32)
        linear, slope = _tone_curve(rgb / 255)
        electrons = np.sqrt(linear * _FULL_WELL + _READ_NOISE**2)
        noise = rng.standard_normal(rgb.shape, np.float32)
        for color, std_px in enumerate(_DEMOSAICED_PX):
            noise[..., color] = smooth(noise[..., color], std_px)
        noise /= noise.std((0, 1))
        now = rgb + 255 * slope * electrons / _FULL_WELL * noise
        if shown.size:
            change = np.abs(smooth((now - shown).mean(-1), 2.0))[..., None]
            keep = _KEEP * np.maximum(1 - change / _MOVES, 0)
            now = keep * shown + (1 - keep) * now
        shown = now
        planes = rgb_to_yuv420_exact(np.clip(now, 0, 255), frame.color)
        frames.append(
            frame.with_planes(
                tuple(np.clip(np.round(p), 0, 255).astype(np.uint8) for p in planes)
            )
        )
    return frames


def _tone_curve(shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Light for what is shown, in [0, 1], and the slope of BT.709's curve there."""
    is_toe = shown < 0.081
    light = np.where(is_toe, shown / 4.5, ((shown + 0.099) / 1.099) ** (1 / 0.45))
    slope = np.where(is_toe, 4.5, 0.45 * 1.099 * np.maximum(light, 0.01) ** -0.55)
    return light, slope


def encoded(
    frames: Sequence[Frame], codec: Codec, quality: int | BitRate
) -> list[Frame]:
    """The frames after encoding and decoding.

    Args:
        frames: 8-bit yuv420p with even sides.
        codec: Of the stream.
        quality: See `codec_round_trip`.
    """
    width = frames[0].width
    flat = np.stack(
        [np.concatenate([plane.ravel() for plane in f.planes]) for f in frames]
    )
    decoded = codec_round_trip(flat.reshape(len(frames), -1, width), codec, quality)
    sizes = np.cumsum([plane.size for plane in frames[0].planes])[:-1]
    return [
        frame.with_planes(
            tuple(
                part.reshape(plane.shape)
                for part, plane in zip(
                    np.split(samples.ravel(), sizes), frame.planes, strict=True
                )
            )
        )
        for frame, samples in zip(frames, decoded, strict=True)
    ]


def even(frame: Frame) -> Frame:
    """A frame without the odd last row and column, which encoders refuse."""
    luma, *chroma = frame.planes
    height, width = (side // 2 * 2 for side in luma.shape)
    planes = (
        luma[:height, :width],
        *(plane[: height // 2, : width // 2] for plane in chroma),
    )
    return frame.with_planes(tuple(np.ascontiguousarray(plane) for plane in planes))
