"""Fragmented MP4 in memory, for the Media Source of browsers."""

import logging
import re
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from threading import Lock

import av
from av.container import OutputContainer

from streamdenoise.frame import ColorInfo, Frame
from streamdenoise.imaging.color import resolve_matrix
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason
from streamdenoise.io.ffmpeg.sound import Sound
from streamdenoise.io.ffmpeg.sound_tracks import SoundTracks

log = logging.getLogger(__name__)

TIME_BASE = Fraction(1, 90000)
"""Unit of the timestamps of fragments."""

ORIGIN_S = Fraction(10)
"""What is added to timestamps: packets before the first frame, such as those that
B-frames need, would have negative ones, which fragments cannot hold."""

KEY_FRAME_S = Fraction(2)
"""Longest time between two key frames, for viewers that join or were too slow."""

AddSound = Callable[[OutputContainer], None]

PutPiece = Callable[[bytes, str, bool], None]
"""Gets a piece: its bytes, its MIME type if it is a header, and whether it is a
fragment that begins with a key frame. It must not block."""

_START_CODE = re.compile(rb"\x00*\x00\x00\x01")
_SPS, _PPS = 7, 8  # types of NAL units: parameter sets of sequences and pictures

_UNKNOWN = 2  # primaries and transfer

_OPTIONS = {
    # A fragment is complete when the next frame comes: only then is its duration known,
    # and players stop at gaps between fragments. Without a trailer nothing has to be
    # remembered of them.
    "movflags": "+empty_moov+default_base_moof+frag_every_frame+frag_discont"
    "+skip_trailer",
    "use_editlist": "0",
    "avoid_negative_ts": "disabled",
    "flush_packets": "1",
}

# Sound has a muxer of its own, so that neither waits for the other, and pieces of a
# length that does not matter.
_SOUND_OPTIONS = {
    **_OPTIONS,
    "movflags": "+empty_moov+default_base_moof+frag_discont+skip_trailer",
    "frag_duration": "100000",
    "max_interleave_delta": "1",
}


class FragmentWriter:
    """Muxes H.264 to a header and a fragment for each frame, and sound beside it.

    A frame comes out when the next one goes in.

    Attributes:
        container: A video stream is added to it before `begin`.
        mime: Type of the stream; empty before `begin`.
    """

    def __init__(self, put: PutPiece) -> None:
        """`put` gets the pieces, in the thread that writes."""
        self.mime = ""
        self._put = put
        self._header = b""
        self._silent = b"", ""
        self._written = _Bytes()
        self._sound_written = _Bytes()
        self._sound: OutputContainer | None = None
        self._pending_key = False
        self._last_dts = -1
        self.container = av.open(
            self._written, "w", format="mp4", container_options=_OPTIONS
        )

    def begin(self, add_sound: AddSound | None = None) -> None:
        """Write the header.

        Args:
            add_sound: Adds a track of AAC or Opus, if there is one.

        Raises:
            FFmpegError: The encoder cannot be opened.
        """
        self.container.start_encoding()
        self._header = self._written.take()
        video = self.container.streams.video[0]
        codec = avc_codec(video.codec_context.extradata or b"")
        self._silent = self._header, _mime(codec)
        self.mime = _mime(codec)
        if add_sound is not None:
            try:
                self.mime = _mime(codec, *self._begin_sound(video, add_sound))
            except FFMPEG_ERRORS as exc:
                self._end_sound(reason(exc))
        self.repeat_header()

    def _begin_sound(self, video: av.VideoStream, add_sound: AddSound) -> list[str]:
        """Replace the header by one with both tracks; returns the sound's codec."""
        sound = av.open(
            self._sound_written, "w", format="mp4", container_options=_SOUND_OPTIONS
        )
        sound.add_stream_from_template(video)
        add_sound(sound)
        if not sound.streams.audio:
            sound.close()
            self._sound_written.take()
            return []
        sound.start_encoding()
        self._header, self._sound = self._sound_written.take(), sound
        # Decoders of AAC-LC find the extensions of the other kinds themselves.
        return ["opus" if b"Opus" in self._header else "mp4a.40.2"]

    def repeat_header(self) -> None:
        """Put the header again, for one more player."""
        self._put(self._header, self.mime, False)

    def mux(self, packet: av.Packet) -> None:
        """Put the fragment of the packet before this one.

        A packet that is not later than the one before is left out.
        """
        assert packet.dts is not None
        if packet.dts <= self._last_dts:
            return
        self._last_dts = packet.dts
        is_key = packet.is_keyframe
        self.container.mux_one(packet)
        self._pass_on()
        self._pending_key = is_key

    def mux_sound(self, tracks: SoundTracks, frame: Frame) -> bool:
        """Put fragments of the sound up to `frame`, of about 0.1 s.

        Sound that FFmpeg refuses ends, with a note, and the video goes on. Players
        would wait for sound, so another header follows, which has none.

        Returns:
            Whether a header was put, so that a key frame has to come next.
        """
        if self._sound is None:
            return False
        for packet in tracks.packets(frame, -ORIGIN_S):
            try:
                self._sound.mux_one(packet)
            except FFMPEG_ERRORS as exc:
                tracks.refused(exc)
        self._pass_on()
        if not tracks.has_ended:
            return False
        self._end_sound(tracks.notes[-1])
        self.repeat_header()
        return True

    def _end_sound(self, why: str) -> None:
        log.warning("the live video on the page goes on without sound: %s", why)
        self._close_sound()
        self._sound_written.take()
        self._header, self.mime = self._silent

    def _close_sound(self) -> None:
        sound, self._sound = self._sound, None
        if sound is not None:
            with suppress(*FFMPEG_ERRORS):
                sound.close()

    def close(self) -> None:
        """Put the last fragments."""
        self.container.close()
        self._close_sound()
        self._pass_on()

    def _pass_on(self) -> None:
        if video := self._written.take():
            self._put(video, "", self._pending_key)
        if sound := self._sound_written.take():
            self._put(sound, "", False)


