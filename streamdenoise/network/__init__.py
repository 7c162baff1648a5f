"""The network in PyTorch: model, packing, checkpoints. What runs it is elsewhere."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.network.checkpoint import load_checkpoint, save_checkpoint
    from streamdenoise.network.model import DeployedGraph, ModelSpec, RecurrentDenoiser

__all__ = [
    "DeployedGraph",
    "ModelSpec",
    "RecurrentDenoiser",
    "load_checkpoint",
    "save_checkpoint",
]

__getattr__ = exports(
    __name__,
    {
        "DeployedGraph": "model",
        "ModelSpec": "model",
        "RecurrentDenoiser": "model",
        "load_checkpoint": "checkpoint",
        "save_checkpoint": "checkpoint",
    },
)
