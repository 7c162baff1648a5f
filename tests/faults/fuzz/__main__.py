"""Fuzzes for some minutes, or repeats a case.

    python -m tests.faults.fuzz --minutes 5
    python -m tests.faults.fuzz --target pictures --case 7:1234

Each case is made from a seed and a number alone. Targets run in processes of their own,
one after the other, so that a crash is a finding like any other.
"""

import argparse
import ctypes
import faulthandler
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from pathlib import Path

from streamdenoise.io.sandbox import confinement
from tests.faults.fuzz.targets import MEMORY_MB, MOST_S, TARGETS

_TURN_S = 20.0
"""A target takes turns with the others."""


def run_case(name: str, seed: int, number: int, folder: Path) -> None:
    """Run one case; raises what it finds."""
    TARGETS[name](folder)(random.Random(f"{name}:{seed}:{number}"))


def work(name: str, seed: int, first: int, seconds: float, progress: Path) -> None:
    """Run cases in this process; `progress` has the number of the present one."""

    signal.signal(signal.SIGALRM, _too_long)
    limit = MEMORY_MB << 20
    end = time.monotonic() + seconds
    number = first
    with tempfile.TemporaryDirectory() as folder:
        target = TARGETS[name](Path(folder))
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        with suppress(OSError):  # on some machines there is no filter
            confinement._filter_calls(ctypes.CDLL(None, use_errno=True))
        with progress.open("r+") as file:
            while time.monotonic() < end:
                file.seek(0)
                file.write(f"{number:012}")
                file.flush()
                signal.alarm(MOST_S)
                target(random.Random(f"{name}:{seed}:{number}"))
                signal.alarm(0)
                number += 1
            file.seek(0)
            file.write(f"{number:012}")


def _too_long(signum: int, frame: object) -> None:
    raise AssertionError(f"it takes more than {MOST_S} s")


def fuzz(names: list[str], seed: int, minutes: float) -> int:
    """Fuzz targets by turns; returns the number of findings."""
    end = time.monotonic() + 60 * minutes
    done, findings = dict.fromkeys(names, 0), 0
    turn_s = min(_TURN_S, 60 * minutes / len(names))
    with tempfile.NamedTemporaryFile("w+") as progress:
        while time.monotonic() < end:
            for name in names:
                if time.monotonic() > end:
                    break
                progress.seek(0)
                progress.write(f"{done[name]:012}")
                progress.flush()
                failed, output = _turn(name, seed, done[name], turn_s, progress.name)
                reached = int(Path(progress.name).read_text())
                done[name] = reached + failed
                if failed:
                    findings += 1
                    print(
                        f"finding in {name}; again: python -m tests.faults.fuzz "
                        f"--target {name} --case {seed}:{reached}\n{output[-2000:]}",
                        flush=True,
                    )
    for name, count in done.items():
        print(f"{name}: {count} cases")
    print(f"{sum(done.values())} cases, {findings} findings, seed {seed}")
    return findings


def _turn(
    name: str, seed: int, first: int, seconds: float, progress: str
) -> tuple[bool, str]:
    words = ["--work", name, str(seed), str(first), str(seconds), progress]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.fuzz", *words],
            capture_output=True,
            timeout=seconds + MOST_S + 60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True, "it hangs"
    output = done.stderr.decode(errors="replace")
    return done.returncode != 0, f"exit code {done.returncode}\n{output}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--target", choices=TARGETS)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--case", metavar="SEED:NUMBER")
    parser.add_argument("--work", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    faulthandler.enable()
    if options.work:
        name, seed, first, seconds, progress = options.work
        try:
            work(name, int(seed), int(first), float(seconds), Path(progress))
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)  # threads of decoders may hang
        os._exit(0)
    if options.case:
        seed, number = map(int, options.case.split(":"))
        with tempfile.TemporaryDirectory() as folder:
            run_case(options.target, seed, number, Path(folder))
        return 0
    names = [options.target] if options.target else list(TARGETS)
    return min(1, fuzz(names, options.seed, options.minutes))


if __name__ == "__main__":
    sys.exit(main())
