"""Finds the training code, which is not imported before it is used."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from streamdenoise.errors import ConfigError

_CHECKOUT = Path(__file__).parents[2]


def training_module(name: str) -> ModuleType:
    """Import a module of the training code.

    Wheels have it inside of the package, as `streamdenoise.train`; in a checkout it is
    the folder `train` beside the package.

    Args:
        name: of the module in that folder, such as ``classic.export``.

    Raises:
        ConfigError: neither is there, or another module named `train` hides the folder.
    """
    if find_spec("streamdenoise.train") is not None:
        return import_module(f"streamdenoise.train.{name}")
    spec = find_spec("train")
    if spec is None:
        raise ConfigError(
            f"the training code is neither in {_CHECKOUT} nor in the installed "
            "package; install streamdenoise again"
        )
    if spec.origin != str(_CHECKOUT / "train" / "__init__.py"):
        raise ConfigError(
            f"another module named train, {spec.origin}, hides the training code of "
            f"{_CHECKOUT}; run the command from another folder"
        )
    return import_module(f"train.{name}")
