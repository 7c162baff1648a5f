"""Finds the training code, most of which needs PyTorch and is imported late."""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

_IN_WHEELS = "streamdenoise.train"
_IN_CHECKOUT = Path(__file__).parents[2] / "train" / "__init__.py"


def training_module(name: str) -> ModuleType:
    """Import a module of the training code.

    Wheels have the code inside the package, as `streamdenoise.train`; in a checkout
    it is the folder `train` next to the package.

    Args:
        name: name of the module in that folder, such as ``classic.export``.
    """
    if find_spec(_IN_WHEELS) is not None:
        return import_module(f"{_IN_WHEELS}.{name}")
    _import_from_checkout()
    return import_module(f"train.{name}")


def _import_from_checkout() -> None:
    """Import the folder of the checkout as `train`.

    Not by its name: a user's own module of that name may come first on the path.
    """
    known = sys.modules.get("train")
    if known is not None and known.__file__ == str(_IN_CHECKOUT):
        return
    spec = spec_from_file_location("train", _IN_CHECKOUT)
    assert spec is not None
    assert spec.loader is not None
    package = module_from_spec(spec)
    sys.modules["train"] = package
    spec.loader.exec_module(package)
