"""No password shows, however an address is spelled and wherever it is printed.

`just fuzz` tries far more addresses, see `tests.faults.fuzz`.
"""

import random
import sys
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamdenoise.console import logs
from streamdenoise.security import masking
from tests.faults.fuzz.addresses import Hostile, Paths, send_through

pytestmark = pytest.mark.usefixtures("nothing_known")


@pytest.fixture
def hooks_and_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMDENOISE_USER", "")
    monkeypatch.setenv("STREAMDENOISE_PASSWORD", "")
    monkeypatch.setattr(logs.log, "propagate", False)
    for module, name in ((sys, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    logs.install_hooks()


@pytest.mark.usefixtures("hooks_and_variables")
class TestFuzz:
    def test_some_addresses(self) -> None:
        rng, paths = random.Random(5), Paths()
        count = sum(send_through(Hostile(rng), paths) for _ in range(300))
        assert count > 2_400

    @settings(
        max_examples=50,
        deadline=None,
        derandomize=True,
        suppress_health_check=[*HealthCheck],  # pyright: ignore[reportArgumentType],
    )
    @given(st.randoms(use_true_random=False))
    def test_with_shrinking(self, rng: random.Random) -> None:
        send_through(Hostile(rng), Paths())

    def test_it_finds_leaks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(masking, "_mask_rest", lambda scheme, rest: rest)
        monkeypatch.setattr(masking, "_remember", lambda *spellings: None)
        rng = random.Random(5)
        with pytest.raises(AssertionError, match="shows in"):
            send_through(Hostile(rng), Paths())
