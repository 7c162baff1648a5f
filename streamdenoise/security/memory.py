"""How much memory this process may still take, before it does."""

import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

_V1_UNLIMITED = 1 << 60
"""Limits of version 1 of cgroups from here on are none."""
_ROOT = Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Bytes that this process may take without swapping, or being killed.

    It is the least of what the machine has, what the control groups (a container's, a
    service's) leave, and what is left of `RLIMIT_AS`.
    """
    left = [psutil.virtual_memory().available, *_left_in_groups()]
    if sys.platform != "win32":
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            left.append(limit - psutil.Process().memory_info().vms)
    return max(0, min(left))


def as_gigabytes(size: float) -> str:
    """A size for messages, such as ``3.2 GB``."""
    return f"{size / 1e9:.1f} GB"


def _left_in_groups(
    root: Path = _ROOT, memberships: Path = Path("/proc/self/cgroup")
) -> Iterator[int]:
    """What the limit of each control group around this process leaves."""
    try:
        lines = memberships.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            names = ("memory.max", "memory.current", "inactive_file")
            base = root
        elif "memory" in controllers.split(","):
            names = (
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "total_inactive_file",
            )
            base = root / "memory"
        else:
            continue
        # In a container the path may be that of the host: its own group is the root.
        inner = Path(path.lstrip("/"))
        for folder in dict.fromkeys((base / inner, *(base / p for p in inner.parents))):
            left = _left(folder, *names)
            if left is not None:
                yield left


def _left(folder: Path, limit: str, usage: str, cache: str) -> int | None:
    """What one group leaves; files that were read can be dropped at once."""
    try:
        most = int((folder / limit).read_text())
        used = int((folder / usage).read_text())
        stat = (folder / "memory.stat").read_text().split()
    except (OSError, ValueError):  # there is none, or its limit is `max`
        return None
    if most >= _V1_UNLIMITED:
        return None
    dropped = int(stat[stat.index(cache) + 1]) if cache in stat else 0
    return most - used + dropped
