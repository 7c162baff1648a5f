"""Fragments of MP4 for browsers, from frames and from the packets of other outputs."""

import logging
import os
import re
import socket
import sys
import threading
from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from itertools import pairwise
from math import inf
from pathlib import Path

import av
import numpy as np
import pytest

from streamdenoise.frame import PIX_FMTS, Frame, StreamInfo
from streamdenoise.io.ffmpeg.fragments import TappedFragments, avc_codec
from streamdenoise.io.ffmpeg.packet_tap import PacketTap
from streamdenoise.io.ffmpeg.sound import Sound
from streamdenoise.io.options import EncoderConfig
from streamdenoise.io.publishing.sink import PublishSink
from streamdenoise.io.recording.retention import Keep
from streamdenoise.io.recording.segments import SegmentSink
from streamdenoise.io.sinks.file import FileSink
from streamdenoise.io.sinks.fragments import FragmentSink
from tests.support.fragments import (
    Pieces,
    boxes,
    moving_frame,
    number_px,
    play,
    tone,
)

INFO = StreamInfo(64, 48, "yuv420p", Fraction(25), Fraction(1, 25), is_live=True)
VERYFAST = EncoderConfig("x264", preset="veryfast")


def info_of(frame: Frame) -> StreamInfo:
    return StreamInfo(
        frame.width,
        frame.height,
        frame.pix_fmt,
        Fraction(25),
        frame.time_base,
        is_live=True,
    )


def encoded(frames: list[Frame]) -> Pieces:
    pieces = Pieces()
    with FragmentSink(info_of(frames[0]), pieces) as sink:
        for frame in frames:
            sink.write(frame)
    return pieces


@pytest.mark.parametrize("size", [(64, 48), (65, 47)])
@pytest.mark.parametrize("pix_fmt", PIX_FMTS)
def test_any_format_plays_as_420_of_8_bits(pix_fmt: str, size: tuple[int, int]) -> None:
    width, height = size
    frames = [
        moving_frame(n, width=width, height=height, pix_fmt=pix_fmt) for n in range(5)
    ]
    played = play(encoded(frames))
    assert played.times == [Fraction(n, 25) for n in range(5)]
    first = played.frames[0]
    assert first.format.name == "yuv420p"
    assert (first.width, first.height) == (width + width % 2, height + height % 2)


def test_each_frame_is_a_fragment_and_the_type_is_that_of_the_stream() -> None:
    pieces = encoded([moving_frame(n) for n in range(8)])
    header, *fragments = pieces
    assert [kind for kind, _ in boxes(header.data)] == ["ftyp", "moov"]
    for fragment in fragments:
        assert [kind for kind, _ in boxes(fragment.data)] == ["moof", "mdat"]
    assert len(fragments) == 8
    # Configuration version, then profile, compatibility and level.
    profile = header.data[header.data.index(b"avcC") + 5 :][:3]
    assert header.mime == f'video/mp4; codecs="avc1.{profile.hex()}"'
    assert re.fullmatch(r'video/mp4; codecs="avc1\.6400[0-3].', header.mime[:-1])


def test_a_player_joins_at_any_key_frame() -> None:
    pieces = encoded([moving_frame(n) for n in range(130)])
    keys = [n for n, piece in enumerate(pieces) if piece.is_key]
    assert keys == [1, 51, 101]
    played = play([pieces[0], *pieces[51:]])
    assert played.times == [Fraction(n, 25) for n in range(50, 130)]
    assert luma_numbers(played.luma()) == [n % 16 for n in range(50, 130)]


def test_one_more_player_gets_the_header_and_a_key_frame() -> None:
    pieces = Pieces()
    with FragmentSink(INFO, pieces) as sink:
        for number in range(20):
            if number == 10:
                sink.restart()
            sink.write(moving_frame(number))
    headers = [n for n, piece in enumerate(pieces) if piece.mime]
    assert headers == [0, 10]
    assert pieces[10] == pieces[0]
    # The frame before the key frame comes out first.
    assert [n for n, piece in enumerate(pieces) if piece.is_key] == [1, 12]
    played = play([pieces[10], *pieces[12:]])
    assert played.times[0] == Fraction(10, 25)


