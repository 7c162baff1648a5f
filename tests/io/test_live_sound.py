"""Sound of live sources: beeps stay with their flashes, whatever happens on the way."""

import itertools
import random
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from io import BytesIO
from math import inf
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame

from streamdenoise.errors import SourceLostError, SourceOpenError
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.io.backoff import Backoff
from streamdenoise.io.ffmpeg.container import main_video
from streamdenoise.io.ffmpeg.sound import Sound, SoundFormat, SoundPacket
from streamdenoise.io.ffmpeg.sound_tracks import SoundTracks
from streamdenoise.io.open import open_sink, open_source
from streamdenoise.io.options import EncoderConfig, ReadOptions, Reconnect
from streamdenoise.io.protocols import Sink
from streamdenoise.io.recording.retention import Keep
from streamdenoise.io.recording.segments import SegmentSink
from streamdenoise.io.sources.drift import Drift
from streamdenoise.io.sources.hearing import Hearing
from streamdenoise.io.sources.pyav import PyAVSource
from streamdenoise.io.sources.reconnecting import ReconnectingSource
from streamdenoise.pipeline.live_clock import LiveClock
from tests.faults.proxy import FaultProxy
from tests.faults.servers import GstSoundServer
from tests.support.clock import Clock
from tests.support.flash_and_beep import (
    RATE,
    flashes_and_beeps,
    offsets,
    wave,
    write_flashes,
)
from tests.support.frames import make_frame
from tests.support.media import stream_codecs, stream_times
from tests.support.streams import take

pytestmark = pytest.mark.long

FAST = EncoderConfig("x264", preset="ultrafast")
IN_SYNC_S = 0.04
ALONE = ReadOptions(alone=True)


def live_file(path: Path, sound: Sound, info: StreamInfo | None = None) -> PyAVSource:
    """A file as if a camera sent it; at its end the camera is lost."""
    container = av.open(str(path))
    stream = main_video(container)
    assert stream is not None
    options = replace(ALONE, pix_fmt=info and info.pix_fmt)
    return PyAVSource(container, stream, str(path), options, is_live=True, sound=sound)


