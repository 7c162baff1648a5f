"""Engines on disk: what a runtime compiled for one machine.

An engine is a file with a JSON manifest. It is used only if the manifest says that it
was built from these weights, for this size and device, by this runtime, and if the file
is intact; otherwise the reason is logged and the engine built again. Neither may be
somebody else's, or in a folder that others can write to: runtimes trust their engines.
Writers hold a lock, so that two processes do not build the same engine, and files
appear complete or not at all.
"""

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
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
    cache_folder,
    can_use,
    first_usable,
    make_folder,
    search_path,
)
from streamdenoise.inference.engine_spec import EngineSpec
from streamdenoise.security.ownership import why_others_write
from streamdenoise.security.small_files import read_json, read_small

log = logging.getLogger(__name__)

MANIFEST_VERSION = 1
"""Increases whenever an older program would misread a newer manifest."""

_SUFFIX = ".engine.json"
_REFUSED = ".refused"
_LOCK_POLL_S = 0.2

# Names that `replaced_whole` gives to unfinished files of a build.
_PART = re.compile(r"\.(?P<stem>.+)\.(?:engine|engine\.json|timing)\.\d+\.part")


@dataclass(frozen=True, slots=True)
class StoredEngine:
    """An engine of the store as its manifest describes it."""

    path: Path
    """Path of the manifest."""
    spec: EngineSpec | None
    """None if the manifest cannot be used; `fault` says why."""
    fault: str = ""
    size: int = 0
    """Size of the engine's file in bytes."""
    sha256: str = ""
    build_s: float = 0.0
    built_at: str = ""
    about: dict[str, str] = field(default_factory=dict)
    """Facts for display: driver, name of the GPU, version of streamdenoise."""

    @property
    def engine_path(self) -> Path:
        """Path of the engine's file."""
        return self.path.with_suffix("")

    def read(self) -> bytes:
        """Read the engine.

        Raises:
            ValueError: it is unreadable, truncated or corrupt; says which.
        """
        try:
            size = self.engine_path.stat().st_size  # it may be too large to read
            data = self.engine_path.read_bytes() if size == self.size else b""
        except OSError as exc:
            raise ValueError(f"its file cannot be read ({exc.strerror})") from exc
        if size < self.size:
            raise ValueError(f"it is truncated: {size} of {self.size} bytes")
        if size > self.size:
            raise ValueError(f"it has {size} bytes instead of {self.size}")
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise ValueError("it is corrupt: checksum mismatch")
        return data

    def check(self) -> str:
        """Describe the fault; empty if there is none."""
        if self.fault:
            return self.fault
        try:
            self.read()
        except ValueError as exc:
            return str(exc)
        return ""


