"""Writes pictures, with all that the format can hold."""

import io
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image

from streamdenoise.errors import SinkError
from streamdenoise.frame import Still
from streamdenoise.io.pictures import dicom, png

# High enough that more bytes make no visible difference.
_QUALITY = 95

_SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".apng": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".gif": "GIF",
    **dict.fromkeys(dicom.SUFFIXES, "DICOM"),
}
_ALL = {
    *("transparency", "ICC profile", "EXIF", "XMP", "resolution"),
    "more than 8 bits",
}
_HELD = {
    "JPEG": _ALL - {"transparency", "more than 8 bits"},
    "PNG": _ALL,
    "WEBP": _ALL - {"resolution", "more than 8 bits"},
    "TIFF": _ALL,
    "BMP": {"resolution"},
    "GIF": {"transparency"},
    "DICOM": _ALL,
}
_SUB_IFDS = (0x8769, 0x8825)
"""EXIF and GPS."""
_INSTEAD = {
    "transparency": "it is put on white",
    "more than 8 bits": "they are rounded",
}
_MOST_SIDE = {"JPEG": 65535, "WEBP": 16383, "GIF": 65535}


class PictureWriter:
    """Encodes pictures for one kind of file.

    Attributes:
        notes: what could not be kept, once for each file.
    """

    def __init__(self, name: str, suffix: str) -> None:
        """`name` is the file in notes; `suffix` decides on the format."""
        self.notes: list[str] = []
        self._name = name
        self._format = _SUFFIXES[suffix.lower()]

    def encode(
        self,
        pictures: Sequence[tuple[np.ndarray, Still]],
        durations_ms: Sequence[float] = (),
    ) -> bytes:
        """One file of one picture or more.

        Args:
            pictures: samples, ``(H, W)`` gray or ``(H, W, 3)`` RGB, ``uint8`` or
                ``uint16``, and the rest of each.
            durations_ms: how long each is shown, if they are an animation.

        Raises:
            SinkError: They cannot be encoded.
        """
        format = self._format
        most = _MOST_SIDE.get(format)
        for samples, _ in pictures:
            if most is not None and max(samples.shape[:2]) > most:
                raise SinkError(
                    f"{self._name} cannot be encoded at {samples.shape[1]}x"
                    f"{samples.shape[0]}: at most {most} pixels a side fit; use .png"
                )
        if format == "DICOM":
            try:
                return dicom.encode(pictures)
            except SinkError:
                raise
            except Exception as exc:  # values that pydicom read, but does not write
                raise SinkError(
                    f"{self._name} cannot be written as DICOM: {exc}; use .png or .tif"
                ) from exc
        pictures = [self._fitting(*picture) for picture in pictures]
        samples, still = pictures[0]
        is_deep = any(each.dtype == np.uint16 for each, _ in pictures)
        if format == "TIFF" and is_deep:
            from streamdenoise.io.pictures.tiff_file import encode_deep

            return encode_deep([(_deep(*each)) for each in pictures])
        if format == "PNG":
            if is_deep and len(pictures) == 1:
                data = png.encode_deep(samples, still.alpha)
            else:
                pictures = [self._of_8_bits(*each) for each in pictures]
                data = self._through_pillow(pictures, durations_ms, {})
            return png.with_tags(data, still)
        return self._through_pillow(pictures, durations_ms, self._tags(still))

    def _through_pillow(
        self,
        pictures: Sequence[tuple[np.ndarray, Still]],
        durations_ms: Sequence[float],
        tags: dict[str, Any],
    ) -> bytes:
        images = [_image(samples, still.alpha) for samples, still in pictures]
        first, *others = images
        if others:
            tags = {**tags, "save_all": True, "append_images": others}
            loop = pictures[0][1].loop
            if durations_ms:
                tags["duration"] = _whole(durations_ms, self._format)
                if loop is not None or self._format != "GIF":
                    tags["loop"] = loop or 0
            if self._format in ("GIF", "PNG"):
                tags["disposal"] = 2 if self._format == "GIF" else 0
        target = io.BytesIO()
        try:
            first.save(target, self._format, **tags)
        except (OSError, ValueError, OverflowError) as exc:
            raise SinkError(f"{self._name} cannot be encoded: {exc}; use .png") from exc
        return target.getvalue()

    def _fitting(self, samples: np.ndarray, still: Still) -> tuple[np.ndarray, Still]:
        """A picture as the format can hold it, with a note on the rest."""
        held = _HELD[self._format]
        if dicom.has_data_set(still):
            samples = dicom.shown(samples, still)
            self._note("the window is applied, the data of the patient is left out")
            still = replace(still, own={}, is_signed=False, bits=16)
        if still.is_signed and self._format != "TIFF":
            self._note("signed samples are shifted by 32768")
            still = replace(still, is_signed=False)
        has = {
            "transparency": still.alpha is not None,
            "ICC profile": bool(still.icc),
            "EXIF": bool(still.exif),
            "XMP": bool(still.xmp),
            "resolution": still.dpi is not None,
            "more than 8 bits": samples.dtype == np.uint16,
        }
        lost = [name for name in has if has[name] and name not in held]
        if self._format == "TIFF" and has["more than 8 bits"] and _has_ifd(still.exif):
            # tifffile writes no directory of EXIF.
            self._note("exposure and other EXIF cannot be kept with 16 bits; use .png")
        lost += lost_of_own(still, self._format)
        for name in lost:
            if name in _INSTEAD:
                self._note(f"this format cannot hold {name}: {_INSTEAD[name]}")
        if others := [name for name in lost if name not in _INSTEAD]:
            self._note(f"this format cannot hold {_listed(others)}")
        if "more than 8 bits" in lost:
            samples, still = self._of_8_bits(samples, still)
        if "transparency" in lost and still.alpha is not None:
            samples = _on_white(samples, still.alpha)
            still = replace(still, alpha=None)
        return samples, still

    def _of_8_bits(self, samples: np.ndarray, still: Still) -> tuple[np.ndarray, Still]:
        if samples.dtype == np.uint8:
            return samples, still
        if self._format == "PNG":
            self._note("animations have 8 bits")
        alpha = None if still.alpha is None else rounded_to_8_bits(still.alpha)
        return rounded_to_8_bits(samples), replace(still, alpha=alpha)

    def _note(self, text: str) -> None:
        note = f"{self._name}: {text}"
        if note not in self.notes:
            self.notes.append(note)

    def _tags(self, still: Still) -> dict[str, Any]:
        """Pillow's options for the tags and the quality."""
        held = _HELD[self._format]
        tags: dict[str, Any] = {}
        if still.icc and "ICC profile" in held:
            tags["icc_profile"] = still.icc
        if still.exif and "EXIF" in held:
            prefix = b"Exif\0\0" if self._format in ("JPEG", "TIFF") else b""
            tags["exif"] = prefix + still.exif
        if still.dpi is not None and "resolution" in held:
            tags["dpi"] = still.dpi
        if still.xmp and "XMP" in held and self._format != "TIFF":
            tags["xmp"] = still.xmp
        if self._format == "JPEG":
            tags |= _jpeg_tags(still)
        if self._format == "WEBP":
            is_lossless = bool(still.own.get("webp_lossless"))
            tags |= {"lossless": is_lossless, "quality": _QUALITY, "exact": True}
            if is_lossless:
                tags["quality"] = 80  # effort, here
        if self._format == "TIFF":
            info = _tiff_info(still, tags.pop("exif", b""))
            tags["tiffinfo"] = info
            # Where libtiff compresses, Pillow cannot write directories of EXIF.
            has_ifd = _has_ifd(still.exif)
            tags["compression"] = "raw" if has_ifd else "tiff_adobe_deflate"
        return tags


