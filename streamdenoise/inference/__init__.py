"""Models, backends and engines: from a model's name to something that runs one step."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.inference.artifact import Artifact, open_artifact, shipped_models
    from streamdenoise.inference.backend import Backend
    from streamdenoise.inference.load import load_backend
    from streamdenoise.inference.registry import BACKENDS

__all__ = [
    "BACKENDS",
    "Artifact",
    "Backend",
    "load_backend",
    "open_artifact",
    "shipped_models",
]

__getattr__ = exports(
    __name__,
    {
        "Artifact": "artifact",
        "BACKENDS": "registry",
        "Backend": "backend",
        "load_backend": "load",
        "open_artifact": "artifact",
        "shipped_models": "artifact",
    },
)
