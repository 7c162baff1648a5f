"""Where Python finds modules, here and in child processes: not in the present folder.

A folder of videos may come from somebody else and hold a ``numpy.py``.
"""

# Nothing that is not loaded yet: it might be found in the present folder.
import os
import sys

_PACKAGE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
_OWN = os.path.dirname(_PACKAGE)
_INSTALLED = ("site-packages", "dist-packages")


def leave_present_folder() -> None:
    """Stop importing from the present folder; for programs, not libraries.

    ``python -m`` puts it first, and empty or relative entries of PYTHONPATH stand for
    it, too. A checkout from which this program itself was imported stays.
    """
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    meant = {os.path.realpath(each) for each in entries if os.path.isabs(each)}
    present = {
        os.path.realpath(each) for each in ("", *entries) if not os.path.isabs(each)
    }
    unwanted = present - meant - {_OWN}
    sys.path[:] = [each for each in sys.path if os.path.realpath(each) not in unwanted]


def python_child(*arguments: str) -> tuple[list[str], dict[str, str]]:
    """Command and environment of a child process of this Python.

    Args:
        arguments: A program's path, or ``-m`` and a module, and its arguments.
    """
    environment = dict(os.environ)
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    path = [each for each in entries if os.path.isabs(each)]
    if os.path.basename(_OWN) not in _INSTALLED:
        path.append(_OWN)  # a checkout, which may have been the present folder
    environment.pop("PYTHONPATH", None)
    if path:
        environment["PYTHONPATH"] = os.pathsep.join(path)
    return [sys.executable, "-P", *arguments], environment
