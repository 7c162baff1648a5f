"""The diagram of the packages says what the import contract says."""

import re
import tomllib

from tests.support.command import ROOT


def layers() -> list[set[str]]:
    """Public modules of each layer of the package, from the top."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    (rows,) = [each["layers"] for each in contracts if each["type"] == "layers"]
    public = [
        {name for name in re.findall(r"\w+", row) if name[0] != "_"} for row in rows
    ]
    return [row for row in public if row]


def drawn() -> dict[str, float]:
    """Height of each name in the diagram, in pixels from the top."""
    image = (ROOT / "docs/images/house.svg").read_text()
    texts = re.findall(r'<text [^>]*y="([\d.]+)"[^>]*font-weight[^>]*>([^<]+)<', image)
    return {name: float(y) for y, names in texts for name in names.split(", ")}


def test_the_diagram_has_every_package_at_its_place() -> None:
    heights = drawn()
    assert set(heights) == set().union(*layers())
    rows = [{heights[name] for name in row} for row in layers()]
    assert all(len(row) == 1 for row in rows)
    order = [min(row) for row in rows]
    assert order == sorted(order)


def test_the_table_has_every_package() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    packages = {path.parent.name for path in ROOT.glob("streamdenoise/*/__init__.py")}
    assert packages <= set(re.findall(r"`(\w+)`", text))
