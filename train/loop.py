"""The training loop: ``python -m train RECIPE`` or ``streamdenoise train RECIPE``."""

import json
import logging
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import cv2

from streamdenoise.console.progress import RedrawnLine, bar_line
from streamdenoise.errors import ConfigError
from streamdenoise.network.model import kmac_per_pixel

from .clips.batch import batches
from .clips.sampler import ClipSampler
from .recipe import Recipe
from .run.board import Board
from .run.ranks import Ranks, joined
from .trainer import Trainer
from .validation import frame_strip, validate, validate_recipe, validation_clips

log = logging.getLogger(__name__)

OnStep = Callable[[int, float, float], None]
"""Called with the number of steps done, the smoothed loss and the steps per second."""

_LOG_EVERY = 100
"""Number of steps between lines of the log and points of the curves."""


def train(
    recipe: Recipe, ranks: Ranks | None = None, on_step: OnStep | None = None
) -> Path:
    """Run a recipe; an interrupted run resumes from its last saved step.

    Args:
        recipe: the recipe.
        ranks: this process among those of the run; None for a single one on the CPU.
        on_step: called after each step.

    Returns:
        Path of the final checkpoint (EMA weights).

    Raises:
        ConfigError: data, a checkpoint or the number of processes does not fit.
        CheckpointError: `start`, `blend` or `teacher` is not a checkpoint.
        DivergedError: the loss became NaN; the last good checkpoint is kept.
        SinkError: a checkpoint cannot be written; the last good one is kept.
    """
    ranks = ranks or Ranks()
    for stage in recipe.stages:
        if stage.batch % ranks.world:
            raise ConfigError(
                f"{ranks.world} processes cannot share {stage.batch} clips evenly; "
                f"make batch a multiple of {ranks.world}"
            )
    # OpenCV's own threads would only compete with the network's.
    cv2.setNumThreads(1)
    recipe.run.mkdir(parents=True, exist_ok=True)
    with ranks.in_turn():
        sampler = ClipSampler.read(
            recipe.data,
            recipe.run.parent / "cache",
            recipe.max_size,
            soft=recipe.soft,
            gray=recipe.gray,
        )
    clips = validation_clips(recipe.val)
    trainer = Trainer(recipe, ranks)
    first = trainer.done
    log.info(
        "%s: %.2f kMAC/px, from step %d of %d, %d x %s",
        recipe.spec.name,
        kmac_per_pixel(recipe.spec),
        first,
        recipe.steps,
        ranks.world,
        ranks.device,
    )
    shares = batches(recipe, sampler, first, ranks.rank, ranks.world)
    curves = recipe.run / "tensorboard" if ranks.is_first else None
    shown, started = 0.0, time.monotonic()
    with closing(shares), Board(curves, first) as board:
        for batch in shares:
            loss = trainer.learn(batch)
            if not ranks.is_first:
                continue
            now, ended = trainer.done, trainer.done == recipe.steps
            shown = 0.98 * shown + 0.02 * loss if shown else loss
            pace = (now - first) / (time.monotonic() - started)
            if on_step is not None:
                on_step(now, shown, pace)
            if now % _LOG_EVERY == 0:
                log.info("step %d loss %.4f %.3f s/step", now, shown, 1 / pace)
                board.scalars(now, {"loss": shown, "lr": recipe.lr_at(now - 1)})
            if now % recipe.val_every == 0 or ended:
                net = trainer.averaged()
                scores = validate(net, clips)
                scores |= validate_recipe(net, recipe.noise, clips)
                trainer.scores = scores
                rounded = {key: round(value, 3) for key, value in scores.items()}
                log.info("step %d %s", now, json.dumps(rounded))
                board.scalars(now, {f"validation/{k}": v for k, v in scores.items()})
                for name, clip in list(clips.items())[:1]:
                    board.image(now, name, frame_strip(net, clip))
            if now % recipe.save_every == 0 or ended:
                trainer.save(str(sampler))
    return recipe.run / "ema.safetensors"


class _BesideLine(logging.StreamHandler):
    """Logs to a terminal on which a line is being redrawn."""

    def __init__(self, line: RedrawnLine) -> None:
        super().__init__()
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        self._line.clear()
        super().emit(record)


def main(recipe_path: str) -> None:
    """Train the recipe at `recipe_path`, logging to its run folder and the terminal.

    Under ``torchrun`` each process does its share; only the first one writes output.
    """
    recipe = Recipe.read(Path(recipe_path))
    line = RedrawnLine(sys.stderr)

    def show(step: int, loss: float, pace: float) -> None:
        line.draw(f"{bar_line(step, recipe.steps, pace, 'steps/s')}  loss {loss:.4f}")

    with joined() as ranks:
        recipe.run.mkdir(parents=True, exist_ok=True)
        handlers: list[logging.Handler] = [_BesideLine(line)]
        if ranks.is_first:
            handlers.append(logging.FileHandler(recipe.run / "log.txt"))
        logging.basicConfig(
            level=logging.INFO if ranks.is_first else logging.ERROR,
            format="%(asctime)s %(message)s",
            handlers=handlers,
            force=True,  # `streamdenoise train` has its own format
        )
        watched = ranks.is_first and sys.stderr.isatty()
        try:
            checkpoint = train(recipe, ranks, show if watched else None)
        finally:
            line.clear()
        if ranks.is_first:
            print(checkpoint)