def rounded_to_8_bits(samples: np.ndarray) -> np.ndarray:
    """``uint16`` samples as ``uint8``."""
    # 65535 / 255 = 257 exactly
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


def lost_of_own(still: Still, format: str) -> list[str]:
    """What only the format of the input can hold."""
    lost: list[str] = []
    jpeg: Any = still.own.get("jpeg")
    if jpeg is not None and format != "JPEG" and (jpeg["segments"] or jpeg["comment"]):
        lost.append("IPTC, comments and the like of JPEG")
    chunks: Any = still.own.get("png_chunks")
    if format != "PNG":
        names = {name for name, _ in chunks or []}
        if names & {b"tEXt", b"zTXt", b"iTXt"}:
            lost.append("texts of PNG")
        if names & {b"cICP", b"mDCV", b"cLLI"}:
            lost.append("HDR tags of PNG")
    if still.own.get("geo_tags") and format != "TIFF":
        lost.append("GeoTIFF's tags")
    return lost


def _jpeg_tags(still: Still) -> dict[str, Any]:
    """The quality of the input, or a high one if that is better."""
    was: Any = still.own.get("jpeg")
    tags: dict[str, Any] = {"quality": _QUALITY, "subsampling": 0}
    if was is None:
        return tags
    if was["sampling"] in (0, 1, 2):
        tags["subsampling"] = was["sampling"]
    tables = [was["qtables"][key] for key in sorted(was["qtables"])]
    if tables and sum(map(sum, tables)) < len(tables) * 64 * 6:
        # Finer than those of the quality above.
        tags["qtables"] = tables
        del tags["quality"]
    if was["progressive"]:
        tags["progressive"] = True
    if was["comment"]:
        tags["comment"] = was["comment"]
    if was["segments"]:
        tags["extra"] = was["segments"]
    return tags


