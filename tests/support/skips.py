"""Skipping tests whose requirements are missing on this machine."""

import os
from typing import NoReturn

import pytest


def skip_or_fail(what: str, reason: str) -> NoReturn:
    """End a test that needs `what`, which is missing.

    It fails where ``STREAMDENOISE_REQUIRE``, a list with commas, has that word.
    """
    if what in os.environ.get("STREAMDENOISE_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)


def skip_or_fail_without_cuda(what: str) -> None:
    """End a test of `what` if PyTorch, which holds its buffers, can use no GPU."""
    try:
        import torch
    except ImportError as exc:
        skip_or_fail(what, f"PyTorch is not installed: {exc}")
    if not torch.cuda.is_available():
        skip_or_fail(what, "PyTorch finds no NVIDIA GPU")
