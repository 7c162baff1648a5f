"""Files that are replaced whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from streamdenoise.errors import SinkError


@contextmanager
def replaced_whole(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to; it becomes `path` in the end.

    Raises:
        SinkError: it could not be written. `path` is as it was, nothing else is left.
    """
    partial = path.with_name(f"{path.name}.part")
    try:
        yield partial
        os.replace(partial, path)
    # PyTorch and safetensors have errors of their own for a full disk.
    except (OSError, RuntimeError, SafetensorError) as exc:
        reason = " ".join(str(exc).split())[:200]
        raise SinkError(
            f"cannot write {path}: {reason}; is the disk full? What was there is "
            "untouched: make room and start again"
        ) from exc
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write beside `path`, then take its name."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
