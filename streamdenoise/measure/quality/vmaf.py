"""VMAF through the `imageio-ffmpeg` binary, where its build has libvmaf."""

import json
import subprocess
from pathlib import Path

from streamdenoise.errors import ConfigError
from streamdenoise.measure.peers.ffmpeg import ffmpeg_exe, ffmpeg_filters, raw_input
from streamdenoise.measure.peers.peer import StoredClip


def why_no_vmaf() -> str | None:
    """Why VMAF cannot be measured here; None if it can."""
    try:
        found = "libvmaf" in ffmpeg_filters()
    except ConfigError as exc:
        return str(exc)
    return None if found else "this build of FFmpeg has no libvmaf filter"


def vmaf(reference: StoredClip, test: StoredClip, threads: int | None) -> float:
    """Mean over the frames of VMAF (its default model), 0 to 100.

    Args:
        reference: clean frames, stored alone in a folder that can be written.
        test: as many frames, of the same size and format.
        threads: None takes one.

    Raises:
        ConfigError: FFmpeg failed.
    """
    log = reference.raw.with_suffix(".vmaf.json")
    # A path in a filter's option must not hold FFmpeg's own separators.
    options = f"log_fmt=json:log_path={log.name}:n_threads={threads or 1}"
    graph = f"[0:v][1:v]libvmaf={options}"
    command = [
        *(ffmpeg_exe(), "-hide_banner", "-nostdin", "-loglevel", "error"),
        *(*raw_input(test), *raw_input(reference)),
        *("-frames:v", str(len(test.frames)), "-lavfi", graph, "-f", "null", "-"),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=log.parent
    )
    try:
        return float(json.loads(log.read_text())["pooled_metrics"]["vmaf"]["mean"])
    except (OSError, ValueError, KeyError) as exc:
        reason = " ".join(done.stderr.split())[-300:]
        raise ConfigError(
            f"FFmpeg did not measure VMAF: {reason or 'no message'}; check its libvmaf"
        ) from exc
    finally:
        Path(log).unlink(missing_ok=True)
