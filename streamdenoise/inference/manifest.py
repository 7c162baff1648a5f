"""What the manifest of an exported model may say."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streamdenoise.imaging.blocks import LAYOUT_CHANNELS
from streamdenoise.imaging.noise_profile import LEVELS
from streamdenoise.security.small_files import read_json

_MAX_CHANNELS = 4096
_MAX_MULTIPLE = 1024

_Check = Callable[[Any], bool]


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest; what it says can be used without further checks.

    Raises:
        OSError: It cannot be read.
        ValueError: It is malformed; says what is wrong.
    """
    manifest = read_json(path)
    for key, check in _REQUIRED.items():
        if key not in manifest:
            raise ValueError(f"{key} is missing")
        _require(manifest, key, check)
    check_about(manifest)
    layout, multiple, state = (manifest[k] for k in ("layout", "multiple", "state"))
    for name, (_, scale) in state.items():
        if multiple % scale:
            raise ValueError(f"{multiple} pixels do not divide into {name} by {scale}")
    if state and state.get("fused") != [LAYOUT_CHANNELS[layout], 4]:
        raise ValueError(f"the state has no pixels of {layout}")
    return manifest


def check_about(about: dict[str, Any]) -> None:
    """Check those parts of a manifest that may be missing.

    Raises:
        ValueError: One is malformed; says which.
    """
    for key in _OPTIONAL.keys() & about.keys():
        _require(about, key, _OPTIONAL[key])


def _require(manifest: dict[str, Any], key: str, check: _Check) -> None:
    if not check(manifest[key]):
        raise ValueError(f"{key} is {repr(manifest[key])[:100]}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 1000


_LONGEST_NAME = 255
"""Bytes of a name of a file, on the file systems in use."""


def _is_file(value: Any) -> bool:
    """Whether it is the plain name of a file, which is in the manifest's folder."""
    if not _is_name(value) or {"/", "\\", "\0"} & {*value}:
        return False
    return value not in (".", "..")


def _is_name(value: Any) -> bool:
    try:
        return _is_text(value) and 0 < len(os.fsencode(value)) <= _LONGEST_NAME
    except UnicodeEncodeError:
        return False


def _is_count(value: Any, least: int = 0, most: int = 2**53) -> bool:
    return type(value) is int and least <= value <= most


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 2**53


def _is_level(text: str) -> bool:
    try:
        return 0 < float(text) <= 255
    except ValueError:
        return False


def _is_mean(text: str) -> bool:
    return text.startswith("mean/") and _is_level(text.removeprefix("mean/"))


def _table(is_value: _Check, is_key: Callable[[str], bool] = _is_text) -> _Check:
    def check(value: Any) -> bool:
        if not isinstance(value, dict):
            return False
        return all(is_key(k) and is_value(v) for k, v in value.items())

    return check


def _is_state(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    channels, scale = value
    return _is_count(channels, 1, _MAX_CHANNELS) and _is_count(scale, 1, _MAX_MULTIPLE)


def _are_scales(value: Any) -> bool:
    return isinstance(value, list) and value in ([1], [2], [1, 2], [2, 1])


_REQUIRED: dict[str, _Check] = {
    "name": _is_name,
    "layout": lambda value: _is_name(value) and value in LAYOUT_CHANNELS,
    "multiple": lambda value: _is_count(value, 4, _MAX_MULTIPLE) and value % 4 == 0,
    "state": _table(_is_state),
    "files": _table(_is_file),
}
_OPTIONAL: dict[str, _Check] = {
    "sha256": _table(_is_text),
    "checkpoint_sha256": _is_text,
    "takes_sigma": lambda value: isinstance(value, bool),
    "sigma_scales": _are_scales,
    "levels": lambda value: type(value) is int and value in (1, 3, len(LEVELS)),
    "params": _is_count,
    "steps": _is_count,
    "kmac_per_px": _is_number,
    "psnr_gain_db": _table(_is_number, _is_level),
    "validation_psnr_y": _table(_is_number, _is_mean),
    **dict.fromkeys(("noise", "data", "recipe", "commit"), _is_text),
}
