"""Tables of the engines on this machine: list, check and delete them."""

import re
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from streamdenoise.console.json_text import json_text
from streamdenoise.console.table import align
from streamdenoise.inference.artifact import open_artifact, shipped_models
from streamdenoise.inference.engine_store import EngineStore, StoredEngine
from streamdenoise.inference.registry import BACKENDS
from streamdenoise.security.plain_text import printable

_HEADER = ("engine", "model", "size", "depth", "runtime", "for", "MiB", "built", "s")

_PACKAGES = {
    "TensorRT": "tensorrt",
    "TensorRT-RTX": "tensorrt_rtx",
}
"""Runtime -> package of the same version; Torch-TensorRT is two."""


def engines_table() -> str:
    """List all engines, one on each line, by folder."""
    store = EngineStore()
    found = store.engines()
    lines = []
    for folder in store.folders:
        rows = [_row(stored) for stored in found if stored.path.parent == folder]
        if rows:
            lines += [f"{folder}:", *align([_HEADER, *rows])]
    return _page(lines, f"no engines in {_folders(store)}")


def engines_json() -> str:
    """All engines for programs: a list of what their manifests say.

    One whose manifest cannot be used has a `fault`, and no more than `path`.
    """
    return json_text([_entry(stored) for stored in EngineStore().engines()])


def _entry(stored: StoredEngine) -> dict[str, Any]:
    if stored.spec is None:
        return {"path": str(stored.path), "fault": stored.fault}
    return {
        "path": str(stored.engine_path),
        **asdict(stored.spec),
        "size_bytes": stored.size,
        "built_at": stored.built_at,
        "build_s": stored.build_s,
    }


def _page(lines: list[str], nothing: str) -> str:
    """The lines, or `nothing` if there are none; names of files may hold anything."""
    return "\n".join(map(printable, lines or [nothing])) + "\n"


def _folders(store: EngineStore) -> str:
    return " or ".join(map(str, store.folders))


def _row(stored: StoredEngine) -> tuple[str, ...]:
    spec = stored.spec
    if spec is None:
        return (stored.path.name, stored.fault)
    size = f"{spec.width}x{spec.height}"
    return (
        spec.backend,
        spec.model,
        f"up to {size}" if "size" in spec.portable else size,
        f"{spec.depth} bit",
        spec.runtime,
        "sm_80 or later" if "device" in spec.portable else spec.device,
        f"{stored.size / 2**20:.1f}",
        stored.built_at[:16].replace("T", " "),
        f"{stored.build_s:.1f}",
    )


def verify_engines() -> tuple[str, bool]:
    """Check every engine; returns a report and whether any engine is unusable."""
    lines, broken = [], False
    store = EngineStore()
    for stored, fault in store.verify():
        fault = fault or _outdated(stored)
        broken |= bool(fault)
        lines.append(f"{stored.path.name}: {fault or _remark(stored)}")
    return "\n".join(
        map(printable, lines or [f"no engines in {_folders(store)}"])
    ) + "\n", broken


def prune_engines(everything: bool = False) -> str:
    """Delete unusable engines, or `everything`; returns a report.

    Engines named like a model of the package but of other weights count as usable: they
    may be outdated, but may also belong to a model of the user's own.
    """
    store = EngineStore()
    deleted = store.prune(lambda stored: everything or bool(_outdated(stored)))
    lines = [f"deleted {path.name}" for path in deleted]
    return (
        "\n".join(map(printable, lines or [f"nothing to delete in {_folders(store)}"]))
        + "\n"
    )


def _outdated(stored: StoredEngine) -> str:
    """Why an engine can no longer be used; empty if it can."""
    spec = stored.spec
    if spec is None:
        return ""
    if spec.backend not in BACKENDS:
        return f"the backend {spec.backend} no longer exists"
    if not BACKENDS[spec.backend].needs_engine:
        return f"{spec.backend} no longer uses engines"
    present = _installed(spec.runtime)
    if present and present != spec.runtime:
        return f"it was built by {spec.runtime}, but {present} is installed"
    return ""


def _installed(runtime: str) -> str:
    """Name and installed version of a runtime, found without importing it, or empty."""
    name = runtime.partition(" ")[0]
    try:
        found = re.match(r"\d+(\.\d+)*", version(_PACKAGES[name]))
    except (KeyError, PackageNotFoundError):
        return ""
    return f"{name} {found[0]}" if found else ""


def _remark(stored: StoredEngine) -> str:
    """Describe the state of a usable engine."""
    spec = stored.spec
    if spec is None or spec.model not in shipped_models():
        return "ok"
    needs = BACKENDS[spec.backend].needs
    if open_artifact(spec.model).digest(needs) == spec.weights_sha256:
        return "ok"
    return (
        f"ok, but its weights differ from those of {spec.model}; unless it belongs to "
        "a model of yours, delete it with `streamdenoise engines prune --all`"
    )