def test_timestamps_are_those_of_the_frames_with_holes() -> None:
    milliseconds = [0, 20, 53, 100, 9100, 9140, 9141, 9300]
    frames = [
        moving_frame(n, pts=pts, time_base=Fraction(1, 1000))
        for n, pts in enumerate(milliseconds)
    ]
    pieces = encoded(frames)
    assert play(pieces).times == [Fraction(each, 1000) for each in milliseconds]
    # After the hole players may start: they have missed what came before.
    assert [n for n, piece in enumerate(pieces) if piece.is_key] == [1, 5]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities there")
def test_the_encoder_lets_other_threads_run_first() -> None:
    def priorities() -> dict[str, int]:
        threads = os.listdir("/proc/self/task")
        return {each: os.getpriority(os.PRIO_PROCESS, int(each)) for each in threads}

    frame = moving_frame(0, width=640, height=480)
    before = priorities()
    with FragmentSink(info_of(frame), Pieces()) as sink:
        sink.write(frame)
        during = priorities()
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert own == before[str(threading.get_native_id())]
    started = [during[each] for each in during.keys() - before.keys()]
    assert len(started) >= 2
    assert min(started) > own


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_a_recording_is_shown_as_it_is(tmp_path: Path, suffix: str) -> None:
    tap, pieces = PacketTap(), Pieces()
    path = tmp_path / f"a{suffix}"
    tapped = TappedFragments(pieces)
    tap.listen(tapped)
    with FileSink(path, INFO, encoder=VERYFAST, tap=tap) as sink:
        assert tap.is_playable is None
        for number in range(120):
            sink.write(moving_frame(number))
    tapped.close()
    assert tap.is_playable
    played = play(pieces)
    assert played.times == [Fraction(n, 25) for n in range(120)]
    assert luma_numbers(played.luma()) == [n % 16 for n in range(120)]
    keys = [n for n, piece in enumerate(pieces) if piece.is_key]
    assert max(b - a for a, b in pairwise([*keys, len(pieces)])) <= 50
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 120
    assert pieces[0].mime.startswith('video/mp4; codecs="avc1.64')


def test_a_player_joins_a_recording(tmp_path: Path) -> None:
    tap, pieces = PacketTap(), Pieces()
    tapped = TappedFragments(pieces)
    with FileSink(tmp_path / "a.mkv", INFO, encoder=VERYFAST, tap=tap) as sink:
        for number in range(100):
            if number == 33:
                tap.listen(tapped)
            if number == 60:
                tapped.restart()
            sink.write(moving_frame(number))
    tapped.close()
    played = play(pieces)
    assert played.times == [Fraction(n, 25) for n in range(33, 100)]
    second = next(n for n, piece in enumerate(pieces) if n and piece.mime)
    key = next(n for n, piece in enumerate(pieces) if n > second and piece.is_key)
    assert play([pieces[second], *pieces[key:]]).times[0] == Fraction(60, 25)


def test_a_published_stream_is_shown_without_delay() -> None:
    tap, pieces = PacketTap(), Pieces()
    tapped = TappedFragments(pieces)
    tap.listen(tapped)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        url = f"udp://127.0.0.1:{receiver.getsockname()[1]}"
        with PublishSink(url, INFO, VERYFAST, tap=tap) as sink:
            for number in range(30):
                sink.write(moving_frame(100 + number))
                assert tap.moment == Fraction(100 + number, 25)
    tapped.close()
    assert play(pieces).times == [Fraction(100 + n, 25) for n in range(30)]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_listeners_do_not_change_a_recording(tmp_path: Path, suffix: str) -> None:
    class Passive:
        packets = 0

        def wants_key_frame(self, moment: Fraction) -> bool:
            return False

        def put(
            self, stream: av.VideoStream, packet: av.Packet, shift: Fraction
        ) -> None:
            self.packets += 1

    listeners = Passive(), Passive()

    def record(name: str, tap: PacketTap | None) -> bytes:
        path = tmp_path / f"{name}{suffix}"
        # With its look-ahead, x264 itself does not always give the same bytes.
        config = EncoderConfig("x264", preset="superfast")
        with FileSink(path, INFO, encoder=config, tap=tap) as sink:
            for number in range(40):
                sink.write(moving_frame(number))
        return _without_random_parts(path)

    tap = PacketTap()
    for listener in listeners:
        tap.listen(listener)
    assert record("a", tap) == record("b", None) == record("c", PacketTap())
    assert [listener.packets for listener in listeners] == [40, 40]


