"""Draws clean training clips from videos and stills."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from streamdenoise.imaging.color import rgb_to_gray

from .cache import cached
from .synthetic import cut, expose, hold, move_camera, occlude, parallax

_MARGIN = 64
"""Pixels of a still around a crop, so that the camera can move."""


@dataclass(frozen=True, slots=True)
class ClipSampler:
    """Draws clean training clips.

    Sampling is a pure function of the generator, so a resumed run draws the same clips
    as an uninterrupted one. Each share is one of all clips, or of the videos or stills
    among them if the name says so.
    """

    videos: list[np.ndarray]
    stills: list[np.ndarray]
    video_share: float = 0.6
    held_videos: float = 0.15
    """One frame, repeated; in a third of them an object moves over it."""
    occluded_videos: float = 0.05
    """An object moves over the video."""
    static_stills: float = 0.28
    """Nothing moves."""
    occluded_stills: float = 0.22
    """An object moves over the still."""
    parallax_stills: float = 0.15
    """Two layers move at different speeds. Over the rest of the stills the camera
    moves."""
    exposure: float = 0.15
    """The exposure or the white balance changes."""
    cuts: float = 0.04
    """There is a scene cut in the clip."""
    soft: float = 0.0
    """The clip is blurred, as by lenses and demosaicing."""
    gray: float = 0.0
    """The clip is gray, as from infrared cameras and old films."""

    @classmethod
    def read(
        cls,
        folder: Path,
        cache: Path,
        min_size: int,
        soft: float = 0.0,
        gray: float = 0.0,
    ) -> "ClipSampler":
        """Read ``video/`` and ``stills/`` in a folder, see `cached`."""
        return cls(
            videos=cached(folder / "video", cache / "video", min_size),
            stills=cached(folder / "stills", cache / "stills", min_size),
            soft=soft,
            gray=gray,
        )

    def __str__(self) -> str:
        return f"{len(self.videos)} clips, {len(self.stills)} stills"

    def draw(
        self, length: int, size: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, bool]:
        """Draw a clip.

        Args:
            length: number of frames.
            size: height and width in pixels, even.
            rng: source of all randomness.

        Returns:
            ``(length, size, size, 3)`` RGB uint8, and whether the clip is static.
        """
        clip, static = self._scene(length, size, rng)
        if rng.random() < self.cuts:
            clip, static = cut(clip, self._scene(length, size, rng)[0], rng), False
        if rng.random() < self.exposure:
            clip, static = expose(clip, rng), False
        if self.soft and rng.random() < self.soft:
            radius = rng.uniform(0.4, 1.5)
            clip = np.stack([cv2.GaussianBlur(x, (0, 0), radius) for x in clip])
        if self.gray and rng.random() < self.gray:
            clip = np.stack([_without_color(frame) for frame in clip])
        if rng.random() < 0.5:
            clip = clip[:, :, ::-1]
        clip = np.rot90(clip, int(rng.integers(4)), (1, 2))
        if rng.random() < 0.5:
            clip = clip[::-1]
        return np.ascontiguousarray(clip), static

    def _scene(
        self, length: int, size: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, bool]:
        """One shot, and whether it is static."""
        if rng.random() < self.video_share:
            clip = self._from_video(length, size, rng)
            held = rng.random() < self.held_videos
            if held:
                clip = hold(clip[0], length)
            over = rng.random() < (1 / 3 if held else self.occluded_videos)
        else:
            kind = rng.random()
            held = kind < self.static_stills + self.occluded_stills
            over = held and kind >= self.static_stills
            patch = self._from_still(size, rng)
            if held:
                clip = hold(patch[:size, :size], length)
            elif kind < 1 - self.parallax_stills:
                clip = move_camera(patch, length, size, rng)
            else:
                clip = parallax(patch, self._from_still(size, rng), length, size, rng)
        if over:
            clip = occlude(clip, self._from_still(size, rng)[:size, :size], rng)
        return clip, held and not over

    def _from_video(
        self, length: int, size: int, rng: np.random.Generator
    ) -> np.ndarray:
        # Clips are drawn in proportion to the square root of their length.
        weights = np.sqrt([v.shape[0] for v in self.videos])
        video = self.videos[rng.choice(len(self.videos), p=weights / weights.sum())]
        count, height, width, _ = video.shape
        stride = 2 if rng.random() < 0.25 and count > 2 * length else 1
        # Downscaling makes compressed footage sharper and cleaner.
        limit = min(height, width) / size
        scale = min(limit, rng.uniform(1.0, 1.8)) if rng.random() < 0.4 else 1.0
        span = min(int(np.ceil(size * scale)), height, width)
        start = int(rng.integers(max(1, count - (length - 1) * stride)))
        times = np.minimum(start + stride * np.arange(length), count - 1)
        top, left = _sharp_place(video[times[0]], span, rng)
        crop = video[times, top : top + span, left : left + span]
        return np.stack([_resize(frame, size) for frame in crop])

    def _from_still(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """A square patch of `size`, with a margin if the still is large enough.

        Large stills are downscaled.
        """
        image = self.stills[rng.integers(len(self.stills))][0]
        limit = min(image.shape[:2]) / (size + _MARGIN)
        if limit > 1.2:
            scale = rng.uniform(1.0, min(limit, 4.0))
            shape = (int(image.shape[1] / scale), int(image.shape[0] / scale))
            image = cv2.resize(image, shape, interpolation=cv2.INTER_AREA)
        span = min(size + _MARGIN, *image.shape[:2])
        top, left = _sharp_place(image, span, rng)
        return np.ascontiguousarray(image[top : top + span, left : left + span])


def _without_color(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb_to_gray(frame), cv2.COLOR_GRAY2RGB)


def _resize(frame: np.ndarray, size: int) -> np.ndarray:
    if frame.shape[0] == size:
        return frame
    return cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)


def _sharp_place(
    image: np.ndarray, span: int, rng: np.random.Generator
) -> tuple[int, int]:
    """Mostly the sharper of two random places, because flat crops teach little."""
    places = [
        (
            int(rng.integers(image.shape[0] - span + 1)),
            int(rng.integers(image.shape[1] - span + 1)),
        )
        for _ in range(2)
    ]
    if rng.random() < 0.3:
        return places[0]

    def sharpness(place: tuple[int, int]) -> float:
        top, left = place
        green = image[top : top + span : 2, left : left + span : 2, 1].astype(np.int16)
        return float(np.abs(np.diff(green, axis=1)).mean())

    return max(places, key=sharpness)
