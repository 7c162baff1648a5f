"""Chromium plays the fragments."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from playwright.sync_api import Browser, sync_playwright

from streamdenoise.frame import ColorInfo, Frame, StreamInfo
from streamdenoise.imaging.color import frame_to_rgb, rgb_to_yuv420
from streamdenoise.io.ffmpeg.fragments import TappedFragments
from streamdenoise.io.ffmpeg.packet_tap import PacketTap
from streamdenoise.io.options import EncoderConfig
from streamdenoise.io.sinks.file import FileSink
from streamdenoise.io.sinks.fragments import FragmentSink
from tests.support.fragments import Piece, Pieces, tone
from tests.support.frames import make_frame
from tests.support.skips import skip_or_fail

NUM_FRAMES = 60
COLORS = ((200, 60, 50), (60, 180, 70), (50, 70, 190), (128, 128, 128))
"""Of the quarters of a frame."""

PAGE = """<!doctype html><video muted></video><script>
const video = document.querySelector('video');
async function play(pieces) {
  const source = new MediaSource();
  video.src = URL.createObjectURL(source);
  await new Promise(done => source.addEventListener('sourceopen', done, {once: true}));
  let buffer = null;
  for (let n = 0; n < pieces.length; n++) {
    if (!buffer) buffer = source.addSourceBuffer(pieces[n]);
    const answer = await fetch('piece/' + n);
    buffer.appendBuffer(await answer.arrayBuffer());
    await new Promise(done => buffer.addEventListener('updateend', done, {once: true}));
    if (n == 8) {
      video.currentTime = video.buffered.start(0);
      video.play();  // once there is enough
    }
  }
  const ranges = [...Array(video.buffered.length).keys()].map(
    n => [video.buffered.start(n), video.buffered.end(n)]);
  const from = ranges[0][0];
  while (video.currentTime < from + 0.6) await new Promise(r => setTimeout(r, 20));
  video.pause();
  const canvas = document.createElement('canvas');
  const [w, h] = [video.videoWidth, video.videoHeight];
  [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext('2d');
  context.drawImage(video, 0, 0);
  const pixel = (x, y) => [...context.getImageData(x, y, 1, 1).data].slice(0, 3);
  const pixels = [[w/4, h/4], [3*w/4, h/4], [w/4, 3*h/4], [3*w/4, 3*h/4]].map(
    ([x, y]) => pixel(Math.floor(x), Math.floor(y)));
  const quality = video.getVideoPlaybackQuality();
  return {size: [w, h], ranges, pixels,
          decoded: quality.totalVideoFrames, corrupt: quality.corruptedVideoFrames,
          error: video.error && video.error.message};
}
</script>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        skip_or_fail("chromium", "chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        )
        yield browser
        browser.close()


@contextmanager
def page_of(pieces: Sequence[Piece]) -> Iterator[str]:
    """Serve the page and the pieces; yields the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            is_piece = self.path.startswith("/piece/")
            data = pieces[int(name)].data if is_piece else PAGE.encode()
            self.send_response(200)
            self.send_header("Content-Type", "video/mp4" if is_piece else "text/html")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def colored_frame(
    index: int, width: int, height: int, pix_fmt: str, color: ColorInfo
) -> Frame:
    rgb = np.zeros((height, width, 3), np.uint8)
    for number, each in enumerate(COLORS):
        rows = slice(height // 2, None) if number > 1 else slice(height // 2)
        columns = slice(width // 2, None) if number % 2 else slice(width // 2)
        rgb[rows, columns] = each
    # Something moves.
    rgb[: height // 8, (8 * index) % width :][:, :8] = 255
    planes: tuple[np.ndarray, ...] = (rgb,)
    if pix_fmt != "rgb24":
        planes = rgb_to_yuv420(rgb, color, 10 if "10" in pix_fmt else 8)
        planes = planes[:1] if pix_fmt == "gray" else planes
    # Like a camera whose rate changes.
    pts = 40 * index if index < 40 else 1600 + 60 * (index - 40)
    return make_frame(
        index,
        width=width,
        height=height,
        pix_fmt=pix_fmt,
        color=color,
        pts=pts,
        time_base=Fraction(1, 1000),
    ).with_planes(planes)


def own(frames: Sequence[Frame], info: StreamInfo, folder: Path) -> Pieces:
    pieces = Pieces()
    with FragmentSink(info, pieces) as sink:
        for frame in frames:
            sink.write(frame)
    return pieces


def with_sound(frames: Sequence[Frame], info: StreamInfo, folder: Path) -> Pieces:
    pieces = Pieces()
    with FragmentSink(info, pieces, tone(5)) as sink:
        for frame in frames:
            sink.write(replace(frame, source_s=frame.time_s))
    assert "mp4a" in pieces[0].mime
    return pieces


def of_a_recording(frames: Sequence[Frame], info: StreamInfo, folder: Path) -> Pieces:
    """With B-frames, from the middle on."""
    tap, pieces = PacketTap(), Pieces()
    tapped = TappedFragments(pieces)
    config = EncoderConfig("x264", preset="veryfast")
    with FileSink(folder / "a.mkv", info, encoder=config, tap=tap) as sink:
        for frame in frames:
            if frame.index == 30:
                tap.listen(tapped)
            sink.write(frame)
    tapped.close()
    return pieces


@pytest.mark.parametrize(
    ("make", "size", "pix_fmt", "color"),
    [
        (own, (320, 240), "yuv420p", ColorInfo()),
        (own, (321, 241), "yuv420p10le", ColorInfo(matrix=1, range=2)),
        (own, (320, 240), "rgb24", ColorInfo(matrix=0, range=2)),
        (with_sound, (320, 240), "yuv420p", ColorInfo()),
        (of_a_recording, (320, 240), "yuv420p", ColorInfo()),
    ],
)
@pytest.mark.slow
def test_chromium_plays_it(
    make: Callable[[Sequence[Frame], StreamInfo, Path], Pieces],
    size: tuple[int, int],
    pix_fmt: str,
    color: ColorInfo,
    browser: Browser,
    tmp_path: Path,
) -> None:
    frames = [colored_frame(n, *size, pix_fmt, color) for n in range(NUM_FRAMES)]
    info = StreamInfo(
        *size, pix_fmt, Fraction(25), Fraction(1, 1000), is_live=True, color=color
    )
    pieces = make(frames, info, tmp_path)
    with page_of(pieces) as address, browser.new_page() as page:
        page.goto(address)
        shown = page.evaluate("play", [piece.mime for piece in pieces])
    assert shown["error"] is None
    assert shown["size"] == [side + side % 2 for side in size]
    # One range without gaps, on the clock of the frames.
    (begin, end), *others = shown["ranges"]
    assert not others
    start_s = 10 + (30 * 0.04 if make is of_a_recording else 0.0)
    assert begin == pytest.approx(start_s, abs=0.01)
    last_s = 10 + frames[-1].time_s
    assert last_s - 0.1 * (make is with_sound) <= end <= last_s + 0.1
    assert shown["decoded"] > 10
    assert shown["corrupt"] == 0
    expected = frame_to_rgb(frames[30])
    height, width = expected.shape[:2]
    for number, pixel in enumerate(shown["pixels"]):
        row = height // 4 if number < 2 else 3 * height // 4
        column = 3 * width // 4 if number % 2 else width // 4
        assert pixel == pytest.approx(expected[row, column].tolist(), abs=6)
