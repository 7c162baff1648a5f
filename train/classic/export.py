"""Exports a checkpoint of a textbook network to a model that backends run."""

import copy
import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from streamdenoise.errors import ConfigError
from streamdenoise.export.export import (
    check_provenance,
    self_test_reference,
    trace_onnx,
    write_artifact,
)
from streamdenoise.network.half_precision import convolve_in_half
from streamdenoise.network.packing import blocks_to_planes, planes_to_blocks

from .checkpoint import load_network
from .networks.network import ImageNetwork
from .networks.registry import kmac_per_pixel, parameters


class ImageGraph(nn.Module):
    """`streamdenoise.network.model.DeployedGraph` for networks without a state."""

    input_names = ("pixels", "peak", "sigma", "strength")

    def __init__(self, net: ImageNetwork, layout: str) -> None:
        super().__init__()
        self.net, self.layout = net, layout

    def initial_state(self, height: int, width: int) -> tuple[Tensor, ...]:
        """No state: images have no past."""
        return ()

    def forward(
        self, pixels: Tensor, peak: Tensor, sigma: Tensor, strength: Tensor
    ) -> tuple[Tensor]:
        """Run a step.

        Args:
            pixels: ``(N, H/4, W/4, C)`` in 0 to peak.
            peak: ``(1, 1, 1, 1)``, 255 or 1023.
            sigma: noise std of each plane, ``(N, P)`` in [0, 1].
            strength: ``(N, 1, 1, 1)``; a factor on the noise level, or, if the network
                does not take that, the share of its result, at most 1.

        Returns:
            The denoised pixels, rounded and clipped to [0, peak].
        """
        (noisy,) = blocks_to_planes(pixels * (1.0 / peak), self.layout)
        noise_std = sigma.mean(1)[:, None, None, None]
        if self.net.takes_sigma:
            clean = self.net.whole(noisy, noise_std * strength)
        else:
            clean = noisy + strength.clamp(max=1.0) * (
                self.net.whole(noisy, noise_std) - noisy
            )
        rounded = torch.round(clean.clamp(0.0, 1.0) * peak)
        return (planes_to_blocks((rounded,)),)


def export_network(path: Path, out_dir: Path, calibration: Path | None = None) -> Path:
    """Export a checkpoint of a textbook network; the model gets the name of the file.

    Args:
        path: a checkpoint of `streamdenoise train classic`.
        out_dir: where the files go.
        calibration: must be None, because these networks have no INT8.

    Returns:
        Path of the manifest.

    Raises:
        CheckpointError: `path` is not a checkpoint of a textbook network.
        ConfigError: `calibration` is given.
        SinkError: the files cannot be written.
    """
    if calibration is not None:
        raise ConfigError(
            f"{path} is a textbook network, which has no INT8 version; leave out "
            "--calibration"
        )
    net, spec, provenance = load_network(path)
    check_provenance(path, provenance)
    graph = ImageGraph(net, spec.layout).eval()
    about = {
        **provenance,
        "name": path.stem,
        "network": spec.name,
        "layout": spec.layout,
        "params": parameters(net),
        "kmac_per_px": round(kmac_per_pixel(spec), 2),
        "multiple": net.multiple,
        "state": {},
        "takes_sigma": net.takes_sigma,
        "checkpoint_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }

    def write_files(fresh: Path) -> dict[str, Path]:
        files = {
            "onnx": fresh / f"{path.stem}.onnx",
            "onnx_fp16": fresh / f"{path.stem}-fp16.onnx",
            "self_test": fresh / f"{path.stem}-self-test.npz",
        }
        _export_onnx(graph, about["multiple"], files["onnx"])
        half = copy.deepcopy(graph)
        convolve_in_half(half)
        _export_onnx(half, about["multiple"], files["onnx_fp16"], batches=True)
        levels = 1 if spec.layout == "gray" else 3
        np.savez_compressed(files["self_test"], *self_test_reference(graph, levels))
        return files

    return write_artifact(out_dir, about, write_files)


def _export_onnx(
    graph: ImageGraph, multiple: int, path: Path, batches: bool = False
) -> None:
    """See `streamdenoise.export.export.export_onnx`."""
    channels = 48 if graph.layout == "rgb" else 16
    blocks = multiple // 4
    count = 2 if batches else 1  # the exporter would take 1 for a constant
    inputs = (
        torch.full((count, 2 * blocks, 3 * blocks, channels), 128.0),
        torch.full((1, 1, 1, 1), 255.0),
        torch.full((count, channels // 16), 0.05),
        torch.ones((count, 1, 1, 1)),
    )
    high = torch.export.Dim("high", min=1, max=4096)
    wide = torch.export.Dim("wide", min=1, max=4096)
    each = {0: torch.export.Dim("images", min=1, max=256)} if batches else {}
    shapes = (each | {1: blocks * high, 2: blocks * wide}, None, each, each)
    names: list[str] = list(graph.input_names)
    trace_onnx(graph, inputs, shapes, names, ["pixels_out"], path)
