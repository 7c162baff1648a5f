"""Backends: one small protocol, one table.

A new backend is one module with a `load` function and one row in `BACKENDS`, from
where the conformance test takes it.
"""

import importlib
import logging
from types import ModuleType

from streamdenoise._version import __version__
from streamdenoise.errors import (
    BackendUnavailableError,
    ConfigError,
    EngineLoadError,
    EngineMissingError,
    EngineRefusedError,
)
from streamdenoise.inference.artifact import Artifact
from streamdenoise.inference.backend import (
    Backend,
    EngineOptions,
    LaneInput,
    OnBuild,
    StepRequest,
)
from streamdenoise.inference.engine_spec import EngineSpec
from streamdenoise.inference.engine_store import EngineStore
from streamdenoise.inference.registry import (
    BACKENDS,
    BackendEntry,
    Engines,
    _entry,
    backend_for,
    explained,
    usual_backends,
)

__all__ = [
    "BACKENDS",
    "Backend",
    "BackendEntry",
    "EngineOptions",
    "Engines",
    "LaneInput",
    "OnBuild",
    "StepRequest",
    "backend_for",
    "build_engine",
    "check_backend",
    "explained",
    "load_backend",
    "refuse_engine",
    "step_request",
    "usual_backends",
]

log = logging.getLogger(__name__)


def load_backend(
    name: str,
    artifact: Artifact,
    height: int,
    width: int,
    depth: int = 8,
    threads: int | None = None,
    *,
    streams: int = 1,
    store: EngineStore | None = None,
    rebuild: bool = False,
    may_build: bool = True,
    on_build: OnBuild | None = None,
) -> Backend:
    """Load one backend by name; never another one in its place.

    Args:
        name: a key of `BACKENDS`.
        artifact: the model.
        height: luma height in pixels, a multiple of the artifact's `multiple`.
        width: luma width, the same.
        depth: bits per sample, 8 or 10.
        threads: CPU threads; None leaves the choice to the runtime.
        streams: how many of this size one call advances.
        store: where engines are; None takes the usual one.
        rebuild: throw away the engine that is stored, as it proved to be wrong.
        may_build: whether an engine that is missing is built.
        on_build: told how far a build is; may stop it.

    Raises:
        ConfigError: no backend has this name, or it takes no batches.
        EngineMissingError: one is missing, and may not be built.
        EngineRefusedError: the last one that was built was refused.
        BackendUnavailableError: its package or the artifact's file is missing.
        EngineMismatchError: the artifact's file is not the one that was compiled.
        BackendError: it would not compile the model.
    """
    entry = _entry(name)
    request = step_request(name, artifact, height, width, depth, threads, streams)
    store = store or EngineStore()
    with explained(name):
        module = importlib.import_module(entry.module)
        if entry.engines is Engines.NONE:
            return module.load(name, request, **entry.options)
        spec = _spec(name, request, module, EngineOptions())
        if rebuild:
            store.discard(spec)
        elif refusal := store.refusal(spec):
            raise EngineRefusedError(refusal, is_known=True)
        engine = store.find(spec)
        if engine is not None:
            try:
                return module.load(name, request, engine=engine, **entry.options)
            except EngineLoadError as exc:
                log.warning("%s", exc)
                store.discard(spec)
        if entry.engines is Engines.OPTIONAL:
            return module.load(name, request, **entry.options)
        if not may_build:
            raise EngineMissingError(
                f"{name} has no engine for {width}x{height} yet", (height, width)
            )
        log.warning("building the engine of %s; this may take minutes", name)
        engine = build_engine(
            *(name, artifact, height, width, depth),
            streams=streams,
            store=store,
            on_build=on_build,
        )
        return module.load(name, request, engine=engine, **entry.options)


def refuse_engine(
    name: str,
    artifact: Artifact,
    height: int,
    width: int,
    depth: int,
    store: EngineStore,
    reason: str,
) -> None:
    """Remember that a new engine is no good either, so that it is not built again.

    Args:
        reason: for people.

    The others are as in `load_backend`.
    """
    module = importlib.import_module(BACKENDS[name].module)
    request = step_request(name, artifact, height, width, depth, None)
    store.refuse(_spec(name, request, module, EngineOptions()), reason)


