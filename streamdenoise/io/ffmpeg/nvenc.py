"""Encoding on an NVIDIA GPU, and what takes over where that cannot be."""

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
    """`config`, or the software encoder of its family where NVENC refuses `info`.

    The crf goes along, a preset of NVENC's means nothing there.

    Returns:
        The encoder, and a note in a list where it is another one.
    """
    if config is None or config.codec not in _SOFTWARE:
        return config, []
    try:
        _try_out(config, info)
    except FFMPEG_ERRORS as exc:
        software = EncoderConfig(_SOFTWARE[config.codec], config.crf)
        note = (
            f"--codec {config.codec}: NVENC, which needs an NVIDIA GPU and its driver, "
            f"cannot encode {info.width}x{info.height} {info.pix_fmt} here "
            f"({reason(exc)}); encoded with {software.codec}"
        )
        return software, [note]
    return config, []


def _try_out(config: EncoderConfig, info: StreamInfo) -> None:
    """Open the encoder for nothing: an output cannot take another one any more."""
    if config.codec not in av.codecs_available:
        raise OSError("this FFmpeg is built without it")
    with av.open(os.devnull, "w", format="null") as nowhere:
        encoder = VideoEncoder(nowhere, info, config, time_base=Fraction(1, 90000))
        encoder.stream.codec_context.open()
