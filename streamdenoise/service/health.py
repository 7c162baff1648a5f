"""Whether a running job works: health, metrics and systemd's watchdog follow this."""

from streamdenoise.pipeline.stats import Stats
from streamdenoise.security.masking import mask_credentials
from streamdenoise.security.plain_text import printable


def why_unhealthy(stats: Stats, silent_s: float | None, stall_s: float) -> str:
    """Why a pipeline is not working, in one line; empty if it is.

    An output that is away is no reason while another one works: it reconnects by
    itself. One that hangs is: nothing shows that it will ever go on.

    Args:
        stats: The latest stats.
        silent_s: Age of `stats` in seconds; None before the first ones.
        stall_s: Longest acceptable time without stats or frames, in seconds.
    """
    if silent_s is not None and silent_s > stall_s:
        return f"no progress for {silent_s:.0f} s"
    if stats.source_error:
        return _line(f"source: {stats.source_error}")
    if silent_s is None or not stats.frames_in:
        return "starting"
    if stats.denoiser_error:
        return _line(f"denoiser: {stats.denoiser_error}")
    if stats.frame_age_s > stall_s:
        return f"no frame for {stats.frame_age_s:.0f} s"
    failed = failed_outputs(stats)
    hangs = any(output.hangs for output in stats.outputs)
    return "; ".join(failed) if hangs or len(failed) == len(stats.outputs) else ""


def failed_outputs(stats: Stats) -> list[str]:
    """The outputs that are away, hang or have ended, each with the reason."""
    return [
        _line(f"output {output.name}: {output.error}")
        for output in stats.outputs
        if output.error
    ]


def is_alive(stats: Stats) -> bool:
    """Whether systemd's watchdog should be fed.

    A restart brings back no camera, no network and no disk that is full, but it may
    bring back what hangs. While another output works, it would do more harm than good.
    """
    all_hang = all(output.hangs for output in stats.outputs) and bool(stats.outputs)
    return not stats.denoiser_error and not all_hang


def _line(text: str) -> str:
    words = mask_credentials(text).encode(errors="replace").decode().split()
    return printable(" ".join(words))
