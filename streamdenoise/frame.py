"""The frame type, and the description of a stream."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from streamdenoise.units import MAX_SIDE_PX

MAX_AREA_PX = 1 << 27  # 134 million: 15360x8640 ("16k" video) fits


def size_fault(width: int, height: int) -> str | None:
    """Why frames of this size are refused, as the end of a sentence, or None."""
    if width < 1 or height < 1:
        return f"its frame size is {width}x{height}"
    if max(width, height) > MAX_SIDE_PX or width * height > MAX_AREA_PX:
        return (
            f"its frame size is {width}x{height}; at most {MAX_SIDE_PX} pixels a side "
            f"and {MAX_AREA_PX / 1e6:.0f} megapixels are supported, scale it down first"
        )
    return None


# pix_fmt -> (bits per sample, chroma planes at half size, channels of the first plane)
PIX_FMTS = {
    "yuv420p": (8, 2, 1),
    "yuv420p10le": (10, 2, 1),
    "gray": (8, 0, 1),
    "gray10le": (10, 0, 1),
    "rgb24": (8, 0, 3),
    "gray16le": (16, 0, 1),
    "rgb48le": (16, 0, 3),
}


def bit_depth(pix_fmt: str) -> int:
    """Bits per sample of one of `PIX_FMTS`."""
    return PIX_FMTS[pix_fmt][0]


def plane_shapes(pix_fmt: str, width: int, height: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of a frame's planes; odd sizes round the chroma up, as FFmpeg does."""
    _, chroma, channels = PIX_FMTS[pix_fmt]
    luma = (height, width) if channels == 1 else (height, width, channels)
    return (luma, *[((height + 1) // 2, (width + 1) // 2)] * chroma)


@dataclass(frozen=True, slots=True)
class ColorInfo:
    """Color tags as FFmpeg's integers (ISO/IEC 23091-2); 2 and 0 mean "not tagged"."""

    matrix: int = 2
    """Matrix coefficients: 1 BT.709, 5 and 6 BT.601, 9 BT.2020, 2 unspecified."""
    range: int = 0
    """0 unspecified, 1 limited ("tv", "mpeg"), 2 full ("pc", "jpeg")."""
    primaries: int = 2
    transfer: int = 2

    @property
    def is_full_range(self) -> bool:
        """Whether the stream is tagged as full range; untagged YUV is limited range."""
        return self.range == 2


@dataclass(frozen=True, slots=True)
class MasteringDisplay:
    """The display on which HDR video was graded (SMPTE ST 2086)."""

    primaries: tuple[tuple[float, float], ...] = ()
    """CIE 1931 x and y of red, green, blue and the white point; empty if unknown."""
    luminance: tuple[float, float] = (0.0, 0.0)
    """Darkest and brightest in cd/m2; zeros if unknown."""


@dataclass(frozen=True, slots=True)
class PictureTags:
    """What a source says about its pictures beside color, for outputs that keep it."""

    chroma_location: str = ""
    """Where 4:2:0 chroma lies: ``left``, ``center``, ``topleft`` or ``top``; empty if
    the source does not say."""
    mastering_display: MasteringDisplay | None = None
    content_light: tuple[int, int] | None = None
    """Brightest pixel, and brightest average of a frame, in cd/m2 (CTA-861.3)."""
    stereo: str = ""
    """Both eyes in one frame: Matroska's name of the layout, such as ``left_right``;
    empty for one eye."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """Properties of a stream that are known before its first frame is read."""

    width: int
    height: int
    pix_fmt: str
    """Format of the source's frames, one of `PIX_FMTS`."""
    frame_rate: Fraction | None = None
    """Declared rate in Hz; None if unknown. Timestamps never depend on it."""
    time_base: Fraction = Fraction(1, 90000)
    """Seconds per unit of `Frame.pts`."""
    is_live: bool = False
    color: ColorInfo = field(default_factory=ColorInfo)
    num_frames: int | None = None
    """Expected number of frames: an estimate, for progress bars only."""
    notes: tuple[str, ...] = ()
    """One-line remarks for the user, such as a conversion of the chroma format."""
    sample_aspect: Fraction | None = None
    """Width of a pixel divided by its height; None if the stream does not say."""
    display_matrix: tuple[int, ...] | None = None
    """How players turn the frames, as FFmpeg's 9 numbers; None is not at all."""
    losses: tuple[str, ...] = ()
    """Names of data of the source that frames do not hold, such as HDR10+ data."""
    codec: str = ""
    """FFmpeg's name of the source's video codec; empty if there is none."""
    original_pix_fmt: str | None = None
    """Format of `Frame.original`; None if frames have none."""
    tags: PictureTags = field(default_factory=PictureTags)
    pictures: int = 0
    """Number of pictures, if the source is files of pictures; 0 for video."""
    is_animation: bool = False
    """Whether the pictures of the one file are shown one after the other."""

    def check(self, frame: "Frame") -> None:
        """Refuse a frame that does not belong to this stream.

        Raises:
            ValueError: Its size or format differs.
        """
        found = (frame.width, frame.height, frame.pix_fmt)
        if found != (self.width, self.height, self.pix_fmt):
            raise ValueError(
                f"frame must be {self.width}x{self.height} {self.pix_fmt}, "
                f"got {frame.width}x{frame.height} {frame.pix_fmt}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Still:
    """What a picture file holds besides the samples of one picture.

    Sinks of pictures write what their format can hold, and note the rest.
    """

    path: Path
    """The file."""
    alpha: np.ndarray | None = None
    """``(H, W)`` in the type of the samples; 0 is transparent."""
    icc: bytes = b""
    exif: bytes = b""
    """In TIFF format, with an orientation of 1: the samples are upright."""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None
    """Pixels per inch, horizontally and vertically."""
    bits: int = 16
    """Of samples of 16 bits, those that the format calls significant."""
    is_signed: bool = False
    """Whether samples of 16 bits were signed; 32768 has been added to them then."""
    number: int | None = None
    """Number in the name of a file of a sequence."""
    pages: int = 1
    """Pictures in the file."""
    loop: int | None = None
    """How often an animation is shown; 0 is forever."""
    own: Mapping[str, object] = field(default_factory=dict[str, object])
    """What only the same format can hold, by names of its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Original:
    """The source's own samples of a frame whose planes hold only a part of them.

    They may have more bits, finer chroma, RGB or alpha. A writer that can store these
    adds to them what changed in the planes, see `imaging.original`.
    """

    planes: tuple[np.ndarray, ...]
    """One for each component, see `imaging.planar`; read-only."""
    pix_fmt: str
    color: ColorInfo
    seen: tuple[np.ndarray, ...]
    """The frame's planes as the source made them."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A video frame in host memory, in the planes that the decoder produced.

    Planes are C-contiguous ``uint8``, or ``uint16`` for 10 bits (values 0 to 1023) and
    16: yuv420p has ``(H, W)`` and two planes of ``(ceil(H/2), ceil(W/2))``, gray has
    ``(H, W)``, and rgb24 has one plane of ``(H, W, 3)``. Treat them as read-only: a
    stage that changes pixels creates new planes.
    """

    planes: tuple[np.ndarray, ...]
    pix_fmt: str
    color: ColorInfo
    pts: int
    """Presentation timestamp in units of `time_base`."""
    time_base: Fraction
    """Seconds per unit of `pts`."""
    index: int
    """Number of the frame, from 0 at the source; a gap means dropped frames."""
    captured_at: float
    """When the source produced the frame, in seconds of ``time.monotonic()``."""
    duration: int | None = None
    """How long it is shown, in units of `time_base`; None is until the next frame."""
    hidden_noise: tuple[float, ...] = ()
    """Noise that its compression hides, see `imaging.jpeg`; empty if it is unknown."""
    still: Still | None = None
    """The rest of the picture file that it was read from; None for video."""
    original: Original | None = None
    """The source's own samples, if `planes` cannot hold them and someone wants them."""
    source_s: float | None = None
    """Its time in seconds on the clock of the source's `Sound`; None without sound, and
    for a frame that is repeated while the source is away."""

    def __post_init__(self) -> None:
        if self.pix_fmt not in PIX_FMTS:
            raise ValueError(
                f"pix_fmt must be one of {', '.join(PIX_FMTS)}, got {self.pix_fmt!r}"
            )
        shapes = tuple(plane.shape for plane in self.planes)
        dtype = np.uint8 if bit_depth(self.pix_fmt) == 8 else np.uint16
        if not shapes or shapes != plane_shapes(self.pix_fmt, self.width, self.height):
            raise ValueError(f"planes do not fit {self.pix_fmt}: got shapes {shapes}")
        if any(plane.dtype != dtype for plane in self.planes):
            raise ValueError(
                f"{self.pix_fmt} planes must be {np.dtype(dtype)}, "
                f"got {[str(plane.dtype) for plane in self.planes]}"
            )

    @property
    def height(self) -> int:
        return self.planes[0].shape[0]

    @property
    def width(self) -> int:
        return self.planes[0].shape[1]

    @property
    def full_scale(self) -> int:
        """The sample that noise levels and the PSNR refer to: 255, 1023, 65535.

        It is less than 65535 if the picture's format calls fewer bits significant.
        """
        depth = bit_depth(self.pix_fmt)
        if depth == 16 and self.still is not None:
            depth = self.still.bits
        return (1 << depth) - 1

    @property
    def time_s(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)

    def with_planes(self, planes: tuple[np.ndarray, ...]) -> "Frame":
        """The same frame with other pixels."""
        return replace(self, planes=planes)
