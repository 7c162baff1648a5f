"""MSE, PSNR and SSIM as this project defines them.

The MSE and its dB are computed for each frame, and the dB averaged over the frames;
equal frames have ``inf``. Libraries differ (one MSE over the clip, an epsilon that caps
the value), and figures are comparable only under the same rule. Planes are compared
without conversion, with the peak of their depth (255, 1023), limited range or not.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from streamdenoise.frame import Frame, bit_depth
from streamdenoise.imaging.color import rgb_to_gray

# Wang et al. 2004, "Image quality assessment: from error visibility to structural
# similarity", section III.C: 11x11 Gaussian window of std 1.5, K1 and K2.
_GAUSSIAN = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
_SSIM_WINDOW = _GAUSSIAN / _GAUSSIAN.sum()
_SSIM_K1, _SSIM_K2 = 0.01, 0.03
_STRIP_SAMPLES = 1 << 20


@dataclass(frozen=True, slots=True)
class Score:
    """How far a frame is from its reference, or the mean over several frames."""

    mse: float
    """Mean squared error in squares of 8-bit levels, whatever the depth."""
    psnr_db: float
    ssim: float | None = None
    """None if it was not measured, or a frame was smaller than its window."""

    @classmethod
    def of(cls, reference: Frame, test: Frame, *, with_ssim: bool = False) -> "Score":
        """Score the first plane of one frame: luma, gray, or R, G and B.

        The SSIM of RGB is that of its gray.

        Raises:
            ValueError: the shapes differ.
        """
        a, b, peak = reference.planes[0], test.planes[0], test.full_scale
        mse = _mse(a, b) * (255 / peak) ** 2
        similarity = None
        if with_ssim and min(a.shape[:2]) >= len(_SSIM_WINDOW):
            if a.ndim == 3:
                a, b = rgb_to_gray(a), rgb_to_gray(b)
            similarity = ssim(a, b, peak)
        return cls(mse, _db(mse, 255), similarity)


@dataclass(frozen=True, slots=True)
class Scores:
    """Mean scores of the frames before and after denoising."""

    before: Score
    after: Score
    frames: int = 1

    def plus(self, other: "Scores | None") -> "Scores":
        """The means over the frames of both."""
        if other is None:
            return self
        frames = self.frames + other.frames
        share = other.frames / frames

        def mean(a: Score, b: Score) -> Score:
            known = a.ssim is not None and b.ssim is not None
            return Score(
                _mixed(a.mse, b.mse, share),
                _mixed(a.psnr_db, b.psnr_db, share),
                _mixed(a.ssim or 0.0, b.ssim or 0.0, share) if known else None,
            )

        return Scores(
            mean(self.before, other.before), mean(self.after, other.after), frames
        )


def psnr_db(reference: np.ndarray, test: np.ndarray, peak: float) -> float:
    """PSNR of one plane or image in dB; ``inf`` when equal.

    Args:
        reference: any shape, any real dtype.
        test: the same shape.
        peak: largest possible value: 255 for 8 bits, 1023 for 10 bits, 1 for floats.

    Raises:
        ValueError: the shapes differ, or there are no samples.
    """
    return _db(_mse(reference, test), peak)


def psnr_y(reference: Sequence[Frame], test: Sequence[Frame]) -> float:
    """Mean over the frames of the PSNR of the first plane (Y, gray, or RGB), in dB."""
    return _mean_over_frames(reference, test, lambda a, b: plane_psnrs(a, b)[0])


def psnr_uv(reference: Sequence[Frame], test: Sequence[Frame]) -> float:
    """Mean over frames of the mean of both chroma planes' PSNR, in dB."""
    return _mean_over_frames(
        reference, test, lambda a, b: float(np.mean(plane_psnrs(a, b)[1:]))
    )


def psnr_yuv(reference: Sequence[Frame], test: Sequence[Frame]) -> float:
    """Mean over frames of (6 Y + U + V) / 8 of the planes' PSNR, in dB."""
    return _mean_over_frames(reference, test, _weighted_psnr)


