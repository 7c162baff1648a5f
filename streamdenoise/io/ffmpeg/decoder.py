"""Packets into pictures: on the GPU while that works, in software otherwise."""

from collections.abc import Callable, Iterator

import av

from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason

# Packets without a picture before the GPU counts as failed; reordering takes 16.
_MAX_SILENT = 64


class VideoDecoder:
    """Decodes one stream; what cannot be decoded is skipped and counted.

    A decoder in `hardware` has the first go. It has failed when it cannot decode a key
    packet, or gives no picture for long; other packets may just be damaged. The
    stream's own decoder then takes over for good: from the first packet on when there
    was no picture yet, so that none is lost, else from the present one.

    Args:
        stream: Its own decoder is the one in software.
        hardware: A decoder that is set up for `stream`; None for software only.
        on_fallback: Gets the reason, and whether the hardware had given pictures.
    """

    def __init__(
        self,
        stream: av.VideoStream,
        hardware: av.VideoCodecContext | None = None,
        on_fallback: Callable[[str, bool], None] = lambda why, began: None,
    ) -> None:
        self._stream = stream
        self._hardware = hardware
        self._on_fallback = on_fallback
        self.restart()

    def restart(self) -> None:
        """Forget everything, after the container has gone to another place."""
        if self._hardware is not None:
            self._hardware.flush_buffers()
        self._silent: list[av.Packet | None] = []  # since the last picture
        self._began = False
        self.skipped = 0
        """Packets that could not be decoded."""
        self.damaged = 0
        """Pictures that the decoder patched up."""

    def decode(self, packet: av.Packet | None) -> Iterator[av.VideoFrame]:
        """The pictures that are ready after `packet`; None asks for the last ones."""
        if self._hardware is None:
            yield from self._decode_in_software(packet)
            return
        self._silent.append(packet)
        why = ""
        try:
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
            yield from self._given(frames)
        elif (
            (why and is_key)
            or (is_end and not self._began)
            or len(self._silent) > _MAX_SILENT
        ):
            yield from self._fall_back(packet, why or "no picture came out of it")
        elif why:
            self.skipped += 1

    def _fall_back(self, packet: av.Packet | None, why: str) -> Iterator[av.VideoFrame]:
        hardware, self._hardware = self._hardware, None
        assert hardware is not None
        if self._began:
            packets = [packet]
            yield from self._given(_rest(hardware, self._stream))
        else:
            packets, self.skipped = self._silent, 0
        self._silent = []
        self._on_fallback(why, self._began)
        for each in packets:
            yield from self._decode_in_software(each)

    def _decode_in_software(self, packet: av.Packet | None) -> Iterator[av.VideoFrame]:
        try:
            frames = self._stream.codec_context.decode(packet)
        except EOFError:
            return
        except FFMPEG_ERRORS:
            self.skipped += 1
            return
        yield from self._given(frames)

    def _given(self, frames: list[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        for frame in frames:
            self.damaged += bool(frame.is_corrupt)
            yield frame


def _rest(decoder: av.VideoCodecContext, stream: av.VideoStream) -> list[av.VideoFrame]:
    """The pictures that wait in `decoder` for their turn; none if it is gone."""
    end = av.Packet()
    if stream.time_base is not None:
        end.time_base = stream.time_base
    try:
        return decoder.decode(end)
    except (EOFError, *FFMPEG_ERRORS):
        return []
