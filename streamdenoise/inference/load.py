"""Loads backends, and builds the engines that they need.

A new backend is one module with a `load` function and one row in `BACKENDS`; the
conformance test runs all rows.
"""

import importlib
import logging
from types import ModuleType

from streamdenoise._version import __version__
from streamdenoise.errors import (
    ConfigError,
    EngineLoadError,
    EngineMissingError,
    EngineRefusedError,
)
from streamdenoise.inference.artifact import Artifact
from streamdenoise.inference.backend import Backend, EngineOptions, OnBuild
from streamdenoise.inference.engine_spec import EngineSpec
from streamdenoise.inference.engine_store import EngineStore
from streamdenoise.inference.registry import BACKENDS, explained, named_backend
from streamdenoise.inference.step_request import StepRequest

log = logging.getLogger(__name__)


def load_backend(
    request: StepRequest,
    *,
    store: EngineStore | None = None,
    rebuild: bool = False,
    may_build: bool = True,
    on_build: OnBuild | None = None,
) -> Backend:
    """Load the requested backend, never a substitute.

    Args:
        request: see `StepRequest`.
        store: where engines are kept; None takes the usual one.
        rebuild: discard the stored engine, which proved to be wrong.
        may_build: whether a missing engine is built.
        on_build: reports the progress of a build, and may stop it.

    Raises:
        ConfigError: no backend has this name, or it takes no batches.
        EngineMissingError: an engine is missing, and may not be built.
        EngineRefusedError: the last one that was built was refused.
        BackendUnavailableError: its package or the artifact's file is missing.
        EngineMismatchError: the artifact's file is not the one that was exported.
        BackendError: it cannot run the model.
    """
    request.check()
    entry = request.entry
    store = store or EngineStore()
    with explained(request.backend):
        module = importlib.import_module(entry.module)
        if not entry.needs_engine:
            return module.load(request, **entry.options)
        spec = spec_of(request)
        if rebuild:
            store.discard(spec)
        elif refusal := store.refusal(spec):
            raise EngineRefusedError(refusal, is_known=True)
        engine = store.find(spec)
        if engine is not None:
            try:
                return module.load(request, engine=engine, **entry.options)
            except EngineLoadError as exc:
                log.warning("%s", exc)
                store.discard(spec)
        if not may_build:
            raise EngineMissingError(
                f"{request.backend} has no engine for {request.width}x"
                f"{request.height} yet",
                (request.height, request.width),
            )
        log.warning("building the engine of %s; this may take minutes", request.backend)
        engine = build_engine(request, store=store, on_build=on_build)
        return module.load(request, engine=engine, **entry.options)


def refuse_engine(request: StepRequest, store: EngineStore, reason: str) -> None:
    """Remember that a new engine failed the self-test too, so as not to build it again.

    Args:
        request: see `StepRequest`.
        store: where engines are kept.
        reason: shown to the user.
    """
    store.refuse(spec_of(request), reason)


def check_backend(name: str, artifact: Artifact) -> None:
    """Raise what `load_backend` would raise, without building an engine.

    Args:
        name: a key of `BACKENDS`.
        artifact: the model.
    """
    size = 8 * artifact.multiple
    request = StepRequest(name, artifact, size, size)
    if not named_backend(name).needs_engine:
        load_backend(request).close()
        return
    request.check()
    with explained(name):
        spec_of(request)


def build_engine(
    request: StepRequest,
    options: EngineOptions | None = None,
    *,
    store: EngineStore | None = None,
    on_build: OnBuild | None = None,
) -> bytes:
    """Find an engine in the store, or build it and keep it there.

    Args:
        request: see `StepRequest`.
        options: see `EngineOptions`.
        store: where engines are kept; None takes the usual one.
        on_build: reports the progress of the build, and may stop it.

    Raises:
        ConfigError: the backend has no engines, or none with these options.
        BackendError: see `load_backend`.
    """
    entry = request.entry
    options = options or EngineOptions()
    if not entry.needs_engine:
        having = [n for n, e in BACKENDS.items() if e.needs_engine]
        raise ConfigError(
            f"{request.backend} runs models without engines; backends with engines: "
            f"{', '.join(having)}"
        )
    request.check()
    with explained(request.backend):
        module = importlib.import_module(entry.module)
        spec = spec_of(request, options)

        def build() -> bytes:
            log.info("building %s", spec.file_name)
            return module.build(request, options, on_build, **entry.options)

        def stopped() -> bool:
            return on_build is not None and not on_build("waiting", 0, 2)

        about = {"streamdenoise": __version__}
        if hasattr(module, "about"):
            about |= module.about(**entry.options)
        return (store or EngineStore()).find_or_build(spec, build, about, stopped)


def spec_of(request: StepRequest, options: EngineOptions | None = None) -> EngineSpec:
    """The spec of the engine that serves a request on this machine."""
    entry, artifact = request.entry, request.artifact
    options = options or EngineOptions()
    module: ModuleType = importlib.import_module(entry.module)
    flags = {
        "device": options.hardware_compatible,
        "size": options.dynamic,
    }
    return EngineSpec(
        model=artifact.name,
        weights_sha256=artifact.digest(entry.needs),
        backend=request.backend,
        precision=entry.precision,
        width=request.width,
        height=request.height,
        depth=request.depth,
        streams=request.streams,
        runtime=module.runtime(**entry.options),
        device=module.device(options, **entry.options),
        portable=tuple(flag for flag, wanted in flags.items() if wanted),
    )
