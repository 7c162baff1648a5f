"""What is fuzzed: each target makes an input, reads it, and fails if that goes wrong.

An input may be refused with one of the project's own errors. Anything else is a
finding, as are crashes, more than `MEMORY_MB`, and more than `MOST_S` for one input.
"""

import io
import json
import os
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from streamdenoise.console import logs
from streamdenoise.denoisers.saved_profile import SavedProfile
from streamdenoise.errors import (
    BackendError,
    CheckpointError,
    ConfigError,
    SourceError,
    SourceLostError,
    SourceOpenError,
)
from streamdenoise.frame import PIX_FMTS
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.engine_store import EngineStore
from streamdenoise.io.open import open_source
from streamdenoise.io.options import ReadOptions
from streamdenoise.io.recording.journal import Journal
from streamdenoise.io.sandbox.plain import BAD_VALUES, Buffers, Unpacker, packed
from streamdenoise.io.sources.y4m import Y4MSource
from streamdenoise.io.url import Credentials, StreamURL
from streamdenoise.io.y4m import format_header, parse_header
from tests.faults.fuzz.addresses import Hostile, Paths, send_through
from tests.faults.fuzz.mutation import mutated, mutated_json
from tests.support import bombs
from tests.support.clips import write_clip
from tests.support.engines import SPEC
from tests.support.pictures import exif, icc_profile, picture, saved

CORPUS = Path(__file__).parents[1] / "corpus"
MEMORY_MB = 3072
MOST_S = 60

_MOST_FRAMES = 20

Target = Callable[[random.Random], None]


def _corpus(name: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((CORPUS / name).iterdir())}


class _Files:
    """Files in a folder, each of which is mutated under its own name."""

    def __init__(self, folder: Path, contents: dict[str, bytes]) -> None:
        self.folder = folder
        self.contents = contents

    def draw(self, rng: random.Random, mutate: Callable[..., bytes] = mutated) -> Path:
        """Write a mutated file."""
        name = rng.choice(list(self.contents))
        kind = name.rpartition(".")[2]
        alike = [c for n, c in self.contents.items() if n.endswith(kind)]
        path = self.folder / f"input-{name}"
        path.write_bytes(mutate(rng, [self.contents[name], *alike]))
        return path


def _read_all(path: Path, options: ReadOptions) -> None:
    with suppress(SourceError), open_source(str(path), options) as source:
        for index, frame in enumerate(source):
            assert frame.planes[0].size
            if index == _MOST_FRAMES:
                break


def pictures(folder: Path) -> Target:
    """Headers of pictures, of all formats."""
    contents = {
        f"a.{suffix}": saved(picture(), suffix, **tags)
        for suffix, tags in {
            "jpg": {"exif": exif(6), "icc_profile": icc_profile()},
            "png": {"exif": exif(), "dpi": (300, 200)},
            "webp": {"exif": exif(3)},
            "tif": {"compression": "tiff_lzw"},
            "bmp": {},
            "gif": {},
        }.items()
    }
    contents["deep.tif"] = saved(picture(16, 1), "tif")
    pages = [Image.fromarray(np.roll(picture(), n, 1)) for n in range(3)]
    for kind, name in (("GIF", "b.gif"), ("PNG", "b.png"), ("TIFF", "b.tif")):
        target = io.BytesIO()
        pages[0].save(target, kind, save_all=True, append_images=pages[1:])
        contents[name] = target.getvalue()
    contents |= {n: c for n, c in bombs.pictures().items() if len(c) < 10_000}
    with suppress(ImportError):
        for name, write in (
            ("a.dcm", bombs.dicom_of_jpeg),
            ("b.dcm", bombs.dicom_of_jpeg_2000),
            ("c.dcm", lambda path: bombs.deflated_dicom(path, 100)),
        ):
            write(folder / name)
            contents[name] = (folder / name).read_bytes()
    files = _Files(folder, contents)

    def run(rng: random.Random) -> None:
        options = ReadOptions(as_stored=rng.random() < 0.7)
        _read_all(files.draw(rng), options)

    return run


def videos(folder: Path) -> Target:
    """Containers and codecs, through FFmpeg."""
    contents = {n: c for n, c in bombs.videos().items() if len(c) < 10_000}
    clip = write_clip(folder / "clip.mkv", num_frames=4)
    contents["a.mkv"] = clip.path.read_bytes()
    for name, codec in (
        *(("a.mp4", "libx264"), ("a.ts", "mpeg2video"), ("a.avi", "mjpeg")),
        *(("a.mov", "qtrle"), ("a.webm", "libvpx"), ("a.nut", "ffv1")),
    ):
        path = folder / name
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream(codec, rate=25)
            stream.width, stream.height = 64, 48
            stream.pix_fmt = {"mjpeg": "yuvj420p", "qtrle": "rgb24"}.get(
                codec, "yuv420p"
            )
            for index in range(4):
                frame = av.VideoFrame.from_ndarray(
                    np.roll(picture(8, 3, 64, 48), index, 1), format="rgb24"
                )
                frame.pts = index
                container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
            container.mux(stream.encode(None))
        contents[name] = path.read_bytes()
    files = _Files(folder, contents)

    def run(rng: random.Random) -> None:
        options = ReadOptions(keep_original=rng.random() < 0.3, timeout_s=5)
        _read_all(files.draw(rng), options)

    return run


