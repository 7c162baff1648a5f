"""uPSNR: the PSNR of denoised footage without a clean version.

Marcos-Morales and others, "Evaluating unsupervised denoising requires unsupervised
metrics" (ICML 2023, arXiv 2210.05553): a noisy frame ``b`` of the same scene ``s``,
whose noise is independent of the output ``f``, differs from it by the error of the
output and by its own noise, ``E(f - b)^2 = E(f - s)^2 + var b``; ``var b`` comes from
a third noisy frame.

Frames of a moving camera match after an alignment that is never exact, so an aligned
frame holds only a share ``g`` of the finest detail, and an output that lost that detail
would seem nearer to the scene than it is: a plain blur would win. The share is known
from three frames, the noisy one ``n`` and two aligned ones ``b`` and ``c`` (triple
collocation; Stoffelen, "Toward the true near-surface wind speed", 1998): as their noise
is independent, ``E(bc) = g_b g_c E(s^2)`` and ``E(nc) = g_c E(s^2)``, so
``g_b = E(bc) / E(nc)``. Here that is done for each band of spatial frequencies, and

- the error of the input is ``E(n^2) - E(s^2)``;
- that of an output is less by ``E(n^2) - E(f^2) - 2 E((n - f) b) / g_b``.

The difference between two denoisers does not depend on the noise of ``b``.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from streamdenoise.measure.quality.real.scene import (
    Planes,
    Scene,
    cell_pixels,
    cells_of,
)

FLOOR = 1 / 12
"""Squared error in 8-bit levels that rounding alone leaves; less is not claimed."""

_COHERENT = 0.03
"""Bands in which the scene has a smaller share of the energy are not corrected: what
they have in common is chance."""
_LEAST_SHARE = 0.25
"""Least ``g`` that is believed."""


class UnbiasedError:
    """Squared errors of the outputs of one scene."""

    def __init__(self, scene: Scene) -> None:
        """Find the noise of the input, and what the alignment lost."""
        self._moments = [
            (n, moment.aligned)
            for n, moment in enumerate(scene.moments)
            if moment.references is not None and moment.aligned.any()
        ]
        planes = len(scene.moments[0].noisy) if self._moments else 0
        self._planes = [_PlaneError(scene, self._moments, p) for p in range(planes)]
        if self._planes and self._planes[0].noise <= FLOOR:
            self._planes = []

    def mse(self, output: Sequence[Planes]) -> list[float] | None:
        """Squared error of each plane.

        Args:
            output: Planes at the moments of the scene, as `Scene.noisy`.

        Returns:
            In squared 8-bit levels, at least `FLOOR`; None if the clip is too short,
            nothing in it is both aligned and not frozen, or the noise of luma is less
            than `FLOOR`.
        """
        if not self._planes:
            return None
        return [
            max(
                plane.mse([(output[n][p], cells) for n, cells in self._moments]),
                FLOOR,
            )
            for p, plane in enumerate(self._planes)
        ]


class _PlaneError:
    """The error of one plane, in bands of spatial frequencies.

    With ``r = n - f`` the error is that of the input less the sum of ``r (q - r)``,
    where ``q = 2 (n - b / g_b)`` does not depend on the output.
    """

    def __init__(
        self, scene: Scene, moments: Sequence[tuple[int, np.ndarray]], plane: int
    ) -> None:
        self._noisy = [scene.moments[n].noisy[plane] for n, _ in moments]
        spectra = []
        for n, cells in moments:
            moment = scene.moments[n]
            sources = (moment.noisy, *(moment.references or ()))
            spectra.append([spectrum(each[plane], cells) for each in sources])
        # Sums over the cells of all moments, for each frequency.
        nn, nb, nc, bc = (
            np.sum([(s[i] * s[j]).sum(0, dtype=np.float64) for s in spectra], axis=0)
            for i, j in ((0, 0), (0, 1), (0, 2), (1, 2))
        )
        shares = np.ones((2, len(nn)))
        if not scene.is_fixed:
            shares = _shares(_banded(nn), _banded(nb), _banded(nc), _banded(bc))
        lost = np.prod(1 / shares - 1, axis=0)
        self._pixels = sum(s[0].size for s in spectra)
        noise = float(np.sum(nn - nb - nc + bc - bc * lost))
        self.noise = noise / self._pixels
        """Squared error of the input."""
        unseen = scene.moments[moments[0][0]].unseen
        self._q = [
            2 * (s[0] - np.mean([s[1 + k] / shares[k] for k in range(unseen)], axis=0))
            for s in spectra
        ]

    def mse(self, output: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
        """Squared error of a plane and its cells, for each moment."""
        nearer = 0.0
        for noisy, q, (plane, cells) in zip(self._noisy, self._q, output, strict=True):
            removed = spectrum(noisy - plane, cells)
            nearer += float(np.sum(removed * (q - removed), dtype=np.float64))
        return self.noise - nearer / self._pixels


def _shares(
    nn: np.ndarray, nb: np.ndarray, nc: np.ndarray, bc: np.ndarray
) -> np.ndarray:
    """The shares of the scene in two aligned frames: ``(2, frequencies)``."""
    coherent = np.minimum(np.minimum(nb, nc), bc) > _COHERENT * nn
    shares = np.ones((2, len(nn)))
    np.divide(bc, [nc, nb], out=shares, where=coherent)
    return np.clip(shares, _LEAST_SHARE, 1)


def spectrum(plane: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Orthonormal DCT of the cells of a mask: ``(cells, frequencies)`` float32."""
    parts = cell_pixels(plane, cells)
    basis = _dct_basis(parts.shape[1])
    return (basis @ parts @ basis.T).reshape(len(parts), -1)


@lru_cache
def _dct_basis(side: int) -> np.ndarray:
    rows, columns = np.arange(side)[:, None], np.arange(side)
    basis = np.cos(np.pi * rows * (columns + 0.5) / side) * np.sqrt(2 / side)
    basis[0] /= np.sqrt(2)
    return basis.astype(np.float32)


def _banded(sums: np.ndarray) -> np.ndarray:
    """Sums over all frequencies of a band, at each of its frequencies."""
    side = round(len(sums) ** 0.5)
    frequency = np.hypot(*np.mgrid[:side, :side]).ravel().round().astype(int)
    return np.bincount(frequency, sums)[frequency]


def psnr_of(mse: float) -> float:
    """PSNR in dB of a squared error in 8-bit levels."""
    return 10 * float(np.log10(255**2 / mse))


def psnr_to_later_mean(scene: Scene, output: Sequence[Planes]) -> float | None:
    """PSNR-Y in dB against the mean of all later frames; None if the camera moves.

    The noise that is left in the mean is part of the difference.
    """
    if not scene.is_fixed:
        return None
    values = []
    for moment, planes in zip(scene.moments, output, strict=True):
        if moment.references is None or not moment.aligned.any():
            continue
        mean = (moment.references[0][0] + moment.references[1][0]) / 2
        mse = cells_of((planes[0] - mean) ** 2, moment.aligned).mean(dtype=np.float64)
        values.append(psnr_of(max(float(mse), FLOOR)))
    return float(np.mean(values)) if values else None
