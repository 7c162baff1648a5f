"""A training run as a TOML file: the model, the data and the stages."""

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamdenoise.errors import ConfigError
from streamdenoise.network.model import MULTIPLE, ModelSpec

from .degradation.noise import Awgn, Camera, NoiseRecipe
from .loss import LOSSES

BUILT_IN = Path(__file__).parent / "recipes"
"""Folder of the recipes of the shipped models."""

_NOISES = {"awgn": Awgn, "camera": Camera}

_WHOLE = {"warmup": 0, "seed": 0, "workers": 1, "save_every": 1, "val_every": 1}
"""Keys of whole numbers, and their lowest values."""
_SHARES = ("ema", "soft", "gray")
_SWITCHES = ("bf16", "reparam", "int8")
_FINITE = ("lr", "lr_end", "chroma_weight", "border_weight", "teacher_weight")


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the schedule that has one shape of clips."""

    steps: int
    length: int
    """Number of frames that are unrolled."""
    batch: int
    """Clips in a step, of all processes together."""
    size: int
    """Crop height and width in pixels, a multiple of 8."""
    truncate: int = 0
    """Number of frames through which gradients flow back; 0 for the whole clip."""

    def __post_init__(self) -> None:
        counts = (self.steps, self.length, self.batch, self.size)
        if (
            any(type(number) is not int for number in (*counts, self.truncate))
            or min(counts) < 1
            or self.truncate < 0
        ):
            raise ConfigError(f"stages need positive whole numbers, got {self}")
        if self.size % MULTIPLE:
            raise ConfigError(f"size must be a multiple of {MULTIPLE}, got {self.size}")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training run, read from TOML."""

    spec: ModelSpec
    noise: NoiseRecipe
    stages: tuple[Stage, ...]
    data: Path
    """Folder with ``video/`` and ``stills/``."""
    val: Path
    """Folder of clean validation clips."""
    run: Path
    """Folder for checkpoints and the log; decoded data goes to ``cache`` next to it."""
    lr: float = 1e-3
    lr_end: float = 1e-6
    warmup: int = 300
    """Steps of the linear warm-up; 0 for none."""
    ema: float = 0.999
    seed: int = 0
    loss: str = "psnr"
    """A name of `train.loss.LOSSES`."""
    soft: float = 0.0
    """Share of clips that are blurred, see `ClipSampler`."""
    gray: float = 0.0
    """Share of clips that are made gray, see `ClipSampler`."""
    chroma_weight: float = 0.2
    border_weight: float = 0.0
    """Weight of `border_loss`."""
    bf16: bool = True
    start: Path | None = None
    """A checkpoint to start from, for fine-tuning."""
    blend: Path | None = None
    """A second checkpoint of the same widths: the run starts from the mean of both."""
    teacher: Path | None = None
    """A checkpoint of any widths whose output is a second target."""
    teacher_weight: float = 0.5
    """Weight of the loss against the teacher's output."""
    reparam: bool = False
    """Train 3x3 convolutions with more branches, see `train.layers.reparam`."""
    int8: bool = False
    """Round as INT8 artifacts do, in the last steps; see `train.layers.quantize`."""
    workers: int = 1
    """Number of threads of each process that make clips."""
    save_every: int = 500
    val_every: int = 2000

    def __post_init__(self) -> None:
        if self.spec.layout == "gray":
            raise ConfigError(
                "layout 'gray' cannot be trained, because the noise is made in color; "
                "set layout to 'yuv420' or 'rgb'"
            )
        if self.blend is not None and self.start is None:
            raise ConfigError(
                f"blend = {str(self.blend)!r} has nothing to be averaged with; "
                "give start too"
            )
        if self.loss not in LOSSES:
            raise ConfigError(
                f"loss must be one of {', '.join(LOSSES)}, got {self.loss!r}"
            )
        if not self.stages:
            raise ConfigError("a recipe needs at least one stage")
        for key, least in _WHOLE.items():
            value = getattr(self, key)
            if type(value) is not int or value < least:
                raise ConfigError(
                    f"{key} must be a whole number, {least} or more, got {value!r}"
                )
        for key in _SWITCHES:
            if type(getattr(self, key)) is not bool:
                raise ConfigError(
                    f"{key} must be true or false, got {getattr(self, key)!r}"
                )
        for key in (*_SHARES, *_FINITE):
            value = getattr(self, key)
            share = key in _SHARES
            if type(value) not in (int, float) or not (
                0 <= value <= 1 if share else 0 <= value < math.inf
            ):
                range_ = "from 0 to 1" if share else "of 0 or more"
                raise ConfigError(f"{key} must be a number {range_}, got {value!r}")

    @classmethod
    def read(cls, path: Path) -> "Recipe":
        """Read a recipe; relative folders are relative to the working directory.

        With ``like = "FILE"`` it is the recipe FILE in the same folder, with other
        values for some keys.

        Args:
            path: a file, or the name of one of `BUILT_IN`, with or without
                ``.toml``.

        Raises:
            ConfigError: not a file, not TOML, a key that is unknown or missing, or a
                value that cannot be used.
        """
        built_in = BUILT_IN / path.with_suffix(".toml").name
        is_name = path.parent == Path() and path.suffix in ("", ".toml")
        if is_name and not path.exists() and built_in.exists():
            path = built_in
        try:
            return cls._of(_read_table(path))
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as exc:
            what = f"lacks {exc}" if isinstance(exc, KeyError) else exc
            if isinstance(exc, OSError) and exc.strerror:
                what = exc.strerror.lower()
            names = ", ".join(sorted(each.stem for each in BUILT_IN.glob("*.toml")))
            raise ConfigError(
                f"the recipe {path} cannot be used: {what}; give a .toml file "
                f"like those in {BUILT_IN}, or the name of one of them: {names}"
            ) from exc

    @classmethod
    def _of(cls, table: dict[str, Any]) -> "Recipe":
        noise = dict(table.pop("noise"))
        kind = noise.pop("kind")
        if kind not in _NOISES:
            raise ValueError(f"noise.kind must be one of {', '.join(_NOISES)}")
        folders = {
            key: Path(folder)
            for key in ("data", "val", "run", "start", "blend", "teacher")
            if (folder := table.pop(key, ""))
        }
        return cls(
            spec=ModelSpec(**table.pop("model")),
            noise=_NOISES[kind](**noise),
            stages=tuple(Stage(**stage) for stage in table.pop("stages")),
            **folders,
            **table,
        )

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    @property
    def max_size(self) -> int:
        """The largest crop of all stages, in pixels."""
        return max(stage.size for stage in self.stages)

    def stage_at(self, step: int) -> Stage:
        for stage in self.stages:
            if step < stage.steps:
                return stage
            step -= stage.steps
        return self.stages[-1]

    def lr_at(self, step: int) -> float:
        """Linear warm-up, then a cosine to `lr_end`."""
        warm = min(1.0, (step + 1) / max(1, self.warmup))
        turn = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return warm * (self.lr_end + (self.lr - self.lr_end) * turn)


def _read_table(path: Path) -> dict[str, Any]:
    """The keys of a recipe, including those inherited through `like`."""
    table = tomllib.loads(path.read_text())
    if "like" not in table:
        return table
    whole = _read_table(path.parent / table.pop("like"))
    for key, value in table.items():
        if isinstance(value, dict):
            value = whole.get(key, {}) | value
        whole[key] = value
    return whole
