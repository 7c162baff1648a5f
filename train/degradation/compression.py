"""JPEG and video codecs on training clips, as cameras compress their noise."""

from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from streamdenoise.errors import ConfigError

from .planes import PlaneFormat, Planes, Yuv420


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


def through_codec(
    rgb: Tensor, form: PlaneFormat, codec: Literal["h264", "hevc"], crf: int
) -> Planes:
    """Compress RGB frames ``(T, 3, H, W)`` in [0, 1] as video, in yuv420.

    Args:
        rgb: multiples of 1/255.
        form: format of the planes to return; that of yuv420 is also the video's.
        codec: of the video.
        crf: constant rate factor of its encoder.

    Raises:
        ConfigError: PyAV is not installed.
    """
    try:  # training machines often lack it
        from streamdenoise.io.ffmpeg.codec_round_trip import codec_round_trip
    except ImportError:
        raise ConfigError(
            f"noise.{codec} needs PyAV: pip install av, or set h264 = 0 and hevc = 0 "
            "in the recipe"
        ) from None
    video = form if isinstance(form, Yuv420) else Yuv420()
    levels = [
        plane[:, 0].mul(255).round().byte().numpy() for plane in video.planes(rgb)
    ]
    length, height, width = levels[0].shape
    flat = np.concatenate([plane.reshape(length, -1) for plane in levels], axis=1)
    decoded = codec_round_trip(flat.reshape(length, -1, width), codec, crf)
    luma = height * width
    parts = np.split(decoded.reshape(length, -1), [luma, luma * 5 // 4], axis=1)
    planes = tuple(
        torch.from_numpy(part.reshape(-1, *level.shape[1:])[:, None].copy())
        .float()
        .div_(255)
        for part, level in zip(parts, levels, strict=True)
    )
    return planes if video is form else form.planes(video.rgb(planes))
