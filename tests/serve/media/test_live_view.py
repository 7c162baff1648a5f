"""Live video and images of a camera: made only while they are watched."""

import io
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.frame import ColorInfo, Frame, StreamInfo
from streamdenoise.imaging.color import frame_to_rgb, rgb_to_yuv420
from streamdenoise.io.ffmpeg.packet_tap import PacketTap
from streamdenoise.io.ffmpeg.sound import Sound
from streamdenoise.io.options import EncoderConfig
from streamdenoise.io.sinks.file import FileSink
from streamdenoise.jobs.config import LiveConfig
from streamdenoise.jobs.live import denoise_live
from streamdenoise.pipeline.frame_denoiser import FrameDenoiser
from streamdenoise.pipeline.queue import Overflow
from streamdenoise.pipeline.stats import Stats
from streamdenoise.pipeline.writer import FramePair, Output
from streamdenoise.serve.media.fragment import Fragment, Side
from streamdenoise.serve.media.live_view import LiveView
from streamdenoise.serve.service import CameraAwayError
from tests.support.fragments import Piece, moving_frame, play
from tests.support.frames import make_frame

INFO = StreamInfo(64, 48, "yuv420p", Fraction(25), Fraction(1, 25), is_live=True)


class Viewer:
    """Collects what a `LiveView` emits."""

    def __init__(self) -> None:
        self.fragments: dict[Side, list[Piece]] = {side: [] for side in Side}

    def __call__(self, side: Side, fragment: Fragment) -> None:
        assert fragment.is_header == bool(fragment.mime)
        self.fragments[side].append(
            Piece(fragment.data, fragment.mime, fragment.is_key)
        )


def feed(outputs: list[Output], *pairs: tuple[Frame, Frame]) -> None:
    """Write frames before and after denoising, as a pipeline does."""
    for noisy, clean in pairs:
        for output in outputs:
            assert output.render is not None
            output.sink.write(output.render(FramePair(noisy, clean), Stats()))


def pair(index: int) -> tuple[Frame, Frame]:
    return moving_frame(index + 3), moving_frame(index)


def end(outputs: list[Output]) -> None:
    for output in outputs:
        output.sink.close()


def test_nothing_is_encoded_for_nobody() -> None:
    viewer = Viewer()
    view = LiveView(viewer)
    outputs = view.outputs(INFO)
    feed(outputs, *map(pair, range(5)))
    view.watch(Side.AFTER, True)
    feed(outputs, *map(pair, range(5, 15)))
    view.watch(Side.AFTER, False)
    feed(outputs, *map(pair, range(15, 20)))
    view.watch(Side.AFTER, True)
    feed(outputs, *map(pair, range(20, 25)))
    end(outputs)
    assert viewer.fragments[Side.SPLIT] == viewer.fragments[Side.BEFORE] == []
    pieces = viewer.fragments[Side.AFTER]
    headers = [n for n, piece in enumerate(pieces) if piece.mime]
    assert headers == [0, 11]
    first, second = play(pieces[:11]), play(pieces[11:])
    assert first.times == [Fraction(n, 25) for n in range(5, 15)]
    assert second.times == [Fraction(n, 25) for n in range(20, 25)]


def test_it_is_watched_before_the_camera_runs() -> None:
    viewer = Viewer()
    view = LiveView(viewer)
    view.watch(Side.SPLIT, True)
    outputs = view.outputs(INFO)
    feed(outputs, *map(pair, range(3)))
    end(outputs)
    assert len(play(viewer.fragments[Side.SPLIT]).frames) == 3


def test_before_and_after_show_their_frames() -> None:
    viewer = Viewer()
    view = LiveView(viewer)
    for side in (Side.BEFORE, Side.AFTER):
        view.watch(side, True)
    outputs = view.outputs(INFO)
    feed(outputs, *[(make_frame(n, 80), make_frame(n, 160)) for n in range(4)])
    end(outputs)
    for side, value in ((Side.BEFORE, 80), (Side.AFTER, 160)):
        (*_, luma) = play(viewer.fragments[side]).luma()
        assert abs(luma.astype(int) - value).max() <= 2


