"""All kinds of sources behave alike."""

import io
import itertools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamdenoise.errors import ConfigError, SourceLostError, SourceOpenError
from streamdenoise.frame import PIX_FMTS, ColorInfo
from streamdenoise.imaging.color import frame_to_rgb
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.imaging.noise import add_gaussian_noise
from streamdenoise.io.ffmpeg.pixel_formats import nearest_pix_fmt
from streamdenoise.io.ffmpeg.planes import SEMI_PLANAR, planes_of
from streamdenoise.io.image_paths import image_paths
from streamdenoise.io.open import open_sink, open_source
from streamdenoise.io.options import ReadOptions
from streamdenoise.io.protocols import Source
from streamdenoise.io.sources.camera import CaptureSource, OpenCVCameraSource
from streamdenoise.io.sources.timestamps import TimestampRepair
from streamdenoise.io.sources.y4m import Y4MSource
from tests.support.clips import Clip, moving_gradient, video_frame, write_clip
from tests.support.command import python

FRAMES = 12
Opener = Callable[..., Source]


@pytest.fixture
def y4m_path(clip: Clip, tmp_path: Path) -> Path:
    path = tmp_path / "clip.y4m"
    with (
        open_source(str(clip.path)) as source,
        open_sink(str(path), source.info) as sink,
    ):
        for frame in source:
            sink.write(frame)
    return path


