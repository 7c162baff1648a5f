"""Keeps compiled code in a folder of the user's, and trusts nothing else there."""

import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from filelock import FileLock, Timeout

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


class BeingBuiltError(Exception):
    """Another process is building the code."""


def kept(name: str, build: Callable[[], bytes], *, waits: bool = True) -> bytes:
    """Read code from the cache, or build it and keep it there.

    Processes that ask for the same code build it once. Without a folder that can be
    written, and by us alone, it is built every time, which is logged.

    Args:
        name: of the file; changes with all that the code depends on.
        build: makes the code; what it raises is passed on.
        waits: for another process that is building it.

    Raises:
        BeingBuiltError: another process is building it, and this does not wait.
    """
    path = folder() / name
    reason = why_others_write(path)
    if reason:
        code = build()
    else:
        code, _ = _search(path)
        if code is not None:
            return code
        with ExitStack() as stack:
            reason = _lock(path, stack, waits)
            # Another process may have built it while this one waited.
            code, fault = _search(path)
            if code is not None:
                return code
            if fault:
                log.warning("%s is compiled again: %s", path, fault)
            code = build()
            reason = reason or _write(path, hashlib.sha256(code).digest() + code)
    if reason and path.parent not in _told:
        _told.add(path.parent)
        log.warning(
            "code for this CPU is compiled again at every start, because %s; set %s to "
            "a folder that you alone can write to",
            *(reason, FOLDER_VARIABLE),
        )
    return code


def _lock(path: Path, stack: ExitStack, waits: bool) -> str:
    """Hold a lock until the stack ends, or the process; why it cannot be held.

    Raises:
        BeingBuiltError: another process holds it, and this does not wait.
    """
    lock = FileLock(f"{path}.lock")
    try:
        path.parent.mkdir(0o755, parents=True, exist_ok=True)
        lock.acquire(blocking=waits)
    except Timeout as exc:
        raise BeingBuiltError from exc
    except (OSError, NotImplementedError) as exc:  # or a disk without locks
        return _cannot_be_written(path, exc)
    stack.callback(lock.release)
    return ""


def _write(path: Path, data: bytes) -> str:
    """Why it cannot be written; empty if it was."""
    try:
        with replaced_whole(path) as partial:
            partial.write_bytes(data)
    except OSError as exc:
        return _cannot_be_written(path, exc.__cause__ or exc)
    return ""


def _cannot_be_written(path: Path, cause: BaseException) -> str:
    return f"{path.parent} cannot be written ({getattr(cause, 'strerror', cause)})"


def _search(path: Path) -> tuple[bytes | None, str]:
    """The code; or None, and why a file is not used."""
    try:
        data = read_small(path)
    except (FileNotFoundError, NotADirectoryError):
        return None, ""
    except (OSError, ValueError) as exc:
        return None, str(exc)
    digest, code = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if hashlib.sha256(code).digest() != digest:
        return None, "checksum mismatch"
    return code, ""