def test_a_listener_that_fails_ends_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(data: bytes, mime: str, is_key: bool) -> None:
        raise RuntimeError("the page has gone")

    tap, pieces = PacketTap(), Pieces()
    good = TappedFragments(pieces)
    tap.listen(TappedFragments(fail))
    tap.listen(good)
    path = tmp_path / "a.mkv"
    with FileSink(path, INFO, encoder=VERYFAST, tap=tap) as sink:
        for number in range(40):
            sink.write(moving_frame(number))
    good.close()
    assert len(play(pieces).frames) == 40
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 40
    assert [each.levelno for each in caplog.records] == [logging.ERROR]


def test_segments_are_one_video(tmp_path: Path) -> None:
    tap, pieces = PacketTap(), Pieces()
    tapped = TappedFragments(pieces)
    tap.listen(tapped)
    sink = SegmentSink(
        f"{tmp_path}/%Y-%m-%d_%H-%M-%S.mkv",
        INFO,
        segment_s=1,
        keep=Keep.parse([]),
        tap=tap,
    )
    with sink:
        for number in range(60):
            # Packets of the last segment come from another thread.
            if number in (25, 50):
                sink.write(moving_frame(number))
                assert sink._finisher is not None
                sink._finisher.join()
            else:
                sink.write(moving_frame(number))
    tapped.close()
    assert len(list(tmp_path.glob("*.mkv"))) == 3
    assert [piece.mime for piece in pieces if piece.mime] == [pieces[0].mime]
    played = play(pieces)
    assert played.times == [Fraction(n, 25) for n in range(60)]
    assert luma_numbers(played.luma()) == [n % 16 for n in range(60)]


@pytest.mark.parametrize(
    "config",
    [
        EncoderConfig("x265", preset="ultrafast"),
        EncoderConfig("x264", preset="ultrafast", pix_fmt="yuv444p"),
        EncoderConfig("x264", preset="ultrafast", pix_fmt="yuv420p10le"),
        EncoderConfig("x264rgb", preset="ultrafast"),
        EncoderConfig("ffv1"),
    ],
    ids=str,
)
def test_what_browsers_do_not_play_is_known(
    tmp_path: Path, config: EncoderConfig
) -> None:
    tap = PacketTap()
    with FileSink(tmp_path / "a.mkv", INFO, encoder=config, tap=tap) as sink:
        for number in range(30):
            sink.write(moving_frame(number))
    assert tap.is_playable is False


