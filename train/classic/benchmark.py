"""The textbook networks on common benchmarks, next to published figures.

    python -m train.classic.benchmark digits --minutes 10 -o train/runs/digits
    python -m train.classic.benchmark fashion --minutes 10 -o train/runs/fashion
    python -m train.classic.benchmark photos --minutes 60 -o train/runs/photos

`digits`: MNIST with noise of std 0.5 clipped to [0, 1], split 80:20, batches of 32;
every network, and the autoencoders with a second loss. `fashion`: the strided
autoencoder on 900 images of Fashion-MNIST with noise of std 0.3, also split 80:20, with
both losses. `photos`: trained on photographs
with noise of sigma 0 to 55, tested on whole images of Set12 and Kodak24 with noise that
is neither clipped nor rounded; gray, and `nano` in RGB too. Every run gets the same CPU
minutes. A run that was stopped continues when started again; a completed one is only
measured. ``--readme FILE`` writes the table into that Markdown file, between its marks.
"""

import argparse
import logging
import sys
from dataclasses import replace
from pathlib import Path

import torch

from streamdenoise.console.table import markdown_table
from streamdenoise.errors import ConfigError, StreamDenoiseError
from streamdenoise.files import replaced_whole

from .config import ClassicConfig
from .data import read_images
from .networks.registry import NETWORKS
from .noise import ImageNoise
from .report import write_report
from .scores import means, scores, with_noise
from .train import Result, train_classic

AUTOENCODERS = ("autoencoder_pool", "autoencoder_strided", "autoencoder_mnist")
DENOISERS = ("dncnn", "ffdnet", "unet", "nano")
SIGMAS = (15, 25, 50)
COURSE_PSNR = 17.74
"""PSNR in dB of the pooled autoencoder of a well-known course project."""

COURSE_LOSS = 0.2765
"""Loss (binary cross-entropy) that an exercise of a Keras course reports for its
strided autoencoder on Fashion-MNIST; its images and noise are not the same as here."""

PUBLISHED = {
    ("Set12", "DnCNN-S"): (32.86, 30.44, 27.18),
    ("Set12", "DnCNN-B"): (32.68, 30.36, 27.21),
    ("Set12", "FFDNet"): (32.75, 30.43, 27.32),
    ("Set12", "DRUNet"): (33.25, 30.94, 27.90),
    ("Kodak24", "FFDNet, RGB"): (34.63, 32.13, 28.98),
    ("Kodak24", "DRUNet, RGB"): (35.31, 32.89, 29.86),
}
"""PSNR in dB at `SIGMAS`, from the papers of Zhang et al. on DnCNN (TIP 2017), FFDNet
(TIP 2018) and DRUNet (PAMI 2021). No published figures on gray Kodak24 are known."""

Row = tuple[str, ...]


def digits(minutes: float, output: Path, threads: int, data: Path) -> list[Row]:
    """Train and test on MNIST; return the table, with a header."""
    shared = ClassicConfig(
        networks=tuple(NETWORKS),
        output=output / "mse",
        data=str(data / "mnist"),
        sigma=(127.5, 127.5),
        epochs=0,
        minutes=minutes,
        threads=threads,
        resume=True,
    )
    bce = replace(shared, networks=AUTOENCODERS, losses=("bce",), output=output / "bce")
    course = ("*course project, pooled*", *[""] * 6, f"{COURSE_PSNR}", "")
    rows = [_header(*_SMALL), course]
    return [*rows, *_small_rows(shared), *_small_rows(bce)]


def fashion(minutes: float, output: Path, threads: int, data: Path) -> list[Row]:
    """Train and test on the images of Fashion-MNIST; return the table."""
    config = ClassicConfig(
        networks=("autoencoder_strided",),
        output=output,
        data=str(data / "fashion"),
        sigma=(76.5, 76.5),
        losses=("mse", "bce"),
        epochs=0,
        minutes=minutes,
        threads=threads,
        resume=True,
    )
    loss = ("", "", "", f"bce {COURSE_LOSS}")
    course = ("*course exercise, strided*", *loss, *[""] * 4)
    return [_header(*_SMALL), course, *_small_rows(config)]


_SMALL = ("test loss", "PSNR noisy", "PSNR train", "PSNR test", "SSIM")


