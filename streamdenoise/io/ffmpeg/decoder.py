"""Packets into frames: on the GPU while that works, in software otherwise."""

from collections.abc import Callable, Iterator

import av

from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason
from streamdenoise.stage_times import Work, timed

# Packets without a frame before the GPU counts as failed; reordering delays by 16.
_MAX_SILENT = 64


class VideoDecoder:
    """Decodes one stream; packets that cannot be decoded are skipped and counted.

    The `hardware` decoder is tried first. It has failed when it cannot decode a key
    packet, or returns no frame for long; other packets may just be damaged. The
    stream's own decoder then takes over: from the first packet if there was
    no frame yet, so that none is lost, otherwise from the current one.

    Args:
        stream: Its own decoder runs in software.
        software: Another decoder in software, instead of the stream's own.
        hardware: A decoder that is set up for `stream`; None for software only.
        on_fallback: Called with the reason, and with whether the hardware had returned
            frames before.
    """

    def __init__(
        self,
        stream: av.VideoStream,
        hardware: av.VideoCodecContext | None = None,
        on_fallback: Callable[[str, bool], None] = lambda why, began: None,
        *,
        software: av.VideoCodecContext | None = None,
    ) -> None:
        self._stream = stream
        self._software = software
        self._hardware = hardware
        self._on_fallback = on_fallback
        self.restart()

    def restart(self) -> None:
        """Forget all packets, after a seek."""
        for own in (self._hardware, self._software):
            if own is not None:
                own.flush_buffers()
        self._silent: list[av.Packet | None] = []  # since the last frame
        self._began = False
        self.skipped = 0
        """Packets that could not be decoded."""
        self.damaged = 0
        """Frames that the decoder had to conceal errors in."""

    def decode(self, packet: av.Packet | None) -> Iterator[av.VideoFrame]:
        """The frames that are ready after `packet`; None flushes the last ones."""
        if self._hardware is None:
            yield from self._decode_in_software(packet)
            return
        self._silent.append(packet)
        why = ""
        try:
            with timed(Work.DECODE):
                frames = self._hardware.decode(packet)
        except EOFError:
            return
        except FFMPEG_ERRORS as exc:
            frames, why = [], reason(exc)
        is_end = packet is None or packet.size == 0
        is_key = packet is not None and packet.is_keyframe
        if frames:
            self._began = True
            self._silent.clear()
            yield from self._counted(frames)
        elif (
            (why and is_key)
            or (is_end and not self._began)
            or len(self._silent) > _MAX_SILENT
        ):
            yield from self._fall_back(packet, why or "it returned no frames")
        elif why:
            self.skipped += 1

    def _fall_back(self, packet: av.Packet | None, why: str) -> Iterator[av.VideoFrame]:
        hardware, self._hardware = self._hardware, None
        assert hardware is not None
        if self._began:
            packets = [packet]
            yield from self._counted(_flush(hardware, self._stream))
        else:
            packets, self.skipped = self._silent, 0
        self._silent = []
        self._on_fallback(why, self._began)
        for each in packets:
            yield from self._decode_in_software(each)

    def _decode_in_software(self, packet: av.Packet | None) -> Iterator[av.VideoFrame]:
        try:
            with timed(Work.DECODE):
                frames = (self._software or self._stream.codec_context).decode(packet)
        except EOFError:
            return
        except FFMPEG_ERRORS:
            self.skipped += 1
            return
        yield from self._counted(frames)

    def _counted(self, frames: list[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        for frame in frames:
            self.damaged += bool(frame.is_corrupt)
            yield frame


def alpha_decoder(stream: av.VideoStream) -> av.VideoCodecContext | None:
    """A decoder with the alpha of `stream`, which FFmpeg's own one leaves out.

    VP8 and VP9 store it beside the video; only libvpx reads it. None for other streams,
    and without libvpx.
    """
    name = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name)
    if name not in av.codecs_available or stream.metadata.get("alpha_mode") != "1":
        return None
    decoder = av.CodecContext.create(name, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.extradata = stream.codec_context.extradata
    decoder.options = dict(stream.codec_context.options)
    return decoder


def _flush(
    decoder: av.VideoCodecContext, stream: av.VideoStream
) -> list[av.VideoFrame]:
    """The frames that are still inside `decoder`; none if it fails."""
    end = av.Packet()
    if stream.time_base is not None:
        end.time_base = stream.time_base
    try:
        return decoder.decode(end)
    except (EOFError, *FFMPEG_ERRORS):
        return []