@pytest.mark.parametrize("name", ["libx264", "h264_qsv", "h264_amf", "h264_v4l2m2m"])
def test_browsers_play_h264_of_any_encoder(name: str) -> None:
    if name not in av.codecs_available:
        pytest.skip(f"FFmpeg has no {name} here")
    tap = PacketTap()
    with av.open("pipe:", "w", format="null") as container:
        stream = container.add_stream(name, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "nv12"
        tap.begin(stream)
        tap.put(stream, av.Packet(b"\0"), Fraction(0))
    assert tap.is_playable


def test_an_encoder_that_has_been_replaced_is_not_heard(tmp_path: Path) -> None:
    tap = PacketTap()
    config = EncoderConfig("x264", preset="ultrafast")
    old = FileSink(tmp_path / "a.mkv", INFO, encoder=config, tap=tap)
    for number in range(30):
        old.write(moving_frame(number))
    new = FileSink(tmp_path / "b.mkv", INFO, encoder=config, tap=tap, start_s=2)
    for number in range(50, 80):
        new.write(moving_frame(number))
    last = tap.moment
    assert last is not None
    assert last >= 2
    old.close()
    assert tap.moment == last
    new.close()
    assert tap.moment == Fraction(79, 25)


@pytest.mark.parametrize("is_tapped", [False, True])
def test_sound_goes_beside_the_video(tmp_path: Path, is_tapped: bool) -> None:
    pieces, sound, tap = Pieces(), tone(4), PacketTap()
    frames = [replace(moving_frame(n), source_s=n / 25) for n in range(75)]
    if is_tapped:
        tapped = TappedFragments(pieces, sound)
        tap.listen(tapped)
        with FileSink(tmp_path / "a.mkv", INFO, encoder=VERYFAST, tap=tap) as sink:
            for frame in frames:
                sink.write(frame)
                tapped.hear(frame)
        tapped.close()
    else:
        with FragmentSink(INFO, pieces, sound) as sink:
            for frame in frames:
                sink.write(frame)
    assert pieces[0].mime.endswith(',mp4a.40.2"')
    assert len(play(pieces).frames) == 75
    data = b"".join(piece.data for piece in pieces)
    with av.open(BytesIO(data), "r") as container:
        heard = [frame.time or 0.0 for frame in container.decode(audio=0)]
    assert heard == pytest.approx(
        [heard[0] + n * 1024 / 48000 for n in range(len(heard))]
    )
    begin = 0.5 if is_tapped else 0.0  # the encoder's delay
    assert 10 <= heard[0] <= 10.1 + begin
    assert heard[-1] == pytest.approx(13 - 1 / 25, abs=0.05)


@pytest.mark.parametrize(
    ("is_tapped", "begin_s", "refused_s"),
    [(False, 1, 0.01), (False, 1, 2), (True, 1, 2), (False, -1, 2)],
)
def test_sound_that_is_refused_never_ends_the_video(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    is_tapped: bool,
    begin_s: float,
    refused_s: float,
) -> None:
    pieces, sound = Pieces(), Sound()
    for packet in tone(5).feed(1).until(inf):
        is_refused = begin_s <= packet.moment < 1.02 + refused_s
        # FFmpeg takes it for a damaged header of ADTS.
        data = b"\xff\xf1" + b"\xff" * 10 if is_refused else packet.data
        sound.add(1, replace(packet, data=data))
    frames = [replace(moving_frame(n), source_s=1 + n / 25) for n in range(75)]
    if is_tapped:
        tap, tapped = PacketTap(), TappedFragments(pieces, sound)
        tap.listen(tapped)
        with FileSink(tmp_path / "a.mkv", INFO, encoder=VERYFAST, tap=tap) as sink:
            for frame in frames:
                sink.write(frame)
                tapped.hear(frame)
            assert tap.has(tapped)
        tapped.close()
    else:
        with FragmentSink(INFO, pieces, sound) as sink:
            for frame in frames:
                sink.write(frame)
    headers = [n for n, piece in enumerate(pieces) if piece.mime]
    last = headers[-1]
    assert pieces[0].mime.endswith(',mp4a.40.2"')
    if refused_s < 1:
        assert headers == [0]
        assert not caplog.messages
        assert len(play(pieces).frames) == 75
        with av.open(BytesIO(b"".join(each.data for each in pieces)), "r") as container:
            assert sum(1 for _ in container.decode(audio=0)) > 130
        return
    assert len(headers) == 2
    assert "mp4a" not in pieces[last].mime
    (note,) = caplog.messages
    # Sound that was damaged from the beginning does not even reach the muxer.
    why = "browser refused it" if begin_s > 0 else "it cannot be converted"
    assert "the page goes on without sound: " in note
    assert why in note
    key = next(n for n in range(last, len(pieces)) if pieces[n].is_key)
    played = play([pieces[last], *pieces[key:]])
    assert played.times[0] < 1.5
    assert played.times[-1] == Fraction(74, 25)


def test_no_sequence_parameter_set() -> None:
    with pytest.raises(ValueError, match="no sequence parameter set"):
        avc_codec(b"\0\0\0\1\x68\1\2\3")


def luma_numbers(pictures: list[np.ndarray]) -> list[int]:
    """Numbers of moving frames, modulo 16, by the place of their bars."""
    places = {number_px(number, 64): number for number in range(16)}
    starts = [int(picture[20].astype(int).argmax()) // 4 * 4 for picture in pictures]
    return [places[start] for start in starts]


def _without_random_parts(path: Path) -> bytes:
    """The bytes of a file; Matroska has random identifiers."""
    with av.open(str(path)) as container:
        return b"".join(
            bytes(packet) + f"{packet.pts} {packet.dts} {packet.is_keyframe}".encode()
            for packet in container.demux(video=0)
        )
