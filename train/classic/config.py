"""Options of `train classic`: the networks, the data, the noise, and the grid.

Nothing here needs PyTorch until a `ClassicConfig` is made.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from streamdenoise.errors import ConfigError
from streamdenoise.options import Argument, Option, Panel

if TYPE_CHECKING:
    from .networks.registry import NetworkSpec
    from .noise import ImageNoise

GRID = {"lr": float, "batch": int, "width": int}
"""The options that ``--grid`` can vary, and their types."""


def parse_names(text: str) -> tuple[str, ...]:
    """Parse names separated by commas; ``all`` stands for all of `NETWORKS`."""
    from .networks.registry import NETWORKS

    names = tuple(name.strip() for name in text.split(","))
    return tuple(NETWORKS) if names == ("all",) else names


def parse_losses(text: str) -> tuple[str, ...]:
    """Parse names separated by commas."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",")))


def parse_split(text: str) -> float:
    """Parse ``80:20``: the share of the first number.

    Raises:
        ConfigError: the text is not two numbers.
    """
    first, _, second = text.partition(":")
    try:
        train, test = float(first), float(second)
        if not (0 <= train < math.inf and 0 <= test < math.inf):
            raise ValueError
        return train / (train + test)
    except (ValueError, ZeroDivisionError):
        raise ConfigError(
            f"--split {text} is not two numbers; give 80:20 to train on four fifths"
        ) from None


def parse_levels(text: str) -> tuple[float, float]:
    """Parse ``25``, or a range such as ``0-55``.

    Raises:
        ConfigError: the text is not one or two numbers.
    """
    first, dash, second = text.partition("-")
    try:
        return float(first), float(second if dash else first)
    except ValueError:
        raise ConfigError(
            f"--sigma {text} is neither a number of 8-bit levels nor a range; give 25 "
            "or 0-55"
        ) from None


def parse_grid(texts: list[str]) -> dict[str, tuple[float, ...]]:
    """Parse options such as ``lr=1e-3,3e-4``.

    Raises:
        ConfigError: the option is not in `GRID`, or a value is not a positive number.
    """
    grid: dict[str, tuple[float, ...]] = {}
    for text in texts:
        key, _, values = text.partition("=")
        if key not in GRID:
            raise ConfigError(
                f"--grid {text} does not name one of {', '.join(GRID)}; give, for "
                "example, lr=1e-3,3e-4"
            )
        try:
            given = [GRID[key](value) for value in values.split(",")]
            if not all(0 < value < math.inf for value in given):
                raise ValueError
        except ValueError:
            raise ConfigError(
                f"--grid {text} has values that are not positive "
                f"{'numbers' if GRID[key] is float else 'whole numbers'}; give, for "
                "example, lr=1e-3,3e-4 or batch=16,32"
            ) from None
        grid[key] = tuple(dict.fromkeys([*grid.get(key, ()), *given]))
    return grid


@dataclass(frozen=True, slots=True)
class Run:
    """One network to train: a cell of the grid."""

    name: str
    """Name of its folder and its checkpoint."""
    spec: "NetworkSpec"
    lr: float
    batch: int
    loss: str
    """A name of `train.classic.loss.LOSSES`."""


