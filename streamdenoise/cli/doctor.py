"""The report of `doctor`: what works on this machine, and why the rest does not.

Checks are independent and never fail the report: an exception becomes the finding.
Nothing private is printed; home folders are shortened to ``~``.
"""

import importlib
import os
import platform
import sys
import textwrap
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from streamdenoise._version import __version__
from streamdenoise.console.json_text import json_text
from streamdenoise.errors import StreamDenoiseError
from streamdenoise.machine import (
    cpu_flags,
    cpu_name,
    cuda_facts,
    installed_versions,
    missing_library,
)
from streamdenoise.security.masking import mask_credentials
from streamdenoise.threads import usable_cores

_CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp")
_PACKAGES = (
    *("numpy", "av", "opencv-python", "opencv-python-headless"),
    *(
        "openvino",
        "numba",
        "onnxruntime",
        "torch",
        "typer",
        "imageio-ffmpeg",
        "matplotlib",
    ),
    *("prometheus-client", "psutil", "setproctitle", "nvidia-ml-py", "pyvirtualcam"),
    *("pillow", "tifffile", "pydicom"),
)


WIDTH = 80
"""Columns of the report."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    topic: str
    ok: bool
    finding: str


def report() -> str:
    """Format the checks as a table: topic, ``ok`` or ``-``, and finding."""
    checks = run_checks()
    width = max(len(check.topic) for check in checks)
    lines: list[str] = []
    for check in checks:
        start = f"{check.topic.ljust(width)}  {'ok' if check.ok else '- '}  "
        lines += textwrap.wrap(
            check.finding,
            WIDTH,
            initial_indent=start,
            subsequent_indent=" " * len(start),
            break_on_hyphens=False,
        )
    return "\n".join(lines) + "\n"


def report_json() -> str:
    """The checks for programs: a list with `topic`, `ok` and `finding` of each."""
    return json_text([asdict(check) for check in run_checks()])


def run_checks() -> list[Check]:
    """Run all checks in the order of the report; raises nothing."""
    checks: list[Check] = []
    for probe in (
        *(_system, _cpu, _kernels, _memory, _packages, _opencv, _models, _backends),
        *(_gpu, _video, _decoders, _encoders, _publishing, _ffmpeg, _cameras, _display),
    ):
        checks += _safely(probe)
    return checks


def _safely(probe: Callable[[], list[Check]]) -> list[Check]:
    topic = probe.__name__.strip("_")
    try:
        found = probe()
    except StreamDenoiseError as exc:
        found = [Check(topic, False, str(exc))]
    except Exception as exc:  # whatever a broken installation raises
        why = missing_library(exc) if isinstance(exc, ImportError) else ""
        found = [Check(topic, False, why or f"{type(exc).__name__}: {exc}")]
    return [Check(c.topic, c.ok, _private(c.finding)) for c in found]


def _private(text: str) -> str:
    """`text` on one line, without credentials or the user's home folder."""
    text = mask_credentials(" ".join(text.split()))
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text


def _system() -> list[Check]:
    python = platform.python_version()
    return [
        Check("system", True, f"{platform.system()} {platform.machine()}"),
        Check("python", sys.version_info >= (3, 11), f"{python} (3.11 or newer)"),
    ]


def _cpu() -> list[Check]:
    cores = usable_cores()
    flags = cpu_flags()
    known = " ".join(f for f in _CPU_FLAGS if f in flags) or "none of " + " ".join(
        _CPU_FLAGS
    )
    fast = any("vnni" in flag or flag in ("amx_int8", "asimddp") for flag in flags)
    verdict = "INT8 runs fast" if fast else "no 8-bit dot product: INT8 gains less"
    return [
        Check("cpu", True, f"{cpu_name()}, {cores} cores usable"),
        Check("cpu flags", fast, f"{known}; {verdict}"),
    ]


def _kernels() -> list[Check]:
    from streamdenoise.kernels.code_cache import folder
    from streamdenoise.kernels.compiled import why_not
    from streamdenoise.kernels.every import KERNELS

    if why := why_not(KERNELS):
        return [Check("kernels", False, f"slower code is used instead: {why}")]
    return [Check("kernels", True, f"compiled for this CPU, kept in {folder()}")]


def _memory() -> list[Check]:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return [Check("memory", True, "unknown on this system")]
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return [Check("memory", total > 1 << 30, f"{total / 2**30:.1f} GiB")]


def _packages() -> list[Check]:
    found = {"streamdenoise": __version__, **installed_versions(_PACKAGES)}
    listed = ", ".join(f"{name} {number}" for name, number in found.items())
    return [Check("packages", True, listed)]


