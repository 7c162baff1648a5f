"""VMAF, measured by the `imageio-ffmpeg` binary if its build has libvmaf."""

import json
import subprocess
from pathlib import Path

from streamdenoise.errors import ConfigError
from streamdenoise.measure.peers.ffmpeg import ffmpeg_exe, ffmpeg_filters, raw_input
from streamdenoise.measure.peers.peer import StoredClip


def why_no_vmaf() -> str | None:
    """The reason why VMAF cannot be measured here; None if it can."""
    try:
        found = "libvmaf" in ffmpeg_filters()
    except ConfigError as exc:
        return str(exc)
    return None if found else "this build of FFmpeg has no libvmaf filter"


def vmaf(reference: StoredClip, test: StoredClip, threads: int | None) -> float:
    """VMAF with its default model, mean over the frames, in [0, 100].

    Args:
        reference: Clean frames, stored in a writable folder.
        test: The same number of frames, of the same size and format.
        threads: None uses one.

    Raises:
        ConfigError: FFmpeg failed.
    """
    log = reference.raw.with_suffix(".vmaf.json")
    # Only the name: a path could have FFmpeg's separators in it.
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
