"""The API of "Try it": an image or a short clip in, four of them and scores out.

A file is decoded in a sandbox, by `streamdenoise.jobs.trial_process`. Here are the
limits of the way to it: how much is read, how many at once, and for how long the
results are kept.
"""

import asyncio
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from fastapi import APIRouter, HTTPException
from fastapi import Path as InPath
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from streamdenoise.console.json_text import json_text
from streamdenoise.denoisers.options import AUTO, MAX_STRENGTH
from streamdenoise.errors import (
    ConfigError,
    HungError,
    SinkError,
    SourceError,
    StreamDenoiseError,
)
from streamdenoise.imaging.added_noise import AddedNoise, NoiseKind
from streamdenoise.imaging.error_image import ERROR_GAIN
from streamdenoise.inference.artifact import is_manifest, shipped_models
from streamdenoise.jobs.trial import (
    CLIP,
    IMAGES,
    SUFFIXES,
    TrialConfig,
    TrialLimits,
    TrialResult,
)
from streamdenoise.jobs.trial_process import run_trial_apart

TRY_PATH = "/api/try"
"""Path for uploads."""
KEEP_S = 3600.0
"""Time after which results are deleted."""
_MOST_KEPT = 20
_FORM_BYTES = 16 << 10
"""Room for the fields beside the file."""
_PREFIX = "trial-"
_KINDS = {".png": "image/png", ".mp4": "video/mp4"}
_NONE = "none"

_NOISES = [
    {"kind": kind, "label": label, "level": level, "most": most, "unit": unit}
    for kind, label, level, most, unit in (
        (NoiseKind.GAUSSIAN, "Gaussian", 25, 255, "Standard deviation, of 255"),
        (NoiseKind.POISSON, "Poisson", 30, 1_000_000, "Photons of white"),
        (NoiseKind.SALT_PEPPER, "Salt and pepper", 0.05, 1, "Share of the pixels"),
        (NoiseKind.SPECKLE, "Speckle", 0.1, 10, "Share of the brightness"),
    )
]
"""What the page offers, with a level to begin with."""

_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "noise": {"enum": [_NONE, *NoiseKind], "default": _NONE},
                        "level": {"type": "number"},
                        "seed": {"type": "integer", "minimum": 0, "default": 0},
                        "resized": {"type": "boolean", "default": False},
                        "model": {"type": "string", "default": AUTO},
                        "strength": {
                            "type": "number",
                            "minimum": 0,
                            "maximum": MAX_STRENGTH,
                            "default": 1,
                        },
                    },
                }
            }
        },
    }
}

_REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"description": why}
    for code, why in (
        (411, "The length of the request is missing"),
        (413, "The file is too large"),
        (422, "The file or a field cannot be used"),
        (429, "Something is being tried already"),
        (500, "The model failed"),
    )
}


class Page(Protocol):
    """Renders a template."""

    def __call__(
        self, request: Request, name: str, code: int = 200, **context: object
    ) -> Response: ...


def models_to_try(folder: Path | None = None) -> dict[str, str]:
    """Names of models, as a user sees them, and as `TrialConfig` takes them.

    Args:
        folder: has models of the user's own, such as exported textbook networks; None
            is for those that come with the package only.
    """
    names = {name: name for name in (AUTO, *shipped_models())}
    if folder is not None:
        for path in sorted(folder.glob("*.json")):
            if is_manifest(path):
                names.setdefault(path.stem, str(path))
    return names


