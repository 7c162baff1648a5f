"""Pictures made of numbers, and what their files say."""

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from streamdenoise.io.open import open_sink, open_source
from streamdenoise.io.options import ReadOptions

ORIENTATION, MAKE, EXPOSURE = 0x0112, 0x010F, 0x829A
SUB_EXIF = 0x8769
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF>'
    b"</x:xmpmeta>"
)


@cache
def icc_profile() -> bytes:
    """A profile, which holds the time when it was made."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(orientation: int | None = None) -> bytes:
    """A maker, an exposure time, and perhaps an orientation."""
    tags = Image.Exif()
    tags[MAKE] = "ACME"
    if orientation is not None:
        tags[ORIENTATION] = orientation
    tags.get_ifd(SUB_EXIF)[EXPOSURE] = (1, 50)
    return tags.tobytes()


def picture(
    depth: int = 8, channels: int = 3, width: int = 48, height: int = 32
) -> Any:
    """Smooth gradients with a corner, ``(H, W)`` or ``(H, W, channels)``."""
    peak = (1 << depth) - 1
    across = np.linspace(0, 1, width)[None, :, None]
    down = np.linspace(0, 1, height)[:, None, None]
    each = np.arange(1, channels + 1)
    values = (across * each + down * (channels + 1 - each)) / (channels + 1)
    values[: height // 4, : width // 4] = 1
    samples = np.rint(values * peak).astype(np.uint8 if depth == 8 else np.uint16)
    return samples[..., 0] if channels == 1 else samples


def copied(source: Path, target: Path) -> tuple[str, ...]:
    """Read a file as it is stored, and write it again; returns the notes."""
    with (
        open_source(str(source), ReadOptions(as_stored=True)) as frames,
        open_sink(str(target), frames.info) as sink,
    ):
        for frame in frames:
            sink.write(frame)
        sink.close()
        return (*frames.info.notes, *sink.notes)


def saved(samples: np.ndarray, suffix: str, **tags: Any) -> bytes:
    """A file that Pillow writes."""
    target = io.BytesIO()
    names = {"jpg": "JPEG", "tif": "TIFF"}
    Image.fromarray(samples).save(target, names.get(suffix, suffix.upper()), **tags)
    return target.getvalue()


def opened(path: Path) -> Any:
    """Pillow's image, which keeps no file open."""
    image = Image.open(io.BytesIO(path.read_bytes()))
    image.load()
    return image
