"""Engines on disk: what a runtime compiled for one machine, and what it was made of.

An engine is a file and a JSON manifest beside it. It is used only if the manifest says
that it was built of these weights, for this size and device, by this runtime, and if
the file is whole; all else is explained and built again. Writers hold a lock, so that
two processes do not build the same engine, and files appear whole or not at all.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import MISSING, asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from streamdenoise.errors import BuildStoppedError, ConfigError, EngineBuildError
from streamdenoise.files import replaced_whole
from streamdenoise.inference.engine_folders import (
    FOLDER_VARIABLE,
    _cache_folder,
    _can_write,
    _first_writable,
    _search_path,
)
from streamdenoise.inference.engine_spec import EngineSpec

log = logging.getLogger(__name__)

MANIFEST_VERSION = 1
"""Raised whenever an older program would misread what a newer one wrote."""

_SUFFIX = ".engine.json"
_REFUSED = ".refused"
_LOCK_POLL_S = 0.2
_ABANDONED_S = 3600.0
"""A part file of this age is what a killed build left."""


@dataclass(frozen=True, slots=True)
class StoredEngine:
    """An engine of the store as its manifest describes it."""

    path: Path
    """Of the manifest."""
    spec: EngineSpec | None
    """None if the manifest cannot be used; `fault` says why."""
    fault: str = ""
    size: int = 0
    """Bytes of the engine's file."""
    sha256: str = ""
    build_s: float = 0.0
    built_at: str = ""
    about: dict[str, str] = field(default_factory=dict)
    """For people: driver, name of the GPU, version of streamdenoise."""

    @property
    def engine_path(self) -> Path:
        return self.path.with_suffix("")

    def read(self) -> bytes:
        """The engine.

        Raises:
            ValueError: it is not whole, or not what was written; says which.
        """
        try:
            data = self.engine_path.read_bytes()
        except OSError as exc:
            raise ValueError(f"its file cannot be read ({exc.strerror})") from exc
        if len(data) != self.size:
            raise ValueError(f"it is truncated: {len(data)} of {self.size} bytes")
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise ValueError("it is corrupt: its checksum is another one")
        return data

    def check(self) -> str:
        """What is wrong with it; empty if it is whole."""
        if self.fault:
            return self.fault
        try:
            self.read()
        except ValueError as exc:
            return str(exc)
        return ""