def try_it_router(
    folder: Path,
    page: Page,
    *,
    models: Mapping[str, str] | None = None,
    limits: TrialLimits | None = None,
    at_once: int = 1,
    threads: int | None = None,
    keep_s: float = KEEP_S,
) -> APIRouter:
    """Routes of the page and its API.

    A request to `TRY_PATH` has at most `max_upload_bytes`.

    Args:
        folder: Where uploads and results are kept for a while, private; what an earlier
            run has left there is deleted.
        page: Renders ``try.html``.
        models: See `models_to_try`.
        limits: What a file may take.
        at_once: Trials that run at the same time; others are refused meanwhile.
        threads: See `TrialConfig`.
        keep_s: How long results are kept, in seconds.

    Raises:
        OSError: The folder cannot be made.
    """
    limits = limits or TrialLimits()
    known = models_to_try() if models is None else dict(models)
    results = _Results(folder, keep_s)
    running = 0
    router = APIRouter()

    @router.get("/try", include_in_schema=False)
    async def try_page(request: Request) -> Response:
        return page(
            request,
            "try.html",
            models=list(known),
            noises=_NOISES,
            gain=ERROR_GAIN,
            suffixes=",".join(SUFFIXES),
            megabytes=limits.file_bytes // 1_000_000,
            seconds=f"{limits.clip_s:g}",
        )

    @router.post(TRY_PATH, openapi_extra=_FORM, tags=["try it"], responses=_REFUSALS)
    async def try_it(request: Request) -> Response:
        """Add noise to an image or a short clip, denoise it, and compare."""
        nonlocal running
        _check_length(request, limits)
        if running >= at_once:
            raise HTTPException(
                429,
                "something is being tried already; try again in a minute",
                {"Retry-After": "30"},
            )
        running += 1
        try:
            async with request.form(max_files=1, max_fields=10) as form:
                return await _tried(form, results, known, limits, threads)
        finally:
            running -= 1

    @router.get(
        TRY_PATH + "/{trial}/{name}",
        tags=["try it"],
        response_class=FileResponse,
        responses={
            200: {"content": {kind: {} for kind in _KINDS.values()}},
            206: {"description": "The range that was asked for"},
            404: {"description": "There is no such result, or not any more"},
            416: {"description": "The range is outside of the file"},
        },
    )
    async def result(
        trial: str = InPath(max_length=64), name: str = InPath(max_length=32)
    ) -> Response:
        """A result, for an hour after it was made."""
        path = results.path(trial, name)
        if path is None:
            raise HTTPException(404, "this result is not there, or not any more")
        return FileResponse(
            path,
            media_type=_KINDS[path.suffix],
            filename=name,
            content_disposition_type="inline",
        )

    return router


def max_upload_bytes(limits: TrialLimits | None = None) -> int:
    """Most bytes of a request to `TRY_PATH`."""
    return (limits or TrialLimits()).file_bytes + _FORM_BYTES


def _check_length(request: Request, limits: TrialLimits) -> None:
    """Refuse a body that is too long before any of it is read.

    Raises:
        HTTPException: It is, or its length is not known.
    """
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        raise HTTPException(
            411, "the length of the file is missing; send the header Content-Length"
        )
    if len(length) > 12 or int(length) > max_upload_bytes(limits):
        raise HTTPException(
            413,
            f"the file is too large; at most {limits.file_bytes / 1e6:.0f} MB can be "
            "tried",
            {"Connection": "close"},
        )


async def _tried(
    form: FormData,
    results: "_Results",
    models: Mapping[str, str],
    limits: TrialLimits,
    threads: int | None,
) -> Response:
    upload = form.get("file")
    if not isinstance(upload, UploadFile) or not upload.filename:
        raise HTTPException(422, "there is no file; send one as the field `file`")
    shown = Path(upload.filename.replace("\\", "/")).name[:80] or "the file"
    suffix = Path(shown).suffix.lower()
    if suffix not in SUFFIXES:
        raise HTTPException(
            422,
            f"{shown} cannot be tried; give an image or a clip whose name ends in one "
            f"of {', '.join(SUFFIXES)}",
        )
    try:
        options = _options(form, models)
    except ConfigError as exc:
        raise HTTPException(422, str(exc)) from exc
    trial = results.make()
    # Of the name only the ending is used.
    source = results.folder(trial) / f"upload{suffix}"
    try:
        await run_in_threadpool(_save, upload, source)
        config = TrialConfig(
            source=source, folder=source.parent, threads=threads, **options
        )
        found = await _run_apart(config, limits)
        source.unlink()
    except StreamDenoiseError as exc:
        results.delete(trial)
        is_theirs = isinstance(exc, SourceError | ConfigError | HungError)
        why = str(exc).replace(str(source), shown)
        raise HTTPException(422 if is_theirs else 500, why) from exc
    except BaseException:
        results.delete(trial)
        raise
    results.keep(trial)
    text = json_text(_about(found, trial, str(source), shown), indent=None)
    return Response(text, media_type="application/json")