def plane_psnrs(reference: Frame, test: Frame) -> tuple[float, ...]:
    """PSNR in dB of each plane of one frame.

    Raises:
        ValueError: the frames differ in format or size.
    """
    if reference.pix_fmt != test.pix_fmt:
        raise ValueError(
            f"frames must have one format, got {reference.pix_fmt} and {test.pix_fmt}"
        )
    peak = 2 ** bit_depth(reference.pix_fmt) - 1
    return tuple(
        psnr_db(a, b, peak) for a, b in zip(reference.planes, test.planes, strict=True)
    )


def ssim(reference: np.ndarray, test: np.ndarray, peak: float) -> float:
    """Structural similarity of two planes ``(H, W)``, at most 1 (equal).

    Gaussian window of 11x11, std 1.5, over the positions where it fits; population
    moments. Both sides must be at least 11.
    """
    _check_shapes(reference, test)
    if reference.ndim != 2 or min(reference.shape) < len(_SSIM_WINDOW):
        raise ValueError(f"SSIM needs planes of at least 11x11, got {reference.shape}")
    rows = reference.shape[0] - len(_SSIM_WINDOW) + 1
    total = 0.0
    for top, bottom in _strips(rows, reference.shape[1]):
        part = slice(top, bottom + len(_SSIM_WINDOW) - 1)
        total += (bottom - top) * _ssim_of_strip(reference[part], test[part], peak)
    return total / rows


def _ssim_of_strip(reference: np.ndarray, test: np.ndarray, peak: float) -> float:
    a, b = reference.astype(np.float64), test.astype(np.float64)
    mean_a, mean_b = _blur(a), _blur(b)
    var_a = _blur(a * a) - mean_a**2
    var_b = _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    c1, c2 = (_SSIM_K1 * peak) ** 2, (_SSIM_K2 * peak) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (var_a + var_b + c2)
    return float(np.mean(luminance * structure))


def ssim_y(reference: Sequence[Frame], test: Sequence[Frame]) -> float:
    """Mean over frames of the SSIM of the first plane."""
    return _mean_over_frames(
        reference,
        test,
        lambda a, b: ssim(a.planes[0], b.planes[0], 2 ** bit_depth(a.pix_fmt) - 1),
    )


def _weighted_psnr(reference: Frame, test: Frame) -> float:
    y, u, v = plane_psnrs(reference, test)
    return (6 * y + u + v) / 8


def _mean_over_frames(
    reference: Sequence[Frame],
    test: Sequence[Frame],
    measure: Callable[[Frame, Frame], float],
) -> float:
    if len(reference) != len(test) or not reference:
        raise ValueError(
            f"clips must have the same number of frames, at least one; got "
            f"{len(reference)} and {len(test)}"
        )
    values = [measure(a, b) for a, b in zip(reference, test, strict=True)]
    return float(np.mean(values))


def _check_shapes(reference: np.ndarray, test: np.ndarray) -> None:
    if reference.shape != test.shape or reference.size == 0:
        raise ValueError(
            f"both must have one shape with samples, got {reference.shape} and "
            f"{test.shape}"
        )


def _mse(reference: np.ndarray, test: np.ndarray) -> float:
    _check_shapes(reference, test)
    total = 0.0
    for top, bottom in _strips(len(reference), reference.size // len(reference)):
        part = slice(top, bottom)
        difference = np.subtract(reference[part], test[part], dtype=np.float64)
        total += float(np.square(difference, out=difference).sum())
    return total / reference.size


def _strips(rows: int, row_size: int) -> Iterator[tuple[int, int]]:
    """First rows of strips, and the rows after them: large images fit into memory."""
    height = max(1, _STRIP_SAMPLES // max(1, row_size))
    for top in range(0, rows, height):
        yield top, min(top + height, rows)


def _db(mse: float, peak: float) -> float:
    return float("inf") if mse == 0 else 10 * float(np.log10(peak**2 / mse))


def _mixed(a: float, b: float, share: float) -> float:
    return (1 - share) * a + share * b


def _blur(plane: np.ndarray) -> np.ndarray:
    """Separable window over ``(H, W)``, valid positions only."""
    edge = len(_SSIM_WINDOW) // 2
    whole = cv2.sepFilter2D(plane, cv2.CV_64F, _SSIM_WINDOW, _SSIM_WINDOW)
    return whole[edge:-edge, edge:-edge]