class EngineStore:
    """The engines of one or two folders; safe to share between processes.

    Attributes:
        folders: searched for engines, in this order.
        folder: new engines are written here: the first of these that is writable, and
            that nobody else can write to.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Open a store; nothing is written yet.

        Args:
            folder: the only folder, if it can be used; None takes those of
                `default_folder`.
        """
        self.folders = search_path(folder)
        self.folder = first_usable(self.folders)

    def engines(self) -> list[StoredEngine]:
        """All engines, folder by folder and by name, those with faults included."""
        return [
            _read_manifest(path)
            for folder in self.folders
            for path in sorted(folder.glob(f"*{_SUFFIX}"))
        ]

    def find(self, wanted: EngineSpec) -> bytes | None:
        """Return an engine that fits and is intact; None if there is none.

        Logs why an engine of this name is not used.
        """
        data, fault = self._search(wanted)
        if fault:
            name = f"{wanted.file_name}{_SUFFIX}"
            log.warning("engine %s is not used: %s", name, fault)
        return data

    def _search(self, wanted: EngineSpec) -> tuple[bytes | None, str]:
        """An engine that fits, and why one of that name is not used."""
        reason = ""
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
                reason = fault
        return None, reason

    def _candidates(self, wanted: EngineSpec) -> list[StoredEngine]:
        """The engine of this name first, then others, which may be more portable."""
        name = f"{wanted.file_name}{_SUFFIX}"
        return sorted(self.engines(), key=lambda stored: stored.path.name != name)

    def find_or_build(
        self,
        spec: EngineSpec,
        build: Callable[[], bytes],
        about: dict[str, str] | None = None,
        stopped: Callable[[], bool] | None = None,
    ) -> bytes:
        """Return the engine; build and keep it if none fits.

        Waits while another process is building it.

        Args:
            spec: identity of the engine.
            build: builds it; its exceptions are raised here, and nothing is kept.
            about: facts for display, kept in the manifest.
            stopped: called while this waits; True ends the wait.

        Raises:
            EngineBuildError: the build returned nothing.
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
        """Create the folder for engines, or the user's cache in its place.

        Raises:
            ConfigError: neither can be written.
        """
        first, tried = self.folders[0], dict.fromkeys((*self.folders, cache_folder()))
        for folder in tried:
            with suppress(OSError):
                make_folder(folder)
            if not (os.path.isdir(folder) and can_use(folder)):
                continue
            if folder != first:
                why = why_others_write(first) or f"{first} cannot be written"
                log.warning("%s: engines go to %s", why, folder)
            self.folder = folder
            if folder not in self.folders:
                self.folders = (*self.folders, folder)
            return
        places = (why_others_write(each) or str(each) for each in tried)
        raise ConfigError(
            f"engines cannot be written to {' or '.join(places)}; set "
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
            _replace(self.folder / file, data)
            text = json.dumps(manifest, indent=2) + "\n"
            _replace(self.folder / f"{spec.file_name}{_SUFFIX}", text.encode())
            (self.folder / f"{spec.file_name}{_REFUSED}").unlink(missing_ok=True)
        except OSError as exc:
            # It can still be used this time.
            log.warning("the engine is not kept and will be built again: %s", exc)

    def discard(self, wanted: EngineSpec) -> None:
        """Delete every engine that `find` would return, so that the next is built.

        This is for engines that are intact but wrong. Those that another process is
        building, or that cannot be deleted, stay.
        """

        def serves(stored: StoredEngine) -> bool:
            return stored.spec is not None and not stored.spec.misfit(wanted)

        for stored in self.engines():
            if serves(stored):
                _delete_engine(stored.path, serves)

    def refuse(self, spec: EngineSpec, reason: str) -> None:
        """Remember that a new engine failed too, until the next one is built."""
        with suppress(OSError):
            (self.folder / f"{spec.file_name}{_REFUSED}").write_text(
                f"{spec.runtime}\n{reason}"
            )

    def refusal(self, spec: EngineSpec) -> str:
        """Why a new engine of this runtime failed; empty if none did."""
        with suppress(OSError, ValueError):
            data = read_small(self.folder / f"{spec.file_name}{_REFUSED}")
            runtime, _, reason = data.decode().partition("\n")
            return reason if runtime == spec.runtime else ""
        return ""

    def verify(self) -> list[tuple[StoredEngine, str]]:
        """Read every engine; returns each with its fault, or with nothing."""
        return [(stored, stored.check()) for stored in self.engines()]

    def prune(
        self, is_unwanted: Callable[[StoredEngine], bool] = lambda stored: False
    ) -> list[Path]:
        """Delete broken and unwanted engines, and the remains of killed builds.

        Engines that another process is building, or that cannot be deleted, stay, with
        a warning.

        Args:
            is_unwanted: whether to delete an intact engine.

        Returns:
            Paths of the deleted files.
        """

        def is_bad(stored: StoredEngine) -> bool:
            return bool(stored.check()) or is_unwanted(stored)

        deleted, manifests = [], set[Path]()
        for folder in self.folders:
            if why_others_write(folder):
                continue  # its engines may be somebody else's
            for part in folder.glob(".*.part"):
                deleted += _delete_part(part)
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


def _replace(path: Path, data: bytes) -> None:
    with replaced_whole(path) as partial:
        partial.write_bytes(data)
        partial.chmod(0o644)  # whatever the umask: otherwise it is not trusted


def _delete_engine(
    manifest: Path, is_bad: Callable[[StoredEngine], bool]
) -> list[Path]:
    """Delete a manifest and its engine if still bad under the lock; returns both."""
    engine = manifest.with_suffix("")
    # Another process may have just finished it.
    return _delete_locked(
        engine, lambda: (manifest, engine) if is_bad(_read_manifest(manifest)) else ()
    )


def _delete_part(part: Path) -> list[Path]:
    """Delete an unfinished file whose build was killed; returns it.

    The lock decides, not the age: any clock may be wrong.
    """
    found = _PART.fullmatch(part.name)
    if found is None:
        return []
    return _delete_locked(part.with_name(f"{found['stem']}.engine"), lambda: (part,))


def _delete_locked(engine: Path, choose: Callable[[], Iterable[Path]]) -> list[Path]:
    """Delete what `choose` names while no process builds `engine`; returns that."""
    try:
        with FileLock(engine.with_suffix(".lock")).acquire(timeout=0):
            return list(filter(_delete, choose()))
    except Timeout:
        log.warning("%s stays: another process is building it", engine.name)
    except OSError as exc:
        log.warning("%s cannot be deleted (%s)", engine, exc.strerror)
    return []


@contextmanager
def _locked(path: Path, stopped: Callable[[], bool] | None) -> Iterator[None]:
    """Hold a lock that the system releases when the process dies.

    Raises:
        BuildStoppedError: `stopped` returned True while another process held it.
    """
    lock = FileLock(path)
    is_logged = False
    while True:
        try:
            lock.acquire(timeout=0)
            break
        except Timeout:
            if not is_logged:
                log.warning("another process is building %s: waiting for it", path.stem)
                is_logged = True
        if stopped is not None and stopped():
            raise BuildStoppedError(
                f"stopped while another process was building {path.stem}; nothing was "
                "kept"
            )
        time.sleep(_LOCK_POLL_S)
    try:
        yield
    finally:
        lock.release()


def _delete(path: Path) -> bool:
    """Delete a file; returns whether it was there and is gone, logs why it is not."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as exc:
        log.warning("%s cannot be deleted (%s)", path, exc.strerror)
        return False
    return True


