"""JPEG and H.264 on training clips, as cameras compress their noise."""

import cv2
import numpy as np
import torch
from torch import Tensor

from streamdenoise.errors import ConfigError


def through_jpeg(clip: Tensor, quality: int) -> Tensor:
    """Compress RGB frames ``(T, 3, H, W)`` in [0, 1] one by one."""
    frames = clip.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    decoded = []
    for frame in frames:
        bgr = np.ascontiguousarray(frame[..., ::-1])
        ok, data = cv2.imencode(".jpg", bgr, options)
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if ok else None
        if image is None:
            raise RuntimeError(f"JPEG compression of a {frame.shape} frame failed")
        decoded.append(image[..., ::-1])
    stacked = torch.from_numpy(np.ascontiguousarray(np.stack(decoded)))
    return stacked.permute(0, 3, 1, 2).float().div_(255)


def through_h264(planes: tuple[Tensor, ...], crf: int) -> tuple[Tensor, ...]:
    """Compress yuv420 planes ``(T, 1, H, W)`` in [0, 1] as video.

    Raises:
        ConfigError: PyAV is not installed.
    """
    try:  # training machines often lack it
        from streamdenoise.io.ffmpeg.h264_round_trip import h264_round_trip
    except ImportError:
        raise ConfigError(
            "noise.h264 needs PyAV: pip install av, or set h264 = 0 in the recipe"
        ) from None
    levels = [plane[:, 0].mul(255).round().byte().numpy() for plane in planes]
    length, height, width = levels[0].shape
    flat = np.concatenate([plane.reshape(length, -1) for plane in levels], axis=1)
    decoded = h264_round_trip(flat.reshape(length, -1, width), crf)
    luma = height * width
    parts = np.split(decoded.reshape(length, -1), [luma, luma * 5 // 4], axis=1)
    return tuple(
        torch.from_numpy(part.reshape(-1, *level.shape[1:])[:, None].copy())
        .float()
        .div_(255)
        for part, level in zip(parts, levels, strict=True)
    )
