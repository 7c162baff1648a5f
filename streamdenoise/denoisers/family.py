"""Shipped models that differ in size alone."""

from streamdenoise.inference.artifact import Artifact, open_artifact, shipped_models

LARGEST = "nano"
"""The largest model of video for the noise of cameras."""

_WORTH = 0.7
"""A smaller model must need less than this share of the work."""


def smaller_model(model: str) -> str | None:
    """The next smaller shipped model for the same frames and noise, if there is one.

    Args:
        model: as for `open_artifact`.

    Raises:
        ConfigError: there is no such model.
        CheckpointError: a manifest is unreadable.
    """
    own = open_artifact(model)
    most = _WORTH * own.manifest.get("kmac_per_px", 0.0)
    smaller = [
        each
        for each in map(open_artifact, shipped_models())
        if each.manifest.get("kmac_per_px", most) < most and _are_alike(each, own)
    ]
    if not smaller:
        return None
    return max(smaller, key=lambda each: each.manifest["kmac_per_px"]).name


def _are_alike(one: Artifact, other: Artifact) -> bool:
    keys = ("layout", "noise")
    return all(one.manifest.get(key) == other.manifest.get(key) for key in keys)
