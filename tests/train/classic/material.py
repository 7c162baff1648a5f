"""Small images, runs and checkpoints for the tests of the textbook networks."""

import struct
from pathlib import Path

import cv2
import numpy as np
import torch

from train.classic.checkpoint import save_network
from train.classic.config import ClassicConfig
from train.classic.networks.registry import NetworkSpec

SIDE = 16


def idx_bytes(samples: np.ndarray, kind: int = 0x08) -> bytes:
    dims = samples.ndim
    header = struct.pack(f">BBBB{dims}I", 0, 0, kind, dims, *samples.shape)
    return header + samples.astype({0x08: ">u1", 0x0D: ">f4"}[kind]).tobytes()


def bars(count: int = 60) -> np.ndarray:
    """Images ``(N, SIDE, SIDE)`` of one white bar each, easy to learn."""
    rng = np.random.default_rng(0)
    images = np.zeros((count, SIDE, SIDE), np.uint8)
    places = rng.permutation(3 * (SIDE - 6) ** 2)[:count]
    for image, place in zip(images, places, strict=True):
        top, left = divmod(place // 3, SIDE - 6)
        height = 3 + place % 3
        image[top : top + height, left : left + 6] = 255
    return images


def config(data: Path, output: Path, **changes: object) -> ClassicConfig:
    options: dict[str, object] = {
        "networks": ("cnn4dn",),
        "data": str(data),
        "output": output,
        "sigma": (76.5, 76.5),
        "epochs": 2,
        "batch": 8,
        "lr": 3e-3,
        "threads": 1,
    }
    return ClassicConfig(**(options | changes))  # type: ignore[arg-type]


def imread(path: Path) -> np.ndarray:
    """``(H, W, 3)`` BGR."""
    image = cv2.imread(str(path))
    assert image is not None
    return image


def quiet(line: str) -> None:
    """Discard progress."""


def checkpoint(path: Path, name: str, channels: int) -> Path:
    torch.manual_seed(1)
    spec = NetworkSpec(name, channels, 8)
    net = spec.build()
    if name.startswith("autoencoder"):  # otherwise its output is black
        *_, last = (p for n, p in net.named_parameters() if n.endswith("bias"))
        torch.nn.init.constant_(last, 0.5)
    save_network(path, net, spec, {"data": "none"})
    return path
