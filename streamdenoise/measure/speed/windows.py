"""Times the INT8 step of fixed cameras: in windows, against the whole frame.

``python -m streamdenoise.measure.speed.windows CLIP...`` prints, for scenes made of
each clip, the CPU time of both, and what the windows cost in PSNR. Both take turns, and
ratios are medians of the pairs, so that other work on the machine slows both alike.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from statistics import median

import numpy as np

from streamdenoise.console.table import markdown_table
from streamdenoise.frame import Frame
from streamdenoise.imaging.motion import MotionFollower
from streamdenoise.imaging.noise import plane_sigmas
from streamdenoise.imaging.noise_profile import white_profile
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.backends import openvino
from streamdenoise.inference.backends.openvino_stream import OpenVinoStream
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.machine import cpu_name
from streamdenoise.measure.clips import (
    hand_held_frames,
    noisy_clip,
    read_clip,
    resized_clip,
)
from streamdenoise.measure.speed.steps import fitting_size

_SETTLED = 25
"""Frames of the first second, which are mostly run whole and are not counted."""


def empty(frames: Sequence[Frame]) -> list[Frame]:
    """Nothing moves: the first frame again and again."""
    return [frames[0] for _ in frames]


def one_object(frames: Sequence[Frame]) -> list[Frame]:
    """A patch, an eighth as high and wide as the frame, moves over an empty scene."""
    found: list[Frame] = []
    for t, frame in enumerate(empty(frames)):
        planes = []
        for plane in frame.planes:
            height, width = (n // 8 for n in plane.shape)
            moved = plane.copy()
            x = (t * width // 20) % (7 * width)
            moved[4 * height : 5 * height, x : x + width] = 255 - plane[:height, :width]
            planes.append(moved)
        found.append(replace(frame, planes=tuple(planes)))
    return found


def hand_held(frames: Sequence[Frame]) -> list[Frame]:
    """The camera is in a hand."""
    width, height = frames[0].width, frames[0].height
    return list(hand_held_frames(frames, width, height, len(frames)))


SCENES: dict[str, Callable[[Sequence[Frame]], list[Frame]]] = {
    "empty": empty,
    "one object": one_object,
    "as it is": list,
    "hand-held": hand_held,
}


def compare(
    model: str, clean: Sequence[Frame], sigma: float, threads: int
) -> tuple[str, ...]:
    """Cells of the table for one scene."""
    artifact = open_artifact(model)
    height, width = clean[0].planes[0].shape
    request = StepRequest("openvino", artifact, height, width, threads=threads)
    sigmas = plane_sigmas(sigma, clean[0].color, width, height, clean[0].pix_fmt)
    noise_std = artifact.told(white_profile(sigmas)) / 255
    noisy = noisy_clip(clean, sigma)
    followers = MotionFollower(), MotionFollower()
    times: list[list[float]] = []
    gained: list[float] = []
    with (
        closing(openvino.load(request)) as in_windows,
        closing(openvino.load(request)) as whole,
    ):
        for expected, frame in zip(clean, noisy, strict=True):
            took, errors = [], []
            for backend, follower in zip((in_windows, whole), followers, strict=True):
                flow = follower.flow(frame.planes, 255)
                if flow is not None:
                    backend.warp(flow)
                if backend is whole:
                    _forget_what_was_kept(backend)
                begin = time.process_time()
                planes = backend.step(frame.planes, noise_std)
                took.append(1e3 * (time.process_time() - begin))
                follower.remember(planes)
                errors.append(_squared_error(planes[0], expected.planes[0]))
            times.append(took)
            gained.append(10 * float(np.log10(errors[1] / errors[0])))
    settled = times[_SETTLED:]
    windows_ms, whole_ms = zip(*settled, strict=True)
    ratios = [a / b for a, b in settled]
    return (
        f"{median(windows_ms):.1f}",
        f"{median(whole_ms):.1f}",
        f"{median(ratios):.2f}",
        f"{max(ratios):.2f}",
        f"{np.mean(gained):+.3f}",
        f"{min(gained):+.3f}",
    )


def _forget_what_was_kept(backend: OpenVinoStream) -> None:
    """For a state that comes from elsewhere nothing was kept."""
    backend.set_state([each.copy() for each in backend.state()])


def _squared_error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.square(a.astype(np.float32) - b).mean())


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("clips", nargs="+", metavar="CLIP", help="of fixed cameras")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--size", default="720p")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--sigma", type=float, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--scene", action="append", choices=SCENES)
    given = parser.parse_args(arguments)
    width, height = fitting_size(given.size, open_artifact(given.model))
    header = (
        *("clip", "scene", "CPU ms", "whole frame", "ratio", "highest"),
        *("PSNR-Y, dB", "worst frame"),
    )
    rows: list[tuple[str, ...]] = []
    for clip in given.clips:
        frames = resized_clip(
            read_clip(clip, given.frames, "yuv420p"), width, height, given.frames
        )
        for scene in given.scene or SCENES:
            made = SCENES[scene](frames)
            cells = compare(given.model, made, given.sigma, given.threads)
            rows.append((clip.rpartition("/")[2], scene, *cells))
    print(f"{given.model}, {given.size}, {cpu_name()}, {given.threads} threads")
    print()
    print("\n".join(markdown_table(header, rows)))


if __name__ == "__main__":
    main()