@pytest.mark.parametrize(("width", "shown"), [(64, 128), (65, 132), (2050, 2050)])
def test_split_has_both_frames_whole_side_by_side(width: int, shown: int) -> None:
    viewer = Viewer()
    view = LiveView(viewer)
    view.watch(Side.SPLIT, True)
    outputs = view.outputs(INFO)
    feed(
        outputs,
        *[
            (
                make_frame(n, (80, 100, 160), width=width),
                make_frame(n, (160, 140, 90), width=width),
            )
            for n in range(4)
        ],
    )
    end(outputs)
    played = play(viewer.fragments[Side.SPLIT])
    assert played.frames[-1].width == shown
    luma = played.luma()[-1].astype(int)
    middle = shown // 2
    assert abs(luma[:, : middle - 8] - 80).max() <= 2
    assert abs(luma[:, middle + 8 :] - 160).max() <= 2


def test_one_more_player_gets_a_header_and_a_key_frame() -> None:
    viewer = Viewer()
    view = LiveView(viewer)
    view.watch(Side.AFTER, True)
    outputs = view.outputs(INFO)
    feed(outputs, *map(pair, range(10)))
    view.restart(Side.AFTER)
    view.restart(Side.BEFORE)
    feed(outputs, *map(pair, range(10, 20)))
    end(outputs)
    pieces = viewer.fragments[Side.AFTER]
    header = [n for n, piece in enumerate(pieces) if piece.mime][1]
    key = next(n for n in range(header, len(pieces)) if pieces[n].is_key)
    joined = play([pieces[header], *pieces[key:]])
    assert joined.times == [Fraction(n, 25) for n in range(10, 20)]


def test_frames_of_another_size_begin_another_video() -> None:
    viewer = Viewer()
    view = LiveView(viewer)
    view.watch(Side.AFTER, True)
    outputs = view.outputs(INFO)
    feed(outputs, *map(pair, range(5)))
    frames = [moving_frame(n, width=128) for n in range(5, 10)]
    feed(outputs, *zip(frames, frames, strict=True))
    end(outputs)
    pieces = viewer.fragments[Side.AFTER]
    headers = [n for n, piece in enumerate(pieces) if piece.mime]
    assert headers == [0, 6]
    second = play(pieces[6:])
    assert second.frames[0].width == 128
    assert second.times == [Fraction(n, 25) for n in range(5, 10)]


def test_what_an_output_encodes_is_shown_and_if_it_hangs_not_waited_for(
    tmp_path: Path,
) -> None:
    viewer, tap = Viewer(), PacketTap()
    view = LiveView(viewer)
    view.watch(Side.AFTER, True)
    config = EncoderConfig("x264", preset="superfast")
    path = tmp_path / "a.mkv"
    recording = Output(FileSink(path, INFO, encoder=config, tap=tap), tap=tap)
    outputs = view.outputs(INFO, [Output(recording.sink), recording])
    for number in range(60):
        recording.sink.write(moving_frame(number))
        feed(outputs, pair(number))
    # From here on the recording gets no frames.
    feed(outputs, *map(pair, range(60, 160)))
    recording.sink.close()
    end(outputs)
    pieces = viewer.fragments[Side.AFTER]
    second = [n for n, piece in enumerate(pieces) if piece.mime][1]
    payloads = b"".join(piece.data for piece in pieces[:second])
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0)]
    shown = [packet for packet in packets if packet and packet in payloads]
    assert len(shown) > 50
    own = play(pieces[second:])
    assert own.times[-1] == Fraction(159, 25)
    assert 120 < 25 * own.times[0] < 140


def test_an_output_that_browsers_do_not_play_is_encoded_again(tmp_path: Path) -> None:
    viewer, tap = Viewer(), PacketTap()
    view = LiveView(viewer)
    view.watch(Side.AFTER, True)
    config = EncoderConfig("x265", preset="ultrafast")
    with FileSink(tmp_path / "a.mkv", INFO, encoder=config, tap=tap) as sink:
        outputs = view.outputs(INFO, [Output(sink, tap=tap)])
        for number in range(80):
            sink.write(moving_frame(number))
            feed(outputs, pair(number))
        end(outputs)
    assert play(viewer.fragments[Side.AFTER]).times[-1] == Fraction(79, 25)


