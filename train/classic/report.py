"""The report of a comparison: one self-contained page, and its images."""

import base64
import html
from pathlib import Path

import cv2
import numpy as np

from streamdenoise.console.table import align
from streamdenoise.files import replaced_whole
from streamdenoise.imaging.error_image import ERROR_GAIN
from streamdenoise.measure.plots import figure_type

from .config import ClassicConfig
from .scores import Noisy, Score, denoised
from .train import Comparison, Result, train_classic
from .trainer import OnEpoch

_SHOWN, _SHOWN_LARGE = 6, 3
"""Number of test images that are shown for each network: small ones, photographs."""
_LEAST_SIDE = 112
"""Small images are enlarged to about this side, pixel by pixel."""

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem;
  padding: 0 1rem; color: #1d2330; background: #fff; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #d8dce6; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; image-rendering: pixelated; }
h2 { margin-top: 2.5rem; } figure { margin: 0 0 .8rem; } small { color: #5a6274; }
"""


def train_and_report(config: ClassicConfig, on_progress: OnEpoch) -> str:
    """Train all runs and write the report; see `train_classic` for the errors.

    Returns:
        Text for the terminal: the table of networks, and the paths of checkpoints and
        report.
    """
    comparison = train_classic(config, on_progress)
    page = write_report(comparison, config.folder)
    lines = align(table_rows(comparison.results))
    files = [str(result.checkpoint) for result in comparison.results]
    return "\n".join([*lines, "", *files, str(page)]) + "\n"


def write_report(comparison: Comparison, folder: Path) -> Path:
    """Write ``report.html`` and its PNGs: ``NAME.png``, ``NAME-curves.png``.

    Returns:
        Path of the page, which includes the images.

    Raises:
        SinkError: the folder is not writable.
    """
    parts = [_table(comparison.results)]
    large = comparison.test[0].clean.shape[-1] > _LEAST_SIDE
    shown = _SHOWN_LARGE if large else _SHOWN
    shown = min(shown, sum(len(group.clean) for group in comparison.test))
    for result in comparison.results:
        strips = [_strip(comparison, result, i) for i in range(shown)]
        drawn = np.concatenate(_same_width([strip for strip, _ in strips]))
        _write(folder / f"{result.run.name}.png", drawn)
        curves = folder / f"{result.run.name}-curves.png"
        _draw_curves(result, curves)
        parts += [
            f"<h2>{html.escape(result.run.name)}</h2>",
            f"<img alt='loss curves' src='{_data_uri(curves.read_bytes())}'>",
            "<p>original | noisy | denoised | error, denoised minus original "
            f"({ERROR_GAIN} times, on middle gray)</p>",
            *(
                f"<figure><img alt='test image' src='{_data_uri(_png(strip))}'>"
                f"<figcaption><small>{caption}</small></figcaption></figure>"
                for strip, caption in strips
            ),
            f"<p>Mean of {len(result.scores)} test images: {_caption(result.mean)}; "
            f"{result.run.loss} {result.test_loss:.4f}. As many images of the training "
            f"part: {_caption(result.learned)}</p>",
        ]
    config = comparison.config
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in comparison.notes)
    page = (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<title>Denoisers on {html.escape(config.data)}</title>"
        f"<style>{_STYLE}</style>"
        f"<h1>Denoisers on {html.escape(config.data)}</h1>"
        f"<p>{config.noise.describe()} (8-bit levels); "
        f"loss {', '.join(config.losses)}; "
        f"{config.split:.0%} of the images for training, seed {config.seed}. PSNR in "
        "dB of each image, then the mean.</p>"
        f"<ul>{notes}</ul>{''.join(parts)}</html>\n"
    )
    path = folder / "report.html"
    with replaced_whole(path) as partial:
        partial.write_text(page, encoding="utf-8")
    return path


def table_rows(results: list[Result]) -> list[tuple[str, ...]]:
    """The table of networks, with a header."""
    header = ("network", "parameters", "kMAC/px", "epochs", "CPU s")
    figures = ("loss", "MSE", "PSNR noisy", "PSNR train", "PSNR test", "SSIM")
    rows: list[tuple[str, ...]] = [(*header, *figures)]
    for result in results:
        mean = result.mean
        rows.append(
            (
                *(result.run.name, f"{result.params:,}", f"{result.kmac:.1f}"),
                *(str(len(result.points)), f"{result.cpu_s:.0f}"),
                *(f"{result.run.loss} {result.test_loss:.4f}", f"{mean.mse:.3g}"),
                *(f"{mean.psnr_noisy:.2f}", f"{result.learned.psnr:.2f}"),
                f"{mean.psnr:.2f}",
                "" if mean.ssim is None else f"{mean.ssim:.4f}",
            )
        )
    return rows


def _table(results: list[Result]) -> str:
    header, *rows = table_rows(results)
    lines = ["".join(f"<th>{cell}</th>" for cell in header)]
    lines += ["".join(f"<td>{html.escape(c)}</td>" for c in row) for row in rows]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _caption(score: Score) -> str:
    similar = "" if score.ssim is None else f", SSIM {score.ssim:.4f}"
    return (
        f"MSE {score.mse:.3g}, PSNR {score.psnr_noisy:.2f} to {score.psnr:.2f} dB"
        f"{similar}"
    )


def _strip(
    comparison: Comparison, result: Result, index: int
) -> tuple[np.ndarray, str]:
    """Four views of a test image, ``(H, W, 3)`` uint8, and a caption."""
    caption = _caption(result.scores[index])
    for group in comparison.test:
        if index < len(group.clean):
            break
        index -= len(group.clean)
    one = Noisy(*(each[index : index + 1] for each in group))
    caption = f"noise of {255 * float(one.noise_std):.1f}: {caption}"
    clean, noisy, out = one.clean[0], one.noisy[0], denoised(result.net, one)[0]
    error = 0.5 + ERROR_GAIN * (out - clean)
    views = [
        view.clamp(0, 1).permute(1, 2, 0).numpy() for view in (clean, noisy, out, error)
    ]
    gap = np.ones((clean.shape[1], 2, clean.shape[0]), np.float32)
    strip = np.concatenate([part for view in views for part in (view, gap)][:-1], 1)
    strip = np.repeat((255 * strip).round().astype(np.uint8), 4 - strip.shape[2], 2)
    scale = max(1, _LEAST_SIDE // clean.shape[1])
    return strip.repeat(scale, 0).repeat(scale, 1), caption


def _same_width(strips: list[np.ndarray]) -> list[np.ndarray]:
    """Pad with white to one width, and a little below each."""
    width = max(strip.shape[1] for strip in strips)
    return [
        np.pad(
            strip, ((0, 4), (0, width - strip.shape[1]), (0, 0)), constant_values=255
        )
        for strip in strips
    ]


def _draw_curves(result: Result, path: Path) -> None:
    figure = figure_type()(figsize=(8, 3), layout="constrained")
    losses, psnr = figure.subplots(1, 2)
    epochs = [point.epoch for point in result.points]
    marker = "." if len(epochs) < 20 else ""
    for name in ("train", "validation", "test"):
        values = [getattr(point, f"{name}_loss") for point in result.points]
        losses.plot(epochs, values, label=name, marker=marker)
    losses.set_yscale("log")
    losses.set_ylabel("loss")
    losses.legend()
    values = [point.test_psnr for point in result.points]
    psnr.plot(epochs, values, color="tab:green", marker=marker)
    psnr.set_ylabel("test PSNR (middle parts), dB")
    for axes in (losses, psnr):
        axes.set_xlabel("epoch")
        axes.locator_params("x", integer=True)
        axes.grid(alpha=0.3, which="both")
    with replaced_whole(path) as partial:
        figure.savefig(partial, dpi=100, format="png")


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def _write(path: Path, image: np.ndarray) -> None:
    with replaced_whole(path) as partial:
        partial.write_bytes(_png(image))


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
