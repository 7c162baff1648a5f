"""Pictures that Pillow reads: JPEG, PNG, WebP, GIF, BMP, and TIFF of 8 bits."""

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageFile, JpegImagePlugin

from streamdenoise.errors import SourceOpenError
from streamdenoise.frame import MAX_AREA_PX, Still
from streamdenoise.imaging.channels import is_colorless
from streamdenoise.io.pictures import png
from streamdenoise.io.pictures.orientation import upright, upright_exif, upright_xmp
from streamdenoise.io.pictures.picture import (
    Picture,
    check_size,
    is_cut_short,
    not_a_picture,
)

_ORIENTATION = 0x0112
_SUBFILE_TYPE, _REDUCED = 0x00FE, 1
_SUB_IFDS = (0x8769, 0x8825)
"""EXIF and GPS."""
_IFD0 = (
    *(0x010D, 0x010E, 0x010F, 0x0110, 0x011D, 0x0131, 0x0132, 0x013B, 0x013C),
    0x8298,
)
"""Document name, description, make, model, page name, software, date, artist, computer
and copyright: tags of TIFF that are EXIF's, too."""
GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
"""GeoTIFF's tags, with those of GDAL."""
_FILLING_IN = Lock()
"""Held where Pillow's switch for truncated files is on, which is one for all."""
_NUMBERS = re.compile(r"\d+")
_DEFAULT_MS = 100.0
"""How long browsers show a picture that has no duration."""
_ANIMATED = ("PNG", "GIF", "WEBP")
_OWN_SEGMENTS = (b"Exif\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0")
"""What Pillow writes by itself."""


class PillowFile:
    """A file that Pillow reads, see `PictureFile`.

    Raises:
        SourceOpenError: It is no picture, or too large.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        self._path = path
        self._data = data
        with _quietly():
            try:
                self._image: Any = Image.open(io.BytesIO(data))
                check_size(path, *self._image.size)
                self.pages: int = getattr(self._image, "n_frames", 1)
            except Image.DecompressionBombError as exc:
                pixels = int(_NUMBERS.findall(str(exc))[0])
                raise SourceOpenError(
                    f"{path}: its size is {pixels / 1e6:.0f} megapixels; at most "
                    f"{MAX_AREA_PX / 1e6:.0f} megapixels are supported, scale it down "
                    "first"
                ) from exc
        self.is_animation = self.pages > 1 and self._image.format in _ANIMATED
        self._notes: list[str] = []
        self._numbers = range(self.pages)
        if self._image.format == "MPO":
            # A camera's previews, a second view or a gain map.
            self._notes.append(
                f"{path}: {self.pages - 1} more pictures in it are left out, such as a "
                "preview, a second view or a gain map"
            )
            self._numbers = range(1)
        if self._image.info.get("default_image"):
            self._notes.append(f"{path}: its still picture for old viewers is left out")
            self._numbers = range(1, self.pages)
        if self._image.format == "TIFF" and self.pages > 1:
            self._numbers = self._full_pages()
        self.pages = len(self._numbers)

    def __iter__(self) -> Iterator[Picture]:
        for page in self._numbers:
            with _quietly():
                if self.pages > 1 or page:
                    self._image.seek(page)
                check_size(self._path, *self._image.size)
                try:
                    picture = self._picture()
                except OSError:
                    if page or not is_cut_short(self._data):
                        raise
                    picture = self._cut_short()
            self._notes.clear()
            if page == self._numbers[-1]:
                self._image.close()  # its own copy of the samples
            yield picture

    def _full_pages(self) -> Sequence[int]:
        """The pages of a TIFF that are not reduced copies of others."""
        full: list[int] = []
        with _quietly():
            for page in range(self.pages):
                self._image.seek(page)
                if not int(self._image.tag_v2.get(_SUBFILE_TYPE, 0)) & _REDUCED:
                    full.append(page)
            self._image.seek(0)
        if len(full) == self.pages or not full:
            return range(self.pages)
        self._notes.append(
            f"{self._path}: {self.pages - len(full)} reduced copies in it are left out"
        )
        return full

    def _picture(self) -> Picture:
        image = self._image
        image.load()
        info = image.info
        # Pillow itself turns TIFF.
        is_tiff = image.format == "TIFF"
        orientation = 1 if is_tiff else image.getexif().get(_ORIENTATION, 1)
        samples, alpha = self._samples(image)
        own = self._own(image)
        icc = info.get("icc_profile") or b""
        if image.mode == "CMYK":
            icc = b""  # it described ink
        dpi = info.get("dpi")
        still = Still(
            path=self._path,
            alpha=None if alpha is None else upright(alpha, orientation),
            icc=icc,
            exif=upright_exif(_exif_of(image) if is_tiff else _raw_exif(info)),
            xmp=upright_xmp(_bytes(info.get("xmp") or info.get("XML:com.adobe.xmp"))),
            dpi=_valid_dpi(dpi, turned=orientation > 4),
            pages=self.pages,
            loop=info.get("loop"),
            own=own,
        )
        duration = None
        if self.is_animation:
            duration = float(info.get("duration") or _DEFAULT_MS)
        return Picture(
            upright(samples, orientation), still, duration, tuple(self._notes)
        )

    def _samples(self, image: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """Samples and alpha of the current page."""
        mode = image.mode
        if image.format == "PNG" and png.bits(self._data) == 16 and mode != "I;16":
            if not self.is_animation:
                return self._deep_png()
            self._notes.append(f"{self._path}: 16 bits of an animation are read as 8")
        if mode.startswith("I;16") or mode == "I":
            samples = self._gray_of_16_bits(image)
            key = image.info.get("transparency")
            if not isinstance(key, int):
                return samples, None
            return samples, np.where(samples == key, 0, 0xFFFF).astype(np.uint16)
        if mode == "F":
            raise SourceOpenError(
                f"{self._path} has float32 samples; convert it to 8 or 16 bits first"
            )
        if mode == "CMYK":
            self._notes.append(f"{self._path}: CMYK is converted to sRGB")
            image = _cmyk_to_srgb(image)
        elif mode in ("LAB", "HSV"):
            self._notes.append(f"{self._path}: {mode} is converted to RGB")
        is_transparent = image.has_transparency_data
        was_palette = image.mode == "P"
        if image.mode in ("1", "L") and not is_transparent and not self.is_animation:
            return np.asarray(_converted(image, "L")), None
        if image.mode in ("LA", "La") and not self.is_animation:
            both = np.asarray(_converted(image, "LA"))
            return _contiguous(both[..., 0]), _contiguous(both[..., 1])
        rgb = np.asarray(_converted(image, "RGBA" if is_transparent else "RGB"))
        alpha = _contiguous(rgb[..., 3]) if is_transparent else None
        rgb = _contiguous(rgb[..., :3])
        was_gray = was_palette or image.mode in ("1", "L")
        if was_gray and not self.is_animation and is_colorless(rgb):
            return _contiguous(rgb[..., 0]), alpha
        return rgb, alpha

    def _gray_of_16_bits(self, image: Any) -> np.ndarray:
        samples = np.asarray(image)
        if samples.min() < 0 or samples.max() > 0xFFFF:
            raise SourceOpenError(
                f"{self._path} has samples of 32 bits; convert it to 16 bits first"
            )
        return samples.astype(np.uint16)

    def _deep_png(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Color of 16 bits, and gray with alpha, which Pillow reads as 8."""
        found = cv2.imdecode(np.frombuffer(self._data, np.uint8), cv2.IMREAD_UNCHANGED)
        if found is None or found.dtype != np.uint16:
            raise not_a_picture(self._path)
        if found.ndim == 2:
            return found, None
        is_gray = self._data[25] == 4
        rgb = found[..., 1] if is_gray else found[..., 2::-1]
        alpha = _contiguous(found[..., 3]) if found.shape[2] == 4 else None
        return _contiguous(rgb), alpha

    def _cut_short(self) -> Picture:
        """What is left of a file whose end is missing."""
        self._notes.append(f"{self._path} is truncated: the decoder filled in the rest")
        self._image = Image.open(io.BytesIO(self._data))
        with _FILLING_IN:
            was = ImageFile.LOAD_TRUNCATED_IMAGES
            ImageFile.LOAD_TRUNCATED_IMAGES = True
            try:
                return self._picture()
            finally:
                ImageFile.LOAD_TRUNCATED_IMAGES = was

    def _own(self, image: Any) -> dict[str, object]:
        """What the format alone can hold."""
        if image.format == "PNG":
            chunks = png.kept_chunks(self._data)
            return {"png_chunks": chunks}
        if image.format in ("JPEG", "MPO"):
            return {
                "jpeg": {
                    "qtables": image.quantization,
                    "sampling": JpegImagePlugin.get_sampling(image),
                    "progressive": "progressive" in image.info,
                    "comment": image.info.get("comment"),
                    "segments": _other_segments(image),
                }
            }
        if image.format == "TIFF":
            tags = image.tag_v2
            return {"geo_tags": {tag: tags[tag] for tag in GEO_TAGS if tag in tags}}
        if image.format == "WEBP":
            before = len(image.info.get("icc_profile") or b"") + 4096
            return {"webp_lossless": b"VP8L" in self._data[:before]}
        return {}


