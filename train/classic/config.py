"""What is trained: the networks, the data, the noise, and every choice of a grid."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from streamdenoise.errors import ConfigError

from .loss import LOSSES
from .networks.registry import NETWORKS, NetworkSpec
from .noise import PictureNoise

GRID = {"lr": float, "batch": int, "width": int}
"""What ``--grid`` can vary."""


@dataclass(frozen=True, slots=True)
class Run:
    """One network to train: a cell of the grid."""

    name: str
    """Of its folder and its checkpoint."""
    spec: NetworkSpec
    lr: float
    batch: int


@dataclass(frozen=True, slots=True)
class ClassicConfig:
    """All runs of one call: they differ in network and grid, and share the rest."""

    networks: tuple[str, ...]
    """Names of `train.classic.networks.NETWORKS`."""
    output: Path
    """Folder of the report, with a folder for each run."""
    data: str = "mnist"
    """See `train.classic.data.read_pictures`."""
    channels: int = 1
    """1 for gray, 3 for color."""
    noise: PictureNoise = field(default_factory=PictureNoise)
    loss: str = "mse"
    """A name of `train.classic.loss.LOSSES`."""
    epochs: int = 100
    """0 for as many as `minutes` allow."""
    minutes: float = 0.0
    """CPU time of each run, of all threads together, without an early stop; 0 for as
    long as it takes."""
    batch: int = 32
    split: float = 0.8
    """Share of the pictures that is not tested on."""
    lr: float = 1e-3
    width: int = 0
    """Channels inside; 0 for each network's own, see `NetworkSpec`."""
    grid: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Values of some of `GRID`; every combination is a run."""
    augment: bool | None = None
    """Flip, turn and scale; None does so to photographs alone: digits have a way up."""
    resize: int = 0
    """Make all pictures squares of this side, in pixels; 0 leaves them."""
    crop: int = 64
    """Side of what is learned from at once, of photographs; 0 takes whole pictures."""
    crops: int = 8
    """Of each photograph in an epoch."""
    patience: int = 10
    """Epochs without progress before a run stops early; 0 for never."""
    seed: int = 0
    """0 to 2**32 - 1."""
    threads: int | None = None
    resume: bool = False
    """Go on with runs that were interrupted, and take those that are done."""

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ConfigError(
                f"no loss is named {self.loss!r}: choose {', '.join(LOSSES)}"
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
                f"--split leaves nothing to train on or to test: {self.split:.0%}; "
                "give 80:20"
            )
        if not 0 <= self.minutes < math.inf:
            raise ConfigError(f"--minutes must be 0 or more, got {self.minutes:g}")
        if not self.minutes and not self.epochs:
            raise ConfigError(
                f"--minutes {self.minutes:g} with --epochs {self.epochs} has no end; "
                "one of them must be above 0"
            )
        if not self.networks:
            raise ConfigError("name a network, such as cnn4dn")
        if 0 < self.resize < self.crop:
            raise ConfigError(
                f"--crop {self.crop} does not fit into pictures of --resize "
                f"{self.resize}; lower it, or give --crop 0 for whole pictures"
            )
        _ = self.runs

    @property
    def runs(self) -> list[Run]:
        """Every network in every cell of the grid."""
        squashed = self.loss == "bce"
        found = []
        cells = [
            dict(zip(self.grid, values, strict=True))
            for values in product(*self.grid.values())
        ]
        for name, cell in product(dict.fromkeys(self.networks), cells):
            width = int(cell.get("width", self.width))
            spec = NetworkSpec(name, self.channels, width, squashed)
            suffix = "".join(f"-{key}{value:g}" for key, value in cell.items())
            lr, batch = cell.get("lr", self.lr), cell.get("batch", self.batch)
            found.append(Run(f"{name}{suffix}", spec, lr, int(batch)))
        return found

    def describe(self, run: Run) -> dict[str, object]:
        """What a run must have in common with the one that it goes on from."""
        shared = (
            *("loss", "minutes", "split", "augment", "resize", "crop", "crops"),
            "seed",
        )
        return {
            "network": run.spec.name,
            "channels": run.spec.channels,
            "width": run.spec.width,
            "lr": run.lr,
            "batch": run.batch,
            "noise": self.noise.kind,
            "sigma": list(self.noise.sigma),
            "clip": self.noise.clip,
            **{key: getattr(self, key) for key in shared},
        }


def parse_names(text: str) -> tuple[str, ...]:
    """Read names with commas between them; ``all`` are all of `NETWORKS`."""
    names = tuple(name.strip() for name in text.split(","))
    return tuple(NETWORKS) if names == ("all",) else names


def parse_split(text: str) -> float:
    """Read ``80:20``: the first number's share of both.

    Raises:
        ConfigError: these are not two numbers.
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
    """Read ``25``, or a range such as ``0-55``.

    Raises:
        ConfigError: these are not one or two numbers.
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
    """Read ``lr=1e-3,3e-4`` and the like.

    Raises:
        ConfigError: nobody varies that, or its values are no positive numbers.
    """
    grid: dict[str, tuple[float, ...]] = {}
    for text in texts:
        key, _, values = text.partition("=")
        if key not in GRID:
            raise ConfigError(
                f"--grid {text} varies nothing: give {', '.join(GRID)} as in "
                "lr=1e-3,3e-4"
            )
        try:
            given = [GRID[key](value) for value in values.split(",")]
            if not all(0 < value < math.inf for value in given):
                raise ValueError
        except ValueError:
            raise ConfigError(
                f"--grid {text} has values that are no positive "
                f"{'numbers' if GRID[key] is float else 'whole numbers'}; give them as "
                "in lr=1e-3,3e-4 and batch=16,32"
            ) from None
        grid[key] = tuple(dict.fromkeys([*grid.get(key, ()), *given]))
    return grid