def _small_rows(config: ClassicConfig) -> list[Row]:
    """Train on small images and write the report; a row for each run."""
    comparison = train_classic(config, print_progress)
    write_report(comparison, config.folder)
    rows: list[Row] = []
    for result in comparison.results:
        mean = result.mean
        assert mean.ssim is not None
        psnr = (mean.psnr_noisy, result.learned.psnr, mean.psnr)
        figures = (*(f"{each:.2f}" for each in psnr), f"{mean.ssim:.4f}")
        loss = f"{result.run.loss} {result.test_loss:.4f}"
        rows.append((*_about(result), loss, *figures))
    return rows


def photos(minutes: float, output: Path, threads: int, data: Path) -> list[Row]:
    """Train on photographs, test on Set12 and Kodak24; return the table."""
    gray = ClassicConfig(
        networks=DENOISERS,
        output=output / "gray",
        data=str(data / "train" / "stills"),
        sigma=(0.0, 55.0),
        clip=False,
        epochs=0,
        minutes=minutes,
        batch=16,
        crops=16,
        threads=threads,
        resume=True,
    )
    rgb = replace(gray, networks=("nano",), color=True, output=output / "rgb")
    sets = ("Set12", "Kodak24")
    rows = [_header(*(f"{name} {sigma}" for name in sets for sigma in SIGMAS))]
    for config in (gray, rgb):
        comparison = train_classic(config, print_progress)
        write_report(comparison, config.folder)
        is_gray = not config.color
        for result in comparison.results:
            name, *cost = _about(result)
            print_progress(f"scoring {name}")
            figures = [
                # Set12 is gray: it cannot test a network for color.
                _db(
                    _psnr(result, data / "test" / "images" / each, sigma)
                    if is_gray or each == "Kodak24"
                    else None
                )
                for each in sets
                for sigma in SIGMAS
            ]
            rows.append((name if is_gray else f"{name}, RGB", *cost, *figures))
    for method in dict.fromkeys(method for _, method in PUBLISHED):
        unknown = (None,) * len(SIGMAS)
        known = [PUBLISHED.get((name, method), unknown) for name in sets]
        figures = [_db(figure) for each in known for figure in each]
        rows.append((f"*{method}, published*", "", "", "", *figures))
    return rows


def _psnr(result: Result, folder: Path, sigma: int) -> float:
    """Mean PSNR in dB over the images of a folder, in gray for a network for gray."""
    noise = ImageNoise("gaussian", (sigma, sigma), clip=False)
    images = read_images(str(folder), result.run.spec.channels)
    held = with_noise(images, noise, sigma)
    return means(scores(result.net, held)).psnr


def _db(psnr: float | None) -> str:
    return "" if psnr is None else f"{psnr:.2f}"


def _header(*figures: str) -> Row:
    return ("network", "parameters", "kMAC/px", "CPU minutes", *figures)


def _about(result: Result) -> Row:
    cost = (f"{result.params:,}", f"{result.kmac:.1f}", f"{result.cpu_s / 60:.1f}")
    return (f"`{result.run.spec.name}`", *cost)


def markdown(rows: list[Row]) -> str:
    """A Markdown table; its first column is text, the others are numbers."""
    header, *body = rows
    return "\n".join(markdown_table(header, body, numbers_from=1)) + "\n"


def write_readme(name: str, table: str, readme: Path) -> None:
    """Replace the table between the two comments with its name.

    Raises:
        ConfigError: the comments are missing.
    """
    first, last = (f"<!-- {name}: {word} -->\n" for word in ("begin", "end"))
    before, begin, rest = readme.read_text().partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ConfigError(f"{readme} has no place for a table: {first.strip()}")
    with replaced_whole(readme) as partial:
        partial.write_text(f"{before}{first}{table}{last}{after}")


def print_progress(line: str) -> None:
    """Print a line of progress to stderr."""
    print(line, file=sys.stderr, flush=True)


TABLES = {"digits": digits, "fashion": fashion, "photos": photos}


def main() -> None:
    parser = argparse.ArgumentParser(description="Numbers of the textbook networks.")
    parser.add_argument("table", choices=list(TABLES))
    parser.add_argument("--minutes", type=float, required=True, help="of each run")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--readme", type=Path, help="put the table into this file")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        made = TABLES[options.table]
        rows = made(options.minutes, options.output, options.threads, options.data)
        table = markdown(rows)
        print(table, end="")
        if options.readme is not None:
            write_readme(options.table, table, options.readme)
    except StreamDenoiseError as exc:
        sys.exit(f"error: {exc}")


if __name__ == "__main__":
    main()
