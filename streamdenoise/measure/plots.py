"""Plots and files of the reports."""

from pathlib import Path
from typing import Any

from streamdenoise.errors import ConfigError


def write_texts(folder: Path, texts: dict[str, str]) -> None:
    """Write files into a folder, which is made.

    Args:
        folder: to fill.
        texts: file name -> contents.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text)
    except OSError as exc:
        raise ConfigError(
            f"{folder} cannot be written: {exc.strerror}; choose another -o"
        ) from exc


def name_points(axes: Any, names: dict[str, tuple[float, float]]) -> None:
    """Write names beside points, upwards until none covers another.

    Args:
        axes: Matplotlib's, with the points drawn already.
        names: name -> (x, y) in the units of the axes.
    """
    figure = axes.figure
    figure.draw_without_rendering()
    # A name takes 150 x 11 points at most.
    width, height = 150 * figure.dpi / 72, 11 * figure.dpi / 72
    taken: list[tuple[float, float]] = []
    for name, point in sorted(names.items(), key=lambda item: item[1][1]):
        x, y = axes.transData.transform(point)
        lift = 5.0
        while any(
            abs(x - other_x) < width and abs(y + lift - other_y) < height
            for other_x, other_y in taken
        ):
            lift += 1
        taken.append((x, y + lift))
        axes.annotate(
            name,
            point,
            xytext=(6, lift * 72 / figure.dpi),
            textcoords="offset points",
            fontsize=9,
        )


def figure_type() -> type:
    """Matplotlib's figure, without a window.

    Raises:
        ConfigError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise ConfigError(
            "plots need matplotlib; pip install 'streamdenoise[bench]'"
        ) from exc
    return Figure
