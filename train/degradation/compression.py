"""JPEG and H.264 on training clips: what cameras do to noise before we see it."""

from fractions import Fraction

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
        ok, data = cv2.imencode(".jpg", np.ascontiguousarray(frame[..., ::-1]), options)
        if not ok:
            raise RuntimeError(f"JPEG encoding of a {frame.shape} frame failed")
        decoded.append(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
    stacked = torch.from_numpy(np.ascontiguousarray(np.stack(decoded)))
    return stacked.permute(0, 3, 1, 2).float().div_(255)


def through_h264(planes: tuple[Tensor, ...], crf: int) -> tuple[Tensor, ...]:
    """Compress yuv420 planes ``(T, 1, H, W)`` as cameras do: one key frame, no B.

    Raises:
        ConfigError: there is no PyAV.
    """
    try:
        import av
    except ImportError:
        raise ConfigError(
            "noise.h264 needs PyAV: pip install av, or say h264 = 0 in the recipe"
        ) from None
    levels = [plane[:, 0].mul(255).round().byte().numpy() for plane in planes]
    length, height, width = levels[0].shape
    encoder = av.VideoCodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.thread_count = 1
    encoder.options = {"preset": "veryfast", "crf": str(crf), "tune": "zerolatency"}
    decoder = av.VideoCodecContext.create("h264", "r")
    decoder.thread_count = 1
    frames = []
    for t in [*range(length), None]:
        frame = None
        if t is not None:
            i420 = np.concatenate([plane[t].ravel() for plane in levels])
            picture = i420.reshape(height * 3 // 2, width)
            frame = av.VideoFrame.from_ndarray(picture, "yuv420p")
            frame.pts = t
        for packet in encoder.encode(frame):
            frames += decoder.decode(packet)
    frames += decoder.decode(None)
    if len(frames) != length:
        raise RuntimeError(f"H.264 gave {len(frames)} of {length} frames back")
    decoded = np.stack([frame.to_ndarray() for frame in frames]).reshape(length, -1)
    luma = height * width
    parts = np.split(decoded, [luma, luma * 5 // 4], axis=1)
    return tuple(
        torch.from_numpy(part.reshape(-1, *level.shape[1:])[:, None].copy())
        .float()
        .div_(255)
        for part, level in zip(parts, levels, strict=True)
    )
