"""Process resource usage and temperatures."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import Any

import psutil

READ_INTERVAL_S = 1.0
"""Shortest time between two readings: some sensors answer slowly."""


@dataclass(frozen=True, slots=True)
class DeviceHealth:
    """State of one NVIDIA GPU, as its driver reports it."""

    name: str
    used_bytes: int
    """Memory in use by all programs."""
    total_bytes: int
    temperature_c: float | None = None


@dataclass(frozen=True, slots=True)
class MachineHealth:
    """State of this process and of the machine it runs on."""

    started_at: float
    """Start of the process, in seconds of Unix time."""
    rss_bytes: int
    cpu_s: float
    """CPU time of all threads, in user mode and in the kernel."""
    threads: int
    open_files: int | None
    """Open file descriptors; None if the system does not count them."""
    temperatures_c: tuple[tuple[str, float], ...] = ()
    """Names of sensors and their temperatures; empty if the system has none."""
    devices: tuple[DeviceHealth, ...] = ()
    """Empty without an NVIDIA driver, or without the package nvidia-ml-py."""


class HealthMeter:
    """Reads the state, at most once a second regardless of the number of callers."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._process = psutil.Process()
        self._nvml = _open_nvml()
        self._lock = Lock()
        self._health = self._read()
        self._read_at = clock()

    def health(self) -> MachineHealth:
        """The current state, or the previous one while another thread reads it."""
        # A driver that hangs blocks one thread, not every later caller.
        if self._lock.acquire(blocking=False):
            try:
                if self._clock() - self._read_at >= READ_INTERVAL_S:
                    self._health = self._read()
                    self._read_at = self._clock()
            finally:
                self._lock.release()
        return self._health

    def close(self) -> None:
        """Release the driver; `health` keeps returning the last state."""
        nvml, self._nvml = self._nvml, None
        if nvml is not None:
            with contextlib.suppress(nvml.NVMLError):
                nvml.nvmlShutdown()

    def _read(self) -> MachineHealth:
        process = self._process
        with process.oneshot():
            cpu = process.cpu_times()
            return MachineHealth(
                started_at=process.create_time(),
                rss_bytes=process.memory_info().rss,
                cpu_s=cpu.user + cpu.system,
                threads=process.num_threads(),
                open_files=process.num_fds() if hasattr(process, "num_fds") else None,
                temperatures_c=_temperatures(),
                devices=_devices(self._nvml),
            )


def _temperatures() -> tuple[tuple[str, float], ...]:
    sensors = getattr(psutil, "sensors_temperatures", None)
    if sensors is None:
        return ()
    try:
        chips = sensors()
    except OSError:
        return ()
    return tuple(
        (f"{chip} {sensor.label}".strip(), sensor.current)
        for chip, found in chips.items()
        for sensor in found
    )


def _open_nvml() -> ModuleType | None:
    """Bindings of NVIDIA's management library, initialized; None if not available."""
    try:
        nvml: Any = import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    return nvml


def _devices(nvml: ModuleType | None) -> tuple[DeviceHealth, ...]:
    """All GPUs that report their memory, with temperatures if they report them."""
    if nvml is None:
        return ()
    found: list[DeviceHealth] = []
    with contextlib.suppress(nvml.NVMLError):
        for index in range(nvml.nvmlDeviceGetCount()):
            with contextlib.suppress(nvml.NVMLError):
                device = nvml.nvmlDeviceGetHandleByIndex(index)
                memory = nvml.nvmlDeviceGetMemoryInfo(device)
                name = nvml.nvmlDeviceGetName(device)
                temperature = None
                with contextlib.suppress(nvml.NVMLError):
                    temperature = float(
                        nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU)
                    )
                found.append(
                    DeviceHealth(
                        f"{index} {name}", memory.used, memory.total, temperature
                    )
                )
    return tuple(found)
