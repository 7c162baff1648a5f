"""Denoising of arrays, as OpenCV and imageio hold images."""

import time
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from streamdenoise.frame import ColorInfo, Frame


class ArrayAdapter:
    """Passes arrays through a denoiser of frames, as a stream."""

    def __init__(self, process: Callable[[Frame], list[Frame]]) -> None:
        """Adapt a denoiser that returns one frame for each frame."""
        self._process = process
        self._index = 0

    def __call__(self, image: np.ndarray, pix_fmt: str) -> np.ndarray:
        """Denoise one array; see `Denoiser.__call__`.

        The result is a copy, because users draw on it, and the denoiser keeps its own.
        """
        if image.dtype != np.uint8:
            raise ValueError(f"image must be uint8, got {image.dtype}")
        if not image.size:
            raise ValueError(f"image is empty: its shape is {image.shape}")
        if pix_fmt == "yuv420p":
            return self._i420(image)
        if image.ndim == 2:
            return self._planes((image,), "gray")[0].copy()
        if pix_fmt in ("bgr24", "rgb24") and image.shape[2:] == (3,):
            order = slice(None, None, -1 if pix_fmt == "bgr24" else 1)
            rgb = np.ascontiguousarray(image[..., order])
            (clean,) = self._planes((rgb,), "rgb24")
            return np.array(clean[..., order], order="C")
        raise ValueError(
            f"image of shape {image.shape} is not {pix_fmt}; give bgr24, rgb24, "
            "gray or yuv420p"
        )

    def _i420(self, image: np.ndarray) -> np.ndarray:
        height = image.shape[0] * 2 // 3
        width = image.shape[1] if image.ndim == 2 else 0
        if image.ndim != 2 or image.shape[0] * 2 % 3 or height % 2 or width % 2:
            raise ValueError(
                f"a yuv420p image is (H * 3/2, W) with even H and W, got {image.shape}"
            )
        half = (height // 2, width // 2)
        luma, u, v = np.split(
            image.reshape(-1), (height * width, height * width * 5 // 4)
        )
        planes = (luma.reshape(height, width), u.reshape(half), v.reshape(half))
        clean = self._planes(planes, "yuv420p")
        return np.concatenate([plane.reshape(-1) for plane in clean]).reshape(
            image.shape
        )

    def _planes(
        self, planes: tuple[np.ndarray, ...], pix_fmt: str
    ) -> tuple[np.ndarray, ...]:
        frame = Frame(
            planes=planes,
            pix_fmt=pix_fmt,
            color=ColorInfo(),
            pts=self._index,
            time_base=Fraction(1, 30),
            index=self._index,
            captured_at=time.monotonic(),
        )
        self._index += 1
        return self._process(frame)[0].planes
