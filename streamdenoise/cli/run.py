"""The commands that denoise: file, live, image."""

import logging
from typing import TYPE_CHECKING

from streamdenoise.cli.checkpoints import with_model
from streamdenoise.cli.front import last_crash
from streamdenoise.cli.messages import report
from streamdenoise.cli.options import AsJson, LogFormat, Quiet
from streamdenoise.cli.signals import run_until_signal
from streamdenoise.console import logs
from streamdenoise.errors import ConfigError
from streamdenoise.jobs.config import FileConfig, ImageConfig, LiveConfig

if TYPE_CHECKING:
    from streamdenoise.jobs.job import StopSwitch
    from streamdenoise.pipeline.stats import Stats

log = logging.getLogger(__name__)


def file(config: FileConfig, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Denoise a video file, keeping audio, subtitles and timestamps.

    With - as IN or as output, frames are read from stdin or written to stdout as
    yuv4mpegpipe. With --json, the last line on stdout is the summary for programs.
    """
    from streamdenoise.console.progress import BuildProgress, Progress

    if as_json and config.output == "-":
        raise ConfigError(
            "--json and -o - would both write to stdout; give -o FILE, or leave out "
            "--json"
        )
    config = with_model(config)

    def job(switch: "StopSwitch") -> "Stats":
        from streamdenoise.jobs.offline import denoise_file

        return denoise_file(
            config,
            on_open=progress.opened,
            on_stats=progress.update,
            on_build=BuildProgress(switch.is_stopped, quiet=quiet).step,
            switch=switch,
        )

    with Progress(quiet=quiet) as progress:
        stats, switch = run_until_signal(job)
    report(config.target, stats, switch, quiet, as_json)


def live(
    config: LiveConfig,
    log_format: LogFormat = logs.LogFormat.TEXT,
    quiet: Quiet = False,
) -> None:
    """Denoise a camera or stream live, or a file at its own pace.

    Keys: q quits, s switches between before and after, space freezes, + and - change
    the strength, r records.

    In a URL, {STREAMDENOISE_NAME} stands for the environment variable of that name:
    rtsp://me:{STREAMDENOISE_PASSWORD}@cam/.
    """
    from streamdenoise.console.progress import BuildProgress, Progress

    if crash := last_crash():
        log.error(
            "the job was ended by a crash inside a library (%s) and has been started "
            "again; please report it if it happens often",
            crash,
        )
    config = with_model(config)

    def job(switch: "StopSwitch") -> "Stats":
        from streamdenoise.jobs.live import denoise_live

        return denoise_live(
            config,
            on_open=progress.opened,
            on_stats=progress.update,
            on_build=BuildProgress(switch.is_stopped, quiet=quiet).step,
            switch=switch,
        )

    with Progress(quiet=quiet, live=True) as progress:
        stats, switch = run_until_signal(job)
    report(config.source, stats, switch, quiet)


def image(config: ImageConfig, quiet: Quiet = False) -> None:
    """Denoise images: PNG, JPEG, TIFF, WebP, GIF, BMP and DICOM.

    Gray, 16 bits, transparency, color profile and EXIF are kept. Each image is denoised
    independently, animations as video.
    """
    from streamdenoise.console.progress import BuildProgress

    config = with_model(config)

    def job(switch: "StopSwitch") -> "Stats":
        from streamdenoise.jobs.images import denoise_images

        progress = BuildProgress(switch.is_stopped, quiet=quiet)
        return denoise_images(config, on_build=progress.step, switch=switch)

    stats, switch = run_until_signal(job)
    report(config.output, stats, switch, quiet)