class _Bytes:
    """A file that keeps what FFmpeg writes until it is taken."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        self._data += data
        return len(data)

    def take(self) -> bytes:
        data = bytes(self._data)
        self._data.clear()
        return data


class TappedFragments:
    """Fragments of what a sink encodes anyway, a `PacketListener`.

    They begin with a key frame, which the encoder is asked for. When the encoder
    changes, so that players must start anew, another header follows.
    """

    def __init__(self, put: PutPiece, sound: Sound | None = None) -> None:
        self._put = put
        self._sound = sound
        self._tracks: SoundTracks | None = None
        self._lock = Lock()  # sound comes from another thread than the video
        self._writer: FragmentWriter | None = None
        self._video: av.VideoStream | None = None
        self._stream: av.VideoStream | None = None
        self._parameters = b""
        self._key_at: Fraction | None = None
        self._is_new = False

    def restart(self) -> None:
        """Begin again for one more player; from any thread."""
        self._is_new, self._key_at = True, None

    def wants_key_frame(self, moment: Fraction) -> bool:
        is_due = self._key_at is None or not (0 <= moment - self._key_at < KEY_FRAME_S)
        if is_due:
            self._key_at = moment
        return is_due

    def put(self, stream: av.VideoStream, packet: av.Packet, shift: Fraction) -> None:
        with self._lock:
            self._take(stream, packet, shift)

    def hear(self, frame: Frame) -> None:
        """Put the sound up to `frame`, one of those that are encoded."""
        with self._lock:
            if self._tracks is None or self._writer is None:
                return
            if self._writer.mux_sound(self._tracks, frame):
                self._key_at = None

    def _take(self, stream: av.VideoStream, packet: av.Packet, shift: Fraction) -> None:
        if stream is not self._stream:
            if not packet.is_keyframe:
                return
            self._stream = stream
            self._follow(stream, packet)
        elif self._is_new and self._writer is not None:
            self._is_new = False
            self._writer.repeat_header()
        assert self._writer is not None
        assert self._video is not None
        assert packet.pts is not None
        assert packet.time_base is not None
        copy = av.Packet(bytes(packet))
        copy.stream, copy.time_base = self._video, TIME_BASE
        copy.is_keyframe = packet.is_keyframe
        dts = packet.pts if packet.dts is None else packet.dts
        copy.pts = round((packet.pts * packet.time_base + shift + ORIGIN_S) / TIME_BASE)
        copy.dts = round((dts * packet.time_base + shift + ORIGIN_S) / TIME_BASE)
        self._writer.mux(copy)

    def close(self) -> None:
        """Put the last fragment, when no more packets come."""
        with self._lock:
            writer, self._writer, self._stream = self._writer, None, None
            if writer is not None:
                writer.close()

    def _follow(self, stream: av.VideoStream, first: av.Packet) -> None:
        """Go on with a new encoder, with a new header if players need one."""
        parameters = _parameter_sets(stream.codec_context.extradata or bytes(first))
        is_heard = self._tracks is None or self._tracks.is_current
        if self._writer is not None and parameters == self._parameters and is_heard:
            return
        if self._writer is not None:
            self._writer.close()
        self._is_new = False
        self._parameters = parameters
        self._writer = writer = FragmentWriter(self._put)
        self._video = writer.container.add_stream_from_template(stream)
        self._video.codec_context.extradata = parameters
        self._video.time_base = TIME_BASE
        _tag(self._video.codec_context)
        if self._sound is not None:
            self._tracks = SoundTracks(self._sound, "browser")
        writer.begin(None if self._tracks is None else self._tracks.add_to)


def fully_tagged(color: ColorInfo, width: int, height: int) -> ColorInfo:
    """The colors with all tags.

    Chromium ignores the matrix unless primaries and transfer are tagged, too, and
    guesses; those of BT.709 make it change nothing else.
    """
    return ColorInfo(
        resolve_matrix(color, width, height),
        color.range or 1,
        1 if color.primaries == _UNKNOWN else color.primaries,
        1 if color.transfer == _UNKNOWN else color.transfer,
    )


def _mime(*codecs: str) -> str:
    return f'video/mp4; codecs="{",".join(codecs)}"'


def avc_codec(parameters: bytes) -> str:
    """The ``codecs`` parameter of a MIME type for H.264 (RFC 6381).

    Args:
        parameters: A sequence parameter set in Annex B's format.

    Raises:
        ValueError: There is none.
    """
    for unit in _START_CODE.split(parameters):
        if unit[:1] and unit[0] & 31 == _SPS:
            return f"avc1.{unit[1:4].hex()}"
    raise ValueError("the video has no sequence parameter set")


def _tag(context: av.VideoCodecContext) -> None:
    """Tag what an encoder left untagged in the container."""
    color = fully_tagged(
        ColorInfo(
            context.colorspace,
            context.color_range,
            context.color_primaries,
            context.color_trc,
        ),
        context.width,
        context.height,
    )
    context.colorspace, context.color_range = color.matrix, color.range
    context.color_primaries, context.color_trc = color.primaries, color.transfer


def _parameter_sets(data: bytes) -> bytes:
    """The parameter sets in the header of an encoder, or in its first key frame."""
    return b"".join(
        b"\0\0\0\1" + unit
        for unit in _START_CODE.split(data)
        if unit and unit[0] & 31 in (_SPS, _PPS)
    )
