"""Fuzzes addresses for passwords that appear in messages, guided by coverage.

Not part of the test suite: it needs atheris, and runs until it is stopped.

    pip install atheris
    python -m tests.faults.fuzz_urls -max_total_time=600
"""

import os
import random
import sys

import atheris

with atheris.instrument_imports(  # pyright: ignore[reportAttributeAccessIssue]
    include=["streamdenoise"]
):
    from streamdenoise import masking
    from streamdenoise.console import logs
    from streamdenoise.io.url import StreamURL  # noqa: F401

from tests.cli.test_masking_fuzz import Hostile, Paths, send_through


class FuzzedChoices(random.Random):
    """Random choices from the fuzzer's bytes; zeros when these are used up."""

    def __init__(self, data: bytes) -> None:
        self._provider = atheris.FuzzedDataProvider(data)  # pyright: ignore[reportAttributeAccessIssue]
        super().__init__(0)

    def getrandbits(self, k: int, /) -> int:
        return self._provider.ConsumeIntInRange(0, (1 << k) - 1)

    def random(self) -> float:
        return self._provider.ConsumeIntInRange(0, 255) / 256

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        low, high = (0, start) if stop is None else (start, stop)
        # Python's own retries until the number fits, forever if no bytes are left.
        steps = self._provider.ConsumeIntInRange(0, (high - low - 1) // step)
        return low + step * steps

    def choice(self, seq):  # noqa: ANN001
        return seq[self.randrange(len(seq))]


PATHS = Paths()


def test_one_input(data: bytes) -> None:
    masking.mask_credentials(data.decode("utf-8", "surrogateescape"))
    send_through(Hostile(FuzzedChoices(data)), PATHS)


def main() -> None:
    os.environ.update(FUZZ_USER="", FUZZ_PASSWORD="")
    logs.install_hooks()
    logs.log.propagate = False
    atheris.Setup(sys.argv, test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
