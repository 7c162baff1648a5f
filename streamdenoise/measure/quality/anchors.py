"""Published figures to plot next to ours: PSNR on DAVIS and cost.

PSNR of RGB in dB on the 30 clips of the DAVIS 2017 test set at 480p with known sigma,
mean over frames and clips. The clips differ from those measured here, so the figures
give a scale, not a ranking.
"""

from dataclasses import dataclass

SIGMAS = (10.0, 20.0, 30.0, 40.0, 50.0)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A published method."""

    name: str
    kmac_per_px: float
    psnr: tuple[float, ...]
    """PSNR at each of `SIGMAS`, in dB."""


# Costs: FastDVDnet is counted on its released code (638 k, or 318 k when the results
# of the first stage are kept from frame to frame); the others are the GFLOPs at 256x256
# of a table in the repository dasongli1/Shift-Net (figures/comparison2.png).
ANCHORS = (
    # Released weights, run again: issues 13 and 18 of m-tassano/fastdvdnet.
    Anchor("FastDVDnet", 638, (39.24, 36.10, 34.30, 33.02, 32.03)),
    # PSNR of the rest: the same table of Shift-Net; VRT: assets of JingyunLiang/VRT.
    Anchor("Shift-Net-s", 720, (40.55, 37.84, 36.25, 35.11, 34.20)),
    Anchor("Huang et al.", 740, (39.67, 36.33, 34.62, 33.40, 32.41)),
    Anchor("EMVD-L", 1060, (38.57, 35.39, 33.89, 32.40, 31.47)),
    Anchor("Shift-Net", 2240, (40.75, 38.19, 36.62, 35.47, 34.53)),
    Anchor("Shift-Net+", 2350, (40.91, 38.34, 36.83, 35.71, 34.82)),
    Anchor("FloRNN", 2890, (40.16, 37.52, 35.89, 34.66, 33.67)),
    Anchor("VRT", 11000, (40.82, 38.15, 36.52, 35.32, 34.36)),
)
