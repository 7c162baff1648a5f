"""Trains networks on the same images and noise, and compares them."""

import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from streamdenoise.errors import ConfigError, DivergedError
from streamdenoise.files import replaced_whole
from streamdenoise.measure.plots import figure_type

from .checkpoint import load_network
from .config import ClassicConfig, Run
from .data import Batches, Images, read_images, split
from .networks.network import ImageNetwork
from .networks.registry import NETWORKS, kmac_per_pixel, parameters, receptive_field
from .scores import (
    Noisy,
    Score,
    mean_loss,
    means,
    scores,
    with_noise,
    write_rows,
)
from .trainer import OnEpoch, Point, Trainer

_RESULTS = "results.json"
_TEST_SIDE = 256
"""Only the middle of larger test images is scored and shown."""
_CURVES_SIDE = 96
"""As `_TEST_SIDE`, but after every epoch, for the curves."""
_LEAST_SIDE = 4
"""Batch normalization needs more than one sample per channel in every batch."""


@dataclass(frozen=True, slots=True)
class Result:
    """A completed run."""

    run: Run
    net: ImageNetwork
    """The network with its best weights."""
    checkpoint: Path
    params: int
    kmac: float
    """Thousands of multiply-accumulates per pixel."""
    points: list[Point]
    scores: list[Score]
    """Scores of all test images, in order."""
    test_loss: float
    """Mean loss of the test images, in the loss of the run."""
    learned: Score
    """Mean scores of as many images of the training part, with noise of their own."""

    @property
    def mean(self) -> Score:
        """Mean scores of the test images."""
        return means(self.scores)

    @property
    def cpu_s(self) -> float:
        """CPU time of the training in seconds."""
        return self.points[-1].cpu_s

    def about(self) -> dict[str, Any]:
        """The entry in ``results.json``."""
        return {
            "name": self.run.name,
            **asdict(self.run.spec),
            "lr": self.run.lr,
            "batch": self.run.batch,
            "params": self.params,
            "kmac_per_px": round(self.kmac, 2),
            "epochs": len(self.points),
            "cpu_s": round(self.cpu_s, 1),
            "images": len(self.scores),
            "test_loss": self.test_loss,
            "psnr_train": self.learned.psnr,
            **asdict(self.mean),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """The results of all runs, and the test images."""

    config: ClassicConfig
    results: list[Result]
    test: list[Noisy]
    notes: list[str]


def train_classic(config: ClassicConfig, on_progress: OnEpoch) -> Comparison:
    """Train every run, one after the other.

    Args:
        config: the networks, the data and the options.
        on_progress: called with a line for each note and epoch.

    Returns:
        The results on the test images. They are also written to ``results.json``, and
        for each image to the ``scores.csv`` of each run. Runs that diverge are left
        out, with a note.

    Raises:
        ConfigError: the data does not fit, or a run exists already.
        SourceOpenError: an IDX file cannot be used.
        DivergedError: the losses of all runs became NaN.
        SinkError: the folder is not writable.
    """
    figure_type()  # raises now if the report could not be drawn later
    _keep_others(config)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    cv2.setNumThreads(1)
    images = read_images(
        config.data,
        config.channels,
        resize=config.resize,
        least=config.crop or 1,
    )
    notes = [*images.notes, *_check(config, images)]
    for note in notes:
        on_progress(f"note: {note}")
    learned, validation, test = split(images, config.split, config.seed)
    chosen_by = with_noise(validation.cropped(_CURVES_SIDE), config.noise, 1)
    watched = with_noise(test.cropped(_CURVES_SIDE), config.noise, 2)
    tested = with_noise(test.cropped(_TEST_SIDE), config.noise, 3)
    some = learned.pick(np.arange(min(len(learned.arrays), len(test.arrays))))
    seen = with_noise(some.cropped(_TEST_SIDE), config.noise, 4)
    # All of them first, so that an unusable folder does not end a long training.
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
            on_progress(f"{trainer.run.name} was stopped; add --resume to continue it")
            raise
        net, _, _ = load_network(trainer.checkpoint)
        run = trainer.run
        result = Result(
            *(run, net, trainer.checkpoint, parameters(net)),
            *(kmac_per_pixel(run.spec), trainer.points, scores(net, tested)),
            *(mean_loss(net, tested, run.loss), means(scores(net, seen))),
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
    """Raise ConfigError if the report would lose runs that it has."""
    path = config.folder / _RESULTS
    try:
        known = [about["name"] for about in json.loads(path.read_text())]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return
    lost = set(known) - {run.name for run in config.runs}
    if lost:
        raise ConfigError(
            f"the report in {config.folder} has {', '.join(sorted(lost))}, which this "
            "command leaves out: name them too and add --resume, or give another -o"
        )


def _trainer(run: Run, config: ClassicConfig, learned: Images) -> Trainer:
    """A trainer for one run; raises ConfigError if its folder is not writable."""
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


def _check(config: ClassicConfig, images: Images) -> list[str]:
    """Check that the images fit the options.

    Returns:
        Notes on problems that do not prevent training.

    Raises:
        ConfigError: the images do not fit.
    """
    if not images.is_nominal:
        raise ConfigError(
            f"the noise and --loss {','.join(config.losses)} need samples in 0 to 1, "
            f"but those of {config.data} are outside; scale them"
        )
    shapes = {array.shape for array in images.arrays}
    if images.are_photos and not config.crop and len(shapes) > 1:
        raise ConfigError(
            f"--crop 0 uses whole images, but those of {config.data} have "
            f"{len(shapes)} sizes; add --resize 256, or give --crop 64"
        )
    seen = config.crop if images.are_photos and config.crop else images.smallest
    if seen < _LEAST_SIDE:
        raise ConfigError(
            f"{seen} pixels a side are too few to learn from: give images, and "
            f"--crop, of {_LEAST_SIDE} or more"
        )
    specs = {run.spec.name: run.spec for run in config.runs}
    notes = []
    for name, spec in specs.items():
        field = receptive_field(spec)
        if field > seen:
            notes.append(
                f"the receptive field of {name} is {field} pixels a side, larger than "
                f"the {seen} of the training images: it sees zeros beyond their borders"
            )
    blind = [n for n in specs if not NETWORKS[n].takes_sigma]
    if blind and config.noise.is_varied:
        notes.append(
            f"the noise level varies, but is not an input of {', '.join(blind)}"
        )
    return notes
