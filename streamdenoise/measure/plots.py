"""Parts of the plots in reports; Matplotlib is imported when one is drawn."""

from collections.abc import Mapping
from typing import Any

from streamdenoise.errors import ConfigError


def figure_type() -> type:
    """Matplotlib's figure, without a window.

    Raises:
        ConfigError: Matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise ConfigError(
            "plots need Matplotlib; pip install 'streamdenoise[bench]'"
        ) from exc
    return Figure


def new_axes(*, log_x: bool = False) -> Any:
    """Empty axes of a figure of their own.

    Args:
        log_x: Whether x is logarithmic; then there is room for names of points.

    Raises:
        ConfigError: Matplotlib is missing.
    """
    axes = figure_type()(figsize=(8, 5), layout="constrained").add_subplot()
    axes.grid(which="both", alpha=0.3)
    if log_x:
        axes.set_xscale("log")
        axes.margins(x=0.25, y=0.3)
    return axes


def draw_point(axes: Any, point: tuple[float, float], is_ours: bool) -> None:
    """Draw one method; this project's own stands out."""
    marker, color = ("*", "tab:red") if is_ours else ("o", "tab:blue")
    axes.plot(*point, marker, color=color, ms=12 if is_ours else 7)


def name_points(axes: Any, points: Mapping[str, tuple[float, float]]) -> None:
    """Write names next to points, moved up until none covers another.

    Args:
        axes: With the points drawn already.
        points: Name -> (x, y) in the units of the axes.
    """
    figure = axes.figure
    figure.draw_without_rendering()
    # A name takes at most 150 x 11 points.
    width, height = 150 * figure.dpi / 72, 11 * figure.dpi / 72
    taken: list[tuple[float, float]] = []
    for name, point in sorted(points.items(), key=lambda item: item[1][1]):
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
