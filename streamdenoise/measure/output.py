"""The folder that a report is written to."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamdenoise.errors import ConfigError


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Make a folder to write to.

    Raises:
        ConfigError: It, or a file in it, cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as exc:
        raise ConfigError(
            f"{folder} cannot be written: {exc.strerror}; choose another -o"
        ) from exc
