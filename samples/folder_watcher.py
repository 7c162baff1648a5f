"""Denoise every video that appears in a folder, with the command line tool."""

import argparse
import subprocess
import sys
import time
from pathlib import Path

VIDEOS = {".mp4", ".mkv", ".mov", ".avi", ".webm"}


def is_complete(path: Path, quiet_s: float) -> bool:
    """Whether nothing has been written to the file for a while."""
    return time.time() - path.stat().st_mtime >= quiet_s


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("inbox", type=Path)
    parser.add_argument("outbox", type=Path)
    parser.add_argument("--once", action="store_true", help="exit when all are done")
    parser.add_argument("--interval", type=float, default=2.0, help="seconds")
    options = parser.parse_args()

    options.outbox.mkdir(parents=True, exist_ok=True)
    quiet_s = 0.0 if options.once else options.interval
    failed: set[Path] = set()
    while True:
        for path in sorted(options.inbox.iterdir()):
            # The output gets its final name when complete, so an interrupted video is
            # simply processed again.
            target = options.outbox / f"{path.stem}.mp4"
            wanted = path.suffix.lower() in VIDEOS and path not in failed
            if not wanted or target.exists() or not is_complete(path, quiet_s):
                continue
            print(f"{path.name} -> {target}", flush=True)
            command = ["streamdenoise", "file", str(path), "-o", str(target)]
            if subprocess.run([sys.executable, "-m", *command], check=False).returncode:
                failed.add(path)
        if options.once:
            return 1 if failed else 0
        time.sleep(options.interval)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        print("stopped")
