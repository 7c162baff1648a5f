"""Curves and images for TensorBoard, if it is installed."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

log = logging.getLogger(__name__)


class Board:
    """Writes a log for TensorBoard; a context manager.

    Training does not depend on it: if the package is missing or the disk is full, it
    logs that once and writes nothing.
    """

    def __init__(self, folder: Path | None, step: int) -> None:
        """Write to `folder`, or nothing if None.

        Earlier entries from `step` on are not shown any more.
        """
        self._folder = folder
        self._step = step
        self._writer: Any = None

    def __enter__(self) -> "Board":
        if self._folder is None:
            return self
        try:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=self._step)
        except ImportError:
            log.info("no curves, as tensorboard is missing: pip install tensorboard")
        except OSError as exc:
            log.warning("no curves: %s", exc)
        return self

    def __exit__(self, *exc: object) -> None:
        self._try(lambda writer: writer.close())

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Add a point to each named curve."""
        for name, value in values.items():
            self._try(lambda writer, n=name, v=value: writer.add_scalar(n, v, step))

    def image(self, step: int, name: str, image: Tensor) -> None:
        """Add an image ``(1 or 3, H, W)`` in [0, 1]."""
        self._try(lambda writer: writer.add_image(name, image, step))

    def _try(self, write: Callable[[Any], object]) -> None:
        if self._writer is None:
            return
        try:
            write(self._writer)
        except OSError as exc:
            log.warning("no more curves: %s", exc)
            self._writer = None
