"""Which engine runs: the best one that works, and a better one once it is built."""

import logging
import sys
from dataclasses import replace
from typing import Protocol

from streamdenoise.errors import (
    BackendError,
    BackendUnavailableError,
    BuildStoppedError,
    ConfigError,
    DeviceMemoryError,
    EngineMissingError,
    EngineRefusedError,
)
from streamdenoise.inference.artifact import Artifact
from streamdenoise.inference.backend import Backend, OnBuild
from streamdenoise.inference.backends.tiled import TiledBackend, tile_for
from streamdenoise.inference.background_build import _BackgroundBuild
from streamdenoise.inference.engine_store import EngineStore
from streamdenoise.inference.guard import check_engine
from streamdenoise.inference.load import load_backend, refuse_engine
from streamdenoise.inference.registry import (
    BACKENDS,
    Engines,
    explained,
    require_batches,
    usual_backends,
)
from streamdenoise.inference.step_request import StepRequest

log = logging.getLogger(__name__)

_SMALLEST_TILE = 256


class Loader(Protocol):
    """Where a denoiser has its engines from."""

    notes: tuple[str, ...]
    """Why other engines do not run."""

    def load(self, height: int, width: int, depth: int) -> Backend:
        """An engine for a size, which the caller closes."""
        ...

    def better(self) -> Backend | None:
        """An engine that has become ready since `load`, once."""
        ...

    def close(self) -> None:
        """Stop what is going on; may be called again."""
        ...