def check_backend(name: str, artifact: Artifact) -> None:
    """Raise what `load_backend` would raise, without building an engine.

    Args:
        name: a key of `BACKENDS`.
        artifact: the model.
    """
    entry = _entry(name)
    size = 8 * artifact.multiple
    if entry.engines is not Engines.REQUIRED:
        load_backend(name, artifact, size, size).close()
        return
    request = step_request(name, artifact, size, size, 8, None)
    with explained(name):
        module = importlib.import_module(entry.module)
        _spec(name, request, module, EngineOptions())


def build_engine(
    name: str,
    artifact: Artifact,
    height: int,
    width: int,
    depth: int = 8,
    options: EngineOptions | None = None,
    *,
    streams: int = 1,
    store: EngineStore | None = None,
    on_build: OnBuild | None = None,
) -> bytes:
    """Find the engine of a backend in the store, or build it and keep it there.

    Args: see `load_backend`.

    Raises:
        ConfigError: the backend has no engines, or none with these options.
        BackendError: see `load_backend`.
    """
    entry = _entry(name)
    options = options or EngineOptions()
    if entry.engines is Engines.NONE:
        having = [n for n, e in BACKENDS.items() if e.engines is not Engines.NONE]
        raise ConfigError(
            f"{name} needs no engines, it runs models as they are; those with engines "
            f"are {', '.join(having)}"
        )
    request = step_request(name, artifact, height, width, depth, None, streams)
    with explained(name):
        module = importlib.import_module(entry.module)
        spec = _spec(name, request, module, options)

        def build() -> bytes:
            log.info("building %s", spec.file_name)
            return module.build(request, options, on_build, **entry.options)

        def stopped() -> bool:
            return on_build is not None and not on_build("waiting", 0, 2)

        about = {"streamdenoise": __version__}
        if hasattr(module, "about"):
            about |= module.about(**entry.options)
        return (store or EngineStore()).find_or_build(spec, build, about, stopped)


def step_request(
    name: str,
    artifact: Artifact,
    height: int,
    width: int,
    depth: int,
    threads: int | None,
    streams: int = 1,
) -> StepRequest:
    """What a backend is asked for; see `load_backend`.

    Raises:
        ConfigError: it takes no batches.
        BackendUnavailableError: the artifact lacks the file that the backend runs.
        EngineMismatchError: that file is not the one that was compiled.
    """
    entry = BACKENDS[name]
    file = artifact.file(entry.needs)
    if not artifact.has(entry.needs):
        raise BackendUnavailableError(
            f"{name} needs the {entry.needs} file of a model, and {artifact.name} was "
            "compiled without it; choose another backend"
        )
    if file is None:
        raise BackendUnavailableError(
            f"{name} cannot run {artifact.name}: its file "
            f"{artifact.manifest['files'][entry.needs]} is not there; compile the "
            "model again or choose another backend"
        )
    if streams > 1 and not entry.takes_batches:
        having = ", ".join(n for n, e in BACKENDS.items() if e.takes_batches)
        raise ConfigError(
            f"{name} takes one stream a call; those with batches: {having}"
        )
    artifact.verify(entry.needs)
    return StepRequest(
        *(artifact, file, height, width, depth, threads, entry.precision, streams)
    )


def _spec(
    name: str, request: StepRequest, module: ModuleType, options: EngineOptions
) -> EngineSpec:
    entry = BACKENDS[name]
    flags = {
        "runtime": options.version_compatible,
        "device": options.hardware_compatible,
        "size": options.dynamic,
    }
    return EngineSpec(
        model=request.artifact.name,
        weights_sha256=request.artifact.digest(entry.needs),
        backend=name,
        precision=entry.precision,
        width=request.width,
        height=request.height,
        depth=request.depth,
        streams=request.streams,
        runtime=module.runtime(**entry.options),
        device=module.device(options, **entry.options),
        portable=tuple(flag for flag, wanted in flags.items() if wanted),
    )
