"""Synthetic motion and changes on clean clips, pure functions of their generator.

Clips are ``(T, H, W, 3)``, images ``(H, W, 3)``, RGB uint8.
"""

import cv2
import numpy as np


def hold(image: np.ndarray, length: int) -> np.ndarray:
    """Repeat an image as a static clip."""
    return np.repeat(image[None], length, 0)


def _shifted(image: np.ndarray, offset: np.ndarray, size: int) -> np.ndarray:
    """The middle `size` x `size` of an image moved by (right, down).

    Beyond its edges the image is mirrored.
    """
    height, width = image.shape[:2]
    dx, dy = offset[0] + (size - width) / 2, offset[1] + (size - height) / 2
    matrix = np.array([[1, 0, dx], [0, 1, dy]])
    return cv2.warpAffine(
        image,
        matrix,
        (size, size),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def _blend(below: np.ndarray, above: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`above` where the uint8 `mask` is 255."""
    alpha = mask[..., None] / np.float32(255)
    mixed = below + alpha * (above - below.astype(np.float32)) + 0.5
    return mixed.clip(0, 255).astype(np.uint8)


def _direction(rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])


def move_camera(
    image: np.ndarray, length: int, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Move the camera over an image: constant velocity, hand shake, zoom and roll.

    Args:
        image: square, larger than `size` by some margin.
        length: number of frames.
        size: height and width of the frames, in pixels.
        rng: source of all randomness.
    """
    span = image.shape[0]
    speed = rng.uniform(0, 1) ** 2 * 8.0
    velocity = speed * _direction(rng)
    shake = rng.normal(0, rng.choice([0.0, 0.3, 1.0]), (length, 2))
    zoom, roll = rng.normal(0, 0.004), rng.normal(0, 0.3)
    frames = []
    for t in range(length):
        matrix = cv2.getRotationMatrix2D((span / 2, span / 2), roll * t, 1 + zoom * t)
        matrix[:, 2] += velocity * (t - length / 2) + shake[t] + (size - span) / 2
        frames.append(
            cv2.warpAffine(
                image,
                matrix,
                (size, size),
                flags=cv2.INTER_CUBIC,
                borderMode=cv2.BORDER_REFLECT_101,
            )
        )
    return np.stack(frames)


def parallax(
    far: np.ndarray,
    near: np.ndarray,
    length: int,
    size: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Move the camera past two layers: the near one has holes and moves faster.

    Args:
        far: image behind, larger than `size` by some margin.
        near: image in front.
        length: number of frames.
        size: height and width of the frames, in pixels.
        rng: source of all randomness.
    """
    cells = rng.normal(0, 1, (6, 6)).astype(np.float32)
    height = cv2.resize(cells, near.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    holes = ((height > rng.uniform(-0.3, 0.6)) * 255).astype(np.uint8)
    holes = cv2.GaussianBlur(holes, (3, 3), 0.8)
    velocity = rng.uniform(1.0, 8.0) * _direction(rng)
    depth = rng.uniform(0.1, 0.7)
    frames = []
    for t in range(length):
        offset = velocity * (t - length / 2)
        frames.append(
            _blend(
                _shifted(far, depth * offset, size),
                _shifted(near, offset, size),
                _shifted(holes, offset, size),
            )
        )
    return np.stack(frames)


def occlude(
    clip: np.ndarray, thing: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Move an elliptic part of an image over the clip; both have the same size."""
    length, size = clip.shape[:2]
    velocity = rng.uniform(0.5, 10) * _direction(rng)
    center = rng.uniform(0, size, 2)
    axes = tuple(int(a) for a in rng.uniform(size / 10, size / 2.5, 2))
    mask = np.zeros((size, size), np.uint8)
    cv2.ellipse(mask, (size // 2, size // 2), axes, 0, 0, 360, 255, -1)
    mask = cv2.GaussianBlur(mask, (3, 3), 0.8)
    frames = []
    for t, frame in enumerate(clip):
        dx, dy = center + velocity * (t - length / 2) - size / 2
        matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
        moved = cv2.warpAffine(thing, matrix, (size, size), flags=cv2.INTER_CUBIC)
        frames.append(_blend(frame, moved, cv2.warpAffine(mask, matrix, (size, size))))
    return np.stack(frames)


def expose(clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change the exposure, in half of the clips the white balance with it.

    The gain of each color moves smoothly from one value to another.
    """
    length = len(clip)
    start, end = 2.0 ** rng.uniform(-1.0, 0.5, (2, 1))
    if rng.random() < 0.5:
        end = start * 2.0 ** rng.uniform(-0.3, 0.3, 3)
    middle, width = rng.uniform(0, length), rng.uniform(0.5, 1 + length / 2)
    turn = 1 / (1 + np.exp((middle - np.arange(length)) / width))
    gains = start + (end - start) * turn[:, None]
    brighter = clip * gains[:, None, None].astype(np.float32) + 0.5
    return brighter.clip(0, 255).astype(np.uint8)


def cut(before: np.ndarray, after: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut from one clip to another of the same shape, at any frame but the first."""
    at = int(rng.integers(1, max(2, len(before))))
    return np.concatenate([before[:at], after[at:]])
