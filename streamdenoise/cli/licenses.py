"""What the shipped weights were trained on, and what its licenses allow.

All of it is declared in ``weights/licenses.toml``.
"""

import textwrap
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from streamdenoise.console.table import align, markdown_table
from streamdenoise.inference.artifact import WEIGHTS

_HEADER = ("data set", "clips", "stills", "license", "use")
_LIMITED = ("non-commercial", "research")


@dataclass(frozen=True, slots=True)
class DataSet:
    """A set of clips or photographs."""

    name: str
    license: str
    use: str
    """``any``, ``non-commercial``, ``research``, or ``unclear``."""
    clips: int = 0
    stills: int = 0
    validates: bool = False
    """Whether a checkpoint was chosen on it, and not trained on it."""

    def row(self) -> tuple[str, ...]:
        """Cells of the table."""
        name = f"{self.name} (to choose)" if self.validates else self.name
        counts = (str(count or "") for count in (self.clips, self.stills))
        return (name, *counts, self.license, self.use)


@dataclass(frozen=True, slots=True)
class Provenance:
    """The license of a model's weights, and the data behind them."""

    license: str
    sets: tuple[DataSet, ...]

    def trained_on(self, *uses: str) -> tuple[int, int]:
        """Clips and stills trained on whose licenses allow `uses`; all if none."""
        chosen = [
            each
            for each in self.sets
            if not each.validates and (not uses or each.use in uses)
        ]
        return sum(each.clips for each in chosen), sum(each.stills for each in chosen)

    def verdict(self) -> str:
        """One sentence on what the license covers, and one on the data."""
        clips, stills = self.trained_on()
        limited_clips, limited_stills = self.trained_on(*_LIMITED)
        unclear, _ = self.trained_on("unclear")
        return (
            f"The weights are under {self.license}, as far as that is ours to say. "
            f"{limited_clips} of the {clips} clips and {limited_stills} of the "
            f"{stills} stills that they were trained on allow research or "
            f"non-commercial use only, and for {unclear} clips it is unclear: check "
            "these before you use the weights in a product."
        )

    def about(self) -> dict[str, Any]:
        """The same for programs."""
        return {"license": self.license, "data_sets": [asdict(s) for s in self.sets]}


def provenance() -> dict[str, Provenance]:
    """Name of each shipped model -> its license and data."""
    declared = tomllib.loads((WEIGHTS / "licenses.toml").read_text())
    found = {}
    for model in declared["models"]:
        sets = [
            DataSet(**{key: value for key, value in each.items() if key != "models"})
            for each in declared["sets"]
            if model in each.get("models", declared["models"])
        ]
        found[model] = Provenance(declared["license"], tuple(sets))
    return found


def licenses_table() -> str:
    """License and data of every model as text; models with the same share a table."""
    return _listed(", ".join, align)


def licenses_markdown() -> str:
    """The same as Markdown, for the documentation."""
    return _listed(
        lambda names: ", ".join(f"`{name}`" for name in names),
        lambda rows: markdown_table(rows[0], rows[1:]),
    )


def _listed(
    heading: Callable[[Sequence[str]], str],
    table: Callable[[Sequence[Sequence[str]]], list[str]],
) -> str:
    models: dict[Provenance, list[str]] = {}
    for name, each in provenance().items():
        models.setdefault(each, []).append(name)
    parts = [
        "\n".join(
            [
                f"{heading(names)}:",
                "",
                *textwrap.wrap(each.verdict(), 80),
                "",
                *table([_HEADER, *(data.row() for data in each.sets)]),
            ]
        )
        for each, names in models.items()
    ]
    return "\n\n".join(parts) + "\n"
