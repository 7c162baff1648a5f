"""The processes of a run: a single one, or those that ``torchrun`` started."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")

_PATIENCE = timedelta(hours=2)
"""Time that the others wait while one process decodes the data or validates."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """The rank of this process, and the device that it computes on."""

    rank: int = 0
    local_rank: int = 0
    """Rank among the processes of this machine."""
    world: int = 1
    """Number of processes."""
    device: str = "cpu"

    @property
    def is_first(self) -> bool:
        """Whether this is the process that logs, validates and saves."""
        return self.rank == 0

    def mean(self, value: Tensor) -> float:
        """Mean of a scalar over all processes."""
        if self.world > 1:
            dist.all_reduce(value)
        return value.item() / self.world

    def of_first(self, make: Callable[[], T]) -> T:
        """The result of `make`, which only the first process calls."""
        if self.world == 1:
            return make()
        made: list[Any] = [make() if self.is_first else None]
        dist.broadcast_object_list(made)
        return made[0]

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Enter in the first process, then in one per other machine, then in the rest.

        So files are made once on each disk, whether machines share it or not.
        """
        turn = 0 if self.is_first else 2 if self.local_rank else 1
        for _ in range(turn):
            self._wait()
        yield
        for _ in range(2 - turn):
            self._wait()

    def _wait(self) -> None:
        if self.world > 1:
            dist.barrier()


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the other processes, if any: each on a GPU (NCCL) or on the CPU (gloo)."""
    rank, local_rank, world = (
        int(os.environ.get(name, default))
        for name, default in (("RANK", 0), ("LOCAL_RANK", 0), ("WORLD_SIZE", 1))
    )
    on_gpu = torch.cuda.is_available()
    device = f"cuda:{local_rank}" if on_gpu else "cpu"
    if on_gpu:
        torch.cuda.set_device(device)
    if world == 1:
        yield Ranks(device=device)
        return
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        timeout=_PATIENCE,
        device_id=torch.device(device) if on_gpu else None,
    )
    yield Ranks(rank, local_rank, world, device)
    # Not after an error: the other processes may still be waiting for this one.
    dist.destroy_process_group()
