"""The commands that denoise: file, live, image."""

from streamdenoise.cli.checkpoints import with_model
from streamdenoise.cli.messages import report
from streamdenoise.cli.options import LogFormat, Quiet
from streamdenoise.cli.signals import stop_by_signal
from streamdenoise.console import logs
from streamdenoise.jobs.config import FileConfig, ImageConfig, LiveConfig


def file(config: FileConfig, quiet: Quiet = False) -> None:
    """Denoise a video file, keeping audio, subtitles and timestamps.

    With - as IN or as output, frames are read from stdin or written to stdout as
    yuv4mpegpipe.
    """
    from streamdenoise.console.progress import BuildProgress, Progress

    config = with_model(config)
    with stop_by_signal() as switch, Progress(quiet=quiet) as progress:
        from streamdenoise.jobs.offline import denoise_file

        stats = denoise_file(
            config,
            on_open=progress.opened,
            on_stats=progress.update,
            on_build=BuildProgress(switch.is_stopped, quiet=quiet).step,
            switch=switch,
        )
    report(config.output, stats, switch, quiet)


def live(
    config: LiveConfig,
    log_format: LogFormat = logs.LogFormat.TEXT,
    quiet: Quiet = False,
) -> None:
    """Denoise a camera or stream live, or a file at its own pace.

    Keys: q quits, s switches between before and after, space freezes, + and - change
    the strength, r records.

    In a URL, {NAME} stands for the environment variable NAME:
    rtsp://me:{PASSWORD}@cam/.
    """
    from streamdenoise.console.progress import BuildProgress, Progress

    config = with_model(config)
    with stop_by_signal() as switch, Progress(quiet=quiet, live=True) as progress:
        from streamdenoise.jobs.live import denoise_live

        stats = denoise_live(
            config,
            on_open=progress.opened,
            on_stats=progress.update,
            on_build=BuildProgress(switch.is_stopped, quiet=quiet).step,
            switch=switch,
        )
    report(config.source, stats, switch, quiet)


def image(config: ImageConfig, quiet: Quiet = False) -> None:
    """Denoise images (PNG, JPEG, TIFF, WebP), each independently."""
    from streamdenoise.console.progress import BuildProgress

    config = with_model(config)
    with stop_by_signal() as switch:
        from streamdenoise.jobs.offline import denoise_images

        progress = BuildProgress(switch.is_stopped, quiet=quiet)
        stats = denoise_images(config, on_build=progress.step, switch=switch)
    report(config.output, stats, switch, quiet)
