"""The table of models in the package: their cost, quality and origin."""

from typing import Any

from streamdenoise.cli.licenses import provenance
from streamdenoise.console.json_text import json_text
from streamdenoise.console.table import align
from streamdenoise.inference.artifact import open_artifact, shipped_models

HEADER = ("model", "layout", "params", "kMAC/px", "noise", "PSNR", "steps", "files")


def models_table() -> str:
    """List all models in the package, one on each line, then where each is from.

    Raises:
        CheckpointError: A manifest is unreadable.
    """
    manifests = [open_artifact(name).manifest for name in shipped_models()]
    if not manifests:
        return "no models: streamdenoise/weights is empty; install the package again\n"
    lines = align([HEADER, *(_row(manifest) for manifest in manifests)])
    for manifest in manifests:
        lines += ["", *_provenance(manifest)]
    return "\n".join(lines) + "\n"


def models_json() -> str:
    """All models for programs: a list of their manifests, with license and data."""
    known = provenance()
    return json_text(
        [
            {**open_artifact(name).manifest, **known[name].about()}
            for name in shipped_models()
        ]
    )


def _row(manifest: dict[str, Any]) -> tuple[str, ...]:
    psnr = manifest.get("validation_psnr_y") or {}
    means = [f"{v:.2f}" for k, v in psnr.items() if k.startswith("mean/")]
    return (
        str(manifest["name"]),
        str(manifest["layout"]),
        f"{manifest.get('params', 0):,}",
        f"{manifest.get('kmac_per_px', 0):.1f}",
        str(manifest.get("noise", "?")),
        "/".join(means) or "?",
        f"{manifest.get('steps', 0):,}",
        " ".join(manifest["files"]),
    )


def _provenance(manifest: dict[str, Any]) -> list[str]:
    lines = [f"{manifest['name']}:"]
    levels = [
        key.removeprefix("mean/")
        for key in manifest.get("validation_psnr_y") or {}
        if key.startswith("mean/")
    ]
    if levels:
        of = "RGB" if manifest["layout"] == "rgb" else "Y"
        lines.append(
            f"  PSNR-{of} in dB on validation clips at sigma {'/'.join(levels)}"
        )
    lines += [
        f"  {key}: {manifest[key]}"
        for key in ("data", "recipe", "commit")
        if manifest.get(key)
    ]
    lines.append("  licenses of the data: streamdenoise models --licenses")
    lines += [
        f"  sha256 {digest[:16]} {name}"
        for name, digest in manifest.get("sha256", {}).items()
    ]
    return lines
