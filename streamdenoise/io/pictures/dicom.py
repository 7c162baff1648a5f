"""DICOM, through pydicom, which is optional.

Samples are denoised as they are stored, before any rescaling or window. What is written
is the same data set with other pixels, marked as derived (PS3.3, C.7.6.1.1.2).
"""

import io
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import numpy as np

from streamdenoise._version import __version__
from streamdenoise.errors import SinkError, SourceOpenError
from streamdenoise.frame import Still
from streamdenoise.io.pictures.codestream import size_of
from streamdenoise.io.pictures.picture import Picture, check_size

SUFFIXES = (".dcm", ".dicom")

_SIGN = 1 << 15
_GRAY = ("MONOCHROME1", "MONOCHROME2")
_META_START = 144
"""Of the file's own elements; their length comes before."""
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_MOST_INFLATED = 512 << 20
"""Of a deflated file: it has to be in memory as a whole, several times."""
_CODECS = "pip install pylibjpeg-openjpeg pyjpegls python-gdcm"


def is_dicom(path: Path, data: bytes) -> bool:
    """Whether a file is DICOM; some have no preamble."""
    return data[128:132] == b"DICM" or path.suffix.lower() in SUFFIXES


class DicomFile:
    """A DICOM file, see `PictureFile`.

    Raises:
        SourceOpenError: It is damaged or too large, holds no picture, or pydicom is
            missing.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        self._path = path
        try:
            import pydicom
        except ImportError as exc:
            raise SourceOpenError(
                f"{path} is DICOM, which needs pydicom; "
                "pip install 'streamdenoise[dicom]'"
            ) from exc
        _check_inflated(path, data)
        with _quietly():
            try:
                self._set: Any = pydicom.dcmread(io.BytesIO(data), force=True)
                if not self._set:
                    raise ValueError("no data elements")
                has_pixels = "PixelData" in self._set
            except Exception as exc:  # damaged data raises anything
                raise SourceOpenError(
                    f"{path} is not DICOM that can be read ({exc}); get the file again"
                ) from exc
            if not has_pixels:
                raise SourceOpenError(
                    f"{path} has no pixels of 8 or 16 bits; choose a file of an image"
                )
            _ensure_syntax(self._set)
        self._check()
        self.pages = int(self._set.get("NumberOfFrames") or 1)
        is_timed = _duration_ms(self._set, 0) is not None
        self.is_animation = self.pages > 1 and is_timed
        # Those of the first frame stand for a window in all, if there is none.
        self._ends: tuple[int, int] | None = None

    def __iter__(self) -> Iterator[Picture]:
        from pydicom.pixels.utils import iter_pixels

        frames, encoded = iter_pixels(self._set), self._encoded()
        for number in range(self.pages):
            with _quietly():
                try:
                    self._check_encoded(next(encoded, b""))
                    stored = next(frames, None)
                except SourceOpenError:
                    raise
                except Exception as exc:  # of each decoder
                    raise SourceOpenError(
                        f"{self._path}: its pixels cannot be decoded "
                        f"({self._syntax()}); {_CODECS}, or decompress it first"
                    ) from exc
            if stored is None:
                return
            yield self._picture(np.asarray(stored), number)

    def _encoded(self) -> Iterator[bytes]:
        """The frames as they are compressed; none if they are not."""
        from pydicom.encaps import generate_frames

        if not self._set.file_meta.TransferSyntaxUID.is_compressed:
            return iter(())
        return generate_frames(self._set.PixelData, number_of_frames=self.pages)

    def _check_encoded(self, frame: bytes) -> None:
        """Refuse a compressed frame of another size than the file says.

        Raises:
            SourceOpenError: It is one.
        """
        size = size_of(frame)
        said = (int(self._set.Columns), int(self._set.Rows))
        if size is not None and size != said:
            raise SourceOpenError(
                f"{self._path} has frames of {said[0]}x{said[1]}, but one is compressed"
                f" as {size[0]}x{size[1]}; get the file again"
            )

    def _check(self) -> None:
        about = self._set
        photometric = about.get("PhotometricInterpretation", "")
        is_color = photometric.startswith(("RGB", "YBR"))
        if photometric not in _GRAY and not is_color:
            raise SourceOpenError(
                f"{self._path} has {photometric or 'unknown'} pixels; "
                "convert it to MONOCHROME2 or RGB first"
            )
        if about.get("BitsAllocated") not in (8, 16) or (
            is_color and about.BitsAllocated != 8
        ):
            raise SourceOpenError(
                f"{self._path} has pixels of {about.get('BitsAllocated')} bits; "
                "convert it to 8 or 16 bits first"
            )
        check_size(self._path, int(about.get("Columns", 0)), int(about.get("Rows", 0)))

    def _picture(self, stored: np.ndarray, number: int) -> Picture:
        is_signed = stored.dtype.kind == "i"
        samples = stored.copy()
        if self._ends is None:
            self._ends = int(stored.min()), int(stored.max())
        if is_signed:
            samples = (stored.astype(np.int32) + _SIGN).astype(np.uint16)
        still = Still(
            path=self._path,
            icc=bytes(self._set.get("ICCProfile") or b""),
            bits=int(self._set.get("BitsStored", 8 * stored.itemsize)),
            is_signed=is_signed,
            pages=self.pages,
            own={"dicom": self._set, "ends": self._ends},
        )
        shown_ms = _duration_ms(self._set, number) if self.is_animation else None
        return Picture(np.ascontiguousarray(samples), still, shown_ms)

    def _syntax(self) -> str:
        return self._set.file_meta.TransferSyntaxUID.name


def _check_inflated(path: Path, data: bytes) -> None:
    """Refuse a deflated file that would fill the memory.

    Raises:
        SourceOpenError: It is one.
    """
    begin = _META_START + int.from_bytes(data[_META_START - 4 : _META_START], "little")
    if data[128:132] != b"DICM" or _DEFLATED not in data[_META_START:begin]:
        return
    inflate, left = zlib.decompressobj(-zlib.MAX_WBITS), _MOST_INFLATED
    rest = data[begin:]
    while rest and left > 0 and not inflate.eof:
        try:
            left -= len(inflate.decompress(rest, 1 << 20))
        except zlib.error:
            return
        rest = inflate.unconsumed_tail
    if left <= 0:
        raise SourceOpenError(
            f"{path} is deflated and has more than {_MOST_INFLATED >> 20} MB; store it "
            "without compression first"
        )


def _ensure_syntax(about: Any) -> None:
    """Say how the pixels are encoded where a file without preamble does not."""
    from pydicom import uid

    about.ensure_file_meta()
    if about.file_meta.get("TransferSyntaxUID"):
        return
    is_implicit, is_little = about.original_encoding
    syntax = uid.ExplicitVRLittleEndian if is_little else uid.ExplicitVRBigEndian
    if is_implicit and is_little:
        syntax = uid.ImplicitVRLittleEndian
    about.file_meta.TransferSyntaxUID = syntax


def has_data_set(still: Still | None) -> bool:
    """Whether a picture was read from DICOM."""
    return still is not None and "dicom" in still.own


def shown(samples: np.ndarray, still: Still) -> np.ndarray:
    """Stored samples as they are displayed: rescaled, through the window, upright.

    Args:
        samples: ``(H, W)``, as `DicomFile` gives them, or RGB, which stays as it is.
        still: the rest of the picture.

    Returns:
        ``(H, W)`` ``uint16``, of which the window is the full scale.
    """
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    if samples.ndim == 3:
        return samples
    about: Any = still.own["dicom"]
    stored = _stored(samples, still)
    has_window = "WindowWidth" in about or "VOILUTSequence" in about
    # The ends of what can be stored are at the ends of every window.
    low = -(1 << (still.bits - 1)) if still.is_signed else 0
    ends = (low, low + (1 << still.bits) - 1)
    if not has_window:
        ends = cast(tuple[int, int], still.own["ends"])
    with _quietly():
        both = np.concatenate([stored.reshape(-1), np.array(ends, stored.dtype)])
        seen = apply_modality_lut(both, about)
        if has_window:
            seen = apply_voi_lut(seen, about)
    seen = np.asarray(seen, np.float64)
    black, white = seen[-2:]
    share = (seen[:-2] - black) / ((white - black) or 1)
    if about.PhotometricInterpretation == "MONOCHROME1":
        share = 1 - share
    return np.rint(65535 * share.clip(0, 1)).astype(np.uint16).reshape(samples.shape)


def encode(pages: Sequence[tuple[np.ndarray, Still]]) -> bytes:
    """A DICOM file: the one that was read, with other pixels.

    Args:
        pages: samples of each frame, as `DicomFile` gives them.

    Raises:
        SinkError: They were not read from DICOM.
    """
    first = pages[0][1]
    if not has_data_set(first):
        raise SinkError(
            "DICOM can be written of DICOM only, as it needs the data of the patient; "
            "use .png or .tif"
        )
    from pydicom.dataset import Dataset

    about: Any = first.own["dicom"]
    if not about.file_meta.TransferSyntaxUID.is_little_endian:
        raise SinkError(
            f"{first.path} is big-endian DICOM, which is retired and cannot be "
            "written; convert it to little endian first, or use .png or .tif"
        )
    with _quietly():
        derived = deepcopy(about)
        frames = np.stack([_stored(samples, still) for samples, still in pages])
        is_color = frames.ndim == 4
        had_frames = "NumberOfFrames" in about
        # One source, of which the standard wants class and instance.
        reference = Dataset()
        reference.ReferencedSOPClassUID = about.get("SOPClassUID")
        reference.ReferencedSOPInstanceUID = about.get("SOPInstanceUID")
        kept = {
            tag: about[tag]
            for tag in ("PixelPaddingValue", "PixelPaddingRangeLimit")
            if tag in about
        }
        derived.set_pixel_data(
            frames if len(frames) > 1 else frames[0],
            "RGB" if is_color else about.PhotometricInterpretation,
            first.bits,
        )
        for tag, element in kept.items():
            derived[tag] = element
        if had_frames:
            derived.NumberOfFrames = len(frames)
        kind = list(about.get("ImageType") or ["ORIGINAL", "PRIMARY"])
        derived.ImageType = ["DERIVED", *kind[1:]]
        if reference.ReferencedSOPInstanceUID:
            derived.SourceImageSequence = [reference]
        derived.DerivationDescription = f"denoised by streamdenoise {__version__}"
        for tag, value in (
            ("SmallestImagePixelValue", frames.min()),
            ("LargestImagePixelValue", frames.max()),
        ):
            if tag in about:
                setattr(derived, tag, int(value))
        target = io.BytesIO()
        derived.save_as(target, enforce_file_format=True)
    return target.getvalue()


def _stored(samples: np.ndarray, still: Still) -> np.ndarray:
    """Samples in the type and the range of the file."""
    if samples.dtype == np.uint8:
        return samples
    low = -(1 << (still.bits - 1)) if still.is_signed else 0
    values = samples.astype(np.int32) - (_SIGN if still.is_signed else 0)
    values = values.clip(low, low + (1 << still.bits) - 1)
    return values.astype(np.int16 if still.is_signed else np.uint16)


def _duration_ms(about: Any, number: int) -> float | None:
    """How long a frame of a cine is shown; None if it is none."""
    steps = about.get("FrameTimeVector") or []
    if len(steps) > 1:
        # Each is the time since the frame before; the last is shown as long as usual.
        return float(steps[min(number + 1, len(steps) - 1)])
    if step := float(about.get("FrameTime") or 0):
        return step
    for tag in ("RecommendedDisplayFrameRate", "CineRate"):
        if rate := float(about.get(tag) or 0):
            return 1000 / rate
    return None


@contextmanager
def _quietly() -> Iterator[None]:
    """Without pydicom's warnings about values that the standard does not allow."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
