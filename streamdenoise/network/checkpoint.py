"""Checkpoints: one safetensors file with the weights, the ModelSpec and provenance."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from streamdenoise.errors import CheckpointError
from streamdenoise.files import replaced_whole
from streamdenoise.network.model import ModelSpec, RecurrentDenoiser

IMAGE_NETWORK_KEY = "picture_network"
"""Metadata key of the checkpoints of `train.classic`, whose networks are for images."""


def is_image_network(path: Path) -> bool:
    """Whether a checkpoint is one of `train.classic`; False if it cannot be read."""
    try:
        with safe_open(path, "pt") as file:
            return IMAGE_NETWORK_KEY in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def save_checkpoint(
    path: Path, net: RecurrentDenoiser, provenance: dict[str, Any]
) -> None:
    """Write a network and its provenance.

    Args:
        path: of the ``.safetensors`` file.
        net: the network; its spec goes into the file too.
        provenance: anything that JSON can hold.

    Raises:
        SinkError: `path` cannot be written; an existing file is left as it was.
    """
    tensors = {k: v.contiguous() for k, v in net.state_dict().items()}
    about = {"spec": json.dumps(asdict(net.spec)), "provenance": json.dumps(provenance)}
    with replaced_whole(path) as partial:
        partial.write_bytes(save(tensors, about))


def load_checkpoint(path: Path) -> tuple[RecurrentDenoiser, dict[str, Any]]:
    """Build the network of a checkpoint, in evaluation mode, on the CPU.

    Returns:
        The network and the provenance that was saved with it.

    Raises:
        CheckpointError: the file is missing or damaged, or has another architecture.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        net = RecurrentDenoiser(ModelSpec(**json.loads(metadata["spec"])))
        net.load_state_dict(tensors)
    except (OSError, SafetensorError) as exc:
        raise CheckpointError(
            f"cannot read checkpoint {path}: {exc}; give a .safetensors file that "
            "`streamdenoise train` wrote"
        ) from exc
    except (KeyError, TypeError, ValueError, RuntimeError) as exc:
        reason = " ".join(str(exc).split())[:200]
        raise CheckpointError(
            f"{path} is not a checkpoint of this architecture: {reason}; train it "
            "again or use the version that wrote it"
        ) from exc
    return net.eval(), json.loads(metadata.get("provenance", "{}"))
