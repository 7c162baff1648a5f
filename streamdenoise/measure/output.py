"""The folder that a report is written to, and its files."""

from collections.abc import Callable, Iterator
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


def write_bench(
    folder: Path, markdown: str, json: str, plot: Callable[[Path], None] | None = None
) -> None:
    """Write ``bench.md``, ``bench.json`` and, if there is a plot, ``bench.png``.

    Raises:
        ConfigError: `folder` cannot be written.
    """
    with writing_to(folder):
        (folder / "bench.md").write_text(markdown)
        (folder / "bench.json").write_text(json)
        if plot is not None:
            plot(folder / "bench.png")
