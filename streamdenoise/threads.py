"""How many threads the pools of this process may have.

The affinity mask of the process is respected by OpenVINO, ONNX Runtime, PyTorch, OpenCV
and FFmpeg themselves. The CPU quota of a cgroup, as of a container, is not: they would
start a thread for each core, which then wait for each other.
"""

import os
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from math import ceil
from pathlib import Path

VARIABLE = "STREAMDENOISE_THREADS"
"""Name of the environment variable with the limit, which children inherit."""

_STEPS = 10
"""Such a thread gets a tenth of the CPU time of a normal one if both want all of it."""


def usable_cores() -> int:
    """Cores that this process may use: of its affinity mask, and of its cgroup."""
    return min(_cores(), cgroup_cores() or _cores())


def thread_limit() -> int | None:
    """Most threads of a pool; None if each library may decide itself."""
    given = os.environ.get(VARIABLE, "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    cores = usable_cores()
    return cores if cores < _cores() else None


@contextmanager
def limited_threads(threads: int | None) -> Generator[None]:
    """Limit the pools that are made meanwhile, in child processes, too.

    Args:
        threads: of each pool; None changes nothing.
    """
    before = os.environ.get(VARIABLE)
    if threads is not None:
        os.environ[VARIABLE] = str(threads)
    try:
        yield
    finally:
        if before is not None:
            os.environ[VARIABLE] = before
        elif threads is not None:
            os.environ.pop(VARIABLE, None)


def let_others_run_first() -> None:
    """Leave the CPU to other threads whenever they want it; on Linux.

    It counts for the calling thread, for good, and for threads that it starts later.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        own = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(19, own + _STEPS))


def cgroup_cores(
    mounted: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> int | None:
    """Cores whose time the cgroups of this process may use, rounded up.

    Args:
        mounted: where the system shows cgroups, of version 1, 2 or both.
        own: the file with the cgroups of the process.

    Returns:
        The least of those of all groups around the process; None without a quota.
    """
    quotas: list[float] = []
    with suppress(OSError):
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                roots = (mounted, mounted / "unified")
            elif "cpu" in controllers.split(","):
                roots = (mounted / controllers, mounted / "cpu")
            else:
                continue
            # In a container the path may be one of the host, which is not shown.
            steps = [part for part in path.split("/") if part not in ("", "..")]
            for root in roots:
                for count in range(len(steps) + 1):
                    quotas += _quotas(root.joinpath(*steps[:count]))
    return max(1, ceil(min(quotas))) if quotas else None


def _quotas(group: Path) -> Iterator[float]:
    """The quota of one group in cores, if it has one."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota, period = (group / "cpu.max").read_text().split()
        if quota != "max":
            yield int(quota) / int(period)
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota = int((group / "cpu.cfs_quota_us").read_text())
        if quota > 0:
            yield quota / int((group / "cpu.cfs_period_us").read_text())


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