def _opencv() -> list[Check]:
    both = ("opencv-python", "opencv-python-headless")
    if len(installed_versions(both)) == len(both):
        found = (
            "opencv-python and opencv-python-headless overwrite each other: uninstall "
            "both, then pip install opencv-python"
        )
        return [Check("opencv", False, found)]
    cv2 = importlib.import_module("cv2")
    windows = cv2.currentUIFramework()
    found = f"windows with {windows}" if windows else "no windows: use --no-window"
    return [Check("opencv", True, f"OpenCV {cv2.__version__}, {found}")]


def _models() -> list[Check]:
    from streamdenoise.inference.artifact import shipped_models

    names = shipped_models()
    return [Check("models", bool(names), ", ".join(names) or "none: reinstall")]


def _backends() -> list[Check]:
    from streamdenoise.errors import BackendError
    from streamdenoise.inference.artifact import open_artifact, shipped_models
    from streamdenoise.inference.load import check_backend
    from streamdenoise.inference.registry import BACKENDS

    names = shipped_models()
    if not names:
        return [Check("backend", False, "no model to test the backends with")]
    artifact = open_artifact("nano" if "nano" in names else names[0])
    checks = []
    for name in BACKENDS:
        try:
            check_backend(name, artifact)
        except BackendError as exc:
            checks.append(Check(f"backend {name}", False, str(exc)))
        else:
            checks.append(Check(f"backend {name}", True, "can run nano"))
    return checks


def _gpu() -> list[Check]:
    found = cuda_facts()
    if not found:
        return [Check("gpu", False, "no NVIDIA GPU with a driver: the CPU is used")]
    return [Check("gpu", True, f"{found['gpu']}, driver {found['driver']}")]


def _video() -> list[Check]:
    av = importlib.import_module("av")
    versions = ", ".join(
        f"{name} {'.'.join(map(str, numbers))}"
        for name, numbers in av.library_versions.items()
        if name in ("libavcodec", "libavformat", "libavdevice")
    )
    return [Check("video", True, f"PyAV {av.__version__}, {versions}")]


def _decoders() -> list[Check]:
    from streamdenoise.io.ffmpeg.hardware_decoder import device_name, why_not_decoding

    return [
        Check(
            f"hwaccel {each}",
            not why,
            f"{device_name(each)} {f'cannot be used: {why}' if why else 'works'}",
        )
        for each, why in why_not_decoding().items()
    ]


def _encoders() -> list[Check]:
    from streamdenoise.io.ffmpeg.codecs import ENCODERS
    from streamdenoise.io.options import NVENC_CODECS

    av = importlib.import_module("av")
    known = [name for name in ENCODERS if ENCODERS[name].codec in av.codecs_available]
    here = [name for name in known if name not in NVENC_CODECS or cuda_facts()]
    text = f"--codec {', '.join(here)}"
    without = [name for name in known if name not in here]
    if without:
        text += f"; {', '.join(without)} need an NVIDIA GPU"
    return [Check("encoders", "x264" in here, text)]


def _publishing() -> list[Check]:
    from streamdenoise.io.ffmpeg.program import ffmpeg_with

    program = ffmpeg_with("srt")
    missing = "no ffmpeg with srt for live -o srt://: install FFmpeg"
    return [Check("srt", program is not None, program or missing)]


def _ffmpeg() -> list[Check]:
    from streamdenoise.measure.peers.ffmpeg import ffmpeg_exe

    ffmpeg_exe()
    return [Check("bench", True, f"imageio-ffmpeg {version('imageio-ffmpeg')}")]


def _cameras() -> list[Check]:
    if sys.platform != "linux":
        return [Check("cameras", True, "try: streamdenoise live --camera 0")]
    devices = sorted(Path("/dev").glob("video[0-9]*"))
    names = ", ".join(f"{d.name.removeprefix('video')} ({d})" for d in devices)
    closed = [str(d) for d in devices if not os.access(d, os.R_OK | os.W_OK)]
    if closed:
        names += f"; no permission for {', '.join(closed)}: join the group video"
    missing = "none in /dev/video*; files, RTSP and testsrc: need none"
    return [Check("cameras", bool(devices) and not closed, names or missing)]


def _display() -> list[Check]:
    if sys.platform != "linux":
        return [Check("display", True, "the system's own")]
    name = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
    missing = "no DISPLAY or WAYLAND_DISPLAY: live needs --no-window"
    return [Check("display", bool(name), name or missing)]
