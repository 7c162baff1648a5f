"""The child: opens a source, gives up its rights, and writes frames to a pipe.

It is run as a module. Its request comes on stdin: a line of JSON with `source`,
`options` and `limits`, as `plain` packs them. On stdout are messages: the lengths of
the JSON and of the buffers, the JSON, and the buffers.
"""

import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from streamdenoise.errors import StreamDenoiseError
from streamdenoise.frame import Frame
from streamdenoise.io.open import open_source
from streamdenoise.io.options import Hwaccel, ReadOptions
from streamdenoise.io.protocols import Source, beside_of
from streamdenoise.io.sandbox.confinement import SandboxLimits, confine
from streamdenoise.io.sandbox.plain import (
    HEADER,
    Buffers,
    UnknownValueError,
    Unpacker,
    packed,
)
from streamdenoise.io.url import local_path

_SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime")
_OWN = ("/proc/self", "/proc/meminfo", "/proc/cpuinfo", "/sys/fs/cgroup")


class _Writer:
    """Writes messages to the parent."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def send(self, kind: str, **values: Any) -> None:
        plain, buffers = packed(values)
        text = json.dumps([kind, plain]).encode()
        size = sum(each.nbytes for each in buffers)
        self._write([memoryview(HEADER.pack(len(text), size) + text), *buffers])

    def _write(self, parts: Sequence[memoryview]) -> None:
        for part in parts:
            rest = part
            while rest:
                rest = rest[os.write(self._fd, rest) :]


def serve(request: Any, writer: _Writer) -> None:
    """Read the source to its end.

    Raises:
        StreamDenoiseError: It cannot be read.
        OSError: This process cannot be confined, or the parent has gone.
    """
    name = str(request["source"])
    options = ReadOptions(**Unpacker(Buffers()).value(request["options"]))
    path = Path(local_path(name))
    _load_decoders()
    missing = confine(SandboxLimits(**request["limits"]), _readable(path))
    notes = [f"{path}: {each}" for each in missing]
    if options.hwaccel.is_named:
        notes.append(f"{path}: it is decoded in software, as GPUs are out of reach")
    options = replace(options, hwaccel=Hwaccel.NONE)
    with open_source(name, options) as source:
        notes += _lost(source, path)
        _send_info(source, notes, writer)
        known = source.info.notes, source.skipped
        for frame in source:
            writer.send("frame", frame=_carried(frame, notes))
            if (source.info.notes, source.skipped) != known:
                known = source.info.notes, source.skipped
                _send_info(source, notes, writer)
        _send_info(source, notes, writer)
    writer.send("end")


def _send_info(source: Source, notes: list[str], writer: _Writer) -> None:
    about = replace(source.info, notes=(*source.info.notes, *notes))
    writer.send("info", info=about, skipped=source.skipped)


def _lost(source: Source, path: Path) -> list[str]:
    """What frames alone do not carry."""
    beside = beside_of(source)
    if beside is None or not beside.streams:
        return []
    kinds = sorted({each.type for each in beside.streams})
    return [f"{path}: its {' and '.join(kinds)} are left out by --sandbox"]


def _carried(frame: Frame, notes: list[str]) -> Frame:
    """A frame without what has no plain form."""
    still = frame.still
    if still is None:
        return frame
    if "dicom" in still.own:
        from streamdenoise.io.pictures import dicom

        (samples,) = frame.planes
        note = "the window is applied, the data of the patient is left out"
        _add_once(notes, f"{still.path}: {note} by --sandbox")
        frame = frame.with_planes((dicom.shown(samples, still),))
        still = replace(still, own={}, is_signed=False, bits=16)
    own = {key: value for key, value in still.own.items() if _has_form(value)}
    for key in still.own.keys() - own.keys():
        _add_once(notes, f"{still.path}: its {key} are left out by --sandbox")
    return replace(frame, still=replace(still, own=own))


def _add_once(notes: list[str], note: str) -> None:
    if note not in notes:
        notes.append(note)


def _has_form(value: object) -> bool:
    try:
        packed(value)
    except UnknownValueError:
        return False
    return True


def _load_decoders() -> None:
    """Load what would be loaded later, when files cannot be found any more."""
    import streamdenoise.io.pictures.pillow_file
    import streamdenoise.io.pictures.tiff_file
    import streamdenoise.io.sources.file
    import streamdenoise.io.sources.image  # noqa: F401

    if find_spec("pydicom") is not None:
        import pydicom.pixels  # noqa: F401


def _readable(path: Path) -> list[Path]:
    """The input, and what Python and its libraries are made of."""
    parts = [path if path.exists() else path.parent, path.resolve()]
    folders = [*sys.path, sys.prefix, sys.base_prefix, *_SYSTEM, *_OWN]
    return [*parts, *(Path(each) for each in folders if each)]


def main() -> None:
    # The parent decides when to exit, but service managers signal every process.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    # Libraries print on stdout.
    writer = _Writer(os.dup(1))
    silent = os.open(os.devnull, os.O_RDWR)
    os.dup2(silent, 1)
    request = json.loads(sys.stdin.buffer.readline())
    try:
        serve(request, writer)
    except StreamDenoiseError as exc:
        writer.send("error", type=type(exc).__name__, message=str(exc))
    except MemoryError:
        writer.send("error", type="MemoryError", message="")
    except BrokenPipeError:
        pass
    except Exception as exc:
        writer.send("error", type=type(exc).__name__, message=repr(exc))
    os._exit(0)  # decoders may hang when they are closed


if __name__ == "__main__":
    main()
