"""Decoding on an NVIDIA GPU."""

import av
from av.codec.hwaccel import HWAccel, HWDeviceType

from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason

# Codecs whose standard defines every sample, and formats that come back unchanged: the
# frames equal those of the software decoder.
_CODECS = ("h264", "hevc", "av1", "vp8", "vp9")
_PIX_FMTS = ("yuv420p", "yuvj420p", "yuv420p10le")


def open_nvdec(stream: av.VideoStream) -> av.VideoCodecContext:
    """A decoder for `stream` on the GPU that returns frames in host memory.

    Only the first key packet shows whether the GPU can decode this very video.

    Raises:
        ValueError: NVDEC does not decode its codec or format.
        OSError: There is no GPU, or no driver.
    """
    context = stream.codec_context
    codec, pix_fmt = context.codec.canonical_name, context.pix_fmt
    if codec not in _CODECS or pix_fmt not in _PIX_FMTS:
        raise ValueError(
            f"{codec} in {pix_fmt or 'an unknown format'} is not supported"
        )
    # PyAV's own fallback raises without a device, and hides later failures.
    accel = HWAccel(HWDeviceType.cuda, allow_software_fallback=False)
    try:
        decoder = decoder_like(context, accel)
    except FFMPEG_ERRORS as exc:
        raise OSError(f"no NVIDIA GPU and driver found: {reason(exc)}") from exc
    if not decoder.is_hwaccel:
        raise ValueError(f"this FFmpeg is built without NVDEC for {codec}")
    return decoder


def decoder_like(
    context: av.VideoCodecContext, accel: HWAccel | None
) -> av.VideoCodecContext:
    """FFmpeg's own decoder for the codec of `context`, with the same settings.

    The stream's own decoder stays unused and can take over in mid-stream, even
    from a camera or a pipe, which cannot be opened again.
    """
    # By the name of the codec: libdav1d and others cannot use the GPU.
    name = context.codec.canonical_name
    decoder = av.CodecContext.create(name, "r", accel)
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.extradata = context.extradata
    decoder.width, decoder.height = context.width, context.height
    # Frame order and color as the container states them, if the video itself does not.
    decoder.reorder_depth = context.reorder_depth
    decoder.colorspace, decoder.color_range = context.colorspace, context.color_range
    decoder.color_primaries = context.color_primaries
    decoder.color_trc = context.color_trc
    decoder.options = dict(context.options)
    # Threads do not make the GPU faster, and each needs one more surface.
    decoder.thread_count = 1
    return decoder