class EngineStore:
    """The engines of one folder, or of two; safe to share between processes.

    Attributes:
        folders: where engines are looked for, in this order.
        folder: where they go, the first of these that can be written.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Open a store; nothing is written yet.

        Args:
            folder: where engines are, and nowhere else if it can be written; None
                takes those that `default_folder` tells of.
        """
        self.folders = _search_path(folder)
        self.folder = _first_writable(self.folders)

    def engines(self) -> list[StoredEngine]:
        """Everything in the store, folder by folder and by name; none raises."""
        return [
            _read_manifest(path)
            for folder in self.folders
            for path in sorted(folder.glob(f"*{_SUFFIX}"))
        ]

    def find(self, wanted: EngineSpec) -> bytes | None:
        """An engine that fits and is whole; if none, a misfit of its name is told."""
        data, fault = self._search(wanted)
        if fault:
            name = f"{wanted.file_name}{_SUFFIX}"
            log.warning("engine %s is not used: %s", name, fault)
        return data

    def _search(self, wanted: EngineSpec) -> tuple[bytes | None, str]:
        """The same, and why an engine of that name is not used."""
        told = ""
        for stored in self._candidates(wanted):
            fault = stored.fault
            if stored.spec is not None:
                fault = stored.spec.misfit(wanted)
            if not fault:
                try:
                    return stored.read(), ""
                except ValueError as exc:
                    fault = str(exc)
            if stored.path.name == f"{wanted.file_name}{_SUFFIX}":
                told = fault
        return None, told

    def _candidates(self, wanted: EngineSpec) -> list[StoredEngine]:
        """The engine of the very name first, then all that may be more portable."""
        name = f"{wanted.file_name}{_SUFFIX}"
        return sorted(self.engines(), key=lambda stored: stored.path.name != name)

    def find_or_build(
        self,
        spec: EngineSpec,
        build: Callable[[], bytes],
        about: dict[str, str] | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> bytes:
        """The engine, built and kept if there is none that fits.

        If another process builds it at the moment, this waits for that one.

        Args:
            spec: what is wanted.
            build: makes the engine; what it raises is raised here, and nothing is kept.
            about: facts for people that the manifest shall hold.
            stopped: asked while this waits; ends that when it says so.

        Raises:
            EngineBuildError: what was built is empty.
            BuildStoppedError: waiting was stopped.
        """
        found = self.find(spec)
        if found is not None:
            return found
        self._make_folder()
        with _locked(self.folder / f"{spec.file_name}.lock", stopped):
            # Another process may have built it while this one waited.
            found, _ = self._search(spec)
            if found is not None:
                return found
            start = time.monotonic()
            data = build()
            if not data:
                raise EngineBuildError(
                    f"{spec.backend} built nothing for {spec.model}; try another "
                    "--backend"
                )
            self._write(spec, data, time.monotonic() - start, about or {})
            return data

    def _make_folder(self) -> None:
        """Make the folder where engines go, or the user's cache in its place.

        Raises:
            ConfigError: neither can be written.
        """
        first, tried = self.folders[0], dict.fromkeys((*self.folders, _cache_folder()))
        for folder in tried:
            with suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
            if not (os.path.isdir(folder) and _can_write(folder)):
                continue
            if folder != first:
                log.warning("%s cannot be written: engines go to %s", first, folder)
            self.folder = folder
            if folder not in self.folders:
                self.folders = (*self.folders, folder)
            return
        raise ConfigError(
            f"engines cannot be written to {' or '.join(map(str, tried))}; set "
            f"{FOLDER_VARIABLE} to a folder that can"
        )

    def _write(
        self, spec: EngineSpec, data: bytes, build_s: float, about: dict[str, str]
    ) -> None:
        file = f"{spec.file_name}.engine"
        manifest = {
            "manifest_version": MANIFEST_VERSION,
            "spec": asdict(spec),
            "file": file,
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "build_s": round(build_s, 2),
            "built_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "about": about,
        }
        try:
            # In this order: a manifest without its file is explained and rebuilt.
            with replaced_whole(self.folder / file) as partial:
                partial.write_bytes(data)
            with replaced_whole(self.folder / f"{spec.file_name}{_SUFFIX}") as partial:
                partial.write_text(json.dumps(manifest, indent=2) + "\n")
            (self.folder / f"{spec.file_name}{_REFUSED}").unlink(missing_ok=True)
        except OSError as exc:
            # It can be used all the same, this time.
            log.warning("the engine is not kept and will be built again: %s", exc)

    def discard(self, wanted: EngineSpec) -> None:
        """Delete every engine that `find` would take: the next one is built anew.

        For those that proved to be no good, though they are whole. What another process
        is building, or what cannot be deleted, stays.
        """

        def serves(stored: StoredEngine) -> bool:
            return stored.spec is not None and not stored.spec.misfit(wanted)

        for stored in self.engines():
            if serves(stored):
                _delete_engine(stored.path, serves)

    def refuse(self, spec: EngineSpec, reason: str) -> None:
        """Remember that even a new engine is no good, until another one is built."""
        with suppress(OSError):
            (self.folder / f"{spec.file_name}{_REFUSED}").write_text(
                f"{spec.runtime}\n{reason}"
            )

    def refusal(self, spec: EngineSpec) -> str:
        """Why a new engine of this runtime was no good; empty if none was refused."""
        with suppress(OSError):
            text = (self.folder / f"{spec.file_name}{_REFUSED}").read_text()
            runtime, _, reason = text.partition("\n")
            return reason if runtime == spec.runtime else ""
        return ""

    def verify(self) -> list[tuple[StoredEngine, str]]:
        """Read every engine; beside each what is wrong with it, or nothing."""
        return [(stored, stored.check()) for stored in self.engines()]

    def prune(
        self, is_unwanted: Callable[[StoredEngine], bool] = lambda stored: False
    ) -> list[Path]:
        """Delete broken engines, what killed builds left, and what is not wanted.

        What another process is building, or what cannot be deleted, is told and stays.

        Args:
            is_unwanted: says of an engine that is whole whether to delete it too.

        Returns:
            What was deleted.
        """

        def is_bad(stored: StoredEngine) -> bool:
            return bool(stored.check()) or is_unwanted(stored)

        deleted, manifests = [], set[Path]()
        for folder in self.folders:
            deleted += filter(_delete, _abandoned(folder))
            manifests.update(folder.glob(f"*{_SUFFIX}"))
            manifests.update(
                engine.with_name(f"{engine.name}.json")
                for engine in folder.glob("*.engine")
            )
            deleted += filter(_delete, folder.glob(f"*{_REFUSED}"))
        for manifest in manifests:
            if is_bad(_read_manifest(manifest)):
                deleted += _delete_engine(manifest, is_bad)
        return sorted(deleted)


def _delete_engine(
    manifest: Path, is_bad: Callable[[StoredEngine], bool]
) -> list[Path]:
    """Delete a manifest and its engine, if still bad under the lock; returns what."""
    engine = manifest.with_suffix("")
    try:
        with FileLock(engine.with_suffix(".lock")).acquire(timeout=0):
            # Another process may have just finished it.
            if is_bad(_read_manifest(manifest)):
                return list(filter(_delete, (manifest, engine)))
    except Timeout:
        log.warning("%s stays: another process builds it", engine.name)
    except OSError as exc:
        log.warning("%s cannot be deleted (%s)", engine, exc.strerror)
    return []


@contextmanager
def _locked(path: Path, stopped: Callable[[], bool] | None) -> Iterator[None]:
    """Hold a lock that the system takes away from a process that dies.

    Raises:
        BuildStoppedError: `stopped` said so while another process held it.
    """
    lock = FileLock(path)
    told = False
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            if not told:
                log.warning("another process builds %s: waiting for it", path.stem)
                told = True
        if stopped is not None and stopped():
            raise BuildStoppedError(
                f"stopped while another process builds {path.stem}; nothing was kept"
            )
        time.sleep(_LOCK_POLL_S)
    try:
        yield
    finally:
        lock.release()


def _abandoned(folder: Path) -> Iterator[Path]:
    """What killed builds left."""
    now = time.time()
    for path in folder.glob(".*.part"):
        with suppress(FileNotFoundError):
            if now - path.stat().st_mtime > _ABANDONED_S:
                yield path


def _delete(path: Path) -> bool:
    """Whether it was there and is gone; tells why it stays."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as exc:
        log.warning("%s cannot be deleted (%s)", path, exc.strerror)
        return False
    return True


def _read_manifest(path: Path) -> StoredEngine:
    """An engine, or why it cannot be used."""
    try:
        manifest = json.loads(path.read_bytes())
        if _typed(manifest, "manifest_version", int) > MANIFEST_VERSION:
            fault = (
                "it was written by a newer streamdenoise: `pip install --upgrade "
                "streamdenoise`, or `streamdenoise engines prune`"
            )
            return StoredEngine(path, None, fault)
        return StoredEngine(
            path,
            _read_spec(manifest["spec"]),
            size=_typed(manifest, "size", int),
            sha256=_typed(manifest, "sha256", str),
            build_s=_typed(manifest, "build_s", float),
            built_at=_typed(manifest, "built_at", str),
            about={
                key: str(value)
                for key, value in _typed(manifest, "about", dict).items()
            },
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
        reason = " ".join(str(exc).split())[:100]
        return StoredEngine(path, None, f"its manifest is unreadable ({reason})")


def _read_spec(table: dict[str, Any]) -> EngineSpec:
    portable = _typed(table, "portable", list)
    if not {*portable} <= {"runtime", "device", "size"}:
        raise ValueError(f"portable is {portable!r}")
    raw = {
        each.name: _typed(table, each.name, each.type)
        for each in fields(EngineSpec)
        if each.name != "portable" and (each.name in table or each.default is MISSING)
    }
    return EngineSpec(**raw, portable=tuple(portable))


def _typed(table: dict[str, Any], name: str, kind: Any) -> Any:
    """A value of a manifest, which may be anything."""
    value = table[name]
    if type(value) is not kind:
        raise TypeError(f"{name} is {value!r}")
    if kind is int and not 0 <= value < 2**53:
        raise ValueError(f"{name} is out of range")
    if kind is str:
        value.encode()  # so that it can be printed
    return value