def _has_ifd(data: bytes) -> bool:
    """Whether EXIF has more than the tags of TIFF."""
    exif = Image.Exif()
    if data:
        exif.load(b"Exif\0\0" + data)
    return any(exif.get_ifd(group) for group in _SUB_IFDS)


def _tiff_info(still: Still, exif: bytes) -> Any:
    """The tags of EXIF, those of the same file, and XMP."""
    info = Image.Exif()
    if exif:
        info.load(exif)
    info.pop(0x0112, None)
    geo: Any = still.own.get("geo_tags") or {}
    for tag, value in geo.items():
        info[tag] = value
    if still.xmp:
        info[700] = still.xmp
    return info


def _deep(samples: np.ndarray, still: Still) -> tuple[np.ndarray, Still]:
    """A picture of 8 bits in 16, where another page has 16."""
    if samples.dtype == np.uint16:
        return samples, still
    alpha = None if still.alpha is None else still.alpha.astype(np.uint16) * 257
    return samples.astype(np.uint16) * 257, replace(still, alpha=alpha)


def _image(samples: np.ndarray, alpha: np.ndarray | None) -> Image.Image:
    if alpha is not None:
        full = samples if samples.ndim == 3 else samples[..., None]
        samples = np.concatenate([full, alpha[..., None]], axis=2)
    return Image.fromarray(np.ascontiguousarray(samples))


def _on_white(samples: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha.astype(np.float32) / np.iinfo(alpha.dtype).max
    if samples.ndim == 3:
        share = share[..., None]
    white = np.float32(np.iinfo(samples.dtype).max)
    mixed = samples * share + white * (1 - share)
    return np.rint(mixed).astype(samples.dtype)


def _whole(durations_ms: Sequence[float], format: str) -> list[float]:
    """Durations in the unit of the format, without a sum of rounding errors."""
    if format == "PNG":
        return list(durations_ms)
    unit = 10 if format == "GIF" else 1
    ends, total = [0], 0.0
    for each in durations_ms:
        total += each
        ends.append(round(total / unit) * unit)
    return [max(unit, b - a) for a, b in pairwise(ends)]


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
