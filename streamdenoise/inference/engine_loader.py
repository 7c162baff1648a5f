"""Chooses the best backend that works, and a better one once its engine is built."""

import logging
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
from streamdenoise.inference.backends.tiled import TiledBackend
from streamdenoise.inference.background_build import BackgroundBuild
from streamdenoise.inference.engine_store import EngineStore
from streamdenoise.inference.load import check_backend, load_backend, refuse_engine
from streamdenoise.inference.registry import (
    BACKENDS,
    explained,
    require_batches,
    usual_backends,
)
from streamdenoise.inference.self_test import self_test
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.inference.tiles import tile_for, usual_tile
from streamdenoise.threads import thread_limit

log = logging.getLogger(__name__)

_SMALLEST_TILE = 256


class Loader(Protocol):
    """Supplies engines to a denoiser."""

    notes: tuple[str, ...]
    """Why other backends do not run."""

    def load(self, height: int, width: int, depth: int) -> Backend:
        """Load an engine for a size; the caller closes it."""
        ...

    def better(self) -> Backend | None:
        """Return an engine that has become ready since `load`, once."""
        ...

    def close(self) -> None:
        """Stop a build in progress; may be called again."""
        ...


class EngineLoader:
    """Loads engines of one model, which have to pass the self-test.

    Attributes:
        notes: why backends that ``auto`` tried first do not run.
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
        """Configure the loader; nothing is loaded yet.

        Args:
            artifact: the model.
            backend: a name of `BACKENDS`, then the only one, or ``auto``.
            threads: CPU threads; None leaves the choice to the runtime, up to
                `thread_limit`.
            tile: largest side of tiles, in pixels; None processes whole frames, or
                tiles if these are large or do not fit into memory.
            streams: number of streams that one call advances, with a backend that
                takes batches; None is one stream, with any backend.
            wait: whether to build a missing engine first. Otherwise ``auto`` starts
                with the best backend that is ready, and builds it meanwhile.
            store: where engines are kept; None takes the usual one.
            on_build: reports the progress of a build that `load` waits for, and may
                stop it.

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
        self._threads = threads or thread_limit()
        self._tile = tile
        self._streams = streams
        self._wait = wait
        self._store = store or EngineStore()
        self._on_build = on_build
        self._builder: BackgroundBuild | None = None

    def check(self) -> None:
        """Raise now, not at the first frame, if a named backend does not work here.

        Raises:
            StreamDenoiseError: see `check_backend`.
        """
        if self._backend != "auto":
            check_backend(self._backend, self._artifact)

    def load(self, height: int, width: int, depth: int) -> Backend:
        """Load an engine for a size; see `load_backend`.

        Raises:
            BackendUnavailableError: no backend works here; gives the reason for each.
            EngineRefusedError: the named backend fails the self-test.
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
                continue  # it was exported without this file: not worth a note
            request = self._request(name, height, width, depth)
            try:
                engine = self._load(request, may_build=self._wait)
            except EngineMissingError as exc:
                if self._builder is None:  # otherwise a faster one is being built
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
            f"{'; '.join(reasons) or 'it was exported for none'}"
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
        """Return an engine that has become ready since `load`, once.

        The caller closes it.
        """
        builder = self._builder
        if builder is None or builder.is_alive():
            return None
        self._builder = None
        if builder.error is not None:
            log.warning("%s", builder.error)
            self.notes = (*self.notes, str(builder.error))
        return builder.engine

    def close(self) -> None:
        """Stop a build in progress; may be called again."""
        builder, self._builder = self._builder, None
        if builder is not None:
            builder.stop()

    def _build(self, request: StepRequest, missing: tuple[int, int]) -> None:
        """Build the missing engine, perhaps for a tile, then load it."""
        log.warning("building the engine of %s; this may take minutes", request.backend)
        self._builder = BackgroundBuild(
            replace(request, height=missing[0], width=missing[1]),
            self._store,
            lambda: self._load(request, may_build=False),
        )
        self._builder.start()

    def _load(self, request: StepRequest, *, may_build: bool = True) -> Backend:
        """Load an engine for whole frames, or for tiles as large as fit into memory."""
        height, width = request.height, request.width
        tile = self._tile
        if tile is None and self._streams is None and not request.entry.needs_cuda:
            tile = usual_tile(height, width, request.entry.bytes_per_px)
        while True:
            size = (height, width) if tile is None else tile_for(height, width, tile)
            part = replace(request, height=size[0], width=size[1])
            try:
                engine = self._load_tested(part, may_build)
            except DeviceMemoryError as exc:
                smaller = (tile or max(height, width)) // 16 * 8
                is_fixed = self._tile is not None or self._streams is not None
                if is_fixed or smaller < _SMALLEST_TILE:
                    raise
                log.warning("%s; trying tiles of %d pixels", exc, smaller)
                tile = smaller
                continue
            return engine if part == request else TiledBackend(request, engine, size)

    def _load_tested(self, request: StepRequest, may_build: bool) -> Backend:
        """Load an engine and run the self-test.

        A stored engine that fails is built again, once.
        """

        def load(rebuild: bool) -> Backend:
            engine = load_backend(
                request,
                store=self._store,
                rebuild=rebuild,
                may_build=may_build,
                on_build=self._on_build,
            )
            try:
                with explained(request.backend):
                    psnr = self_test(engine, request)
            except BaseException:
                engine.close()
                raise
            log.info("%s has %.1f dB in the self-test", engine.name, psnr)
            return engine

        try:
            return load(rebuild=False)
        except EngineRefusedError as exc:
            if not request.entry.needs_engine or exc.is_known:
                raise
            log.warning("%s; it is not used again", exc)
        try:
            return load(rebuild=True)
        except EngineRefusedError as exc:
            refuse_engine(request, self._store, str(exc))
            raise
