"""Fixtures of tests that start child processes."""

from collections.abc import Iterator

import psutil
import pytest


@pytest.fixture
def no_process_outlives_the_test() -> Iterator[None]:
    yield
    left = [each.cmdline() for each in psutil.Process().children(recursive=True)]
    assert left == []