def _read_manifest(path: Path) -> StoredEngine:
    """Read an engine's manifest; `fault` says why it cannot be used."""
    for each in (path, path.with_suffix("")):
        if reason := why_others_write(each):
            return StoredEngine(path, None, f"it is not trusted: {reason}")
    try:
        manifest = read_json(path)
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
    except (OSError, ValueError, KeyError, TypeError) as exc:
        reason = " ".join(str(exc).split())[:100]
        return StoredEngine(path, None, f"its manifest is unreadable ({reason})")


def _read_spec(table: dict[str, Any]) -> EngineSpec:
    portable = _typed(table, "portable", list)
    if not {*portable} <= {"device", "size"}:
        raise ValueError(f"portable is {portable!r}")
    raw = {
        each.name: _typed(table, each.name, each.type)
        for each in fields(EngineSpec)
        if each.name != "portable" and (each.name in table or each.default is MISSING)
    }
    return EngineSpec(**raw, portable=tuple(portable))


def _typed(table: dict[str, Any], name: str, kind: Any) -> Any:
    """A value of a manifest, checked for its type: the file may hold anything."""
    value = table[name]
    if type(value) is not kind:
        raise TypeError(f"{name} is {value!r}")
    if kind is int and not 0 <= value < 2**53:
        raise ValueError(f"{name} is out of range")
    if kind is str:
        value.encode()  # so that it can be printed
    return value