def playlists(folder: Path) -> Target:
    """Playlists and the like beside a video; none reaches a network."""
    write_clip(folder / "clip.mkv", num_frames=4)
    files = _Files(folder, _corpus("playlists"))

    def run(rng: random.Random) -> None:
        path = files.draw(rng)
        if path.suffix == ".sdp":  # it waits for packets of a network
            path = path.rename(path.with_suffix(".m3u8"))
        with suppress(ConfigError):
            _read_all(path, ReadOptions(timeout_s=2))

    return run


def y4m(folder: Path) -> Target:
    """yuv4mpegpipe."""
    contents = list(_corpus("y4m").values())

    def run(rng: random.Random) -> None:
        stream = io.BytesIO(mutated(rng, contents))
        options = ReadOptions(
            start_s=rng.choice((0.0, 0.0, 0.01, 1e9)),
            duration_s=rng.choice((None, 0.01, 1e9)),
            pix_fmt=rng.choice((None, *PIX_FMTS)),
        )
        try:
            source = Y4MSource(stream, "fuzz", options)
        except SourceOpenError:
            return
        with source, suppress(SourceLostError):
            for index, frame in enumerate(source):
                assert frame.index == index
                assert (frame.width, frame.height) == (
                    source.info.width,
                    source.info.height,
                )
                if index == _MOST_FRAMES:
                    break
            stream.seek(0)
            # Written once, a header stays the same.
            text = format_header(parse_header(stream.readline()[:-1]))
            assert format_header(parse_header(text[:-1])) == text

    return run


def manifests(folder: Path) -> Target:
    """Manifests of models."""
    files = _Files(folder, _corpus("manifests"))

    def run(rng: random.Random) -> None:
        path = files.draw(rng, mutated_json)
        try:
            artifact = open_artifact(str(path))
        except (ConfigError, CheckpointError):
            return
        json.dumps([artifact.name, artifact.layout, artifact.multiple])
        assert len(artifact.told(np.zeros(7, np.float32))) == artifact.levels
        assert all(n > 0 for n in artifact.pixels_shape(256, 256))
        artifact.state_shapes(256, 256)
        for kind in ("onnx", "int8", "eager"):
            file = artifact.file(kind)
            assert file is None or file.resolve().parent == folder.resolve()
            artifact.digest(kind)
            with suppress(BackendError):
                artifact.verify(kind)

    return run


def engines(folder: Path) -> Target:
    """Manifests of stored engines."""
    store = EngineStore(folder)
    store.find_or_build(SPEC, lambda: b"engine", {"gpu": "RTX"})
    (manifest,) = folder.glob("*.json")
    corpus = [manifest.read_bytes()]

    def run(rng: random.Random) -> None:
        manifest.write_bytes(mutated_json(rng, corpus))
        for stored in store.engines():
            assert stored.fault or asdict(stored.spec or SPEC)
        found = store.find(SPEC)
        assert found in (None, b"engine")

    return run


def profiles(folder: Path) -> Target:
    """Noise profiles."""
    files = _Files(folder, _corpus("profiles"))

    def run(rng: random.Random) -> None:
        try:
            profile = SavedProfile.read(files.draw(rng, mutated_json))
        except ConfigError:
            return
        assert all(0 <= level <= 255 for level in profile.levels)

    return run


def journals(folder: Path) -> Target:
    """Indexes of recordings."""
    journal = Journal(folder, "owner")
    path = journal._path
    journal.close()
    contents = list(_corpus("journals").values())

    def run(rng: random.Random) -> None:
        path.write_bytes(mutated(rng, contents))
        opened = Journal(folder, "owner")
        opened.next_number()
        for name in opened.entries:
            assert not Path(name).is_absolute()
            assert ".." not in Path(name).parts
        opened.sort()
        opened.sync()
        opened.close()

    return run


def addresses(folder: Path) -> Target:
    """Addresses with passwords, which no message may show."""
    paths = Paths()
    os.environ.update(STREAMDENOISE_USER="", STREAMDENOISE_PASSWORD="")
    logs.install_hooks()
    logs.log.propagate = False
    parts = [each.encode() for each in ("rtsp://me:pw@cam:554/s?a=b", "{HOME}", "srt")]

    def run(rng: random.Random) -> None:
        send_through(Hostile(rng), paths)
        with suppress(ConfigError):
            text = mutated(rng, parts).decode("utf-8", "surrogateescape")
            StreamURL.parse(text, Credentials({}))

    return run


class _Memory(Buffers):
    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, count: int) -> bytearray:
        if not 0 <= count <= len(self._data):
            raise ValueError("a buffer is too long")
        taken, self._data = self._data[:count], self._data[count:]
        return bytearray(taken)


def sandbox(folder: Path) -> Target:
    """Messages of a decoder that was taken over."""
    path = write_clip(folder / "clip.mkv", num_frames=2).path
    corpus = []
    with open_source(str(path), ReadOptions(keep_original=True)) as source:
        for value in (source.info, *source):
            plain, buffers = packed({"value": value})
            corpus.append((json.dumps(plain).encode(), b"".join(buffers)))

    def run(rng: random.Random) -> None:
        text, buffers = rng.choice(corpus)
        changed = mutated_json(rng, [text])
        # As the parent does; it makes one sentence of these.
        with suppress(*BAD_VALUES):
            Unpacker(_Memory(buffers)).value(json.loads(changed))

    return run


TARGETS: dict[str, Callable[[Path], Target]] = {
    each.__name__: each
    for each in (
        *(pictures, videos, playlists, y4m, manifests, engines, profiles, journals),
        *(addresses, sandbox),
    )
}
