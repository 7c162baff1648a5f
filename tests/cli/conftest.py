"""Fixtures of tests that handle passwords."""

import pytest

from streamdenoise.security import masking


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """No password is known before the test, and none stays known after it."""
    monkeypatch.setattr(masking, "_known", ())
