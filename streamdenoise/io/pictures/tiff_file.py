"""TIFF of 16 bits, where Pillow knows gray without alpha only."""

import io
import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import Image

from streamdenoise.errors import SourceOpenError
from streamdenoise.frame import Still
from streamdenoise.io.pictures.orientation import upright, upright_xmp
from streamdenoise.io.pictures.picture import Picture, check_size, not_a_picture
from streamdenoise.io.pictures.pillow_file import GEO_TAGS, tiff_exif

# It logs what it finds wrong in tags.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # so does OpenCV

_SIGN = 1 << 15
_KEPT = (
    *(269, 270, 271, 272, 285, 305, 306, 315, 316, 700, 33432),
    *GEO_TAGS,
)
"""Document name, description, make, model, page name, software, date, artist, computer,
XMP, copyright, and GeoTIFF's."""
_WHITE_IS_ZERO = 0
_MOST_CHANNELS = 4
MOST_PAGES = 10_000


class TiffFile:
    """A TIFF whose samples have 16 bits, see `PictureFile`.

    Raises:
        SourceOpenError: It is too large, or has samples that cannot be denoised.
    """

    is_animation = False

    def __init__(self, path: Path, data: bytes) -> None:
        self._path = path
        self._data = data
        self._file = tifffile.TiffFile(io.BytesIO(data))
        every = _pages(path, self._file)
        self._pages = [p for p in every if not p.is_reduced] or every
        self._left_out = len(every) - len(self._pages)
        for page in self._pages:
            check_size(path, page.imagewidth, page.imagelength)
            if page.samplesperpixel > _MOST_CHANNELS:
                raise _not_gray_or_rgb(path, page.samplesperpixel)
        self._exif = tiff_exif(data)
        # ImageJ writes large stacks with a single header.
        self._stack = self._imagej_stack()
        self.pages = len(self._pages) if self._stack is None else len(self._stack)

    @staticmethod
    def is_for(path: Path, data: bytes) -> bool:
        """Whether this class reads the file, and not Pillow.

        Raises:
            SourceOpenError: It has too many pictures for both.
        """
        if data[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return False
        try:
            with tifffile.TiffFile(io.BytesIO(data)) as file:
                return any(page.bitspersample > 8 for page in _pages(path, file))
        except SourceOpenError:
            raise
        except Exception:  # damaged data raises anything; Pillow says what is wrong
            return False

    def __iter__(self) -> Iterator[Picture]:
        for number in range(self.pages):
            page = self._pages[0 if self._stack is not None else number]
            stored = None if self._stack is None else self._stack[number]
            yield self._picture(page, number, stored)

    def _picture(self, page: Any, number: int, stored: np.ndarray | None) -> Picture:
        notes: list[str] = []
        if not number and self._left_out:
            notes.append(
                f"{self._path}: {self._left_out} reduced copies in it are left out"
            )
        if stored is None:
            stored = self._read(page)
        samples, alpha = self._channels(page, stored)
        is_signed = samples.dtype.kind == "i"
        if is_signed:
            samples = (samples.astype(np.int32) + _SIGN).astype(np.uint16)
        orientation = page.tags.valueof("Orientation", 1)
        own: dict[str, object] = {
            "deep_tiff": [] if self._stack is not None and number else _kept_tags(page),
            "geo_tags": [tag for tag in GEO_TAGS if tag in page.tags],
            "photometric": int(page.photometric),
            "extrasamples": page.extrasamples[:1],
        }
        still = Still(
            path=self._path,
            alpha=None if alpha is None else upright(alpha, orientation),
            icc=bytes(page.tags.valueof("InterColorProfile", b"")),
            exif=self._exif if not number else b"",
            xmp=upright_xmp(_bytes(page.tags.valueof("XMP", b""))),
            dpi=_dpi(page, turned=orientation > 4),
            is_signed=is_signed,
            pages=self.pages,
            own=own,
        )
        return Picture(upright(samples, orientation), still, notes=tuple(notes))

    def _read(self, page: Any) -> np.ndarray:
        try:
            return np.asarray(page.asarray())
        except Exception:  # of any kind: a codec of `imagecodecs`, or damage
            return self._through_opencv(page)

    def _through_opencv(self, page: Any) -> np.ndarray:
        """A page in a compression that needs more than tifffile."""
        read, found = cv2.imdecodemulti(
            np.frombuffer(self._data, np.uint8),
            cv2.IMREAD_UNCHANGED,
            range=(page.index, page.index + 1),
        )
        if not read or not found:
            raise not_a_picture(self._path)
        stored = np.asarray(found[0])
        if stored.ndim == 3:
            order = [2, 1, 0, 3][: stored.shape[2]]
            stored = stored[..., order]
        return stored

    def _channels(
        self, page: Any, stored: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Gray or RGB, and alpha."""
        if stored.dtype not in (np.uint8, np.uint16, np.int16):
            raise SourceOpenError(
                f"{self._path} has {stored.dtype} samples; convert it to 8 or 16 bits "
                "first"
            )
        stored = stored.squeeze() if stored.ndim > 3 else stored
        count = page.samplesperpixel
        if stored.ndim == 3 and stored.shape[0] == count != stored.shape[2]:
            stored = np.moveaxis(stored, 0, 2)  # planes one after the other
        if stored.ndim == 3 and stored.shape[2] == 1:
            stored = stored[..., 0]
        channels = 1 if stored.ndim == 2 else stored.shape[2]
        is_color = page.photometric in (2, 6)
        is_known = is_color or page.photometric in (0, 1)
        if channels > _MOST_CHANNELS or (channels > 2) != is_color or not is_known:
            raise _not_gray_or_rgb(self._path, channels)
        if stored.ndim == 2:
            return np.ascontiguousarray(stored), None
        colors = 3 if is_color else 1
        samples = stored[..., :3] if colors == 3 else stored[..., 0]
        alpha = stored[..., colors] if channels > colors else None
        return (
            np.ascontiguousarray(samples),
            None if alpha is None else np.ascontiguousarray(alpha),
        )

    def _imagej_stack(self) -> np.ndarray | None:
        about: dict[str, Any] = self._file.imagej_metadata or {}
        images = int(about.get("images", 1))
        is_in_file = images * self._pages[0].nbytes <= len(self._data)
        if images <= len(self._pages) or not is_in_file:
            return None
        stack = self._file.series[0].asarray()
        return stack.reshape(-1, *stack.shape[-2:])


def _pages(path: Path, file: tifffile.TiffFile) -> list[Any]:
    """All pages of a file.

    Raises:
        SourceOpenError: There are too many: a page without samples has 18 bytes.
    """
    pages = list(islice(file.pages, MOST_PAGES + 1))
    if len(pages) > MOST_PAGES:
        raise SourceOpenError(
            f"{path} has more than {MOST_PAGES} pictures; split it into several files"
        )
    return pages


def _not_gray_or_rgb(path: Path, channels: int) -> SourceOpenError:
    return SourceOpenError(
        f"{path} has {channels} channels that are not gray or RGB; split it into gray "
        "images first"
    )


def encode_deep(pages: Sequence[tuple[np.ndarray, Still]]) -> bytes:
    """A TIFF file of 16 bits.

    Args:
        pages: samples ``uint16`` of each, with the tags.
    """
    target = io.BytesIO()
    big = sum(samples.nbytes for samples, _ in pages) > 3 << 30
    with tifffile.TiffWriter(target, bigtiff=big) as writer:
        for samples, still in pages:
            channels, alpha = samples, still.alpha
            if alpha is not None:
                full = samples if samples.ndim == 3 else samples[..., None]
                channels = np.concatenate([full, alpha[..., None]], axis=2)
            if still.is_signed:
                channels = (channels.astype(np.int32) - _SIGN).astype(np.int16)
            kind: Any = still.own.get("extrasamples")
            white_is_zero = still.own.get("photometric") == _WHITE_IS_ZERO
            gray = "miniswhite" if white_is_zero else "minisblack"
            tags: Any = still.own.get("deep_tiff")
            writer.write(
                channels,
                photometric="rgb" if samples.ndim == 3 else gray,
                planarconfig="contig" if channels.ndim == 3 else None,
                extrasamples=None if alpha is None else kind or ["unassalpha"],
                compression="zlib",
                predictor=True,
                iccprofile=still.icc or None,
                resolution=still.dpi,
                resolutionunit="INCH" if still.dpi else None,
                software=False,
                metadata=None,
                contiguous=False,
                extratags=_tags_of_exif(still) if tags is None else tags,
            )
    return target.getvalue()


def _kept_tags(page: Any) -> list[tuple[int, int, int, object, bool]]:
    return [
        (tag.code, int(tag.dtype), tag.count, tag.value, True)
        for tag in page.tags
        if tag.code in _KEPT
        # tifffile's own note of the shape, which may change.
        and not str(tag.value).startswith('{"shape": ')
    ]


def _tags_of_exif(still: Still) -> list[tuple[int, str, int, object, bool]]:
    """Tags of a picture that was no TIFF of 16 bits: the texts of EXIF, and XMP."""
    exif = Image.Exif()
    if still.exif:
        exif.load(b"Exif\0\0" + still.exif)
    tags: list[tuple[int, str, int, object, bool]] = [
        (tag, "s", 0, exif[tag], True)
        for tag in _KEPT
        if isinstance(exif.get(tag), str)
    ]
    if still.xmp:
        tags.append((700, "B", len(still.xmp), still.xmp, True))
    return tags


def _bytes(value: object) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)  # type: ignore


def _dpi(page: Any, *, turned: bool) -> tuple[float, float] | None:
    if 282 not in page.tags or page.tags.valueof("ResolutionUnit", 2) not in (2, 3):
        return None
    try:
        across, down = page.get_resolution("inch")
    except Exception:  # rationals with zeros
        return None
    if not (0 < across < 1e6 and 0 < down < 1e6):
        return None
    return (down, across) if turned else (across, down)
