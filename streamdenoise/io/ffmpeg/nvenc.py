"""Encoding on an NVIDIA GPU, with a software fallback."""

import os
from fractions import Fraction

import av

from streamdenoise.frame import StreamInfo
from streamdenoise.io.ffmpeg.encoder import VideoEncoder
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason
from streamdenoise.io.options import EncoderConfig

_SOFTWARE = {"h264_nvenc": "x264", "hevc_nvenc": "x265"}


def usable_encoder(
    config: EncoderConfig | None, info: StreamInfo
) -> tuple[EncoderConfig | None, list[str]]:
    """Replace NVENC by the software encoder of the same codec if it rejects `info`.

    The crf is kept; presets of NVENC do not apply to software encoders.

    Returns:
        The encoder to use, and a list with a note if it was replaced.
    """
    if config is None or config.codec not in _SOFTWARE:
        return config, []
    try:
        _try_out(config, info)
    except FFMPEG_ERRORS as exc:
        software = EncoderConfig(
            _SOFTWARE[config.codec], config.crf, pix_fmt=config.pix_fmt
        )
        note = (
            f"--codec {config.codec}: NVENC, which needs an NVIDIA GPU and its driver, "
            f"cannot encode {info.width}x{info.height} {info.pix_fmt} here "
            f"({reason(exc)}); encoded with {software.codec}"
        )
        return software, [note]
    return config, []


def _try_out(config: EncoderConfig, info: StreamInfo) -> None:
    """Open the encoder on trial, because an open output cannot change it."""
    if config.codec not in av.codecs_available:
        raise OSError("this FFmpeg is built without it")
    with av.open(os.devnull, "w", format="null") as nowhere:
        encoder = VideoEncoder(nowhere, info, config, time_base=Fraction(1, 90000))
        encoder.stream.codec_context.open()
