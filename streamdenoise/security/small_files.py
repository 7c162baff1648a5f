"""Small files that may come from anybody: JSON and other text."""

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, NoReturn, cast

MAX_BYTES = 2**20
"""Largest file that is read."""


def read_small(path: Path) -> bytes:
    """Read a regular file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no regular file, or larger than `MAX_BYTES`.
    """
    # A pipe would wait for a writer, a device may never end.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("it is no regular file")
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES >> 20} MiB")
    return data


def read_json(path: Path) -> dict[str, Any]:
    """Read a file with one JSON object, in which all numbers are finite.

    Raises:
        OSError: It cannot be read.
        ValueError: It is something else; says what is wrong.
    """
    return parse_json(read_small(path))


def parse_json(text: str | bytes) -> dict[str, Any]:
    """Parse one JSON object, in which all numbers are finite.

    Raises:
        ValueError: It is something else; says what is wrong.
    """
    try:
        found = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it holds no JSON object")
    return cast("dict[str, Any]", found)


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is not a finite number")
