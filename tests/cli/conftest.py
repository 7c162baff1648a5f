"""Fixtures of tests that handle passwords."""

import pytest

from streamdenoise import masking


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """No password is remembered from before, and none stays remembered."""
    monkeypatch.setattr(masking, "_known", ())
