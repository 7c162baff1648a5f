"""Keeps compiled code in a folder of the user's, and trusts nothing else there."""

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

from streamdenoise.errors import SinkError
from streamdenoise.files import replaced_whole
from streamdenoise.security.ownership import why_others_write
from streamdenoise.security.small_files import read_small

log = logging.getLogger(__name__)

FOLDER_VARIABLE = "STREAMDENOISE_KERNELS"
"""Environment variable that names the folder of the compiled code."""

_DIGEST_BYTES = 32

_told: set[Path] = set()
"""Folders that cannot be used, as was logged."""


def folder() -> Path:
    """The folder that `FOLDER_VARIABLE` names; otherwise one in the user's cache."""
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named).absolute()
    from platformdirs import user_cache_path

    return user_cache_path("streamdenoise", appauthor=False) / "kernels"


def kept(name: str, build: Callable[[], bytes]) -> bytes:
    """Read code from the cache, or build it and keep it there.

    Without a folder that can be written, and by us alone, it is built every time, which
    is logged.

    Args:
        name: of the file; changes with all that the code depends on.
        build: makes the code; what it raises is passed on.
    """
    path = folder() / name
    reason = why_others_write(path)
    if not reason:
        try:
            return _read(path)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (OSError, ValueError) as exc:
            log.warning("%s is compiled again: %s", path, exc)
    code = build()
    if not reason:
        reason = _write(path, hashlib.sha256(code).digest() + code)
    if reason and path.parent not in _told:
        _told.add(path.parent)
        log.warning(
            "code for this CPU is compiled again at every start, because %s; set %s to "
            "a folder that you alone can write to",
            *(reason, FOLDER_VARIABLE),
        )
    return code


def _write(path: Path, data: bytes) -> str:
    """Why it cannot be written; empty if it was."""
    try:
        path.parent.mkdir(0o755, parents=True, exist_ok=True)
        with replaced_whole(path) as partial:
            partial.write_bytes(data)
    except OSError as exc:
        cause = exc.__cause__ if isinstance(exc, SinkError) else exc
        return f"{path.parent} cannot be written ({getattr(cause, 'strerror', exc)})"
    return ""


def _read(path: Path) -> bytes:
    data = read_small(path)
    digest, code = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if hashlib.sha256(code).digest() != digest:
        raise ValueError("checksum mismatch")
    return code
