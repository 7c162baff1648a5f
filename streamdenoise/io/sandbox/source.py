"""Any file, decoded in a child process that is confined."""

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from typing import Any

from streamdenoise import errors
from streamdenoise.contexts import Closing
from streamdenoise.errors import SourceError, SourceLostError, SourceOpenError
from streamdenoise.frame import MAX_AREA_PX, PIX_FMTS, Frame, StreamInfo, size_fault
from streamdenoise.io.options import ReadOptions
from streamdenoise.io.sandbox.confinement import SandboxLimits
from streamdenoise.io.sandbox.plain import BAD_VALUES, HEADER, Buffers, Unpacker, packed
from streamdenoise.security.import_path import python_child
from streamdenoise.threads import VARIABLE

_NOT_OF_FILES = ("network", "sandbox")
"""Options that the child has no use for."""
_MOST_JSON = 4 << 20
_MOST_BYTES = 32 * MAX_AREA_PX
_MOST_TEXT = 1000
"""Characters of a message or a note."""
_PIPE_BYTES = 1 << 20
_ENVIRONMENT = (
    "PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "LD_LIBRARY_PATH",
    "LANG",
    "LC_ALL",
    VARIABLE,
)
"""What the child gets of it: no passwords."""


class SandboxedSource(Closing):
    """A source whose decoder is a process of its own, with limits.

    It gets the name of one file and gives frames. A decoder that crashes, hangs, or
    takes too much ends this source with one sentence, and nothing else. Sound and
    subtitles are left out, with a note.

    Raises:
        SourceOpenError: It cannot be opened, within the limits.
    """

    def __init__(
        self, uri: str, options: ReadOptions, limits: SandboxLimits | None = None
    ) -> None:
        self._name = uri
        self._limits = limits or SandboxLimits()
        self._skipped = 0
        self._is_open = False
        self._ended = False
        plain, _ = packed(
            {
                each.name: getattr(options, each.name)
                for each in fields(options)
                if each.name not in _NOT_OF_FILES
            }
        )
        about = {"source": uri, "options": plain, "limits": asdict(self._limits)}
        command, environment = python_child("-m", "streamdenoise.io.sandbox.child")
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                env=_without_secrets(environment),
                start_new_session=True,
            )
        except OSError as exc:
            raise SourceOpenError(
                f"{uri}: the sandbox cannot be started: {exc.strerror}; start again "
                "without --sandbox if you trust the file"
            ) from exc
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._out = self._process.stdout.fileno()
        _widen(self._out)
        try:
            with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
                pipe.write(json.dumps(about).encode() + b"\n")
            self.info = self._first_info()
        except BaseException:
            self.close()
            raise
        self._is_open = True
        self._frames = self._read()

    @property
    def skipped(self) -> int:
        return self._skipped

    def __iter__(self) -> Iterator[Frame]:
        return self._frames

    def close(self) -> None:
        if self._process.stdout is not None and not self._process.stdout.closed:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()

    def _first_info(self) -> StreamInfo:
        kind, values = self._message()
        if kind != "info":
            raise self._broken("it gave no properties")
        return self._checked_info(values)

    def _read(self) -> Iterator[Frame]:
        while True:
            kind, values = self._message()
            if kind == "end":
                return
            if kind == "info":
                self.info = self._checked_info(values)
                continue
            frame = values.get("frame")
            if kind != "frame" or not isinstance(frame, Frame):
                raise self._broken("it gave no frame")
            yield replace(frame, captured_at=time.monotonic())

    def _checked_info(self, values: dict[str, Any]) -> StreamInfo:
        info, skipped = values.get("info"), values.get("skipped")
        if not isinstance(info, StreamInfo) or not isinstance(skipped, int):
            raise self._broken("it gave no properties")
        try:
            is_valid = size_fault(info.width, info.height) is None
            is_valid &= info.pix_fmt in PIX_FMTS and info.time_base > 0
            is_valid &= isinstance(info.num_frames, int | None)
            is_valid &= isinstance(info.pictures, int)
        except TypeError:
            is_valid = False
        if not is_valid:
            raise self._broken("its properties make no sense")
        self._skipped = skipped
        return replace(info, notes=tuple(_cleaned(each) for each in info.notes))

    def _message(self) -> tuple[str, dict[str, Any]]:
        """The next message.

        Raises:
            SourceOpenError, SourceLostError: There is none, or it is an error.
        """
        deadline = time.monotonic() + self._limits.silence_s
        pipe = _Pipe(self._out, deadline)
        try:
            length, pipe.left = HEADER.unpack(pipe.read(HEADER.size))
            if length > _MOST_JSON or pipe.left > _MOST_BYTES:
                raise ValueError("a message is too long")
            kind, plain = json.loads(pipe.read(length))
            values = Unpacker(pipe).value(plain)
            if pipe.left or not isinstance(values, dict):
                raise ValueError("a message does not fit")
        except TimeoutError as exc:
            self._process.kill()
            raise self._error(
                f"{self._name}: its decoder gave nothing for "
                f"{self._limits.silence_s:g} s; it was ended"
            ) from exc
        except EOFError as exc:
            raise self._error(self._death()) from exc
        except BAD_VALUES as exc:
            raise self._broken(_cleaned(str(exc))) from exc
        if kind == "error":
            raise self._reported(values)
        return str(kind), values

    def _error(self, message: str) -> SourceError:
        return SourceLostError(message) if self._is_open else SourceOpenError(message)

    def _broken(self, why: str) -> SourceError:
        self._process.kill()
        return self._error(
            f"{self._name}: its decoder was ended, as it no longer does what it should "
            f"({why}); the file may be an attack"
        )

    def _death(self) -> str:
        """Why the child has ended."""
        code = self._process.wait()
        limits = self._limits
        if -code == signal.SIGXCPU:
            return (
                f"{self._name}: its decoder took more than {limits.cpu_s} s of CPU time"
            )
        why = "crashed"
        if code < 0:
            with contextlib.suppress(ValueError):
                why = f"crashed ({signal.Signals(-code).name})"
        return (
            f"{self._name}: its decoder {why}, within {limits.memory_bytes >> 20} MB "
            "of memory; check the file with another program"
        )

    def _reported(self, values: dict[str, Any]) -> errors.StreamDenoiseError:
        """The child's own error, as the same type if it is one that sources raise."""
        message = _cleaned(values.get("message", ""))
        match values.get("type"):
            case "ConfigError":
                return errors.ConfigError(message)
            case "SourceOpenError":
                return SourceOpenError(message)
            case "SourceLostError":
                return SourceLostError(message)
            case "MemoryError":
                return self._error(
                    f"{self._name} needs more than {self._limits.memory_bytes >> 20} MB"
                    " of memory, the limit of the sandbox; scale it down first"
                )
        return self._error(f"{self._name} cannot be read in the sandbox: {message}")


