"""Playlists in files: they open what is beside them, and nothing else."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamdenoise.errors import SourceOpenError
from streamdenoise.io.open import open_source
from tests.faults.servers import write_numbered_clip
from tests.support.streams import readable_numbers

HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile {}\n"


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private video that no playlist may reach."""
    path = tmp_path_factory.mktemp("private") / "clip.ts"
    write_numbered_clip(path, (640, 360), 25, 5)
    return path


@pytest.fixture
def folder(tmp_path: Path, outside: Path) -> Path:
    (tmp_path / "lists" / "below").mkdir(parents=True)
    for place in ("clip.ts", "lists/clip.ts", "lists/below/clip.ts"):
        write_numbered_clip(tmp_path / place, (320, 180), 25, 5)
    (tmp_path / "lists" / "link.ts").symlink_to(outside)
    return tmp_path / "lists"


def frames(path: Path) -> int:
    with open_source(str(path)) as source:
        return len(readable_numbers(list(source)))


@pytest.mark.parametrize(("name", "text"), [("a.m3u8", HLS), ("a.ffconcat", CONCAT)])
@pytest.mark.parametrize("entry", ["clip.ts", "below/clip.ts"])
def test_what_is_beside_a_playlist_or_below(
    folder: Path, name: str, text: str, entry: str
) -> None:
    (folder / name).write_text(text.format(entry))
    assert frames(folder / name) == 5


@pytest.fixture
def web() -> Iterator[tuple[str, list[str]]]:
    """A server's address, and the requests to it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "entry",
    [
        *("{outside}", "file:{outside}", "file://{outside}", "../clip.ts", "link.ts"),
        *("concat:{outside}", "subfile,,start,0,end,0,,:{outside}"),
        *("crypto:{outside}", "crypto+file:{outside}", "{web}/clip.ts"),
        "below/../../clip.ts",
    ],
)
def test_what_is_elsewhere(
    folder: Path, outside: Path, web: tuple[str, list[str]], entry: str
) -> None:
    address, asked = web
    entry = entry.format(outside=outside, web=address)
    texts = {
        "a.m3u8": HLS.format(entry),
        "b.m3u8": HLS.replace(
            "#EXTINF", f'#EXT-X-KEY:METHOD=AES-128,URI="{entry}"\n#EXTINF'
        ).format("clip.ts"),
        "c.m3u8": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{entry}\n",
    }
    if entry != "link.ts":  # FFmpeg's own rules are about names
        texts["d.ffconcat"] = CONCAT.format(f"'{entry}'")
    for name, text in texts.items():
        (folder / name).write_text(text)
        with pytest.raises(SourceOpenError):
            open_source(str(folder / name))
    # What cannot be had before a segment may be left out, but is not read.
    head = f'#EXTM3U\n#EXT-X-MAP:URI="{entry}"'
    (folder / "e.m3u8").write_text(HLS.replace("#EXTM3U", head).format("clip.ts"))
    with suppress(SourceOpenError), open_source(str(folder / "e.m3u8")) as source:
        assert source.info.width == 320
    assert asked == []


def test_the_error_says_what_to_do(folder: Path, outside: Path) -> None:
    (folder / "a.m3u8").write_text(HLS.format(outside))
    with pytest.raises(SourceOpenError, match="not beside it; move all files"):
        open_source(str(folder / "a.m3u8"))


@pytest.mark.parametrize(
    "text",
    [
        HLS.format("clip.ts"),
        CONCAT.format("clip.ts"),
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 5000 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    ],
)
def test_a_playlist_that_looks_like_a_video(folder: Path, text: str) -> None:
    for name in ("a.mp4", "b.mkv", "c"):
        (folder / name).write_text(text)
        with pytest.raises(SourceOpenError, match="a list of other files under"):
            open_source(str(folder / name))


def test_a_playlist_in_a_playlist_is_below_it(folder: Path, outside: Path) -> None:
    (folder / "inner.ts").write_text(CONCAT.format("clip.ts"))
    (folder / "inner.m3u8").write_text(HLS.format(outside))
    for entry in ("inner.ts", "inner.m3u8"):
        (folder / "outer.m3u8").write_text(HLS.format(entry))
        (folder / "outer.ffconcat").write_text(CONCAT.format(entry))
        with pytest.raises(SourceOpenError):
            open_source(str(folder / "outer.m3u8"))
    with pytest.raises(SourceOpenError):
        open_source(str(folder / "outer.ffconcat"))


@pytest.mark.parametrize("name", ["concat:clip.ts", "data:a.ts", "http:a.ts", "a|b.ts"])
def test_names_that_begin_like_a_protocol(folder: Path, name: str) -> None:
    (folder / "clip.ts").rename(folder / name)
    assert frames(folder / name) == 5


@pytest.mark.parametrize("suffix", [".ppm", ".pgm", ".sgi", ".dpx"])
def test_a_single_image_is_no_series(tmp_path: Path, suffix: str) -> None:
    """FFmpeg opens other files by a pattern in a name, even if there is such a file."""
    for name, level in (("a%03d", 50), ("a001", 200)):
        encoder: Any = av.CodecContext.create(suffix[1:], "w")
        encoder.width, encoder.height = 64, 48
        encoder.pix_fmt = "gray" if suffix == ".pgm" else "rgb24"
        encoder.time_base = Fraction(1, 25)
        picture = np.full((48, 64), level, np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, format="gray")
        (packet,) = encoder.encode(frame.reformat(format=encoder.pix_fmt))
        (tmp_path / f"{name}{suffix}").write_bytes(bytes(packet))
    with open_source(str(tmp_path / f"a%03d{suffix}")) as source:
        frames = list(source)
    assert len(frames) == 1
    assert abs(int(frames[0].planes[0].mean()) - 50) < 20
