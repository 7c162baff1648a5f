"""Checkpoints: one safetensors file with the weights, the ModelSpec and provenance."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from streamdenoise.errors import CheckpointError, ConfigError
from streamdenoise.files import replaced_whole
from streamdenoise.network.model import ModelSpec, RecurrentDenoiser
from streamdenoise.security.small_files import parse_json

IMAGE_NETWORK_KEY = "picture_network"
"""Metadata key of the checkpoints of `train.classic`, whose networks are for images."""

Built = TypeVar("Built")


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
        path: the ``.safetensors`` file.
        net: the network; its spec goes into the file too.
        provenance: anything that JSON can hold.

    Raises:
        SinkError: `path` cannot be written; an existing file is left as it was.
    """
    write_checkpoint(path, net, {"spec": asdict(net.spec), "provenance": provenance})


def load_checkpoint(path: Path) -> tuple[RecurrentDenoiser, dict[str, Any]]:
    """Build the network of a checkpoint, in evaluation mode, on the CPU.

    Returns:
        The network and the provenance that was saved with it.

    Raises:
        CheckpointError: the file is missing or damaged, or has another architecture.
    """

    def build(
        metadata: dict[str, Any], tensors: dict[str, Tensor]
    ) -> tuple[RecurrentDenoiser, dict[str, Any]]:
        net = RecurrentDenoiser(ModelSpec(**metadata["spec"]))
        net.load_state_dict(tensors)
        return net.eval(), metadata.get("provenance", {})

    return read_checkpoint(path, build, "of this architecture", "train")


def write_checkpoint(path: Path, net: nn.Module, metadata: dict[str, Any]) -> None:
    """Write the weights of any network, and metadata that JSON can hold.

    Raises:
        SinkError: `path` cannot be written; an existing file is left as it was.
    """
    tensors = {name: value.contiguous() for name, value in net.state_dict().items()}
    texts = {key: json.dumps(value) for key, value in metadata.items()}
    with replaced_whole(path) as partial:
        partial.write_bytes(save(tensors, texts))


def read_checkpoint(
    path: Path,
    build: Callable[[dict[str, Any], dict[str, Tensor]], Built],
    kind: str,
    command: str,
) -> Built:
    """Read what `write_checkpoint` wrote.

    Args:
        path: the ``.safetensors`` file.
        build: makes the result from the metadata and the tensors.
        kind: ends "not a checkpoint ..." in the error.
        command: the `streamdenoise` command that writes these files, for the error.

    Raises:
        CheckpointError: the file cannot be read, or `build` failed.
    """
    try:
        with safe_open(path, "pt") as file:
            texts = file.metadata() or {}
            metadata = {key: parse_json(text) for key, text in texts.items()}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return build(metadata, tensors)
    except (OSError, SafetensorError) as exc:
        raise CheckpointError(
            f"cannot read checkpoint {path}: {exc}; give a .safetensors file that "
            f"`streamdenoise {command}` wrote"
        ) from exc
    except (KeyError, TypeError, ValueError, RuntimeError, ConfigError) as exc:
        reason = " ".join(str(exc).split())[:200]
        raise CheckpointError(
            f"{path} is not a checkpoint {kind}: {reason}; train it again or use the "
            "version that wrote it"
        ) from exc
