"""Training clips: real video crops, and stills under synthetic camera motion.

Clips and stills are decoded once into RGB ``uint8`` memory maps in a cache folder, so
starting again costs nothing and memory is shared with the page cache.
"""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from streamdenoise.errors import ConfigError

log = logging.getLogger(__name__)

_IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"}
_VIDEOS = {".mp4", ".mkv", ".mov", ".avi", ".webm"}

_MAX_FRAMES = 600
"""Of each clip: it is decoded into memory first."""


def decode_video(path: Path, max_frames: int | None = None) -> np.ndarray:
    """Decode a clip to ``(T, H, W, 3)`` RGB uint8; empty when nothing decodes."""
    capture = cv2.VideoCapture(str(path))
    frames: list[np.ndarray] = []
    while max_frames is None or len(frames) < max_frames:
        ok, frame = capture.read()
        if not ok:
            break
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    capture.release()
    return np.stack(frames) if frames else np.empty((0, 0, 0, 3), np.uint8)


def decode_still(path: Path) -> np.ndarray:
    """Decode an image to ``(1, H, W, 3)`` RGB uint8; empty when it does not decode."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        return np.empty((0, 0, 0, 3), np.uint8)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)[None]


def _fingerprint(path: Path) -> str:
    """Another one for another file of the same name, or one that changed."""
    about = path.stat()
    known = f"{path.resolve()} {about.st_size} {about.st_mtime_ns}"
    return hashlib.sha256(known.encode()).hexdigest()[:12]


def cached(folder: Path, cache: Path, min_size: int) -> list[np.ndarray]:
    """Decode every file of `folder` once and return memory maps ``(T, H, W, 3)``.

    Files that do not decode, or are smaller than `min_size`, are named, skipped and
    counted in the log.

    Raises:
        ConfigError: nothing in the folder is usable.
    """
    cache.mkdir(parents=True, exist_ok=True)
    arrays, skipped = [], 0
    for path in sorted(folder.rglob("*")):
        kind = path.suffix.lower()
        if kind not in _IMAGES | _VIDEOS:
            continue
        stored = cache / f"{path.stem}-{_fingerprint(path)}.npy"
        if not stored.exists():
            still = kind in _IMAGES
            decoded = decode_still(path) if still else decode_video(path, _MAX_FRAMES)
            partial = stored.with_suffix(".part.npy")
            np.save(partial, decoded)
            partial.rename(stored)
        array = np.load(stored, mmap_mode="r")
        if min(array.shape[1:3]) < min_size:
            skipped += 1
            log.warning("%s is unreadable or smaller than %d px", path.name, min_size)
            continue
        arrays.append(array)
    if not arrays:
        raise ConfigError(
            f"no usable video or image in {folder}: give a folder with "
            f"{', '.join(sorted(_VIDEOS | _IMAGES))} files of at least {min_size} px"
        )
    log.info("%s: %d files, %d skipped", folder.name, len(arrays), skipped)
    return arrays


@dataclass(frozen=True, slots=True)
class ClipSampler:
    """Draws clean training clips.

    Sampling is a pure function of the generator, so a resumed run draws what an
    uninterrupted one would have drawn.
    """

    videos: list[np.ndarray]
    stills: list[np.ndarray]
    video_share: float = 0.6

    def draw(
        self, length: int, size: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, bool]:
        """Draw a clip.

        Args:
            length: frames.
            size: height and width in pixels, even.

        Returns:
            ``(length, size, size, 3)`` RGB uint8, and whether nothing moves in it.
        """
        if rng.random() < self.video_share:
            clip = self._from_video(length, size, rng)
            static = rng.random() < 0.12
            if static:
                clip = np.repeat(clip[:1], length, 0)
        else:
            kind = rng.random()
            static = kind < 0.3
            clip = self._from_still(length, size, rng, moving=kind > 0.55)
            if not static and kind <= 0.55:
                clip = self._occlude(clip, rng)
        if rng.random() < 0.5:
            clip = clip[:, :, ::-1]
        clip = np.rot90(clip, int(rng.integers(4)), (1, 2))
        if rng.random() < 0.5:
            clip = clip[::-1]
        return np.ascontiguousarray(clip), static

    def _from_video(
        self, length: int, size: int, rng: np.random.Generator
    ) -> np.ndarray:
        # Long clips are drawn more often, by the square root of their length.
        weights = np.sqrt([v.shape[0] for v in self.videos])
        video = self.videos[rng.choice(len(self.videos), p=weights / weights.sum())]
        count, height, width, _ = video.shape
        stride = 2 if rng.random() < 0.25 and count > 2 * length else 1
        # Reducing makes compressed footage sharper and cleaner.
        limit = min(height, width) / size
        scale = min(limit, rng.uniform(1.0, 1.8)) if rng.random() < 0.4 else 1.0
        span = min(int(np.ceil(size * scale)), height, width)
        start = int(rng.integers(max(1, count - (length - 1) * stride)))
        times = np.minimum(start + stride * np.arange(length), count - 1)
        top, left = _sharp_place(video[times[0]], span, rng)
        crop = video[times, top : top + span, left : left + span]
        return np.stack([_resize(frame, size) for frame in crop])

    def _from_still(
        self, length: int, size: int, rng: np.random.Generator, *, moving: bool
    ) -> np.ndarray:
        image = self.stills[rng.integers(len(self.stills))][0]
        limit = min(image.shape[:2]) / (size + 64)
        if limit > 1.2:
            scale = rng.uniform(1.0, min(limit, 4.0))
            shape = (int(image.shape[1] / scale), int(image.shape[0] / scale))
            image = cv2.resize(image, shape, interpolation=cv2.INTER_AREA)
        span = min(size + 64, *image.shape[:2])
        top, left = _sharp_place(image, span, rng)
        patch = np.ascontiguousarray(image[top : top + span, left : left + span])
        if not moving:
            patch = patch[:size, :size]
            return np.repeat(patch[None], length, 0)
        # A smooth path: constant velocity, hand shake, slow zoom and roll.
        speed = rng.uniform(0, 1) ** 2 * 8.0
        angle = rng.uniform(0, 2 * np.pi)
        velocity = speed * np.array([np.cos(angle), np.sin(angle)])
        shake = rng.normal(0, rng.choice([0.0, 0.3, 1.0]), (length, 2))
        zoom, roll = rng.normal(0, 0.004), rng.normal(0, 0.3)
        frames = []
        for t in range(length):
            matrix = cv2.getRotationMatrix2D(
                (span / 2, span / 2), roll * t, 1 + zoom * t
            )
            offset = velocity * (t - length / 2) + shake[t]
            matrix[:, 2] += offset + (size - span) / 2
            frames.append(
                cv2.warpAffine(
                    patch,
                    matrix,
                    (size, size),
                    flags=cv2.INTER_CUBIC,
                    borderMode=cv2.BORDER_REFLECT_101,
                )
            )
        return np.stack(frames)

    def _occlude(self, clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Move an elliptic piece of another still over the clip."""
        length, size = clip.shape[:2]
        thing = self._from_still(1, size, rng, moving=False)[0]
        speed, angle = rng.uniform(0.5, 10), rng.uniform(0, 2 * np.pi)
        centre = rng.uniform(0, size, 2)
        axes = tuple(int(a) for a in rng.uniform(size / 10, size / 2.5, 2))
        mask = np.zeros((size, size), np.uint8)
        cv2.ellipse(mask, (size // 2, size // 2), axes, 0, 0, 360, 255, -1)
        mask = cv2.GaussianBlur(mask, (3, 3), 0.8)
        step = speed * np.array([np.cos(angle), np.sin(angle)])
        frames = []
        for t, frame in enumerate(clip):
            dx, dy = centre + step * (t - length / 2) - size / 2
            matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
            moved = cv2.warpAffine(thing, matrix, (size, size), flags=cv2.INTER_CUBIC)
            alpha = cv2.warpAffine(mask, matrix, (size, size))[..., None] / np.float32(
                255
            )
            frames.append(frame + alpha * (moved - frame.astype(np.float32)) + 0.5)
        return np.stack(frames).clip(0, 255).astype(np.uint8)


def _resize(frame: np.ndarray, size: int) -> np.ndarray:
    if frame.shape[0] == size:
        return frame
    return cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)


def _sharp_place(
    image: np.ndarray, span: int, rng: np.random.Generator
) -> tuple[int, int]:
    """The sharper of two random places, most of the time: flat crops teach little."""
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