def on_time(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Frames as the wall clock retimes them, if each arrives when it should."""
    clock: LiveClock | None = None
    with suppress(SourceLostError):
        for index, frame in enumerate(frames):
            clock = clock or LiveClock(frame.time_base)
            yield clock.stamp(replace(frame, captured_at=index / RATE))


def file_sink(path: Path, info: StreamInfo, sound: Sound) -> Sink:
    info = replace(info, is_live=True)
    encoder = EncoderConfig("svtav1", preset="12") if path.suffix == ".webm" else FAST
    return open_sink(str(path), info, encoder=encoder, sound=sound)


def segment_sink(
    folder: Path, info: StreamInfo, sound: Sound, suffix: str = "mkv"
) -> SegmentSink:
    names = map(
        lambda n: datetime(2026, 1, 1) + timedelta(seconds=n), itertools.count()
    )
    return SegmentSink(
        str(folder / f"%H-%M-%S.{suffix}"),
        info,
        segment_s=1,
        keep=Keep(),
        encoder=FAST,
        now=lambda: next(names),
        sound=sound,
    )


def write_all(sinks: Sequence[Sink], frames: Iterable[Frame]) -> None:
    with ExitStack() as stack:
        for sink in sinks:
            stack.enter_context(sink)
        for frame in frames:
            for sink in sinks:
                sink.write(frame)


def assert_in_sync(path: Path, beeps: int) -> None:
    """Assert that so many flashes have their beep at the same time."""
    found = sorted(offsets(path), key=abs)
    assert len(found) >= beeps, found
    assert abs(found[beeps - 1]) < IN_SYNC_S, found


# Encoder, rate, container of the source, and what its sound becomes.
KINDS = [
    (
        ("pcm_mulaw", 8000, "mov"),
        {"mkv": "pcm_mulaw", "mp4": "aac", "mov": "pcm_mulaw", "ts": "aac"},
    ),
    (
        ("aac", 48000, "ts"),
        {"mkv": "aac", "mp4": "aac", "mov": "aac", "ts": "aac"},
    ),
    (
        ("libopus", 48000, "mkv"),
        {"mkv": "opus", "mp4": "opus", "mov": "aac", "ts": "opus"},
    ),
]


@pytest.mark.parametrize(("given", "wanted"), KINDS, ids=["g711", "aac", "opus"])
def test_files_keep_sound_or_convert_it_with_a_note(
    tmp_path: Path, given: tuple[str, int, str], wanted: dict[str, str]
) -> None:
    codec, rate, kind = given
    source = tmp_path / f"camera.{kind}"
    write_flashes(source, 3.4, codec, rate, begin_s=100)
    sound = Sound()
    with live_file(source, sound) as camera:
        sinks = {
            target: file_sink(tmp_path / f"out.{target}", camera.info, sound)
            for target in wanted
        }
        write_all(list(sinks.values()), on_time(camera))
    for target, codec_after in wanted.items():
        path = tmp_path / f"out.{target}"
        assert stream_codecs(path) == ["h264", codec_after]
        assert_in_sync(path, 3)
        name = codec.removeprefix("lib")
        is_copied = name == codec_after
        notes = sinks[target].notes
        assert is_copied == (not notes)
        if not is_copied:
            assert notes[0].startswith(f"{path}: sound 1 ({name}) is converted to aac")


def test_all_tracks_or_a_chosen_one(tmp_path: Path) -> None:
    write_flashes(tmp_path / "a.mov", 2, "pcm_mulaw", 8000)
    write_flashes(tmp_path / "b.mp4", 2, "aac", 48000)
    both = tmp_path / "both.mov"
    with av.open(str(both), "w") as container:
        sources = [av.open(str(tmp_path / name)) for name in ("a.mov", "b.mp4")]
        given = [*sources[0].streams, sources[1].streams.audio[0]]
        added = [
            container.add_stream_from_template(each, opaque=True) for each in given
        ]
        for source in sources:
            for packet in source.demux():
                if packet.dts is not None and packet.stream in given:
                    packet.stream = added[given.index(packet.stream)]
                    container.mux(packet)
            source.close()
    for choice, codecs in (("all", ["pcm_mulaw", "aac"]), ("2", ["aac"])):
        sound = Sound(choice)
        with live_file(both, sound) as camera:
            out = tmp_path / f"{choice}.mkv"
            write_all([file_sink(out, camera.info, sound)], on_time(camera))
        assert stream_codecs(out) == ["h264", *codecs]
        assert_in_sync(out, 2)
    with pytest.raises(SourceOpenError, match="--audio 7: stream 7 is no audio; the "):
        live_file(both, Sound("7"))
    with live_file(both, sound := Sound()) as camera:
        tracks = SoundTracks(sound, "flv")
        with av.open(BytesIO(), "w", format="nut") as container:
            tracks.add_to(container)
    assert "sound 1 (pcm_mulaw) is converted to aac" in tracks.notes[0]
    assert "sound 2 (aac) is left out: flv has one track" in tracks.notes[1]


def test_sound_goes_on_while_frames_are_dropped(tmp_path: Path) -> None:
    write_flashes(tmp_path / "in.mov", 3, "pcm_mulaw", 8000)
    sound = Sound()
    with live_file(tmp_path / "in.mov", sound) as camera:
        frames = itertools.islice(on_time(camera), 0, None, 10)
        write_all([file_sink(tmp_path / "out.mkv", camera.info, sound)], frames)
    times = stream_times(tmp_path / "out.mkv", "audio")
    assert times[-1] > 2.7
    longest = max(b - a for a, b in itertools.pairwise(times))
    assert longest < 0.15  # as long as a packet of the file


@pytest.mark.parametrize("jump_s", [-3000.0, -0.7, 0.7, 3000.0])
def test_jumps_of_the_clock(tmp_path: Path, jump_s: float) -> None:
    with (tmp_path / "in.ts").open("wb") as joined:
        for begin_s in (5000.0, 5003 + jump_s):
            write_flashes(tmp_path / "part.ts", 3, "aac", 48000, begin_s=begin_s)
            joined.write((tmp_path / "part.ts").read_bytes())
    sound = Sound()
    with live_file(tmp_path / "in.ts", sound) as camera:
        targets = [tmp_path / "out.mkv", tmp_path / "out.webm"]
        sinks = [
            file_sink(targets[0], camera.info, sound),
            file_sink(targets[1], camera.info, sound),
        ]
        write_all(sinks, on_time(camera))
    for target in targets:
        # A short step back is taken for a glitch: frames have no times of their own.
        count = 5 if jump_s == -0.7 else 6
        assert_in_sync(target, count)


@pytest.mark.parametrize("speed", [0.995, 1.005])
def test_samples_that_do_not_fit_their_timestamps(tmp_path: Path, speed: float) -> None:
    write_flashes(tmp_path / "in.mkv", 12, "libopus", 48000, speed=speed)
    assert_in_sync(tmp_path / "in.mkv", 12)
    sound = Sound()
    with open_source(str(tmp_path / "in.mkv"), ALONE, sound=sound) as source:
        targets = [tmp_path / "copied.mkv", tmp_path / "encoded.mov"]
        write_all([file_sink(each, source.info, sound) for each in targets], source)
    for target in targets:
        assert_in_sync(target, 12)
    # Converted sound is stretched, so that it has as many samples as it should.
    with av.open(str(targets[1])) as container:
        heard_s = sum(each.samples for each in container.decode(audio=0)) / 48000
    assert heard_s == pytest.approx(12, abs=0.03)


class DriftingCamera:
    """Packets of G.711 whose clock runs `speed` times as fast as that of the video.

    They arrive up to 8 ms late over a network, and not at all for a second.
    """

    def __init__(self, folder: Path, speed: float) -> None:
        write_flashes(folder / "like.mov", 1, "pcm_mulaw", 8000)
        self.container = av.open(str(folder / "like.mov"))
        self._encoder = av.CodecContext.create("pcm_mulaw", "w")
        assert isinstance(self._encoder, av.AudioCodecContext)
        self._encoder.sample_rate, self._encoder.layout = 8000, "mono"
        self._encoder.format = "s16"
        self._speed = speed

    def sound_packet(self, number: int) -> tuple[float, av.Packet]:
        """When a packet of 20 ms ends, and itself."""
        begin = number * 160
        times = (begin + np.arange(160)) / 8000 / self._speed
        frame = AudioFrame.from_ndarray(wave(times)[None], format="s16", layout="mono")
        frame.sample_rate = 8000
        assert isinstance(self._encoder, av.AudioCodecContext)
        (packet,) = self._encoder.encode(frame)
        packet.pts, packet.time_base = begin, Fraction(1, 8000)
        packet.duration, packet.stream = 160, self.container.streams.audio[0]
        return float(times[-1]), packet


@pytest.mark.parametrize("speed", [0.995, 0.999, 1.001, 1.005])
def test_clocks_that_drift_apart(tmp_path: Path, speed: float) -> None:
    seconds, clock, rng = 60, Clock(), random.Random(1)
    camera, sound = DriftingCamera(tmp_path, speed), Sound()
    hearing = Hearing(sound, camera.container, "camera", has_clocks=True, clock=clock)
    events: list[tuple[float, int, av.Packet | None]] = [
        (index / 5, index, None) for index in range(seconds * 5)
    ]
    for number in range(round(seconds * 50 * speed)):
        ends, packet = camera.sound_packet(number)
        events.append((ends, number, packet))
    delays = (rng.uniform(0, 0.008) for _ in events)
    arrivals = [
        (1000 + max(at + delay, 31.0 if 30 < at < 31 else 0.0), at, index, packet)
        for (at, index, packet), delay in zip(events, delays, strict=True)
    ]
    info = StreamInfo(64, 48, "gray", Fraction(5), Fraction(1, 90000), is_live=True)
    retimed = LiveClock(info.time_base)
    sinks: list[Sink] = []
    for clock.now, at, index, packet in sorted(arrivals, key=lambda each: each[:2]):
        if packet is not None:
            hearing.packet(packet)
            continue
        hearing.video_packet(at)
        hearing.frame(at, 0.0)
        frame = make_frame(
            index,
            width=64,
            height=48,
            pix_fmt="gray",
            pts=round(at * 90000),
            time_base=info.time_base,
            captured_at=clock.now,
        )
        if index == 1:
            sinks = [
                file_sink(tmp_path / "copied.mkv", info, sound),
                file_sink(tmp_path / "encoded.mp4", info, sound),
            ]
        frame = replace(retimed.stamp(frame), source_s=hearing.source_s(at))
        for sink in sinks:
            sink.write(frame)
    for sink, name in zip(sinks, ("copied.mkv", "encoded.mp4"), strict=True):
        sink.close()
        _, beeps = flashes_and_beeps(tmp_path / name)
        assert len(beeps) >= seconds - 2
        off = [(beep - 0.48 + 0.5) % 1 - 0.5 for beep in beeps]
        assert max(map(abs, off)) < IN_SYNC_S, off


def test_delays_are_no_drift() -> None:
    drift, rng = Drift(), random.Random(2)
    leads = []
    for number in range(120 * 50):
        at = number / 50
        stall = 3.0 if 40 < at < 43 else 0.0  # then all arrives at once
        arrival = max(at + rng.expovariate(1 / 0.02), 43.0 if stall else 0.0)
        if number % 2:
            drift.video(at, arrival + 0.15)
        leads.append(drift.sound(at - 0.3, arrival))
    assert max(map(abs, leads)) < 0.02


@pytest.mark.parametrize("step_s", [-0.3, -0.03, 0.03, 0.3])
@pytest.mark.parametrize("at_s", [3.0, 20.0])
def test_corrected_timestamps_are_trusted(at_s: float, step_s: float) -> None:
    """A camera that says late how its clocks belong together, and does not drift."""
    drift, rng = Drift(), random.Random(5)
    leads = []
    for number in range(60 * 50):
        at = number / 50
        arrival = at + rng.uniform(0, 0.01)
        drift.video(at, arrival)
        leads.append(drift.sound(at + (step_s if at > at_s else 0.0), arrival))
    assert max(map(abs, leads)) < 0.02


def sessions(paths: Sequence[Path], sound: Sound) -> ReconnectingSource:
    """A camera that is lost after each file; there is nothing after the last one."""
    left = list(paths)

    def open_session(known: StreamInfo | None) -> PyAVSource:
        if not left:
            camera.stop()
            raise SourceOpenError("the camera is gone; check it")
        return live_file(left.pop(0), sound, known)

    backoff = Backoff(first_s=0.01, longest_s=0.01)
    camera = ReconnectingSource(open_session, "camera", Reconnect(), backoff=backoff)
    return camera


def reconnecting(camera: ReconnectingSource) -> Iterator[Frame]:
    """Its frames on the wall clock, with held ones for a second after each loss."""
    clock: LiveClock | None = None
    now, lost = 0.0, 0
    last: Frame | None = None
    for frame in camera:
        clock = clock or LiveClock(frame.time_base)
        if camera.reconnects > lost and last is not None:
            lost = camera.reconnects
            for _ in range(5):
                now += 0.2
                yield clock.hold(last, now)
        last = clock.stamp(replace(frame, captured_at=now))
        yield last
        now += 1 / RATE


def test_sound_is_in_sync_after_a_reconnection(tmp_path: Path) -> None:
    for name, begin_s in (("a", 500.0), ("b", 3.0), ("c", 90_000.0)):
        write_flashes(tmp_path / f"{name}.ts", 3, "aac", 48000, begin_s=begin_s)
    sound = Sound()
    paths = [tmp_path / f"{name}.ts" for name in "abc"]
    with sessions(paths, sound) as camera:
        sinks = [
            file_sink(tmp_path / "out.mkv", camera.info, sound),
            file_sink(tmp_path / "out.webm", camera.info, sound),
            file_sink(tmp_path / "out.avi", camera.info, sound),
        ]
        write_all(sinks, reconnecting(camera))
    for name in ("out.mkv", "out.webm"):
        assert_in_sync(tmp_path / name, 9)
    assert "avi cannot hold its pauses" in sinks[-1].notes[0]
    times = stream_times(tmp_path / "out.mkv", "audio")
    pauses = [b - a for a, b in itertools.pairwise(times) if b - a > 0.5]
    assert pauses == [pytest.approx(1, abs=0.15)] * 2


def test_other_sound_after_a_reconnection(tmp_path: Path) -> None:
    kinds = [(None, 0), ("pcm_mulaw", 8000), ("pcm_alaw", 8000), ("aac", 48000)]
    paths = []
    for codec, rate in kinds:
        paths.append(tmp_path / f"{codec}.mov")
        write_flashes(paths[-1], 1, codec, rate)
    sound = Sound()
    segments = tmp_path / "segments"
    with sessions(paths, sound) as camera:
        file = file_sink(tmp_path / "plain.mkv", camera.info, sound)
        write_all(
            [segment_sink(segments, camera.info, sound), file], reconnecting(camera)
        )
    codecs = [stream_codecs(path)[1:] for path in sorted(segments.glob("*.mkv"))]
    assert [key for key, _ in itertools.groupby(codecs)] == [
        [],
        ["pcm_mulaw"],
        ["pcm_alaw"],
        ["aac"],
    ]
    assert stream_codecs(tmp_path / "plain.mkv") == ["h264"]
    (note,) = file.notes
    assert "no track for it" in note


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
@pytest.mark.parametrize("late_s", [0.0, 0.3])
def test_segments_cut_sound_where_they_cut_video(
    tmp_path: Path, suffix: str, late_s: float
) -> None:
    """`late_s`: how much later than a frame the sound of its time arrives."""
    write_flashes(tmp_path / "in.mkv", 4, "libopus", 48000)
    heard, sound = Sound(), Sound()
    with live_file(tmp_path / "in.mkv", heard) as camera:
        frames = list(on_time(camera))
    packets = deque(heard.feed(1).until(inf))
    sound.add(1, packets.popleft())
    segments = tmp_path / "segments"
    with segment_sink(segments, camera.info, sound, suffix) as sink:
        for frame in frames:
            assert frame.source_s is not None
            while packets and packets[0].moment < frame.source_s - late_s:
                sound.add(1, packets.popleft())
            sink.write(frame)
    times: list[float] = []
    for number, path in enumerate(sorted(segments.glob(f"*.{suffix}"))):
        within = stream_times(path, "audio")
        begin_s = min(stream_times(path, "video"))
        if within:
            assert begin_s <= min(within) < begin_s + 0.03
        times += [number + moment - begin_s for moment in within]
    steps = [b - a for a, b in itertools.pairwise(times)]
    assert max(steps) < 0.03
    assert min(steps) > 0.01
    assert times[-1] > 3.9 - late_s


@pytest.mark.parametrize("camera_speed", [0.999, 1.001])
def test_an_hour_of_losses_with_a_clock_that_drifts(
    tmp_path: Path, camera_speed: float
) -> None:
    """Times of copied packets against those of the frames; nothing is encoded."""
    write_flashes(tmp_path / "like.mov", 1, "pcm_mulaw", 8000)
    with av.open(str(tmp_path / "like.mov")) as container:
        kind = SoundFormat.of(container.streams.audio[0], b"")
    sound, clock = Sound(), LiveClock(Fraction(1, 1000))
    sound.add(1, SoundPacket(bytes(1600), -1.0, 0.2, kind))
    tracks = SoundTracks(sound, "matroska")
    tracks.add_to(av.open(BytesIO(), "w", format="matroska"))
    rng, now, given = random.Random(7), 0.0, 0
    off: list[float] = []
    while now < 3600:
        begin, length = sound.begin_session(), rng.uniform(60, 600)
        zero = rng.randrange(10**9)  # of the camera's own clock
        frames: list[tuple[int, float]] = []
        times: list[tuple[float, float]] = []
        for second in range(int(length)):
            frame = make_frame(second, width=2, height=2, pix_fmt="gray")
            frame = replace(
                frame,
                pts=zero + 1000 * second,
                time_base=clock.time_base,
                captured_at=now + second / camera_speed,
                source_s=begin + second,
            )
            sound.advance(begin + second)
            for number in range(5 * second, 5 * second + 5):
                data = number.to_bytes(4, "big") + bytes(1596)
                sound.add(1, SoundPacket(data, begin + number / 5, 0.2, kind))
            frame = clock.stamp(frame)
            frames.append((second, frame.time_s))
            for each in tracks.packets(frame, Fraction(0)):
                assert each.pts is not None
                number = int.from_bytes(bytes(each)[:4], "big")
                times.append((number / 5, float(each.pts * each.time_base)))
        given += 5 * second
        beside = np.interp([moment for moment, _ in times], *np.array(frames).T)
        off += (np.array(times)[:, 1] - beside).tolist()
        now += length / camera_speed + rng.uniform(1, 300)
        for _ in tracks.packets(clock.hold(frame, now - 1), Fraction(0)):
            pass  # what is left of the last second
    assert max(map(abs, off)) < IN_SYNC_S
    assert len(off) > 0.99 * given


def test_damaged_sound_costs_no_frame(tmp_path: Path) -> None:
    write_flashes(tmp_path / "whole.ts", 3, "aac", 48000)
    with av.open(str(tmp_path / "whole.ts")) as container:
        audio = container.streams.audio[0].id
    rng = random.Random(3)
    packets = bytearray((tmp_path / "whole.ts").read_bytes())
    for begin in range(0, len(packets), 188):
        is_audio = int.from_bytes(packets[begin + 1 : begin + 3], "big") & 8191 == audio
        if is_audio and not packets[begin + 1] & 0x40:  # not a header
            packets[begin + 8 : begin + 188] = rng.randbytes(180)
    (tmp_path / "damaged.ts").write_bytes(packets)
    sound = Sound()
    with live_file(tmp_path / "damaged.ts", sound) as camera:
        targets = [tmp_path / "out.mkv", tmp_path / "out.mp4", tmp_path / "out.webm"]
        sinks = [file_sink(target, camera.info, sound) for target in targets]
        write_all(sinks, on_time(camera))
    for target, sink in zip(targets, sinks, strict=True):
        assert len(stream_times(target, "video")) == 3 * RATE
        assert len(sink.notes) == (target.suffix == ".webm")
    assert not sound.notes


def test_sound_that_fails_before_the_first_frame_costs_no_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> SoundFormat:
        raise ValueError("no such layout")

    write_flashes(tmp_path / "in.ts", 1, "aac", 48000)
    monkeypatch.setattr(SoundFormat, "of", fail)
    sound = Sound()
    with av.open(str(tmp_path / "in.ts")) as container:
        hearing = Hearing(sound, container, "camera")
        for packet in container.demux(audio=0):
            hearing.packet(packet)
        hearing.frame(0.0, 0.0)
    assert sound.notes == ["camera: sound 1 is left out: it is damaged"]


def test_noise_in_place_of_sound_is_one_note(tmp_path: Path) -> None:
    write_flashes(tmp_path / "like.mp4", 1, "aac", 48000)
    sound = Sound()
    with av.open(str(tmp_path / "like.mp4")) as container:
        stream = container.streams.audio[0]
        kind = SoundFormat.of(stream, bytes(stream.codec_context.extradata or b""))
    info = StreamInfo(
        64, 48, "yuv420p", Fraction(RATE), Fraction(1, RATE), is_live=True
    )
    rng = random.Random(4)
    sink: Sink | None = None
    for index in range(60):
        for part in range(2):
            moment = index / RATE + part * 0.02
            noise = SoundPacket(rng.randbytes(300), moment, 0.02, kind)
            sound.add(1, noise)
        sink = sink or file_sink(tmp_path / "out.webm", info, sound)
        frame = make_frame(index, width=64, height=48, pts=index)
        frame = replace(frame, time_base=info.time_base, source_s=index / RATE)
        sink.write(frame)
    assert sink is not None
    sink.close()
    assert len(stream_times(tmp_path / "out.webm", "video")) == 60
    converted, failed = sink.notes
    assert "is converted" in converted
    assert "sound 1 (aac) cannot be decoded" in failed


def test_memory_is_bounded_and_late_outputs_get_what_is_left(tmp_path: Path) -> None:
    camera, sound = DriftingCamera(tmp_path, 1.0), Sound()
    kind = SoundFormat.of(camera.container.streams.audio[0], b"")
    sound.add(1, SoundPacket(b"", 0.0, 0.02, kind))
    stalled, busy = sound.feed(1), sound.feed(1)
    heard = 0
    for number in range(1, 50 * 120):
        sound.add(1, SoundPacket(bytes(160), number / 50, 0.02, kind))
        heard += sum(1 for _ in busy.until(number / 50))
    assert heard == 50 * 120 - 1
    left = list(stalled.until(inf))
    assert 29 < left[-1].moment - left[0].moment < 31
    for _ in range(100_000):
        sound.add(2, SoundPacket(b"", 120.0, 0.0, kind))
    assert 10_000 < sum(1 for _ in sound.feed(2).until(inf)) < 70_000


def test_a_camera_that_refuses_its_sound_gives_its_video(tmp_path: Path) -> None:
    write_flashes(tmp_path / "in.mov", 3, "pcm_mulaw", 8000)
    with (
        GstSoundServer(tmp_path / "in.mov", "pcm_mulaw") as server,
        FaultProxy(server.port) as proxy,
    ):
        for is_refused in (True, False):
            proxy.set(refuse_second=is_refused)
            sound = Sound()
            url = f"rtsp://127.0.0.1:{proxy.port}/live"
            with open_source(url, ALONE, live=True, sound=sound) as camera:
                assert len(take(camera, 5)) == 5
            assert sound.has_begun == (not is_refused)
            assert sound.notes == is_refused * [f"{url}: it refuses to send its sound"]
