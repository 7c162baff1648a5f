"""Runs a command, and writes what its stages took to a JSON file.

``python -m streamdenoise.cli.measured FILE.json SKIP file IN -o OUT`` leaves the first
SKIP frames out. `streamdenoise bench --stages` runs its jobs like this.
"""

import sys
from dataclasses import asdict
from pathlib import Path

from streamdenoise.cli.main import run_command
from streamdenoise.console.json_text import json_text
from streamdenoise.stage_times import StageTimes, measure


def main(arguments: list[str]) -> None:
    """Run the command of `arguments`, after FILE.json and SKIP."""
    path, skip, *command = arguments
    times = StageTimes(int(skip))
    measure(times)
    try:
        run_command(command)
    finally:
        measure(None)
        Path(path).write_text(json_text(asdict(times.result())))


if __name__ == "__main__":
    main(sys.argv[1:])
