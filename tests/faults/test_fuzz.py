"""A few cases of each target; `just fuzz` tries more."""

import random
from pathlib import Path

import pytest

from tests.faults.fuzz.targets import TARGETS

# Addresses have tests of their own; they change the hooks of the interpreter.
QUICK = [name for name in TARGETS if name != "addresses"]


@pytest.mark.parametrize("name", QUICK)
def test_only_own_errors(name: str, tmp_path: Path) -> None:
    target = TARGETS[name](tmp_path)
    for number in range(40):
        target(random.Random(f"{name}:0:{number}"))
