"""JSON for programs, in which numbers that JSON lacks are texts."""

import json
import math
from typing import Any


def json_text(value: Any, indent: int | None = 1) -> str:
    """`value` as JSON with a line end; on one line if `indent` is None.

    An infinite number, such as the PSNR of equal frames, becomes ``"inf"``.
    """
    return json.dumps(_plain(value), indent=indent, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
