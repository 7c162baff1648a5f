"""What a program that runs for months takes of its machine, and how warm that gets."""

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
"""Sensors are not asked more often; some answer slowly."""


@dataclass(frozen=True, slots=True)
class DeviceHealth:
    """One NVIDIA GPU, as its driver tells it."""

    name: str
    used_bytes: int
    """Memory taken by all programs on it."""
    total_bytes: int
    temperature_c: float | None = None


@dataclass(frozen=True, slots=True)
class MachineHealth:
    """Figures of this process and of the machine under it."""

    started_at: float
    """Unix time in seconds."""
    rss_bytes: int
    cpu_s: float
    """Spent by all threads, in user mode and in the kernel."""
    threads: int
    open_files: int | None
    """File descriptors; None where the system does not count them."""
    temperatures_c: tuple[tuple[str, float], ...] = ()
    """By the name of the sensor; empty where the system shows none."""
    devices: tuple[DeviceHealth, ...] = ()
    """Empty without an NVIDIA driver, or without the package nvidia-ml-py."""


class HealthMeter:
    """Reads the figures, at most once a second however many ask for them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._process = psutil.Process()
        self._nvml = _open_nvml()
        self._lock = Lock()
        self._health = self._read()
        self._read_at = clock()

    def health(self) -> MachineHealth:
        """The figures now, or the last ones while another thread reads new ones."""
        # A driver may hang: that keeps one thread, not all that ask after it.
        if self._lock.acquire(blocking=False):
            try:
                if self._clock() - self._read_at >= READ_INTERVAL_S:
                    self._health = self._read()
                    self._read_at = self._clock()
            finally:
                self._lock.release()
        return self._health

    def close(self) -> None:
        """Give back what the driver has lent; `health` still gives the last figures."""
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
    """The bindings of NVIDIA's management library, ready; None where it is missing."""
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
    """All GPUs that tell their memory; temperatures where they tell them, too."""
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
