"""Publishing the denoised stream to a server or to another machine."""

from collections.abc import Iterable
from fractions import Fraction

import av

from streamdenoise.contexts import Completing
from streamdenoise.errors import ConfigError, SinkError, SinkRefusedError
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.io.connections.trust import CertificateError, Trust, trust_of
from streamdenoise.io.ffmpeg.encoder import VideoEncoder
from streamdenoise.io.ffmpeg.errors import FFMPEG_ERRORS, reason
from streamdenoise.io.ffmpeg.packet_tap import PacketTap
from streamdenoise.io.ffmpeg.sound import Sound
from streamdenoise.io.ffmpeg.sound_tracks import SoundTracks
from streamdenoise.io.options import NVENC_CODECS, EncoderConfig, NetworkOptions
from streamdenoise.io.publishing.process import TIME_BASE
from streamdenoise.io.publishing.publisher import Publisher, PyAVPublisher, RefusedError
from streamdenoise.io.publishing.srt import FFmpegPublisher
from streamdenoise.io.timeouts import Interruption
from streamdenoise.io.url import StreamURL

_DISCONNECT_S = 1.0

# RTMP counts milliseconds in 31 bits.
_RTMP_UNIT = Fraction(1, 1000)
_RTMP_LONGEST_S = int(2**31 * _RTMP_UNIT)


class PublishSink(Completing):
    """Encodes with low latency and publishes; viewers can join every 2 s.

    Network I/O runs in a child process. It can only block the thread that uses the
    sink, and for no longer than the timeout.

    Args:
        url: ``rtsp(s)://`` (announced to a server), ``rtmp(s)://``, ``srt://``,
            ``udp://`` or ``tcp://`` (MPEG-TS).
        info: Size and format of the frames.
        encoder: H.264 or H.265, in software or with NVENC.
        timeout_s: Longest wait for the connection and for sending a frame, in seconds.
        interruption: When set, ends all waits, including that of the constructor.
        network: Which servers are trusted.
        tap: Gets the packets, too.
        sound: The sound of the source.

    Raises:
        ConfigError: The scheme or the codec cannot be published.
        SinkRefusedError: The server rejects the user or the password.
        SinkError: The server cannot be reached or rejects the stream.
    """

    def __init__(
        self,
        url: StreamURL | str,
        info: StreamInfo,
        encoder: EncoderConfig,
        *,
        timeout_s: float = 10.0,
        interruption: Interruption | None = None,
        network: NetworkOptions | None = None,
        tap: PacketTap | None = None,
        sound: Sound | None = None,
    ) -> None:
        network = network or NetworkOptions()
        if isinstance(url, str):
            url = StreamURL(url, env=network.env)
        self._info = info
        self._name = str(url)
        self._scheme = url.scheme
        self._closed = False
        self._start: Fraction | None = None
        self._interruption = interruption or Interruption()
        if encoder.codec not in ("x264", "x265", *NVENC_CODECS):
            raise ConfigError(
                f"{encoder.codec} cannot be published to {self._name}; use --codec x264"
            )
        trust = trust_of(network)
        self._publisher = self._make_publisher(url, timeout_s, trust)
        try:
            self._encoder = VideoEncoder(
                self._publisher.container,
                info,
                encoder,
                time_base=TIME_BASE,
                low_delay=True,
                unit=_RTMP_UNIT,
                tap=tap,
            )
            rate = info.frame_rate or Fraction(25)
            self._encoder.stream.codec_context.gop_size = max(1, round(2 * rate))
            self._sound = self._add_sound(sound)
            self._publisher.connect()
        except RefusedError as exc:
            self._publisher.close(0)
            raise SinkRefusedError(
                f"cannot publish to {self._name}: {exc}; "
                "correct it in the address and start again"
            ) from exc
        except CertificateError as exc:
            self._publisher.close(0)
            raise SinkError(
                f"cannot publish to {self._name}: {exc}; {exc.advice}"
            ) from exc
        except FFMPEG_ERRORS as exc:
            self._publisher.close(0)
            raise SinkError(
                f"cannot publish to {self._name}: {reason(exc)}; "
                "check that a server is running there and allows publishing"
            ) from exc
        except BaseException:
            self._publisher.close(0)
            raise

    def _make_publisher(
        self, url: StreamURL, timeout_s: float, trust: Trust
    ) -> Publisher:
        if self._scheme in PyAVPublisher.schemes:
            return PyAVPublisher(
                url.reveal(), self._scheme, timeout_s, self._interruption, trust
            )
        if self._scheme in FFmpegPublisher.schemes:
            return FFmpegPublisher(url, timeout_s, self._interruption)
        raise ConfigError(
            f"cannot publish to {self._name}; use rtsp://, rtmp://, srt://, "
            "udp://, tcp:// or a file name"
        )

    def _add_sound(self, sound: Sound | None) -> SoundTracks | None:
        if sound is None:
            return None
        publisher = self._publisher
        tracks = SoundTracks(sound, publisher.format_name, runs_ahead=True)
        tracks.add_to(publisher.container)
        return tracks

    @property
    def notes(self) -> tuple[str, ...]:
        sound = self._sound.notes if self._sound is not None else []
        notes = [*self._encoder.notes, *sound]
        return tuple(f"{self._name}: {note}" for note in notes)

    def interrupt(self) -> None:
        """End all waits, from any thread; nothing can be written afterward."""
        self._interruption.set()

    def write(self, frame: Frame) -> None:
        if self._closed:
            raise ValueError("the sink is closed")
        self._info.check(frame)
        moment = frame.pts * frame.time_base
        if self._start is None:
            self._start = moment
        if self._scheme.startswith("rtmp") and moment - self._start > _RTMP_LONGEST_S:
            raise SinkError(
                f"{self._name} has been published to for 24 days, the limit of RTMP's "
                "timestamps; connect again"
            )
        if self._sound is not None:
            if not self._sound.is_current:
                raise SinkError(
                    f"{self._name}: the source has other sound than before; it is "
                    "published anew"
                )
            self._send(self._sound.packets(frame, self._start))
        self._send(self._encoder.encode(frame, self._start))

    def close(self) -> None:
        """Disconnect, within little more than a second.

        No frames are pending: the encoder holds none back.
        """
        if self._closed:
            return
        self._closed = True
        self._publisher.close(_DISCONNECT_S)

    def abort(self) -> None:
        """Drop the connection immediately."""
        if not self._closed:
            self._closed = True
            self._publisher.close(0)

    def _send(self, packets: Iterable[av.Packet]) -> None:
        try:
            self._publisher.send(packets)
        except FFMPEG_ERRORS as exc:
            raise SinkError(
                f"{self._name} stopped accepting the stream: {reason(exc)}; "
                "check the server"
            ) from exc
