"""Decoding on a GPU or another device for video."""

import io
from dataclasses import dataclass

import av
from av.codec.codec import UnknownCodecError
from av.codec.hwaccel import HWAccel, HWDeviceType

from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason
from streamdenoise.io.options import Hwaccel

# Codecs whose standard defines every sample, and formats that come back unchanged: the
# frames equal those of the software decoder.
_CODECS = ("h264", "hevc", "av1", "vp8", "vp9")
_PIX_FMTS = ("yuv420p", "yuvj420p", "yuv420p10le")


@dataclass(frozen=True, slots=True)
class _Device:
    name: str
    """What the maker calls it."""
    needs: str
    """Hardware and software that must be there."""
    type: HWDeviceType


_DEVICES = {
    Hwaccel.CUDA: _Device("NVDEC", "NVIDIA GPU and driver", HWDeviceType.cuda),
    Hwaccel.VAAPI: _Device("VA-API", "GPU with a VA-API driver", HWDeviceType.vaapi),
    Hwaccel.QSV: _Device("Quick Sync", "Intel GPU and its oneVPL", HWDeviceType.qsv),
    Hwaccel.VIDEOTOOLBOX: _Device(
        "VideoToolbox", "Mac that decodes it", HWDeviceType.videotoolbox
    ),
    Hwaccel.D3D11VA: _Device(
        "Direct3D 11", "GPU with a driver for Windows", HWDeviceType.d3d11va
    ),
}

_OWN_DECODERS = {Hwaccel.QSV: "_qsv"}
"""Ends of the names of decoders that are FFmpeg's own for a device, and open it
themselves."""


def device_name(hwaccel: Hwaccel) -> str:
    """What the maker calls the device; that of `Hwaccel.AUTO` is NVDEC."""
    return _device(hwaccel).name


def why_not_decoding() -> dict[Hwaccel, str]:
    """Why each device does not decode here, by a trial with H.264; empty if it does."""
    clip = _tiny_clip()
    found = dict[Hwaccel, str]()
    for hwaccel in _DEVICES:
        try:
            found[hwaccel] = "" if _decodes(hwaccel, clip) else "it returned no frames"
        except FFMPEG_ERRORS as exc:
            found[hwaccel] = reason(exc)
    return found


def open_hardware(stream: av.VideoStream, hwaccel: Hwaccel) -> av.VideoCodecContext:
    """A decoder for `stream` on a device, which returns frames in host memory.

    Only the first key packet shows whether the device can decode this very video.

    Args:
        stream: Its own decoder stays as it is.
        hwaccel: The device; `Hwaccel.AUTO` is an NVIDIA GPU.

    Raises:
        ValueError: The device does not decode its codec or format.
        OSError: There is no such device, or no driver.
    """
    context = stream.codec_context
    codec, pix_fmt = context.codec.canonical_name, context.pix_fmt
    if codec not in _CODECS or pix_fmt not in _PIX_FMTS:
        raise ValueError(
            f"{codec} in {pix_fmt or 'an unknown format'} is not supported"
        )
    device = _device(hwaccel)
    without = f"this FFmpeg is built without {device.name} for {codec}"
    if hwaccel in _OWN_DECODERS:
        try:
            return decoder_like(context, None, _OWN_DECODERS[hwaccel])
        except UnknownCodecError as exc:
            raise ValueError(without) from exc
    # PyAV's own fallback raises without a device, and hides later failures.
    accel = HWAccel(device.type, allow_software_fallback=False)
    try:
        decoder = decoder_like(context, accel)
    except FFMPEG_ERRORS as exc:
        raise OSError(f"no {device.needs} found: {reason(exc)}") from exc
    if not decoder.is_hwaccel:
        raise ValueError(without)
    return decoder


def _tiny_clip() -> bytes:
    """A few frames of H.264 in MP4."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = 256
        stream.pix_fmt = "yuv420p"
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame(256, 256, "yuv420p")))
        container.mux(stream.encode(None))
    return file.getvalue()


def _decodes(hwaccel: Hwaccel, clip: bytes) -> bool:
    with av.open(io.BytesIO(clip), "r") as container:
        stream = container.streams.video[0]
        decoder = open_hardware(stream, hwaccel)
        return any([decoder.decode(packet) for packet in container.demux(stream)])


def _device(hwaccel: Hwaccel) -> _Device:
    return _DEVICES[Hwaccel.CUDA if hwaccel is Hwaccel.AUTO else hwaccel]


def decoder_like(
    context: av.VideoCodecContext, accel: HWAccel | None, end: str = ""
) -> av.VideoCodecContext:
    """FFmpeg's own decoder for the codec of `context`, with the same settings.

    `end` is that of the decoder's name after the codec's.

    The stream's own decoder stays unused and can take over in mid-stream, even
    from a camera or a pipe, which cannot be opened again.
    """
    # By the name of the codec: libdav1d and others cannot use the GPU.
    name = context.codec.canonical_name + end
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