@pytest.fixture
def image_folder(clip: Clip, tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for index, planes in enumerate(clip.frames):
        cv2.imwrite(str(folder / f"p{index}.png"), planes[0])
    (folder / "notes.txt").write_text("not an image")
    return folder


@pytest.fixture(
    params=[
        "file",
        "odd",
        "10bit",
        "y4m-file",
        "y4m-pipe",
        "images",
        "testsrc",
        "paced",
        "capture",
    ]
)
def opener(
    request: pytest.FixtureRequest,
    clip: Clip,
    odd_clip: Clip,
    clip_10bit: Clip,
    y4m_path: Path,
    image_folder: Path,
) -> Opener:
    """Opens a source of 12 frames, read with the given options."""
    openers: dict[str, Opener] = {
        "file": lambda **k: open_source(str(clip.path), ReadOptions(**k)),
        "odd": lambda **k: open_source(str(odd_clip.path), ReadOptions(**k)),
        "10bit": lambda **k: open_source(str(clip_10bit.path), ReadOptions(**k)),
        "y4m-file": lambda **k: open_source(str(y4m_path), ReadOptions(**k)),
        "y4m-pipe": lambda **k: Y4MSource(
            io.BytesIO(y4m_path.read_bytes()), "stdin", ReadOptions(**k)
        ),
        "images": lambda **k: open_source(str(image_folder), ReadOptions(**k)),
        "testsrc": lambda **k: open_source(
            "testsrc:64x48@30000/1001", ReadOptions(duration_s=0.4, **k)
        ),
        "paced": lambda **k: open_source(str(clip.path), ReadOptions(**k), live=True),
        "capture": lambda **k: CaptureSource(
            "testsrc2=size=64x48:rate=60,format=yuv420p,realtime",
            "lavfi",
            "camera:0",
            ReadOptions(duration_s=0.199, **k),
        ),
    }
    return openers[request.param]


def test_frames_agree_with_the_info(opener: Opener) -> None:
    with opener() as source:
        assert isinstance(source, Source)
        info = source.info
        frames = list(source)
        assert list(source) == []
        assert source.skipped == 0
    assert len(frames) == FRAMES
    assert [frame.index for frame in frames] == list(range(FRAMES))
    steps = np.diff([frame.pts for frame in frames])
    assert (steps > 0).all()
    stamps = [frame.captured_at for frame in frames]
    assert stamps == sorted(stamps)
    assert info.num_frames in (None, FRAMES)
    for frame in frames:
        assert (frame.width, frame.height) == (info.width, info.height)
        assert (frame.pix_fmt, frame.time_base) == (info.pix_fmt, info.time_base)
        assert frame.color == info.color
        assert all(plane.flags.c_contiguous for plane in frame.planes)
    if info.frame_rate is not None:
        measured = (FRAMES - 1) / (frames[-1].time_s - frames[0].time_s)
        assert measured == pytest.approx(float(info.frame_rate), rel=0.1)


def test_frames_outlive_the_source(opener: Opener) -> None:
    with opener() as source:
        frames = list(source)
    with opener() as source:
        again = list(source)
    if not source.info.is_live:
        for one, other in zip(frames, again, strict=True):
            for a, b in zip(one.planes, other.planes, strict=True):
                np.testing.assert_array_equal(a, b)


def test_close_early_and_twice(opener: Opener) -> None:
    source = opener()
    next(iter(source))
    source.close()
    source.close()


@pytest.mark.parametrize("pix_fmt", list(PIX_FMTS))
def test_any_format_on_request(opener: Opener, pix_fmt: str) -> None:
    with opener() as plain, opener(pix_fmt=pix_fmt) as source:
        frame, reference = next(iter(source)), next(iter(plain))
        assert source.info.pix_fmt == frame.pix_fmt == pix_fmt
        assert (frame.width, frame.height) == (reference.width, reference.height)


def test_start_and_duration(clip: Clip, y4m_path: Path) -> None:
    for path in (clip.path, y4m_path):
        with open_source(str(path), ReadOptions(start_s=0.1, duration_s=0.2)) as source:
            times = [frame.time_s for frame in source]
        assert min(times) >= 0.1 - 1e-3
        assert max(times) < 0.3
        assert len(times) in (6, 7)


def test_start_is_exact_between_key_frames(tmp_path: Path) -> None:
    clip = write_clip(
        tmp_path / "gop.mp4",
        codec="libx264",
        num_frames=60,
        time_base=Fraction(1001, 30000),
        pts=lambda index: index,
        prepare=lambda stream: setattr(stream, "options", {"g": "20", "crf": "1"}),
    )
    with open_source(str(clip.path)) as source:
        every = list(source)
    for wanted in (1, 19, 20, 33, 59):
        with open_source(
            str(clip.path), ReadOptions(start_s=every[wanted].time_s)
        ) as source:
            rest = list(source)
        assert [frame.pts for frame in rest] == [frame.pts for frame in every[wanted:]]
        np.testing.assert_array_equal(rest[0].planes[0], every[wanted].planes[0])


@pytest.mark.parametrize(
    ("pix_fmt", "codec", "expected"),
    [
        ("nv12", "rawvideo", "yuv420p"),
        ("yuv422p", "ffv1", "yuv420p"),
        ("yuv444p", "ffv1", "yuv420p"),
        ("yuv422p10le", "ffv1", "yuv420p10le"),
        ("yuv444p12le", "ffv1", "yuv420p10le"),
        ("bgr0", "ffv1", "yuv420p"),
        ("gbrp10le", "ffv1", "yuv420p10le"),
        ("gray16le", "ffv1", "gray10le"),
        ("yuva420p", "ffv1", "yuv420p"),
        ("yuvj420p", "mjpeg", "yuv420p"),
    ],
)
def test_other_formats_are_converted_with_a_note(
    tmp_path: Path, pix_fmt: str, codec: str, expected: str
) -> None:
    path = tmp_path / ("in.nut" if codec == "rawvideo" else "in.mkv")
    planes = moving_gradient(64, 48, 3)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
        if pix_fmt == "yuvj420p":
            stream.codec_context.color_range = 2
        encoded = video_frame(planes, "yuv420p").reformat(format=pix_fmt)
        encoded.pts, encoded.time_base = 0, Fraction(1, 25)
        container.mux(stream.encode(encoded))
        container.mux(stream.encode(None))
    with open_source(str(path)) as source:
        (frame,) = source
        assert source.info.pix_fmt == frame.pix_fmt == expected
        untouched = pix_fmt in ("yuvj420p", "nv12")
        assert bool(source.info.notes) != untouched
        if not untouched:
            assert f"is converted to {expected}" in source.info.notes[0]
    got = frame.planes[0].astype(float)
    if pix_fmt == "yuvj420p":
        assert frame.color.range == 2
        got = got * 219 / 255 + 16
    if expected.endswith("10le"):
        got /= 4
    # RGB clips colors outside its cube, JPEG is lossy, gray is stretched.
    exact = pix_fmt.startswith(("nv12", "yuv4", "yuva"))
    limit = 1.0 if exact else 3.0
    wanted = planes[0].astype(float)
    if pix_fmt == "gray16le":
        wanted = np.clip((wanted - 16) * 255 / 219, 0, 255)  # gray is full range
        got = got * 1.0
    assert np.abs(got - wanted).max() <= limit


@pytest.mark.parametrize("size", [(64, 48), (65, 47), (854, 480), (1366, 768)])
@pytest.mark.parametrize("depth", [8, 10])
def test_semi_planar_frames_become_planar_without_a_change(
    size: tuple[int, int], depth: int
) -> None:
    shift = 16 - depth if depth > 8 else 0
    semi_planar, planar = list(SEMI_PLANAR.items())[depth == 10]
    rng = np.random.default_rng(depth)
    luma, *chroma = (
        rng.integers(0, 1 << depth, plane.shape).astype(plane.dtype)
        for plane in moving_gradient(*size, 0, depth)
    )
    woven = np.stack(chroma, -1).reshape(chroma[0].shape[0], -1)
    semi_planar_frame = video_frame((luma << shift, woven << shift), semi_planar)
    for plane, expected in zip(
        planes_of(semi_planar_frame, planar), (luma, *chroma), strict=True
    ):
        np.testing.assert_array_equal(plane, expected)
        assert plane.flags.c_contiguous
        assert not plane.flags.writeable


def test_every_format_of_ffmpeg_has_a_nearest() -> None:
    for name in ("pal8", "monow", "rgb565le", "p010le", "ya8", "yuv410p", "xyz12le"):
        assert nearest_pix_fmt(name) in PIX_FMTS
    for name in PIX_FMTS:
        of_pictures = name in ("rgb24", "gray16le", "rgb48le")
        assert nearest_pix_fmt(name) == name or of_pictures


def test_color_tags(clip: Clip, clip_10bit: Clip, odd_clip: Clip) -> None:
    with open_source(str(clip.path)) as source:
        assert source.info.color == ColorInfo(1, 1, 1, 1)
    with open_source(str(clip_10bit.path)) as source:
        assert source.info.color == ColorInfo(9, 1, 9, 16)
    with open_source(str(odd_clip.path)) as source:
        assert source.info.color.matrix == 2


def test_pattern_moves_and_repeats() -> None:
    with open_source("testsrc:65x47@25", ReadOptions(duration_s=0.2)) as source:
        first, *rest = list(source)
        assert (first.width, first.height) == (65, 47)
        assert any((first.planes[0] != each.planes[0]).any() for each in rest)
    for spec in ("testsrc:64", "testsrc:64x48@0", "testsrc:0x4@25", "testsrc:1x1@2/0"):
        with pytest.raises(ConfigError):
            open_source(spec)


@pytest.mark.parametrize("size", ["320x240", "1280x720"])
def test_the_pattern_is_tagged_with_the_color_it_is_drawn_in(size: str) -> None:
    with open_source(f"testsrc:{size}@25") as source:
        frame = next(iter(source))
    assert source.info.color == frame.color == ColorInfo(matrix=6, range=1)
    pixels = frame_to_rgb(frame).reshape(-1, 3)
    for color in itertools.product((0, 255), repeat=3):
        if len(set(color)) == 2:  # neither black nor white
            is_pure = np.abs(pixels.astype(int) - color).max(1) <= 2
            assert is_pure.mean() > 0.1, color


@pytest.mark.parametrize("size", ["320x240", "1280x720"])
def test_noise_on_the_pattern_is_clipped_at_its_pure_colors(size: str) -> None:
    sigma = 20
    with open_source(f"testsrc:{size}@25") as source:
        frame = next(iter(source))
    noisy = add_gaussian_noise(frame, sigma, np.random.default_rng(0))
    # What a pure color keeps of the noise points inward: half of a normal distribution.
    weights = np.array([0.299, 0.587, 0.114])
    inward = np.where(frame_to_rgb(frame) > 127, -1, 1)
    variance = np.square(weights).sum() * (1 / 2 - 1 / (2 * np.pi))
    bias = np.square(inward @ weights).mean() / (2 * np.pi)
    luma_std = 219 / 255 * sigma * np.sqrt(variance + bias)
    assert psnr_db(frame.planes[0], noisy.planes[0], 255) == pytest.approx(
        20 * np.log10(255 / luma_std), abs=0.4
    )


def test_live_gives_frames_at_their_own_pace(clip: Clip) -> None:
    with open_source(str(clip.path), live=True) as source:
        assert source.info.is_live
        frames = list(source)
    delays = [f.captured_at - frames[0].captured_at - f.time_s for f in frames]
    assert min(delays) > -0.01  # never early; lateness depends on the machine


def test_live_clock_starts_at_zero(tmp_path: Path) -> None:
    with CaptureSource(
        "testsrc2=size=64x48:rate=50,setpts=PTS+1.8e9/TB,format=yuv420p",
        "lavfi",
        "camera:0",
        ReadOptions(duration_s=0.1),
    ) as source:
        assert source.info.is_live
        assert [frame.time_s for frame in source] == pytest.approx(
            [0.0, 0.02, 0.04, 0.06, 0.08]
        )


def test_camera_names() -> None:
    with pytest.raises(ConfigError, match="camera:0"):
        open_source("camera:front")
    with pytest.raises(SourceOpenError, match="neither by FFmpeg"):
        open_source("camera:98")


def test_opencv_camera(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV opens a file in place of a camera; everything else is real."""
    path = clip.path.with_name("as_camera.avi")
    write_clip(
        path,
        codec="mjpeg",
        pix_fmt="yuvj420p",
        time_base=Fraction(1001, 30000),
        pts=lambda index: index,
    )
    real = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: real(str(path)))
    with OpenCVCameraSource(
        0, "camera:0", "no driver", ReadOptions(duration_s=60)
    ) as source:
        assert source.info.is_live
        assert source.info.notes == ("camera:0 is read through OpenCV: no driver",)
        with pytest.raises(SourceLostError, match="sent no more frames"):
            list(source)
    with OpenCVCameraSource(0, "camera:0", "no driver", ReadOptions()) as source:
        frame = next(iter(source))
    assert (frame.pix_fmt, frame.width, frame.height) == ("yuv420p", 64, 48)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
def test_images_in_any_format_and_with_any_name(tmp_path: Path, suffix: str) -> None:
    rgb = np.full((9, 7, 3), (200, 120, 40), np.uint8)
    data = cv2.imencode(suffix, rgb[..., ::-1].copy())[1]
    path = tmp_path / f"häuser 夜{suffix}"
    path.write_bytes(data.tobytes())
    with open_source(str(path)) as source:
        (frame,) = source
        assert source.info.notes == ()
    assert frame.pix_fmt == "rgb24"
    assert np.abs(frame.planes[0].astype(int) - rgb).max() <= 6


def test_images_16_bit_alpha_and_gray_become_rgb24(tmp_path: Path) -> None:
    deep = np.full((4, 4, 3), 65535, np.uint16)
    deep[..., 0] = 257 * 10
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    with open_source(str(tmp_path / "deep.png")) as source:
        assert "16 bits are rounded to 8" in source.info.notes[0]
        assert next(iter(source)).planes[0][0, 0].tolist() == [255, 255, 10]
    cv2.imwrite(str(tmp_path / "alpha.png"), np.full((4, 4, 4), 50, np.uint8))
    with open_source(str(tmp_path / "alpha.png")) as source:
        assert "transparency is dropped" in source.info.notes[0]
        assert next(iter(source)).planes[0].shape == (4, 4, 3)
    cv2.imwrite(str(tmp_path / "gray.png"), np.full((4, 4), 50, np.uint8))
    with open_source(str(tmp_path / "gray.png")) as source:
        assert (next(iter(source)).planes[0] == 50).all()
    cv2.imwrite(str(tmp_path / "float.tif"), np.zeros((4, 4), np.float32))
    with pytest.raises(SourceOpenError, match="float32 samples"):
        open_source(str(tmp_path / "float.tif"))


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    wide = np.zeros((8, 16, 3), np.uint8)
    wide[:, :8] = 255
    jpeg = cv2.imencode(".jpg", wide)[1].tobytes()
    # An APP1 segment that holds one tag: orientation 6, turn 90 degrees clockwise.
    tiff = b"II*\0\x08\0\0\0" + b"\x01\0" + b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"
    body = b"Exif\0\0" + tiff + b"\0\0\0\0"
    segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
    (tmp_path / "turned.jpg").write_bytes(jpeg[:2] + segment + jpeg[2:])
    with open_source(str(tmp_path / "turned.jpg")) as source:
        (frame,) = source
    assert frame.planes[0].shape == (16, 8, 3)
    assert frame.planes[0][2].min() > 200
    assert frame.planes[0][13].max() < 60


def test_folder_is_in_natural_order(tmp_path: Path) -> None:
    for name in ("b10.png", "b9.PNG", "B1.png", "a2b10.png", "a2b9.png", "x.txt"):
        (tmp_path / name).touch()
    names = [path.name for path in image_paths(tmp_path)]
    assert names == ["a2b9.png", "a2b10.png", "B1.png", "b9.PNG", "b10.png"]


class _Stamped:
    def __init__(self, pts: int | None) -> None:
        self.pts = pts


@pytest.mark.parametrize(
    ("stamps", "expected", "corrected"),
    [
        ([0, 40, 80], [0, 40, 80], 0),
        ([None, 40, 80], [0, 40, 80], 0),
        ([None, None, 5000], [4920, 4960, 5000], 0),
        ([None] * 3, [0, 40, 80], 0),
        ([None] * 10, [40 * i for i in range(10)], 0),
        ([0, None, 90], [0, 40, 90], 0),
        ([0, 40, 40, 80], [0, 40, 41, 80], 1),
        ([9000, 9040, 0, 40], [9000, 9040, 9080, 9120], 1),
        ([], [], 0),
    ],
)
def test_missing_and_decreasing_timestamps_are_repaired(
    stamps: list, expected: list, corrected: int
) -> None:
    repair = TimestampRepair(Fraction(1, 1000), Fraction(25))
    assert [each.pts for each in repair(map(_Stamped, stamps))] == expected
    assert repair.corrected == corrected


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ([9000, 9040], [0, 40]),
        ([None, 9000, None], [0, 40, 80]),
        ([None] * 3, [0, 40, 80]),
        ([-80, -40], [0, 40]),
        ([9000, 9040, 5, 45], [0, 40, 80, 120]),
    ],
)
def test_timestamps_of_a_live_stream_begin_at_zero(
    stamps: list, expected: list
) -> None:
    repair = TimestampRepair(Fraction(1, 1000), Fraction(25), from_zero=True)
    assert [each.pts for each in repair(map(_Stamped, stamps))] == expected


def test_importing_io_is_cheap() -> None:
    script = (
        "import sys, streamdenoise.io\n"
        "heavy = {'av', 'cv2', 'torch'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = python(script)
    assert done.returncode == 0, done.stderr
