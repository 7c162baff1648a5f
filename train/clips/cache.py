"""Training data on disk: clips and stills, decoded once.

They are cached as RGB ``uint8`` memory maps, so a second start costs nothing and memory
is shared with the page cache.
"""

import hashlib
import logging
from pathlib import Path

import cv2
import numpy as np

from streamdenoise.errors import ConfigError
from streamdenoise.files import replaced_whole

log = logging.getLogger(__name__)

_IMAGES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"}
_VIDEOS = {".mp4", ".mkv", ".mov", ".avi", ".webm"}

_MAX_FRAMES = 600
"""Frames that are read of each clip: it is decoded into memory first."""


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
    """A short hash that differs for another file of this name, or if it changes."""
    about = path.stat()
    known = f"{path.resolve()} {about.st_size} {about.st_mtime_ns}"
    return hashlib.sha256(known.encode()).hexdigest()[:12]


def cached(folder: Path, cache: Path, min_size: int) -> list[np.ndarray]:
    """Decode every file of `folder` once and return memory maps ``(T, H, W, 3)``.

    Files that do not decode or are smaller than `min_size` are skipped; the log names
    and counts them.

    Raises:
        ConfigError: nothing in the folder is usable.
        SinkError: the cache cannot be written.
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
            with replaced_whole(stored) as partial, partial.open("wb") as file:
                np.save(file, decoded)
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
