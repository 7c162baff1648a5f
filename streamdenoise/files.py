"""Files that are replaced completely or not at all."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from streamdenoise.errors import SinkError


@contextmanager
def replaced_whole(path: Path) -> Generator[Path, None, None]:
    """Yield a temporary path next to `path`; what the block writes there replaces it.

    The data is on the disk before the name changes: a crash or a power cut leaves the
    old file or the new one, never half of one.

    Raises:
        SinkError: The file could not be written. `path` is unchanged, and the
            temporary file is gone.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield partial
        with partial.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except (OSError, RuntimeError) as exc:  # torch.save raises the latter
        reason = getattr(exc, "strerror", None) or " ".join(str(exc).split())[:200]
        raise SinkError(
            f"cannot write {path}: {reason}; is the disk full? An older file is "
            "unchanged: free some space and start again"
        ) from exc
    finally:
        partial.unlink(missing_ok=True)
