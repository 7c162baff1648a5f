"""Checkpoints of the textbook networks: weights, spec and provenance in one file."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from streamdenoise.errors import CheckpointError, ConfigError
from streamdenoise.files import replaced_whole
from streamdenoise.network.checkpoint import IMAGE_NETWORK_KEY

from .networks.network import ImageNetwork
from .networks.registry import NetworkSpec


def save_network(
    path: Path, net: ImageNetwork, spec: NetworkSpec, provenance: dict[str, Any]
) -> None:
    """Write a network, its spec and its provenance.

    Raises:
        SinkError: it cannot be written; an existing file is left as it was.
    """
    tensors = {name: value.contiguous() for name, value in net.state_dict().items()}
    about = {
        IMAGE_NETWORK_KEY: json.dumps(asdict(spec)),
        "provenance": json.dumps(provenance),
    }
    with replaced_whole(path) as partial:
        partial.write_bytes(save(tensors, about))


def load_network(path: Path) -> tuple[ImageNetwork, NetworkSpec, dict[str, Any]]:
    """Build the network of a checkpoint, in evaluation mode, on the CPU.

    Returns:
        The network, its spec and the provenance.

    Raises:
        CheckpointError: the file is missing or damaged, or has another architecture.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        spec = NetworkSpec(**json.loads(metadata[IMAGE_NETWORK_KEY]))
        net = spec.build()
        net.load_state_dict(tensors)
        provenance = json.loads(metadata.get("provenance", "{}"))
    except (OSError, SafetensorError) as exc:
        raise CheckpointError(
            f"cannot read checkpoint {path}: {exc}; give a .safetensors file that "
            "`streamdenoise train classic` wrote"
        ) from exc
    except (KeyError, TypeError, ValueError, RuntimeError, ConfigError) as exc:
        reason = " ".join(str(exc).split())[:200]
        raise CheckpointError(
            f"{path} is not a checkpoint of a textbook network: {reason}; train it "
            "again or use the version that wrote it"
        ) from exc
    return net.eval(), spec, provenance
