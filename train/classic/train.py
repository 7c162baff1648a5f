"""Train networks on the same pictures and noise, and compare them."""

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import torch

from streamdenoise.errors import ConfigError, DivergedError
from streamdenoise.files import replaced_whole
from streamdenoise.measure.plots import figure_type

from .checkpoint import load_network
from .config import ClassicConfig, Run
from .data import Batches, Images, read_images, split
from .networks.network import ImageNetwork
from .networks.registry import (
    NETWORKS,
    kmac_per_pixel,
    parameters,
    receptive_field,
)
from .scores import Noisy, Score, means, scores, with_noise, write_rows
from .trainer import OnEpoch, Point, Trainer

_RESULTS = "results.json"
_TEST_SIDE = 256
"""Of larger test pictures the middle is scored, and the same is shown."""
_CURVES_SIDE = 96
"""After every epoch less is enough."""
_LEAST_SIDE = 4
"""Batch normalization wants more than one sample a channel, in any batch."""


@dataclass(frozen=True, slots=True)
class Result:
    """A run that is done."""

    run: Run
    net: ImageNetwork
    """Its best weights."""
    checkpoint: Path
    params: int
    kmac: float
    """Thousands of multiply-accumulates per pixel."""
    points: list[Point]
    scores: list[Score]
    """Of all test pictures, in order."""

    @property
    def mean(self) -> Score:
        """Over the test pictures."""
        return means(self.scores)

    @property
    def cpu_s(self) -> float:
        """CPU time of the training."""
        return self.points[-1].cpu_s

    def about(self) -> dict[str, Any]:
        """What ``results.json`` says of it."""
        return {
            "name": self.run.name,
            **asdict(self.run.spec),
            "lr": self.run.lr,
            "batch": self.run.batch,
            "params": self.params,
            "kmac_per_px": round(self.kmac, 2),
            "epochs": len(self.points),
            "cpu_s": round(self.cpu_s, 1),
            "pictures": len(self.scores),
            **asdict(self.mean),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """All runs of a call, and what they were tested on."""

    config: ClassicConfig
    results: list[Result]
    test: list[Noisy]
    notes: list[str]


def train_classic(config: ClassicConfig, on_progress: OnEpoch) -> Comparison:
    """Train every run, one after the other.

    Args:
        config: what to train.
        on_progress: told of notes and epochs, a line each.

    Returns:
        What they achieve on the test pictures; also written to ``results.json``, and
        picture by picture to each run's ``scores.csv``. Runs that diverge are left out,
        with a note.

    Raises:
        ConfigError: the data does not fit, or a run is there already.
        SourceOpenError: an IDX file cannot be used.
        DivergedError: the losses of all runs became NaN.
        SinkError: the folder cannot be written to.
    """
    figure_type()  # that no training ends without its report
    _keep_others(config)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    cv2.setNumThreads(1)
    pictures = read_images(
        config.data,
        config.channels,
        resize=config.resize,
        least=config.crop or 1,
    )
    notes = [*pictures.notes, *_check(config, pictures)]
    for note in notes:
        on_progress(f"note: {note}")
    learned, validation, test = split(pictures, config.split, config.seed)
    chosen_by = with_noise(validation.cropped(_CURVES_SIDE), config.noise, 1)
    watched = with_noise(test.cropped(_CURVES_SIDE), config.noise, 2)
    tested = with_noise(test.cropped(_TEST_SIDE), config.noise, 3)
    # All of them first: a folder that cannot be used ends no long training.
    trainers = [_trainer(run, config, learned) for run in config.runs]
    results, diverged = [], []
    for trainer in trainers:
        try:
            trainer.train(chosen_by, watched, on_progress)
        except DivergedError as exc:
            if len(trainers) == 1:
                raise
            diverged.append(exc)
            on_progress(f"note: {exc}")
            continue
        except KeyboardInterrupt:
            on_progress(f"{trainer.run.name} was stopped; add --resume to go on")
            raise
        net, _, _ = load_network(trainer.checkpoint)
        run = trainer.run
        result = Result(
            *(run, net, trainer.checkpoint, parameters(net)),
            *(kmac_per_pixel(run.spec), trainer.points, scores(net, tested)),
        )
        results.append(result)
        write_rows(trainer.folder / "scores.csv", result.scores)
        with replaced_whole(config.folder / _RESULTS) as partial:
            about = [config.describe(each.run) | each.about() for each in results]
            partial.write_text(json.dumps(about, indent=2, allow_nan=False) + "\n")
    if not results:
        raise diverged[0]
    notes += [str(exc) for exc in diverged]
    return Comparison(config, results, tested, notes)


def _keep_others(config: ClassicConfig) -> None:
    """Raises: ConfigError: the report would lose runs that it has."""
    path = config.folder / _RESULTS
    try:
        known = [about["name"] for about in json.loads(path.read_text())]
    except (OSError, ValueError, KeyError, TypeError):
        return
    lost = set(known) - {run.name for run in config.runs}
    if lost:
        raise ConfigError(
            f"the report in {config.folder} has {', '.join(sorted(lost))}, which this "
            "call leaves out: name them too and add --resume, or give another -o"
        )


def _trainer(run: Run, config: ClassicConfig, learned: Images) -> Trainer:
    """Raises: ConfigError: its folder cannot be used."""
    photos = learned.are_photos
    batches = Batches(
        learned,
        run.batch,
        crop=config.crop if photos else 0,
        crops=config.crops if photos else 1,
        augment=photos if config.augment is None else config.augment,
        seed=config.seed,
    )
    folder = config.folder / run.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as exc:
        raise ConfigError(
            f"cannot write to {folder}: {exc.strerror}; give another -o"
        ) from exc
    return Trainer(run, config, batches, folder)


def _check(config: ClassicConfig, pictures: Images) -> list[str]:
    """Notes on what fits badly.

    Raises:
        ConfigError: it does not fit at all.
    """
    if not pictures.is_nominal:
        raise ConfigError(
            f"the noise and --loss {config.loss} need samples in 0 to 1, and those of "
            f"{config.data} are outside; scale them"
        )
    shapes = {array.shape for array in pictures.arrays}
    if pictures.are_photos and not config.crop and len(shapes) > 1:
        raise ConfigError(
            f"--crop 0 takes whole pictures, and those of {config.data} have "
            f"{len(shapes)} sizes; add --resize 256, or give --crop 64"
        )
    seen = config.crop if pictures.are_photos and config.crop else pictures.smallest
    if seen < _LEAST_SIDE:
        raise ConfigError(
            f"{seen} pixels a side are too few to learn from: give pictures, and "
            f"--crop, of {_LEAST_SIDE} or more"
        )
    specs = {run.spec.name: run.spec for run in config.runs}
    notes = []
    for name, spec in specs.items():
        field = receptive_field(spec)
        if field > seen:
            notes.append(
                f"{name} looks at {field} pixels a side, more than the {seen} that it "
                "learns from: beyond the border it sees zeros"
            )
    blind = [n for n in specs if not NETWORKS[n].takes_sigma]
    if blind and config.noise.is_varied:
        notes.append(f"{', '.join(blind)} must guess the level of the noise")
    return notes
