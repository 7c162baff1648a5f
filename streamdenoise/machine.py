"""The processors of this machine, and the packages that compute on them."""

import ctypes
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_name() -> str:
    """The processor as its maker calls it, where the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def cpu_flags() -> set[str]:
    """Instruction sets as Linux names them; empty on other systems."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return set()
    for line in cpuinfo.read_text(errors="replace").splitlines():
        if line.lower().startswith(("flags", "features")):
            return set(line.split(":", 1)[1].split())
    return set()


def has_cuda() -> bool:
    """Whether an NVIDIA driver is here and shows a GPU; loads no runtime."""
    return bool(cuda_facts())


def cuda_facts() -> dict[str, str]:
    """The first NVIDIA GPU and its driver, for people; empty where there is none."""
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    count, version = ctypes.c_int(0), ctypes.c_int(0)
    name = ctypes.create_string_buffer(256)
    try:
        driver = ctypes.CDLL(library)
        failed = (
            driver.cuInit(0)
            or driver.cuDeviceGetCount(ctypes.byref(count))
            or count.value < 1
            or driver.cuDeviceGetName(name, len(name), 0)
            or driver.cuDriverGetVersion(ctypes.byref(version))
        )
    except (OSError, AttributeError):
        return {}
    if failed:
        return {}
    cuda = f"for CUDA {version.value // 1000}.{version.value % 1000 // 10}"
    return {"gpu": name.value.decode(errors="replace"), "driver": cuda}


def package_versions() -> dict[str, str]:
    """Versions of this package and of the runtimes that are installed."""
    versions = {}
    for package in ("streamdenoise", "openvino", "onnxruntime", "torch"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
