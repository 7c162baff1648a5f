"""Chroma of 4:2:2 and 4:4:4 after denoising, against simpler ways to restore it.

``python -m streamdenoise.measure.quality.fine_chroma FOLDER`` prints the PSNR of U and
V. Photographs are halved, as JPEG has chroma at half size, and get white noise in RGB,
a new one in each of the frames that the model sees before the last one counts.
"""

import argparse
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np

from streamdenoise.console.table import markdown_table
from streamdenoise.denoisers.load import load_video_denoiser
from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.frame import ColorInfo, Frame, Original
from streamdenoise.imaging.color import yuv_from_rgb
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.imaging.original import enlarge, restored, seen_planes
from streamdenoise.measure.clips import find_clips, read_clip

_COLOR = ColorInfo(matrix=1, range=1, primaries=1, transfer=1)
_FRAMES = 5
_SIDE_PX = 320
_SAME = {"yuv422p": (True, False), "yuv444p": (False, False)}

Restore = Callable[[Original, tuple[np.ndarray, ...]], tuple[np.ndarray, ...]]


def _noisy(original: Original, clean: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    return original.planes


def _enlarged(
    original: Original, clean: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, ...]:
    """The denoised 4:2:0 at the size of the original: what a conversion gives."""
    return (clean[0], *(_at_size(each, original) for each in clean[1:]))


def _changed(
    original: Original, clean: tuple[np.ndarray, ...]
) -> tuple[np.ndarray, ...]:
    """The original and the enlarged change, without a look at finer noise."""
    pairs = zip(original.planes[1:], clean[1:], original.seen[1:], strict=True)
    return (
        clean[0],
        *(
            plane + _at_size(now.astype(np.float32) - before, original)
            for plane, now, before in pairs
        ),
    )


def _at_size(plane: np.ndarray, original: Original) -> np.ndarray:
    shape = original.planes[1].shape
    return enlarge(plane.astype(np.float32), _SAME[original.pix_fmt], shape)


def _ours(original: Original, clean: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    return restored(original, clean, "yuv420p", _COLOR)


WAYS: dict[str, Restore] = {
    "noisy": _noisy,
    "4:2:0 enlarged": _enlarged,
    "change enlarged": _changed,
    "restored": _ours,
}


def chroma_psnrs(
    paths: list[Path], pix_fmt: str, sigma: float
) -> dict[str, list[float]]:
    """PSNR of U and V in dB for each photograph, by the way they were restored.

    Args:
        paths: photographs.
        pix_fmt: ``yuv422p`` or ``yuv444p``.
        sigma: std of the noise in RGB, in 8-bit levels.
    """
    rng = np.random.default_rng(0)
    results: dict[str, list[float]] = {way: [] for way in WAYS}
    for path in paths:
        rgb = _halved(read_clip(path, 1, "rgb24")[0].planes[0])
        reference = _planes(rgb, pix_fmt)
        with load_video_denoiser(DenoiseConfig()) as denoiser:
            for index in range(_FRAMES):
                noisy = rgb + rng.normal(0, sigma, rgb.shape)
                frame = _frame(_planes(noisy, pix_fmt), pix_fmt, index)
                (clean,) = denoiser.process(frame)
        assert clean.original is not None
        for way, restore in WAYS.items():
            planes = restore(clean.original, clean.planes)
            errors = [
                psnr_db(wanted, np.rint(got).clip(0, 255).astype(np.uint8), 255)
                for wanted, got in zip(reference[1:], planes[1:], strict=True)
            ]
            results[way].append(float(np.mean(errors)))
    return results


def _halved(rgb: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels, ``float32``, cut to whole blocks of the model."""
    height, width = (min(n // 2, _SIDE_PX) // 16 * 16 for n in rgb.shape[:2])
    blocks = rgb[: 2 * height, : 2 * width].astype(np.float32)
    return blocks.reshape(height, 2, width, 2, 3).mean((1, 3))


def _planes(rgb: np.ndarray, pix_fmt: str) -> tuple[np.ndarray, ...]:
    matrix = yuv_from_rgb(_COLOR.matrix, full_range=False)
    yuv = rgb @ matrix[:, :3].T + matrix[:, 3]
    luma, *chroma = np.moveaxis(yuv, -1, 0)
    if pix_fmt == "yuv422p":
        chroma = [_left_sited(plane) for plane in chroma]
    planes = (luma, *chroma)
    return tuple(np.rint(each).clip(0, 255).astype(np.uint8) for each in planes)


def _left_sited(plane: np.ndarray) -> np.ndarray:
    """Half the width, each sample on the left one of two."""
    wide = np.pad(plane, ((0, 0), (1, 1)), mode="edge")
    return (wide[:, :-2:2] + 2 * wide[:, 1:-1:2] + wide[:, 2::2]) / 4


def _frame(planes: tuple[np.ndarray, ...], pix_fmt: str, index: int) -> Frame:
    seen = seen_planes(planes, pix_fmt, "yuv420p", _COLOR)
    original = Original(planes, pix_fmt, _COLOR, seen)
    return Frame(
        planes=seen,
        pix_fmt="yuv420p",
        color=_COLOR,
        pts=index,
        time_base=Fraction(1, 25),
        index=index,
        captured_at=0.0,
        original=original,
    )


def main() -> None:
    """Measure as the command line says, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="photographs without noise")
    parser.add_argument("--photos", type=int, default=24, help="every n-th up to these")
    parser.add_argument("--sigma", type=float, nargs="+", default=[5.0, 15.0, 30.0])
    args = parser.parse_args()
    paths = find_clips(args.folder)
    paths = paths[:: max(1, len(paths) // args.photos)][: args.photos]
    rows = []
    for pix_fmt in _SAME:
        for sigma in args.sigma:
            found = chroma_psnrs(paths, pix_fmt, sigma)
            means = [f"{np.mean(each):.2f}" for each in found.values()]
            rows.append([pix_fmt, f"{sigma:g}", *means])
    print(f"PSNR of U and V in dB, mean of {len(paths)} photographs\n")
    table = markdown_table(["format", "sigma", *WAYS], rows, numbers_from=1)
    print("\n".join(table))


if __name__ == "__main__":
    main()
