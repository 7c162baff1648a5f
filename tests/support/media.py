"""Small files of every kind, made on the spot."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Stream

from streamdenoise.io.open import holds_orientation, open_sink, open_source
from streamdenoise.io.options import EncoderConfig, ReadOptions
from streamdenoise.io.protocols import beside_of
from tests.support.clips import moving_gradient, video_frame

RATE = 25
SOUND_RATE = 48000
_SAMPLES = 1024

Edit = Callable[[av.Packet], None]


def write_media(
    path: Path,
    *,
    seconds: float = 1.0,
    video: str = "libx264",
    audio: str | None = "ac3",
    subtitles: Sequence[tuple[float, float, str]] = (),
    layout: str = "stereo",
    video_from_s: float = 0.0,
    audio_from_s: float = 0.0,
    b_frames: int = 0,
    format_name: str | None = None,
    edit: Edit = lambda packet: None,
) -> None:
    """A moving gradient of 64x48 at 25 Hz, a tone, and cues ``(begin, end, text)``.

    `edit` may change each packet before it is muxed.
    """
    with av.open(str(path), "w", format=format_name) as container:
        pictures = container.add_stream(video, rate=RATE)
        assert isinstance(pictures, av.VideoStream)
        pictures.width, pictures.height = 64, 48
        pictures.pix_fmt = "yuvj420p" if video == "mjpeg" else "yuv420p"
        if video == "libx264":
            pictures.options = {"bf": str(b_frames), "g": "10", "preset": "ultrafast"}
            if b_frames:
                pictures.options |= {"preset": "veryfast", "b-adapt": "0"}
        packets: list[tuple[float, Stream, av.Packet]] = []
        sound = None
        if audio is not None:
            sound = container.add_stream(audio, rate=SOUND_RATE)
            assert isinstance(sound, av.AudioStream)
            sound.layout = layout
        text = None
        if subtitles:
            text = container.add_mux_stream("subrip")
            text.time_base = Fraction(1, 1000)
        container.start_encoding()
        for index in range(round(seconds * RATE)):
            frame = video_frame(moving_gradient(64, 48, index), pictures.pix_fmt)
            frame.pts = index + round(video_from_s * RATE)
            frame.time_base = Fraction(1, RATE)
            packets += _timed(pictures, pictures.encode(frame))
        packets += _timed(pictures, pictures.encode(None))
        if sound is not None:
            for frame in tone(seconds, layout, audio_from_s):
                packets += _timed(sound, sound.encode(frame))
            packets += _timed(sound, sound.encode(None))
        for begin, end, words in subtitles:
            assert text is not None
            packet = av.Packet(words.encode())
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts = packet.dts = round(begin * 1000)
            packet.duration = round((end - begin) * 1000)
            packet.is_keyframe = True
            packets.append((begin, text, packet))
        for _, _, packet in sorted(packets, key=lambda item: item[0]):
            edit(packet)
            container.mux_one(packet)


def roundtrip(
    source_path: Path | str,
    target: Path,
    encoder: EncoderConfig | None = None,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    options: ReadOptions | None = None,
) -> tuple[str, ...]:
    """Copy a file with our source and sink, and return the sink's notes."""
    upright = not holds_orientation(str(target))
    options = options or ReadOptions(upright=upright)
    options = replace(options, start_s=start_s, duration_s=duration_s)
    with (
        open_source(str(source_path), options) as source,
        open_sink(
            str(target),
            source.info,
            encoder=encoder,
            beside=beside_of(source),
            start_s=start_s,
        ) as sink,
    ):
        for frame in source:
            sink.write(frame)
    return sink.notes


def tone(seconds: float, layout: str, from_s: float = 0.0) -> list[av.AudioFrame]:
    """A tone of 440 Hz in frames of 1024 samples."""
    frames = []
    channels = av.AudioLayout(layout).nb_channels
    for begin in range(0, round(seconds * SOUND_RATE), _SAMPLES):
        times = (begin + np.arange(_SAMPLES)) / SOUND_RATE
        wave = (8000 * np.sin(2 * np.pi * 440 * times)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(
            np.repeat(wave, channels)[None], format="s16", layout=layout
        )
        frame.sample_rate, frame.time_base = SOUND_RATE, Fraction(1, SOUND_RATE)
        frame.pts = begin + round(from_s * SOUND_RATE)
        frames.append(frame)
    return frames


def _timed(
    stream: Stream, packets: Sequence[av.Packet]
) -> list[tuple[float, Stream, av.Packet]]:
    return [
        (float((packet.dts or 0) * packet.time_base), stream, packet)
        for packet in packets
    ]


def stream_times(path: Path, kind: str) -> list[float]:
    """Presentation times of the packets of the first stream of a kind, in seconds."""
    with av.open(str(path)) as container:
        streams = [each for each in container.streams if each.type == kind]
        if not streams:
            return []
        return [
            float(packet.pts * packet.time_base)
            for packet in container.demux(streams[:1])
            if packet.pts is not None and packet.size
        ]


def stream_codecs(path: Path) -> list[str]:
    """Codec of each stream of a file; empty where it is not recognized."""
    with av.open(str(path)) as container:
        return [
            each.codec_context.codec.canonical_name if each.codec_context else ""
            for each in container.streams
        ]
