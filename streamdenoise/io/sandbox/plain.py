"""Frames and what belongs to them as JSON and buffers, for a pipe that nobody trusts.

Reading it makes values of the types below and nothing else, whatever was written.
"""

import enum
import struct
from collections.abc import Sequence
from dataclasses import fields
from fractions import Fraction
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from streamdenoise import frame
from streamdenoise.io import options
from streamdenoise.io.y4m import Y4MStreamInfo
from streamdenoise.units import Region

HEADER = struct.Struct("<IQ")
"""Of a message: bytes of JSON, and of the buffers after it."""

BAD_VALUES = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError),
    *(RecursionError, MemoryError),
)
"""What reading nonsense raises."""

_CLASSES: dict[str, type] = {
    each.__name__: each
    for each in (
        *(frame.ColorInfo, frame.MasteringDisplay, frame.PictureTags),
        *(frame.StreamInfo, frame.Still, frame.Original, frame.Frame),
        *(Y4MStreamInfo, options.FilterOptions),
    )
}
_ENUMS: dict[str, type[enum.StrEnum]] = {
    each.__name__: each
    for each in (options.Hwaccel, options.Transport, options.Deinterlace)
}
_DTYPES = ("uint8", "uint16")
_MOST_DEPTH = 12


class UnknownValueError(ValueError):
    """A value has no plain form."""


def packed(value: Any) -> tuple[Any, list[memoryview]]:
    """A value as what JSON can hold, and the buffers that it refers to.

    Raises:
        UnknownValueError: It has no such form.
    """
    buffers: list[memoryview] = []
    return _packed(value, buffers), buffers


def _packed(value: Any, buffers: list[memoryview]) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, enum.StrEnum) and type(value).__name__ in _ENUMS:
        return ["enum", type(value).__name__, value.value]
    if type(value) in _CLASSES.values():
        about: Any = value
        names = [each.name for each in fields(about)]
        return [
            *("class", type(value).__name__),
            {name: _packed(getattr(value, name), buffers) for name in names},
        ]
    if isinstance(value, np.ndarray) and value.dtype.name in _DTYPES:
        array: Any = np.ascontiguousarray(value)
        buffers.append(memoryview(array).cast("B"))
        return ["array", array.dtype.name, list(array.shape), array.nbytes]
    if isinstance(value, bytes | bytearray):
        buffers.append(memoryview(value))
        return ["bytes", len(value)]
    if isinstance(value, Fraction):
        return ["fraction", value.numerator, value.denominator]
    if isinstance(value, Path):
        return ["path", str(value)]
    if isinstance(value, Region):
        return ["region", *value]
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return [kind, [_packed(each, buffers) for each in value]]
    if isinstance(value, dict):
        pairs = [
            [_packed(key, buffers), _packed(each, buffers)]
            for key, each in value.items()
        ]
        return ["dict", pairs]
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise UnknownValueError(f"{type(value).__name__} has no plain form")


class Unpacker:
    """Makes values again, of buffers that are read one after the other."""

    def __init__(self, buffers: "Buffers") -> None:
        self._buffers = buffers

    def value(self, plain: Any, depth: int = 0) -> Any:
        """The value.

        Raises:
            Exception: One of `BAD_VALUES`: it is none that `packed` makes.
        """
        if plain is None or type(plain) in (bool, int, float, str):
            return plain
        if depth > _MOST_DEPTH:
            raise ValueError("it is nested too deeply")
        kind, *rest = plain
        if kind == "enum":
            return _ENUMS[rest[0]](rest[1])
        if kind == "class":
            parts = {
                str(name): self.value(each, depth + 1) for name, each in rest[1].items()
            }
            return _CLASSES[rest[0]](**parts)
        if kind == "array":
            name, shape, size = rest
            if name not in _DTYPES:
                raise ValueError(f"{name} is no type of samples")
            data = np.frombuffer(self._buffers.take(int(size)), name)
            return data.reshape([int(n) for n in shape])
        if kind == "bytes":
            return bytes(self._buffers.take(int(rest[0])))
        if kind == "fraction":
            return Fraction(int(rest[0]), int(rest[1]))
        if kind == "path":
            return Path(str(rest[0]))
        if kind == "region":
            return Region(*(int(n) for n in rest))
        if kind in ("tuple", "list"):
            values = [self.value(each, depth + 1) for each in rest[0]]
            return tuple(values) if kind == "tuple" else values
        if kind == "dict":
            pairs: Sequence[Any] = rest[0]
            return {
                self.value(key, depth + 1): self.value(each, depth + 1)
                for key, each in pairs
            }
        raise ValueError(f"{kind!r} is no kind of value")


class Buffers:
    """Where an `Unpacker` gets its bytes from; this one has none."""

    def take(self, count: int) -> bytearray:
        """The next bytes.

        Raises:
            ValueError: There are not so many, or there may not be.
        """
        raise ValueError("there are no bytes")
