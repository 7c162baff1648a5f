"""Live video for browsers, encoded with low latency."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction

from streamdenoise.contexts import Completing
from streamdenoise.errors import SinkError
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.io.ffmpeg.encoder import VideoEncoder
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason
from streamdenoise.io.ffmpeg.fragments import (
    KEY_FRAME_S,
    ORIGIN_S,
    TIME_BASE,
    FragmentWriter,
    PutPiece,
    fully_tagged,
)
from streamdenoise.io.ffmpeg.sound import Sound
from streamdenoise.io.ffmpeg.sound_tracks import SoundTracks
from streamdenoise.io.options import EncoderConfig
from streamdenoise.threads import let_others_run_first

_CRF = 20
"""Fine enough that the noise before denoising is seen."""

_PRESET = "superfast"

_OPTIONS = {
    # Strong noise would take several times as much, and networks and browsers choke.
    "maxrate": "20M",
    "bufsize": "10M",
    # Slices are encoded by threads that let the denoiser run first; two are enough.
    "threads": "2",
    # Key frames come at their times only.
    "sc_threshold": "0",
}


class FragmentSink(Completing):
    """Encodes frames to fragments of MP4 that every browser plays.

    The encoder holds no frame back, and frames of any format become 4:2:0 of 8 bits.

    Args:
        info: Size and format of the frames.
        put: Gets the pieces, in the thread that writes.
        sound: The sound of the source.

    Raises:
        SinkError: The encoder cannot be opened.
    """

    notes: tuple[str, ...] = ()

    def __init__(
        self, info: StreamInfo, put: PutPiece, sound: Sound | None = None
    ) -> None:
        self._info = info
        self._closed = False
        self._key_at: Fraction | None = None
        self._writer = FragmentWriter(put)
        self._tracks = None if sound is None else SoundTracks(sound, "browser")
        try:
            self._encoder = VideoEncoder(
                self._writer.container,
                replace(info, color=fully_tagged(info.color, info.width, info.height)),
                EncoderConfig("x264", crf=_CRF, preset=_PRESET, pix_fmt="yuv420p"),
                time_base=TIME_BASE,
                extra_options=_OPTIONS,
                low_delay=True,
            )
            # The threads of the encoder inherit the priority of the one that opens it.
            with ThreadPoolExecutor(1, initializer=let_others_run_first) as thread:
                add_sound = None if self._tracks is None else self._tracks.add_to
                thread.submit(self._writer.begin, add_sound).result()
        except FFMPEG_ERRORS as exc:
            raise SinkError(
                f"{info.width}x{info.height} {info.pix_fmt} cannot be shown in a "
                f"browser: {reason(exc)}"
            ) from exc

    @property
    def is_current(self) -> bool:
        """Whether the source has no other sound than when this was opened."""
        return self._tracks is None or self._tracks.is_current

    def restart(self) -> None:
        """Put the header again, and then a key frame, for one more player."""
        self._writer.repeat_header()
        self._key_at = None

    def write(self, frame: Frame) -> None:
        if self._closed:
            raise ValueError("the sink is closed")
        self._info.check(frame)
        moment = frame.pts * frame.time_base
        if self._key_at is None or moment - self._key_at >= KEY_FRAME_S:
            self._key_at = moment
            self._encoder.request_key_frame()
        try:
            for packet in self._encoder.encode(frame, -ORIGIN_S):
                self._writer.mux(packet)
            if self._tracks is not None and self._writer.mux_sound(self._tracks, frame):
                self._key_at = None
        except FFMPEG_ERRORS as exc:
            raise SinkError(f"frames cannot be encoded: {reason(exc)}") from exc

    def close(self) -> None:
        """Put the last fragment."""
        if self._closed:
            return
        self._closed = True
        try:
            self._writer.close()
        except FFMPEG_ERRORS as exc:
            raise SinkError(f"frames cannot be encoded: {reason(exc)}") from exc

    def abort(self) -> None:
        """Same as `close`: nobody keeps the video."""
        self.close()
