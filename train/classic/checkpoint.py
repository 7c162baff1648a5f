"""Checkpoints of the textbook networks: weights, spec and provenance in one file."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from streamdenoise.network.checkpoint import (
    IMAGE_NETWORK_KEY,
    read_checkpoint,
    write_checkpoint,
)

from .networks.network import ImageNetwork
from .networks.registry import NetworkSpec

Loaded = tuple[ImageNetwork, NetworkSpec, dict[str, Any]]


def save_network(
    path: Path, net: ImageNetwork, spec: NetworkSpec, provenance: dict[str, Any]
) -> None:
    """Write a network, its spec and its provenance.

    Raises:
        SinkError: it cannot be written; an existing file is left as it was.
    """
    about = {IMAGE_NETWORK_KEY: asdict(spec), "provenance": provenance}
    write_checkpoint(path, net, about)


def load_network(path: Path) -> Loaded:
    """Build the network of a checkpoint, in evaluation mode, on the CPU.

    Returns:
        The network, its spec and the provenance.

    Raises:
        CheckpointError: the file is missing or damaged, or has another architecture.
    """

    def build(metadata: dict[str, Any], tensors: dict[str, Tensor]) -> Loaded:
        spec = NetworkSpec(**metadata[IMAGE_NETWORK_KEY])
        net = spec.build()
        net.load_state_dict(tensors)
        return net.eval(), spec, metadata.get("provenance", {})

    return read_checkpoint(path, build, "of a textbook network", "train classic")
