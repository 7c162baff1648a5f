"""Functions of arrays that are compiled for this CPU when they are first asked for."""

import hashlib
import inspect
import logging
import platform
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from types import FunctionType, ModuleType
from typing import Any, cast

from streamdenoise.kernels import code_cache, object_code
from streamdenoise.kernels.code_cache import BeingBuiltError
from streamdenoise.kernels.object_code import ArgumentType, KernelError
from streamdenoise.machine import installed_versions

log = logging.getLogger(__name__)

_lock = threading.Lock()
_said: set[str] = set()
"""Messages that were logged; many kernels have the same one."""


def compiled(*types: str) -> Callable[[Callable[..., None]], "Kernel"]:
    """Decorator: make a `Kernel` of a function.

    Args:
        types: of each argument: ``int64``, ``float32``, ``uint8[:, :]`` and so on.
    """
    return lambda function: Kernel(cast("FunctionType", function), types)


class Kernel:
    """A function that works in place on contiguous arrays, without the GIL.

    It returns nothing, allocates nothing, and calls only functions of its own module.
    It runs on the thread that calls it. Indices are not checked: one that is out of
    range corrupts memory.
    """

    def __init__(self, function: FunctionType, types: tuple[str, ...]) -> None:
        self.__doc__ = function.__doc__
        self.python = function
        """The function itself, which is far slower, to look for errors."""
        self.name = function.__name__
        self._types = [ArgumentType.parse(each) for each in types]
        self._code: Callable[..., int] | None = None
        self._why_not: str | None = None

    def why_not(self, *, waits: bool = True) -> str:
        """Load the kernel, at the first call; why it cannot be used, or nothing.

        For the first time on a machine it is compiled, which takes seconds: ask before
        a stream starts. Each reason is logged once.

        Args:
            waits: for another process that is compiling it.

        Raises:
            BeingBuiltError: another process is compiling it, and this does not wait.
        """
        with _lock:
            if self._why_not is None:
                self._why_not = self._load(waits)
        return self._why_not

    def __call__(self, *arguments: Any) -> None:
        """Run; only after `why_not` has returned nothing.

        Raises:
            TypeError: an argument is not of the declared type, or not contiguous.
            RuntimeError: the kernel was not loaded, or it raises.
        """
        if self._code is None:
            raise RuntimeError(f"{self.name} was not loaded")
        flat: list[Any] = []
        for given, kind in zip(arguments, self._types, strict=True):
            if not kind.ndim:
                flat.append(given)
                continue
            is_flat = given.flags.c_contiguous
            if given.dtype != kind.dtype or given.ndim != kind.ndim or not is_flat:
                raise TypeError(
                    f"{self.name} takes contiguous {kind.dtype} of {kind.ndim} axes, "
                    f"got {given.dtype} {given.shape}"
                )
            flat += [given.ctypes.data, *given.shape]
        if self._code(*flat):
            raise RuntimeError(f"{self.name} failed")

    def _load(self, waits: bool) -> str:
        try:
            try:
                code = code_cache.kept(self._file_name(), self._compile, waits=False)
            except BeingBuiltError:
                if not waits:
                    raise
                _say_once(
                    logging.WARNING,
                    "another process is compiling some steps for this CPU, once: "
                    "waiting for it",
                )
                code = code_cache.kept(self._file_name(), self._compile)
            self._code = object_code.link(code, self._types, self.name)
        except KernelError as exc:
            _say_once(logging.WARNING, f"slower code is used for some steps: {exc}")
            return str(exc)
        return ""

    def _compile(self) -> bytes:
        _say_once(
            logging.WARNING,
            "compiling some steps for this CPU, once; this start takes seconds longer",
        )
        return object_code.compile_object(self.python, self._types, self.name)

    def _file_name(self) -> str:
        own = sys.modules[self.python.__module__]
        sources = [_source(module) for module in (own, object_code)]
        about = repr((_versions(), object_code.this_cpu(), self._types))
        digest = hashlib.sha256("\0".join([*sources, about]).encode()).hexdigest()
        return f"{self.name}-{digest[:32]}.o"


def why_not(kernels: Sequence[Kernel]) -> str:
    """Load kernels; why one cannot be used, or nothing.

    Those that other processes are compiling come last, so that jobs that start together
    on a new machine share the work.
    """
    for kernel in kernels:
        with suppress(BeingBuiltError):
            if reason := kernel.why_not(waits=False):
                return reason
    return next(filter(None, (each.why_not() for each in kernels)), "")


def _say_once(level: int, message: str) -> None:
    if message not in _said:
        _said.add(message)
        log.log(level, message)


@cache
def _versions() -> tuple[str, ...]:
    versions = installed_versions(("numba", "llvmlite"))
    return (platform.python_version(), *versions.values())


@cache
def _source(module: ModuleType) -> str:
    try:
        return inspect.getsource(module)
    except OSError as exc:
        raise KernelError(f"the source of {module.__name__} is missing") from exc
