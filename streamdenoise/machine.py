"""The processors of this machine and the installed packages that run on them."""

import ctypes
import platform
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from streamdenoise._version import __version__


def cpu_name() -> str:
    """Model name of the processor, or its architecture if the system has no name."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def cpu_flags() -> set[str]:
    """Instruction sets by their Linux names; empty on other systems."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file():
        return set()
    for line in cpuinfo.read_text(errors="replace").splitlines():
        if line.lower().startswith(("flags", "features")):
            return set(line.split(":", 1)[1].split())
    return set()


def has_cuda() -> bool:
    """Whether an NVIDIA driver is installed and finds a GPU; loads no runtime."""
    return bool(cuda_facts())


def cuda_facts() -> dict[str, str]:
    """Name of the first NVIDIA GPU and version of its driver, for display.

    Returns:
        ``gpu`` and ``driver``; empty without a GPU or a driver.
    """
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    count, cuda = ctypes.c_int(0), ctypes.c_int(0)
    name = ctypes.create_string_buffer(256)
    try:
        driver = ctypes.CDLL(library)
        failed = (
            driver.cuInit(0)
            or driver.cuDeviceGetCount(ctypes.byref(count))
            or count.value < 1
            or driver.cuDeviceGetName(name, len(name), 0)
            or driver.cuDriverGetVersion(ctypes.byref(cuda))
        )
    except (OSError, AttributeError):
        return {}
    if failed:
        return {}
    driver_version = f"for CUDA {cuda.value // 1000}.{cuda.value % 1000 // 10}"
    return {"gpu": name.value.decode(errors="replace"), "driver": driver_version}


def missing_library(exc: ImportError) -> str:
    """One sentence about the system library that OpenCV lacks, and how to get it.

    Empty if the import failed for another reason.
    """
    found = re.match(r"(lib\S+): cannot open shared object file", str(exc))
    if found is None or exc.name != "cv2":
        return ""
    return (
        f"OpenCV needs the system's {found[1]}, which is missing: sudo apt-get install "
        "libgl1 libglib2.0-0, or, if you need no window, pip uninstall opencv-python "
        "and pip install opencv-python-headless"
    )


def package_versions() -> dict[str, str]:
    """Versions of this package and of the installed runtimes."""
    runtimes = installed_versions(("openvino", "onnxruntime", "torch"))
    return {"streamdenoise": __version__, **runtimes}


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of those of `packages` that are installed, in the same order."""
    versions: dict[str, str] = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions
