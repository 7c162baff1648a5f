"""Models, backends and engines: everything that runs a step; no frames or colors."""

from typing import TYPE_CHECKING

from streamdenoise._lazy import exports

if TYPE_CHECKING:
    from streamdenoise.inference.artifact import Artifact, open_artifact, shipped_models
    from streamdenoise.inference.backend import Backend, EngineOptions
    from streamdenoise.inference.build import make_engine
    from streamdenoise.inference.engine_loader import EngineLoader
    from streamdenoise.inference.engine_store import EngineStore
    from streamdenoise.inference.load import check_backend, load_backend
    from streamdenoise.inference.registry import BACKENDS
    from streamdenoise.inference.step_request import StepRequest

__all__ = [
    "BACKENDS",
    "Artifact",
    "Backend",
    "EngineLoader",
    "EngineOptions",
    "EngineStore",
    "StepRequest",
    "check_backend",
    "load_backend",
    "make_engine",
    "open_artifact",
    "shipped_models",
]

__getattr__ = exports(
    __name__,
    {
        "Artifact": "artifact",
        "BACKENDS": "registry",
        "Backend": "backend",
        "EngineLoader": "engine_loader",
        "EngineOptions": "backend",
        "EngineStore": "engine_store",
        "StepRequest": "step_request",
        "check_backend": "load",
        "load_backend": "load",
        "make_engine": "build",
        "open_artifact": "artifact",
        "shipped_models": "artifact",
    },
)