@dataclass(frozen=True, slots=True)
class ClassicConfig:
    """All runs of one call: they differ in network and grid, and share the rest."""

    networks: Annotated[
        tuple[str, ...],
        Argument(
            "Networks, separated by commas: cnn4dn, autoencoder_pool, "
            "autoencoder_strided, autoencoder_mnist, unet, resnet, dncnn, ffdnet, "
            "nano, or all.",
            "NAMES",
            parse=parse_names,
        ),
    ]
    output: Annotated[
        Path | None,
        Option(
            "Folder for the report and the runs; by default runs/NAME.",
            Panel.OUTPUT,
            "-o",
            "--output",
        ),
    ] = None
    data: Annotated[
        str,
        Option(
            "mnist (in data/mnist), fashion (in data/fashion), an IDX file, or a "
            "folder of images.",
            Panel.INPUT,
        ),
    ] = "mnist"
    """See `train.classic.data.read_images`."""
    color: Annotated[
        bool, Option("Train networks for RGB, not for gray.", Panel.INPUT)
    ] = False
    noise_kind: Annotated[
        str,
        Option(
            "gaussian, poisson, salt-pepper, speckle or camera.", Panel.NOISE, "--noise"
        ),
    ] = "gaussian"
    sigma: Annotated[
        tuple[float, float],
        Option(
            "Noise level in 8-bit levels, or a range such as 0-55.",
            Panel.NOISE,
            parse=parse_levels,
            metavar="LEVEL",
            shown="25",
        ),
    ] = (25.0, 25.0)
    clip: Annotated[bool, Option("Clip noisy values to [0, 1].", Panel.NOISE)] = True
    losses: Annotated[
        tuple[str, ...],
        Option(
            "mse, bce, l1 or charbonnier; several, separated by commas, are compared.",
            Panel.TRAINING,
            "--loss",
            parse=parse_losses,
            metavar="NAMES",
            shown="mse",
        ),
    ] = ("mse",)
    epochs: Annotated[
        int | None,
        Option(
            "Epochs of each run; by default 100, or as many as --minutes allow.",
            Panel.TRAINING,
        ),
    ] = None
    minutes: Annotated[
        float,
        Option(
            "CPU time of each run, of all threads together, without early stopping.",
            Panel.TRAINING,
        ),
    ] = 0.0
    """0 for no limit."""
    batch: Annotated[int, Option("Batch size.", Panel.TRAINING)] = 32
    split: Annotated[
        float,
        Option(
            "Shares of the images to train on and to test on.",
            Panel.INPUT,
            parse=parse_split,
            metavar="TRAIN:TEST",
            shown="80:20",
        ),
    ] = 0.8
    """Share of the images to train on."""
    lr: Annotated[float, Option("Learning rate.", Panel.TRAINING)] = 1e-3
    width: Annotated[
        int,
        Option(
            "Channels of the hidden layers; 0 uses each network's own.", Panel.TRAINING
        ),
    ] = 0
    grid: Annotated[
        Mapping[str, tuple[float, ...]],
        Option(
            "Try all values of lr=1e-3,3e-4, batch=... or width=...; may be repeated.",
            Panel.TRAINING,
            parse=parse_grid,
            repeats=True,
            metavar="KEY=VALUES",
        ),
    ] = field(default_factory=dict)
    """Values of some of `GRID`; every combination is a run."""
    augment: Annotated[
        bool | None,
        Option(
            "Flip, rotate and scale images; by default only photographs, as digits "
            "must stay upright.",
            Panel.INPUT,
        ),
    ] = None
    resize: Annotated[
        int,
        Option(
            "Resize images to squares of this side, in pixels; 0 keeps their size.",
            Panel.INPUT,
        ),
    ] = 0
    crop: Annotated[
        int, Option("Training crop size in pixels; 0 uses whole images.", Panel.INPUT)
    ] = 64
    crops: Annotated[
        int, Option("Crops of each photograph in an epoch.", Panel.INPUT)
    ] = 8
    patience: Annotated[
        int,
        Option(
            "Epochs without progress before a run stops early; 0 never stops it.",
            Panel.TRAINING,
        ),
    ] = 10
    seed: Annotated[int, Option("Random seed.", Panel.TRAINING)] = 0
    """0 to 2**32 - 1."""
    threads: Annotated[int | None, Option("CPU threads.", Panel.HARDWARE)] = None
    resume: Annotated[
        bool,
        Option("Continue interrupted runs, and keep finished ones.", Panel.TRAINING),
    ] = False

    def __post_init__(self) -> None:
        from .loss import LOSSES

        if self.epochs is None:
            object.__setattr__(self, "epochs", 0 if self.minutes else 100)
        for loss in self.losses or ("",):
            if loss not in LOSSES:
                raise ConfigError(
                    f"there is no loss {loss!r}; choose from {', '.join(LOSSES)}"
                )
        for key, least in {
            **dict.fromkeys(("epochs", "resize", "crop", "patience", "seed"), 0),
            **dict.fromkeys(("batch", "crops"), 1),
        }.items():
            if getattr(self, key) < least:
                raise ConfigError(
                    f"--{key} must be {least} or more, got {getattr(self, key)}"
                )
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"--threads must be 1 or more, got {self.threads}")
        if self.seed >= 1 << 32:
            raise ConfigError(f"--seed must be below 2**32, got {self.seed}")
        if not 0 < self.lr < math.inf:
            raise ConfigError(f"--lr must be above 0, got {self.lr:g}")
        if not 0 < self.split < 1:
            raise ConfigError(
                f"--split leaves nothing to train on or to test on: {self.split:.0%}; "
                "give 80:20"
            )
        if not 0 <= self.minutes < math.inf:
            raise ConfigError(f"--minutes must be 0 or more, got {self.minutes:g}")
        if not self.minutes and not self.epochs:
            raise ConfigError(
                f"--minutes {self.minutes:g} with --epochs {self.epochs} never ends; "
                "one of them must be above 0"
            )
        if not self.networks:
            raise ConfigError("name a network, such as cnn4dn")
        if 0 < self.resize < self.crop:
            raise ConfigError(
                f"--crop {self.crop} does not fit into images of --resize "
                f"{self.resize}; lower it, or give --crop 0 for whole images"
            )
        _ = self.noise, self.runs

    @property
    def folder(self) -> Path:
        """Folder of the report, with a folder for each run."""
        return self.output or Path("runs", "+".join(self.networks))

    @property
    def channels(self) -> int:
        """1 for gray, 3 for color."""
        return 3 if self.color else 1

    @property
    def noise(self) -> "ImageNoise":
        """The noise that is added to images."""
        from .noise import ImageNoise

        return ImageNoise(self.noise_kind, self.sigma, self.clip)

    @property
    def runs(self) -> list[Run]:
        """Every network with every loss in every cell of the grid."""
        from .networks.registry import NetworkSpec

        found = []
        cells = [
            dict(zip(self.grid, values, strict=True))
            for values in product(*self.grid.values())
        ]
        names = dict.fromkeys(self.networks)
        for name, loss, cell in product(names, self.losses, cells):
            width = int(cell.get("width", self.width))
            spec = NetworkSpec(name, self.channels, width, squashed=loss == "bce")
            suffix = f"-{loss}" if len(self.losses) > 1 else ""
            suffix += "".join(f"-{key}{value:g}" for key, value in cell.items())
            lr, batch = cell.get("lr", self.lr), cell.get("batch", self.batch)
            found.append(Run(f"{name}{suffix}", spec, lr, int(batch), loss))
        return found

    def describe(self, run: Run) -> dict[str, object]:
        """The options that a run must share with the one that it resumes."""
        shared = (
            *("minutes", "split", "augment", "resize", "crop", "crops"),
            "seed",
        )
        return {
            "network": run.spec.name,
            "channels": run.spec.channels,
            "width": run.spec.width,
            "lr": run.lr,
            "batch": run.batch,
            "loss": run.loss,
            "noise": self.noise.kind,
            "sigma": list(self.noise.sigma),
            "clip": self.noise.clip,
            **{key: getattr(self, key) for key in shared},
        }
