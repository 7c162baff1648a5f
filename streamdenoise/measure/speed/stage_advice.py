"""What limits a job, and what its user can change: one sentence."""

from streamdenoise.stage_times import JobTimes, Work

_FULL = 0.85
"""Share of the cores' time from which on a job needs all of them."""
_CPU_SHARE, _WALL_SHARE = 1 / 3, 1 / 2
"""A stage dominates if it takes so much of the job's CPU time; or, while cores are
idle, of the wall time of the thread that all others wait for."""

_CHANGES = {
    Work.DEMUX: (
        "Reading the input",
        "copy it to a faster disk first",
    ),
    Work.DECODE: (
        "Decoding",
        "use --hwaccel cuda with an NVIDIA GPU, or let the camera send a lower bit "
        "rate",
    ),
    Work.CONVERT: (
        "Converting the decoded frames",
        "let the camera or recorder write yuv420p",
    ),
    Work.ESTIMATE: (
        "Estimating the noise",
        "measure your camera once with `streamdenoise profile`, and give the result "
        "as --noise-profile",
    ),
    Work.STEP: (
        "The network",
        "use the smallest model (--model pico), run it on an NVIDIA GPU "
        "(`streamdenoise doctor` lists the backends that work here), or make the "
        "frames smaller with --scale",
    ),
    Work.RENDER: (
        "Drawing and converting the output",
        "leave out --overlay, --compare and --pix-fmt",
    ),
    Work.ENCODE: (
        "Encoding",
        "use a faster --preset such as ultrafast, or --codec h264_nvenc with an NVIDIA "
        "GPU",
    ),
    Work.MUX: (
        "Writing the output",
        "write it to a faster disk",
    ),
}
"""Stage that something can be done about -> its name in a sentence, and what."""


def advice(times: JobTimes, cores: int) -> str:
    """Say which stage is the limit, and what to do.

    Args:
        times: Of a job.
        cores: Cores that it could use.

    Returns:
        A sentence; empty if no stage dominates, or nothing can be done about it.
    """
    stages = [each for each in times.stages if each.stage != Work.WAIT]
    if not stages:
        return ""
    if times.cpu_ms > _FULL * cores * times.wall_ms:
        worst = max(stages, key=lambda each: each.cpu_ms)
        share, what = worst.cpu_ms / times.cpu_ms, "CPU time"
        least = _CPU_SHARE
    else:
        waits = {
            each.thread: each.wall_ms
            for each in times.stages
            if each.stage == Work.WAIT
        }
        busiest = min(
            {each.thread for each in stages}, key=lambda name: waits.get(name, 0.0)
        )
        own = [each for each in stages if each.thread == busiest]
        worst = max(own, key=lambda each: each.wall_ms)
        share, what = worst.wall_ms / times.wall_ms, "time of a frame"
        least = _WALL_SHARE
    change = _CHANGES.get(Work(worst.stage))
    if change is None or share < least:
        return ""
    name, remedy = change
    return f"{name} is your limit ({share:.0%} of the {what}): {remedy}."
