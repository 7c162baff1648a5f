"""A flash and a beep in the middle of each second, to measure the offset of sound."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.subtitles.subtitle import SubtitleSet

from tests.support.clips import video_frame

RATE = 25
_WIDTH, _HEIGHT = 64, 48
_ON_FROM_S, _ON_TO_S = 0.48, 0.68
_FREQUENCY_HZ = 1000
_BLOCK_S = 0.002


def luma(time_s: float) -> int:
    """Brightness of the frame at this time."""
    return 220 if _ON_FROM_S <= (time_s + 1e-6) % 1 < _ON_TO_S else 30


def wave(times: np.ndarray) -> np.ndarray:
    """The sound at these times, as int16."""
    phase = (times + 1e-6) % 1
    is_on = (phase >= _ON_FROM_S) & (phase < _ON_TO_S)
    return (16000 * is_on * np.sin(2 * np.pi * _FREQUENCY_HZ * times)).astype(np.int16)


def write_flashes(
    path: Path,
    seconds: float,
    codec: str | None,
    rate: int,
    *,
    speed: float = 1.0,
    begin_s: float = 0.0,
    sound_from_s: float = 0.0,
    video_codec: str = "libx264",
) -> None:
    """A clip of flashes and beeps.

    Args:
        path: Its suffix is the container.
        seconds: Its length.
        codec: FFmpeg's encoder of the sound; None leaves it out.
        rate: Samples a second.
        speed: Of the clock that counts the samples, against that of timestamps; above 1
            there are more samples a second than the track says.
        begin_s: First timestamp.
        sound_from_s: When the sound begins, from the first frame on.
        video_codec: FFmpeg's encoder of the video.
    """
    with av.open(str(path), "w") as container:
        pictures = container.add_stream(video_codec, rate=RATE)
        assert isinstance(pictures, av.VideoStream)
        pictures.width, pictures.height, pictures.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        pictures.options = {"bf": "0", "g": "25", "preset": "ultrafast"}
        sound = None
        if codec is not None:
            sound = container.add_stream(codec, rate=rate)
            assert isinstance(sound, AudioStream)
            sound.layout = "mono"
        packets: list[av.Packet] = []
        for index in range(round(seconds * RATE)):
            planes = np.full((_HEIGHT, _WIDTH), luma(index / RATE), np.uint8)
            gray = np.full((_HEIGHT // 2, _WIDTH // 2), 128, np.uint8)
            frame = video_frame((planes, gray, gray), "yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, RATE)
            packets += pictures.encode(frame)
        packets += pictures.encode(None)
        if sound is not None:
            for frame in beeps(seconds, rate, speed, sound_from_s):
                packets += sound.encode(frame)
            packets += sound.encode(None)
        _mux(container, packets, begin_s)


def beeps(
    seconds: float, rate: int, speed: float = 1.0, from_s: float = 0.0
) -> Iterator[AudioFrame]:
    """The beeps in frames of 20 ms, which carry the time that they belong to."""
    samples = rate // 50
    for begin in range(0, round((seconds - from_s) * rate * speed), samples):
        times = from_s + (begin + np.arange(samples)) / (rate * speed)
        frame = AudioFrame.from_ndarray(wave(times)[None], format="s16", layout="mono")
        frame.sample_rate, frame.time_base = rate, Fraction(1, 90000)
        frame.pts = round(times[0] * 90000)
        yield frame


def flashes_and_beeps(path: Path | str) -> tuple[list[float], list[float]]:
    """When flashes and beeps begin in a file, in seconds."""
    with av.open(str(path)) as container:
        levels: list[tuple[float, float]] = []
        loudness: list[tuple[float, float]] = []
        streams = [*container.streams.video[:1], *container.streams.audio[:1]]
        for frame in container.decode(streams):
            if isinstance(frame, SubtitleSet):
                continue
            begin_s = float((frame.pts or 0) * (frame.time_base or 0))
            if isinstance(frame, AudioFrame):
                loudness += _loudness(frame, begin_s)
            else:
                levels.append((begin_s, memoryview(frame.planes[0])[0]))
    return _onsets(levels, 128, 0.0), _onsets(loudness, 0.1, 0.1)


def offsets(path: Path | str) -> list[float]:
    """By how many seconds each beep comes after its flash; that with the least."""
    flashes, beeps = flashes_and_beeps(path)
    return [min((b - f for b in beeps), key=abs) for f in flashes if beeps]


def _loudness(frame: AudioFrame, begin_s: float) -> list[tuple[float, float]]:
    """Peak of each 2 ms, from 0 to 1."""
    samples = frame.to_ndarray()
    scale = 32768 if samples.dtype == np.int16 else 1
    samples = np.abs(samples.reshape(-1)[: frame.samples] / scale)
    size = max(1, round(_BLOCK_S * frame.sample_rate))
    begins = np.arange(0, len(samples), size)
    peaks = np.maximum.reduceat(samples, begins) if len(samples) else []
    times = begin_s + begins / frame.sample_rate
    return list(zip(times.tolist(), map(float, peaks), strict=True))


def _onsets(
    levels: Sequence[tuple[float, float]], threshold: float, quiet_s: float
) -> list[float]:
    """When the level rises above `threshold` after `quiet_s` seconds below it."""
    found: list[float] = []
    below_since: float | None = None
    for moment, level in levels:
        if level < threshold:
            below_since = moment if below_since is None else below_since
        else:
            if below_since is not None and moment - below_since >= quiet_s:
                found.append(moment)
            below_since = None
    return found


def _mux(
    container: OutputContainer,
    packets: Sequence[av.Packet],
    begin_s: float,
) -> None:
    def time_of(packet: av.Packet) -> float:
        return float((packet.dts or 0) * packet.time_base)

    for packet in sorted(packets, key=time_of):
        ticks = round(begin_s / packet.time_base)
        packet.pts, packet.dts = (packet.pts or 0) + ticks, (packet.dts or 0) + ticks
        container.mux_one(packet)
