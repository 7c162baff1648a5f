"""Builds the engine that `compile` asks for."""

import hashlib
import time

from streamdenoise.errors import (
    BackendError,
    BackendUnavailableError,
    ConfigError,
    EngineBuildError,
)
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.backend import EngineOptions, OnBuild
from streamdenoise.inference.engine_folders import FOLDER_VARIABLE
from streamdenoise.inference.engine_store import EngineStore
from streamdenoise.inference.load import build_engine, check_backend
from streamdenoise.inference.registry import BACKENDS, backend_for, usual_backends
from streamdenoise.inference.step_request import StepRequest


def make_engine(
    model: str,
    backend: str,
    precision: str | None,
    width: int,
    height: int,
    depth: int,
    options: EngineOptions,
    on_build: OnBuild | None = None,
) -> str:
    """Build an engine, unless one that fits is in the store.

    Args:
        model: name of a shipped model, or path of an exported one's ``.json``.
        backend: a name of `BACKENDS`, or ``auto`` for the first that works here.
        precision: ``fp32``, ``fp16``, ``int8``, or None for the backend's own.
        width: frame width in pixels.
        height: frame height in pixels.
        depth: bits per sample, 8 or 10.
        options: see `EngineOptions`.
        on_build: reports the progress, and may stop the build.

    Returns:
        The outcome, as a line for the user.

    Raises:
        ConfigError: an option cannot be used.
        BackendError: the backend does not work here, or could not build.
    """
    if depth not in (8, 10):
        raise ConfigError(f"--depth {depth} cannot be used; give 8 or 10")
    artifact = open_artifact(model)
    name = _first(model) if backend == "auto" else backend
    name = backend_for(name, precision)
    if not BACKENDS[name].needs_engine:
        if options != EngineOptions():
            raise ConfigError(
                f"{name} has no engines: leave out --compute-capability, "
                "--hardware-compatible and --dynamic, or choose a --backend of TensorRT"
            )
        return f"{name} runs {artifact.name} at any size: no engine is needed"
    multiple = artifact.multiple
    request = StepRequest(
        backend=name,
        artifact=artifact,
        height=-(-height // multiple) * multiple,
        width=-(-width // multiple) * multiple,
        depth=depth,
    )
    store = EngineStore()
    start = time.monotonic()
    engine = build_engine(request, options, store=store, on_build=on_build)
    took = time.monotonic() - start
    digest = hashlib.sha256(engine).hexdigest()
    kept = [s.path.parent for s in store.engines() if s.sha256 == digest]
    if not kept:
        raise EngineBuildError(
            f"the engine of {artifact.name} was built but could not be kept in "
            f"{store.folder}; make room there, or set {FOLDER_VARIABLE} to another"
        )
    return (
        f"{name} engine of {artifact.name} for {width}x{height}, "
        f"{len(engine) / 2**20:.1f} MiB, in {kept[0]} ({took:.1f} s)"
    )


def _first(model: str) -> str:
    """The backend that ``auto`` would take here, if it does not have to build first."""
    artifact = open_artifact(model)
    reasons: list[str] = []
    for name in usual_backends():
        try:
            check_backend(name, artifact)
        except BackendError as exc:
            reasons.append(str(exc))
            continue
        return name
    raise BackendUnavailableError(f"no backend works here: {'; '.join(reasons)}")