def _options(form: FormData, models: Mapping[str, str]) -> dict[str, Any]:
    """Turn the fields of the form into those of `TrialConfig`.

    Raises:
        ConfigError: One cannot be used.
    """

    def field(name: str, default: str) -> str:
        value = form.get(name)
        return value if isinstance(value, str) and value else default

    model = field("model", AUTO)
    if model not in models:
        raise ConfigError(
            f"there is no model {model[:80]!r}; choose from {', '.join(models)}"
        )
    strength = _number(field("strength", "1"), "strength", 0, MAX_STRENGTH)
    noise, kind = None, field("noise", _NONE)
    if kind != _NONE:
        seed = int(_number(field("seed", "0"), "seed", 0, 2**32))
        parsed = AddedNoise.parse(f"{kind[:40]}:{field('level', '')[:40]}")
        noise = AddedNoise(parsed.level, parsed.kind, seed)
    return {
        "model": models[model],
        "strength": strength,
        "noise": noise,
        "resized": field("resized", "").lower() in ("1", "true", "on", "yes"),
    }


def _number(text: str, name: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise ConfigError(
            f"{name} {text[:40]!r} cannot be used; give a number from {least:g} to "
            f"{most:g}"
        )
    return number


def _save(upload: UploadFile, path: Path) -> None:
    try:
        with path.open("xb") as file:
            shutil.copyfileobj(upload.file, file)
    except OSError as exc:
        raise SinkError(f"the file cannot be stored: {exc.strerror}") from exc


def _about(
    found: TrialResult, trial: str, source: str, shown: str
) -> dict[str, object]:
    about = asdict(found)
    notes = [note.replace(source, shown) for note in found.notes]
    urls = {name: f"{TRY_PATH}/{trial}/{name}" for name in found.files}
    return {"id": trial, "name": shown, **about, "notes": notes, "files": urls}


async def _run_apart(config: TrialConfig, limits: TrialLimits) -> TrialResult:
    """Run a trial; it ends at once if the service does."""
    is_over = False
    started: list[subprocess.Popen[str]] = []

    def on_start(child: subprocess.Popen[str]) -> None:
        started.append(child)
        if is_over:
            child.kill()

    try:
        return await asyncio.to_thread(run_trial_apart, config, limits, on_start)
    finally:
        is_over = True
        for child in started:
            child.kill()


class _Results:
    """Folders of uploads and results, which are deleted after a while."""

    def __init__(self, folder: Path, keep_s: float) -> None:
        self._folder = folder
        self._keep_s = keep_s
        self._kept: list[str] = []
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in folder.glob(f"{_PREFIX}*"):
            shutil.rmtree(each, ignore_errors=True)

    def make(self) -> str:
        """Make a folder with a name that nobody can guess; returns its id."""
        trial = secrets.token_urlsafe(24)
        os.mkdir(self.folder(trial), 0o700)
        return trial

    def folder(self, trial: str) -> Path:
        return self._folder / f"{_PREFIX}{trial}"

    def keep(self, trial: str) -> None:
        """Let its results be read, for a while."""
        self._kept.append(trial)
        while len(self._kept) > _MOST_KEPT:
            self.delete(self._kept[0])
        loop = asyncio.get_running_loop()
        loop.call_later(self._keep_s, self.delete, trial)

    def delete(self, trial: str) -> None:
        if trial in self._kept:
            self._kept.remove(trial)
        shutil.rmtree(self.folder(trial), ignore_errors=True)

    def path(self, trial: str, name: str) -> Path | None:
        """The file of a result; None if there is none."""
        if trial not in self._kept or name not in (*IMAGES, CLIP):
            return None
        path = self.folder(trial) / name
        return path if path.is_file() else None
