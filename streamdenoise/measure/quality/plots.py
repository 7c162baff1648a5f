"""The plots of an evaluation."""

from pathlib import Path

import numpy as np

from streamdenoise.measure.plots import draw_point, name_points, new_axes
from streamdenoise.measure.quality.anchors import ANCHORS, SIGMAS
from streamdenoise.measure.quality.behavior import StaticScene
from streamdenoise.measure.quality.report import EvalReport
from streamdenoise.measure.quality.video import NOISY


def draw_plots(report: EvalReport, folder: Path) -> list[Path]:
    """Draw ``fps.png``, ``static.png`` and ``cost.png``, if they were measured.

    Args:
        report: Any of its sections may be empty.
        folder: Must exist.

    Returns:
        The files that were written.

    Raises:
        ConfigError: Matplotlib is missing.
    """
    drawn = []
    if any(score.fps is not None for score in report.scores):
        drawn.append(_draw_fps(report, folder / "fps.png"))
    if report.behavior is not None and report.behavior.static:
        scenes = report.behavior.static
        drawn.append(_draw_static(report.model, scenes, folder / "static.png"))
    sigmas = {score.sigma for score in report.published} & set(SIGMAS)
    if sigmas and report.kmac_per_px:
        drawn.append(_draw_cost(report, _middle(sigmas), folder / "cost.png"))
    return drawn


def _draw_fps(report: EvalReport, path: Path) -> Path:
    """PSNR-Y against speed, means over the clips at the middle level."""
    sigma = _middle({score.sigma for score in report.scores})
    axes = new_axes(log_x=True)
    points = {}
    for method in report.methods():
        at = [s for s in report.scores if (s.sigma, s.method) == (sigma, method)]
        quality = float(np.mean([s.psnr_y for s in at]))
        if method == NOISY:
            axes.axhline(quality, color="gray", ls="--", label=NOISY)
            continue
        points[method] = (float(np.mean([s.fps for s in at if s.fps])), quality)
        draw_point(axes, points[method], method.startswith(report.model))
    axes.set_xlabel("frames per second, filter alone (log)")
    axes.set_ylabel("PSNR-Y, dB, mean over the clips")
    axes.set_title(f"video protocol, sigma {sigma:g}")
    axes.legend(loc="lower right")
    name_points(axes, points)
    axes.figure.savefig(path, dpi=120)
    return path


def _draw_static(model: str, scenes: list[StaticScene], path: Path) -> Path:
    """PSNR-Y against the frame of a still scene, means over the clips."""
    axes = new_axes()
    for sigma in dict.fromkeys(scene.sigma for scene in scenes):
        curves = [scene.psnr_y for scene in scenes if scene.sigma == sigma]
        curve = np.mean(curves, axis=0)
        axes.plot(np.arange(1, len(curve) + 1), curve, label=f"sigma {sigma:g}")
    axes.set_xlabel("frame of a still scene")
    axes.set_ylabel("PSNR-Y, dB, mean over the clips")
    axes.set_title(model)
    axes.legend()
    axes.figure.savefig(path, dpi=120)
    return path


def _draw_cost(report: EvalReport, sigma: float, path: Path) -> Path:
    """PSNR of RGB against cost, next to figures from papers."""
    axes = new_axes(log_x=True)
    at = [score.psnr for score in report.published if score.sigma == sigma]
    points = {
        f"{report.model} (these clips)": (report.kmac_per_px or 0.0, float(np.mean(at)))
    }
    for anchor in ANCHORS:
        quality = anchor.psnr[SIGMAS.index(sigma)]
        points[f"{anchor.name} (DAVIS)"] = (anchor.kmac_per_px, quality)
    for index, point in enumerate(points.values()):
        draw_point(axes, point, index == 0)
    axes.set_xlabel("kMAC per pixel (log)")
    axes.set_ylabel("PSNR of RGB, dB")
    axes.set_title(
        f"published protocol, sigma {sigma:g}: other clips than DAVIS, no ranking"
    )
    name_points(axes, points)
    axes.figure.savefig(path, dpi=120)
    return path


def _middle(sigmas: set[float]) -> float:
    return sorted(sigmas)[len(sigmas) // 2]