class _Pipe(Buffers):
    """Reads from a pipe until a deadline."""

    def __init__(self, fd: int, deadline: float) -> None:
        self._fd = fd
        self._deadline = deadline
        self.left = 0
        """Bytes of buffers that are still to come."""

    def take(self, count: int) -> bytearray:
        if not 0 <= count <= self.left:
            raise ValueError("a buffer is too long")
        self.left -= count
        return self.read(count)

    def read(self, count: int) -> bytearray:
        """So many bytes.

        Raises:
            TimeoutError: They do not come.
            EOFError: The child has ended.
        """
        data = bytearray(count)
        rest = memoryview(data)
        while rest:
            wait_s = max(0.0, self._deadline - time.monotonic())
            if not select.select([self._fd], [], [], wait_s)[0]:
                raise TimeoutError
            done = os.readv(self._fd, [rest])
            if not done:
                raise EOFError
            rest = rest[done:]
        return data


def _without_secrets(environment: dict[str, str]) -> dict[str, str]:
    kept = {name: environment[name] for name in _ENVIRONMENT if name in environment}
    # An arena for each thread would take address space.
    return {**kept, "MALLOC_ARENA_MAX": "2", "PYTHONDONTWRITEBYTECODE": "1"}


def _widen(fd: int) -> None:
    """Let a pipe hold more, so that fewer switches are needed for a frame."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _cleaned(text: object) -> str:
    """Text of the child without what terminals would obey."""
    return "".join(c if c.isprintable() else "?" for c in str(text)[:_MOST_TEXT])