class EngineLoader:
    """Loads guarded engines for one model.

    Attributes:
        notes: why backends that were tried first do not run.
    """

    def __init__(
        self,
        artifact: Artifact,
        *,
        backend: str = "auto",
        threads: int | None = None,
        tile: int | None = None,
        streams: int | None = None,
        wait: bool = True,
        store: EngineStore | None = None,
        on_build: OnBuild | None = None,
    ) -> None:
        """Say what is wanted; nothing is loaded yet.

        Args:
            artifact: the model.
            backend: a name of `BACKENDS`, which is then the only one, or ``auto``.
            threads: CPU threads; None leaves the choice to the runtime.
            tile: largest side of what is denoised at once, in pixels; None takes the
                whole picture, or tiles where it does not fit into memory.
            streams: number of streams that one call advances, by a backend that takes
                batches; None is for one stream, by any backend.
            wait: build engines that are missing first. Otherwise ``auto`` starts on
                the best backend that is ready and builds the other meanwhile.
            store: where engines are; None takes the usual one.
            on_build: told how far a build is that is waited for; may stop it.

        Raises:
            ConfigError: the tile is too small, or no multiple of 8.
        """
        if tile is not None:
            try:
                tile_for(tile, tile, tile)
            except ValueError as exc:
                raise ConfigError(f"--tile {tile} cannot be used: {exc}") from exc
        self.notes: tuple[str, ...] = ()
        self._artifact = artifact
        self._backend = backend
        self._threads = threads
        self._tile = tile
        self._streams = streams
        self._wait = wait
        self._store = store or EngineStore()
        self._on_build = on_build
        self._builder: _BackgroundBuild | None = None

    def load(self, height: int, width: int, depth: int) -> Backend:
        """Load an engine for a size; see `load_backend`.

        Raises:
            BackendUnavailableError: no backend works here; says why for each.
            EngineRefusedError: the named one computes something else.
            BackendError: see `load_backend`.
        """
        self.close()
        if self._backend != "auto":
            if self._streams is not None:
                require_batches(self._backend)
            return self._load(self._request(self._backend, height, width, depth))
        reasons: list[str] = []
        for name in usual_backends():
            entry = BACKENDS[name]
            if self._streams is not None and not entry.takes_batches:
                continue
            if not self._artifact.has(entry.needs):
                continue  # as it was compiled: nothing that could be mended
            request = self._request(name, height, width, depth)
            try:
                engine = self._load(request, may_build=self._wait)
            except EngineMissingError as exc:
                if self._builder is None:  # else a faster one is on its way
                    self._build(request, exc.size)
                    reasons.append(f"{name} is being built and takes over when ready")
                continue
            except EngineRefusedError as exc:
                log.warning("%s", exc)
                reasons.append(str(exc))
                continue
            except BuildStoppedError:
                self.close()
                raise
            except BackendError as exc:
                log.info("%s", exc)
                reasons.append(str(exc))
                continue
            self.notes = tuple(reasons)
            log.info("backend %s", name)
            return engine
        self.close()
        kind = "backend" if self._streams is None else "backend that takes batches"
        raise BackendUnavailableError(
            f"no {kind} works here for model {self._artifact.name}: "
            f"{'; '.join(reasons) or 'it was compiled for none'}"
        )

    def _request(self, name: str, height: int, width: int, depth: int) -> StepRequest:
        return StepRequest(
            backend=name,
            artifact=self._artifact,
            height=height,
            width=width,
            depth=depth,
            threads=self._threads,
            streams=self._streams or 1,
        )

    def better(self) -> Backend | None:
        """An engine that has become ready since `load`, once; the caller closes it."""
        builder = self._builder
        if builder is None or builder.is_alive():
            return None
        self._builder = None
        if builder.error is not None:
            log.warning("%s", builder.error)
            self.notes = (*self.notes, str(builder.error))
        return builder.engine

    def close(self) -> None:
        """Stop what is being built; may be called again."""
        builder, self._builder = self._builder, None
        if builder is not None:
            builder.stop()

    def _build(self, request: StepRequest, missing: tuple[int, int]) -> None:
        """Build the engine for `missing`, a tile's size perhaps, and load it whole."""
        name = request.backend
        log.warning("the engine of %s is being built; this takes a while", name)
        command = [
            *(sys.executable, "-m", "streamdenoise", "compile"),
            str(self._artifact.path or self._artifact.name),
            *("--size", f"{missing[1]}x{missing[0]}", "--depth", str(request.depth)),
            *("--backend", name, "--quiet"),
        ]
        self._builder = _BackgroundBuild(
            command, self._store, lambda: self._load(request, may_build=False)
        )
        self._builder.start()

    def _load(self, request: StepRequest, *, may_build: bool = True) -> Backend:
        """Whole, or in tiles as large as fit into memory."""
        height, width = request.height, request.width
        tile = self._tile
        while True:
            size = (height, width) if tile is None else tile_for(height, width, tile)
            part = replace(request, height=size[0], width=size[1])
            try:
                engine = self._load_guarded(part, may_build)
            except DeviceMemoryError as exc:
                smaller = (tile or max(height, width)) // 16 * 8
                is_fixed = self._tile is not None or self._streams is not None
                if is_fixed or smaller < _SMALLEST_TILE:
                    raise
                log.warning("%s; trying tiles of %d pixels", exc, smaller)
                tile = smaller
                continue
            return engine if part == request else TiledBackend(request, engine, size)

    def _load_guarded(self, request: StepRequest, may_build: bool) -> Backend:
        """An engine that has shown on the known clip that it is sound.

        One that is stored and is not gets a second chance, built anew.
        """

        def load(rebuild: bool) -> Backend:
            engine = load_backend(
                request,
                store=self._store,
                rebuild=rebuild,
                may_build=may_build,
                on_build=self._on_build,
            )
            return guarded(engine, request)

        engines = request.entry.engines
        try:
            return load(rebuild=False)
        except EngineRefusedError as exc:
            if engines is Engines.NONE or exc.is_known:
                raise
            log.warning("%s; it is not used again", exc)
        try:
            return load(rebuild=True)
        except EngineRefusedError as exc:
            if engines is Engines.REQUIRED:
                refuse_engine(request, self._store, str(exc))
            raise


def guarded(engine: Backend, request: StepRequest) -> Backend:
    """The engine, after it has shown on the known clip that it is sound.

    Args:
        engine: fresh; closed if it is not sound.
        request: what it was loaded for.

    Raises:
        EngineRefusedError: its pictures are wrong.
        BackendError: it does not run.
    """
    try:
        with explained(request.backend):
            psnr = check_engine(engine, request)
    except BaseException:
        engine.close()
        raise
    log.info("%s has %.1f dB against the model on the known clip", engine.name, psnr)
    return engine
