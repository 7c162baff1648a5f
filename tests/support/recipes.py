"""Recipes for tiny networks."""

from pathlib import Path


def training_toml(
    data: Path, run: str, keys: str = "", stage: str = "", steps: int = 1
) -> Path:
    """A recipe for a tiny network, with more keys and keys of its one stage."""
    path = data / f"{run}.toml"
    path.write_text(
        f"""
        data = "{data}"
        val = "{data / "val"}"
        run = "{data / "runs" / run}"
        {keys}
        [model]
        name = "tiny"
        width = 8
        width_low = 8
        hidden = 4
        hidden_low = 4
        gate = 4
        [noise]
        kind = "awgn"
        [[stages]]
        steps = {steps}
        size = 32
        length = 4
        batch = 4
        {stage}
        """
    )
    return path