def test_a_page_that_fails_does_not_touch_the_camera(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(side: Side, fragment: Fragment) -> None:
        raise BrokenPipeError("the service has gone")

    view = LiveView(fail)
    view.watch(Side.AFTER, True)
    outputs = view.outputs(INFO)
    feed(outputs, *map(pair, range(10)))
    end(outputs)
    assert [each.levelno for each in caplog.records] == [logging.ERROR]


@pytest.mark.parametrize(
    ("pix_fmt", "color"),
    [
        ("yuv420p", ColorInfo(matrix=1, range=1)),
        ("yuv420p", ColorInfo(matrix=6, range=2)),
        ("yuv420p", ColorInfo()),
        ("yuv420p10le", ColorInfo(matrix=9, range=1)),
        ("gray", ColorInfo(range=2)),
        ("rgb24", ColorInfo(matrix=0, range=2)),
    ],
)
def test_images_have_the_colors_of_the_frame(pix_fmt: str, color: ColorInfo) -> None:
    view = LiveView(Viewer())
    outputs = view.outputs(INFO)
    noisy, clean = (smooth_frame(pix_fmt, color, shift) for shift in (0, 70))
    feed(outputs, (noisy, clean))
    for side, frame in ((Side.BEFORE, noisy), (Side.AFTER, clean)):
        image = decoded(view.snapshot(side))
        assert_same_colors(image, frame_to_rgb(frame))
    split = decoded(view.snapshot(Side.SPLIT))
    # The border and the labels are the overlay's.
    assert_same_colors(split[:100, :90], frame_to_rgb(noisy)[:100, :90])
    assert_same_colors(split[:100, 110:], frame_to_rgb(clean)[:100, 110:])
    assert (split[:, 99:101] >= 200).mean() > 0.8
    small = decoded(view.snapshot(Side.AFTER, 50))
    assert small.shape == (38, 50, 3)
    whole = frame_to_rgb(clean).astype(float)
    assert abs(small.mean((0, 1)) - whole.mean((0, 1))).max() < 1.5
    assert decoded(view.snapshot(Side.AFTER, 1000)).shape == (150, 200, 3)
    end(outputs)


def test_there_is_no_image_before_the_first_frame() -> None:
    with pytest.raises(CameraAwayError, match="not delivered a frame yet"):
        LiveView(Viewer()).snapshot(Side.AFTER)


def test_the_page_of_a_running_job_shows_its_recording(tmp_path: Path) -> None:
    viewer = Viewer()
    view = LiveView(viewer)
    for side in (Side.AFTER, Side.SPLIT):
        view.watch(side, True)

    def show(
        stack: ExitStack,
        info: StreamInfo,
        denoiser: FrameDenoiser,
        opened: Sequence[Output],
        sound: Sound | None,
    ) -> list[Output]:
        return view.outputs(info, opened)

    path = tmp_path / "a.mp4"
    config = LiveConfig(
        "testsrc:64x48@25",
        (str(path),),
        window=False,
        duration_s=2.0,
        denoise=DenoiseConfig(strength=0),
        overflow=Overflow.BLOCK,
    )
    stats = denoise_live(config, viewer=show)
    assert stats.frames_out == 50
    assert [output.name for output in stats.outputs] == [str(path)]
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    pieces = viewer.fragments[Side.AFTER]
    payloads = b"".join(piece.data for piece in pieces)
    assert sum(packet in payloads for packet in packets) > 25
    played = play(viewer.fragments[Side.SPLIT])
    assert played.frames[0].width == 128
    assert 10 < len(played.frames) <= 50
    assert decoded(view.snapshot(Side.SPLIT)).shape == (48, 64, 3)


def smooth_frame(pix_fmt: str, color: ColorInfo, shift: int) -> Frame:
    """A gradient over many colors that 4:2:0 and JPEG can hold, 200x150."""
    y, x = np.mgrid[:150, :200].astype(np.float32)
    rgb = np.stack([40 + 0.6 * x, 60 + 0.7 * y, 30 + shift + 0.3 * (x + y)], -1)
    if pix_fmt == "rgb24":
        planes: tuple[np.ndarray, ...] = (rgb.round().astype(np.uint8),)
    else:
        depth = 10 if "10" in pix_fmt else 8
        planes = rgb_to_yuv420(rgb.round().astype(np.uint8), color, depth)
        planes = planes[:1] if pix_fmt == "gray" else planes
    frame = make_frame(width=200, height=150, pix_fmt=pix_fmt, color=color)
    return frame.with_planes(planes)


def assert_same_colors(image: np.ndarray, rgb: np.ndarray) -> None:
    """Single pixels differ by what JPEG rounds, means of 10x10 by less."""
    off = image - rgb.astype(int)
    assert abs(off).max() <= 5
    height, width = off.shape[0] // 10 * 10, off.shape[1] // 10 * 10
    cells = off[:height, :width].reshape(height // 10, 10, width // 10, 10, 3)
    assert abs(cells.mean((1, 3))).max() <= 2


def decoded(jpeg: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(jpeg)) as image:
        assert image.format == "JPEG"
        return np.asarray(image.convert("RGB")).astype(int)
