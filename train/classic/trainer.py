"""One run: epochs of batches, curves, early stopping, resuming."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from streamdenoise.errors import ConfigError, DivergedError
from streamdenoise.files import replaced_whole

from ..layers.channels_last import channels_last
from ..run.board import Board
from ..run.saving import commit, read_last
from .checkpoint import save_network
from .config import ClassicConfig, Run
from .data import Batches
from .loss import LOSSES
from .scores import MOST_DB, Noisy, write_rows

OnEpoch = Callable[[str], None]

_WARMUP = 50
"""Number of steps in which the learning rate rises."""
_FIRST_SEED = 16


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the curves, after an epoch."""

    epoch: int
    cpu_s: float
    """CPU time so far in seconds, of all threads."""
    lr: float
    train_loss: float
    """Mean over the epoch's batches, between which the weights change."""
    validation_loss: float
    test_loss: float
    test_psnr: float
    """Mean over images in dB."""


class Trainer:
    """A network in training, and the curves so far."""

    def __init__(
        self, run: Run, config: ClassicConfig, batches: Batches, folder: Path
    ) -> None:
        """Start, or resume from the folder's ``last.pt``.

        Raises:
            ConfigError: there is one, but `config.resume` is not set or it was trained
                with other options.
        """
        self.run, self.config, self.folder = run, config, folder
        self._batches = batches
        self._about = {
            **config.describe(run),
            "set of images": batches.images.digest,
        }
        self._last = folder / "last.pt"
        torch.manual_seed(config.seed)
        self.net = channels_last(run.spec.build())
        self._optimizer = torch.optim.Adam(self.net.parameters(), run.lr)
        self._loss = LOSSES[run.loss]
        self.points: list[Point] = []
        self._steps = 0
        self._best, self._best_epoch = math.inf, 0
        self._spent_s = 0.0
        saved = read_last(self._last)
        if saved is not None:
            self._resume(saved)

    @property
    def checkpoint(self) -> Path:
        """Checkpoint of the weights with the lowest validation loss so far."""
        return self.folder / f"{self.run.name}.safetensors"

    @property
    def is_done(self) -> bool:
        """Whether the epochs or the time are over, or training stopped early."""
        config, done = self.config, len(self.points)
        stalled = 0 < config.patience <= done - self._best_epoch and not config.minutes
        return stalled or self._progress >= 1

    @property
    def _progress(self) -> float:
        config = self.config
        by_epoch = len(self.points) / config.epochs if config.epochs else 0.0
        if not config.minutes:
            return by_epoch
        return max(by_epoch, self._spent_s / (60 * config.minutes))

    def train(
        self, validation: list[Noisy], test: list[Noisy], on_epoch: OnEpoch
    ) -> None:
        """Train until `is_done`; every epoch is saved.

        Raises:
            DivergedError: the loss is not finite any more; saved files are kept.
            SinkError: the folder is not writable.
        """
        with Board(self.folder / "tensorboard", len(self.points) + 1) as board:
            while not self.is_done:
                point = self._epoch(validation, test)
                self.points.append(point)
                if point.validation_loss < self._best:
                    self._best, self._best_epoch = point.validation_loss, point.epoch
                    self._save_network()
                self._save_last()
                board.scalars(
                    point.epoch,
                    {
                        "loss/train": point.train_loss,
                        "loss/validation": point.validation_loss,
                        "loss/test": point.test_loss,
                        "psnr/test": point.test_psnr,
                    },
                )
                on_epoch(
                    f"{self.run.name}: epoch {point.epoch}, {point.cpu_s / 60:.1f} CPU "
                    f"minutes, loss {point.train_loss:.5f}, "
                    f"test {point.test_loss:.5f}, {point.test_psnr:.2f} dB"
                )

    def _epoch(self, validation: list[Noisy], test: list[Noisy]) -> Point:
        number = len(self.points)
        # Different from the seeds of validation and test, which are small numbers.
        seed = (self.config.seed << 20) + _FIRST_SEED + number
        generator = torch.Generator().manual_seed(seed)
        before, started = self._spent_s, time.process_time()
        total, count = 0.0, 0
        self.net.train()
        for clean in self._batches.epoch(number):
            noisy, noise_std = self.config.noise.add(clean, generator)
            loss = self._step(clean, noisy, noise_std, number)
            total, count = total + loss * len(clean), count + len(clean)
            self._spent_s = before + time.process_time() - started
            if self.config.minutes and self._progress >= 1:
                break
        validation_loss, _ = self._held_out(validation)
        if not math.isfinite(validation_loss):
            raise self._diverged(f"validation loss {validation_loss:.3g}", number)
        test_loss, test_psnr = self._held_out(test)
        return Point(
            *(number + 1, self._spent_s, self._lr(), total / count),
            *(validation_loss, test_loss, test_psnr),
        )

    def _lr(self) -> float:
        """Warm-up, then a cosine to a hundredth."""
        warm = min(1.0, (self._steps + 1) / _WARMUP)
        turn = 0.5 * (1 + math.cos(math.pi * min(1.0, self._progress)))
        return self.run.lr * warm * (0.01 + 0.99 * turn)

    def _step(
        self, clean: Tensor, noisy: Tensor, noise_std: Tensor, epoch: int
    ) -> float:
        for group in self._optimizer.param_groups:
            group["lr"] = self._lr()
        self._optimizer.zero_grad(set_to_none=True)
        noisy = noisy.contiguous(memory_format=torch.channels_last)
        loss = self._loss(self.net(noisy, noise_std), clean)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        if not math.isfinite(loss.item()) or not norm.isfinite():
            raise self._diverged(f"loss {loss.item():.3g}, gradients {norm:.3g}", epoch)
        self._optimizer.step()
        self._steps += 1
        return loss.item()

    def _diverged(self, what: str, epoch: int) -> DivergedError:
        left = (
            f"{self.folder} has the state after epoch {len(self.points)}"
            if self.points
            else "nothing was saved"
        )
        return DivergedError(
            f"{self.run.name}: {what} in epoch {epoch + 1}; {left}: start again with a "
            "lower --lr"
        )

    @torch.inference_mode()
    def _held_out(self, held: list[Noisy]) -> tuple[float, float]:
        """Mean loss, and mean PSNR in dB."""
        self.net.eval()
        loss, psnr, count = 0.0, 0.0, 0
        for clean, noisy, noise_std in held:
            out = self.net(noisy, noise_std)
            loss += self._loss(out, clean).item() * len(clean)
            mse = (out.clamp(0, 1) - clean).square().mean((1, 2, 3))
            psnr += (-10 * mse.log10()).clamp(max=MOST_DB).sum().item()
            count += len(clean)
        return loss / count, psnr / count

    def _save_network(self) -> None:
        point = self.points[-1]
        provenance = {
            **self._about,
            "epochs": point.epoch,
            "steps": self._steps,
            "cpu_minutes": round(point.cpu_s / 60, 2),
            "commit": commit(),
        }
        save_network(self.checkpoint, self.net, self.run.spec, provenance)

    def _save_last(self) -> None:
        write_rows(self.folder / "curves.csv", self.points)
        with replaced_whole(self._last) as partial:
            torch.save(
                {
                    "net": self.net.state_dict(),
                    "optimizer": self._optimizer.state_dict(),
                    "points": [asdict(point) for point in self.points],
                    "steps": self._steps,
                    "best": (self._best, self._best_epoch),
                    "spent_s": self._spent_s,
                    "about": self._about,
                },
                partial,
            )

    def _resume(self, saved: dict[str, Any]) -> None:
        if not self.config.resume:
            raise ConfigError(
                f"{self.folder} already has a run; add --resume to continue it, or "
                "give another -o"
            )
        about, wanted = saved.get("about", {}), self._about
        other = [key for key, value in wanted.items() if about.get(key) != value]
        if other:
            raise ConfigError(
                f"cannot resume {self.folder}, which was trained with another "
                f"{', '.join(other)}; give the same options, or another -o"
            )
        self.net.load_state_dict(saved["net"])
        self._optimizer.load_state_dict(saved["optimizer"])
        self.points = [Point(**row) for row in saved["points"]]
        self._steps = saved["steps"]
        self._best, self._best_epoch = saved["best"]
        self._spent_s = saved["spent_s"]
