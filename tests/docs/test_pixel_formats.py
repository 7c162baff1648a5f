"""The table of codecs says what the encoders of this FFmpeg take."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

import av

from streamdenoise.console.table import markdown_table
from streamdenoise.errors import SinkError
from streamdenoise.imaging.planar import PlanarFormat, planar_format
from streamdenoise.io.ffmpeg.codecs import ENCODERS, Encoder
from streamdenoise.io.ffmpeg.pixel_formats import planar_pix_fmt
from streamdenoise.io.open import open_sink, open_source
from streamdenoise.io.options import EncoderConfig, ReadOptions
from streamdenoise.io.sinks.file import MUXERS
from tests.support.command import ROOT

_BEGIN, _END = "<!-- formats -->\n", "\n<!-- end of formats -->"
_CHROMA = {(1, 1): "4:2:0", (1, 0): "4:2:2", (0, 1): "4:4:0", (0, 0): "4:4:4"}


def formats(encoder: Encoder) -> list[PlanarFormat]:
    built = {each.name for each in av.Codec(encoder.codec, "w").video_formats or ()}
    found = [planar_format(planar_pix_fmt(n)) for n in encoder.pix_fmts if n in built]
    return [each for each in found if each is not None]


def depths(found: Iterable[PlanarFormat]) -> str:
    return ", ".join(str(depth) for depth in sorted({each.depth for each in found}))


def yuv(found: list[PlanarFormat], *, alpha: bool) -> str:
    """Such as ``4:2:0, 4:2:2: 8, 10``; those with the same depths together."""
    by_depths: dict[str, list[str]] = {}
    for shift, name in _CHROMA.items():
        fits = [
            each
            for each in found
            if (each.kind, each.chroma_shift, each.has_alpha) == ("yuv", shift, alpha)
        ]
        if fits:
            by_depths.setdefault(depths(fits), []).append(name)
    return "; ".join(f"{', '.join(names)}: {bits}" for bits, names in by_depths.items())


def others(found: list[PlanarFormat], kind: str) -> str:
    plain = depths(each for each in found if each.kind == kind and not each.has_alpha)
    alpha = depths(each for each in found if each.kind == kind and each.has_alpha)
    return f"{plain}; with alpha: {alpha}" if alpha else plain


def containers(name: str, folder: Path) -> str:
    """Suffixes of the containers that give the codec back."""
    taken = []
    for suffix in MUXERS:
        path = folder / f"{name}{suffix}"
        preset = {"svtav1": "12"}.get(name, "ultrafast")
        config = EncoderConfig(name, preset=preset)
        with (
            open_source("testsrc:320x192@25", ReadOptions(duration_s=0.1)) as source,
            contextlib.suppress(SinkError),
            open_sink(str(path), source.info, encoder=config) as sink,
        ):
            for frame in source:
                sink.write(frame)
        if not path.exists():
            continue
        encoder = av.Codec(ENCODERS[name].codec, "w")
        with open_source(str(path)) as again:
            assert again.info.codec == encoder.canonical_name, path.name
            assert len(list(again)) == 3, path.name
        taken.append(f"`{suffix}`")
    return ", ".join(taken)


def table(folder: Path) -> str:
    rows = []
    for name, encoder in ENCODERS.items():
        if name.endswith("_nvenc"):
            continue
        found = formats(encoder)
        rows.append(
            [
                f"`{name}`",
                containers(name, folder),
                yuv(found, alpha=False),
                yuv(found, alpha=True),
                others(found, "rgb"),
                others(found, "gray"),
            ]
        )
    header = ["`--codec`", "in", "YUV", "with alpha", "RGB", "gray"]
    return "\n".join(markdown_table(header, rows))


def test_the_table_of_formats_is_that_of_the_encoders(tmp_path: Path) -> None:
    page = (ROOT / "docs/pixel-formats.md").read_text()
    written = page.partition(_BEGIN)[2].partition(_END)[0]
    assert written == table(tmp_path)