def area_of_single(file: BinaryIO) -> int | None:
    """Pixels of a file that holds one picture, by its header; None for others."""
    start = file.read(4)
    file.seek(0)
    if not start.startswith((b"\xff\xd8", b"\x89PNG", b"BM")):
        return None  # Pillow reads them as a whole, or they hold several
    with _quietly():
        try:
            image = Image.open(file)
            is_one = getattr(image, "n_frames", 1) == 1
            return image.width * image.height if is_one else None
        except Exception:  # damaged data raises anything
            return 0


@contextmanager
def _quietly() -> Iterator[None]:
    """Without Pillow's warnings about damaged tags; large pictures are checked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _converted(image: Any, mode: str) -> Any:
    """An image in a mode; Pillow would make a copy in any case."""
    return image if image.mode == mode else image.convert(mode)


def _contiguous(samples: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(samples)


def _bytes(text: object) -> bytes:
    if isinstance(text, str):
        return text.encode()
    return bytes(text) if isinstance(text, bytes | bytearray) else b""


def _raw_exif(info: dict[Any, Any]) -> bytes:
    return _bytes(info.get("exif")).removeprefix(b"Exif\0\0")


def tiff_exif(data: bytes) -> bytes:
    """EXIF of a TIFF file, whatever its samples are; empty if there is none."""
    with _quietly():
        try:
            return _exif_of(Image.open(io.BytesIO(data)))
        except Exception:  # damaged data raises anything
            return b""


def _exif_of(image: Any) -> bytes:
    """The tags of a TIFF that are EXIF's, too."""
    tags = image.getexif()
    exif = Image.Exif()
    for tag in _IFD0:
        if tag in tags:
            exif[tag] = tags[tag]
    for group in _SUB_IFDS:
        found = tags.get_ifd(group)
        if found:
            exif.get_ifd(group).update(found)
    if not exif and not any(exif.get_ifd(group) for group in _SUB_IFDS):
        return b""
    return exif.tobytes().removeprefix(b"Exif\0\0")


def _valid_dpi(dpi: Any, *, turned: bool) -> tuple[float, float] | None:
    try:
        across, down = (float(each) for each in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not (0 < across < 1e6 and 0 < down < 1e6):
        return None
    return (down, across) if turned else (across, down)


def _other_segments(image: Any) -> bytes:
    """The application segments of a JPEG that Pillow does not write, such as IPTC."""
    kept = b""
    for name, content in getattr(image, "applist", []):
        if not name.startswith("APP") or name in ("APP0", "APP14"):
            continue
        if content.startswith((*_OWN_SEGMENTS, b"MPF\0")):
            continue
        marker = 0xE0 + int(name[3:])
        kept += bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content
    return kept


def _cmyk_to_srgb(image: Any) -> Any:
    icc = image.info.get("icc_profile")
    if icc:
        try:
            ink = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            srgb = ImageCms.createProfile("sRGB")
            return ImageCms.profileToProfile(image, ink, srgb, outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a damaged profile
    return image.convert("RGB")
