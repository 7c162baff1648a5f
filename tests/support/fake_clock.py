"""Setting the wall clock of a running process, with libfaketime."""

from __future__ import annotations

import os
from pathlib import Path

from tests.support.skips import skip_or_fail

LIBRARY = next(
    (
        path
        for folder in ("lib/*/faketime", "lib/faketime", "lib64/faketime")
        for path in Path("/usr").glob(f"{folder}/libfaketimeMT.so.1")
    ),
    None,
)
"""None if it is not installed."""


class FakeClock:
    """The wall clock of a process that runs in its `environment`.

    It starts with the right time. Clocks that nobody can set stay as they are.
    """

    def __init__(self, file: Path) -> None:
        if LIBRARY is None:
            skip_or_fail("faketime", "libfaketime is not installed")
        self.file = file
        self.step("+0")

    def step(self, offset: str) -> None:
        """Set the clock, to an offset from the right time such as ``-1y``."""
        # Never empty, which would mean the right time: the process reads it any time.
        replacement = self.file.with_suffix(".new")
        replacement.write_text(offset)
        os.replace(replacement, self.file)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            # Versions differ in the name.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            # Otherwise Python's threads wait for each other for half a second.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }
