"""Scores of a network on images that it has not seen."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from streamdenoise.files import replaced_whole
from streamdenoise.imaging.metrics import psnr_db, ssim

from .data import Images, by_shape
from .loss import LOSSES
from .networks.network import ImageNetwork
from .noise import ImageNoise


def write_rows(path: Path, rows: Sequence[Any]) -> None:
    """Write dataclasses of one type as CSV; the header has their fields.

    Raises:
        SinkError: it cannot be written; an existing file is left as it was.
    """
    table = io.StringIO()
    written = [asdict(row) for row in rows]
    writer = csv.DictWriter(table, list(written[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(written)
    with replaced_whole(path) as partial:
        partial.write_text(table.getvalue())


_LEAST_FOR_SSIM = 11
MOST_DB = 100.0
"""PSNR of an image without any error, so that means stay finite."""


class Noisy(NamedTuple):
    """Images of one size, with fixed noise."""

    clean: Tensor
    noisy: Tensor
    noise_std: Tensor


def with_noise(images: Images, noise: ImageNoise, seed: int) -> list[Noisy]:
    """Draw the noise of test images once; their levels are evenly spread."""
    generator = torch.Generator().manual_seed(seed)
    held: list[Noisy] = []
    done = 0
    for clean in by_shape(images):
        noise_std = noise.spread(done, len(clean))
        held.append(Noisy(clean, *noise.add(clean, generator, noise_std)))
        done += len(clean)
    return held


@torch.inference_mode()
def denoised(net: ImageNetwork, held: Noisy) -> Tensor:
    """The network's output, clipped to [0, 1]."""
    return net(held.noisy, held.noise_std).clamp(0, 1)


@dataclass(frozen=True, slots=True)
class Score:
    """Scores of one image, with samples in [0, 1]."""

    mse: float
    psnr_noisy: float
    """PSNR of the input in dB, at most `MOST_DB`."""
    psnr: float
    """PSNR of the output in dB, at most `MOST_DB`."""
    ssim: float | None
    """SSIM of gray or of the mean of R, G and B; None for images below 11x11."""

    @classmethod
    def of(cls, clean: Tensor, noisy: Tensor, out: Tensor) -> "Score":
        """Score one image; all are ``(C, H, W)``."""
        a, b, c = (image.double().numpy() for image in (clean, noisy, out))
        large = min(a.shape[1:]) >= _LEAST_FOR_SSIM
        return cls(
            mse=float(np.square(c - a).mean()),
            psnr_noisy=min(psnr_db(a, b, 1.0), MOST_DB),
            psnr=min(psnr_db(a, c, 1.0), MOST_DB),
            ssim=ssim(a.mean(0), c.mean(0), 1.0) if large else None,
        )


def scores(net: ImageNetwork, held: list[Noisy]) -> list[Score]:
    """Score every image, in order."""
    found = []
    for group in held:
        for each in zip(group.clean, group.noisy, denoised(net, group), strict=True):
            found.append(Score.of(*each))
    return found


@torch.inference_mode()
def mean_loss(net: ImageNetwork, held: list[Noisy], loss: str) -> float:
    """Mean over the images of a loss of `LOSSES`; the output is not clipped."""
    total, count = 0.0, 0
    for clean, noisy, noise_std in held:
        total += LOSSES[loss](net(noisy, noise_std), clean).item() * len(clean)
        count += len(clean)
    return total / count


def means(all_scores: list[Score]) -> Score:
    """The mean of each score; dB are averaged as dB, and missing SSIM is left out."""
    known = [score.ssim for score in all_scores if score.ssim is not None]
    return Score(
        *(
            float(np.mean([getattr(score, key) for score in all_scores]))
            for key in ("mse", "psnr_noisy", "psnr")
        ),
        ssim=float(np.mean(known)) if known else None,
    )
