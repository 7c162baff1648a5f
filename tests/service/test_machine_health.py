"""Resource usage and temperatures."""

import sys
from importlib import import_module
from types import ModuleType, SimpleNamespace

import pytest

from streamdenoise.service.machine_health import DeviceHealth, HealthMeter
from tests.support.clock import Clock
from tests.support.skips import skip_or_fail


def test_sensors_are_read_at_most_once_a_second():
    clock = Clock(0.0)
    meter = HealthMeter(clock=clock)
    first = meter.health()
    assert first.rss_bytes > 1e6
    assert first.threads >= 1
    assert meter.health() is first
    clock.now = 1.0
    assert meter.health() is not first
    assert meter.health().cpu_s >= first.cpu_s
    meter.close()


class FakeNVMLError(Exception):
    pass


def test_gpus_are_reported_without_the_values_they_lack(
    monkeypatch: pytest.MonkeyPatch,
):
    def temperature(device: int, sensor: int) -> int:
        if device == 1:
            raise FakeNVMLError
        return 61

    def memory(device: int) -> SimpleNamespace:
        if device == 2:
            raise FakeNVMLError
        return SimpleNamespace(used=5 + device, total=50)

    driver = ModuleType("pynvml")
    closed = []
    driver.__dict__.update(
        NVMLError=FakeNVMLError,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: closed.append(True),
        nvmlDeviceGetCount=lambda: 3,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda device: "GPU",
        nvmlDeviceGetMemoryInfo=memory,
        nvmlDeviceGetTemperature=temperature,
    )
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    meter = HealthMeter()
    assert meter.health().devices == (
        DeviceHealth("0 GPU", 5, 50, 61.0),
        DeviceHealth("1 GPU", 6, 50, None),
    )
    meter.close()
    assert closed == [True]


def test_a_real_gpu_reports_its_memory():
    try:
        pynvml = import_module("pynvml")
    except ImportError as exc:
        skip_or_fail("nvml", f"nvidia-ml-py is not installed: {exc}")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as exc:
        skip_or_fail("nvml", f"no NVIDIA driver: {exc}")
    meter = HealthMeter()
    device = meter.health().devices[0]
    assert 0 < device.used_bytes < device.total_bytes
    meter.close()
    pynvml.nvmlShutdown()
