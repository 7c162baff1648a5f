"""The commands that denoise: file, live, image."""

from typing import Annotated

import typer

from streamdenoise.cli.checkpoints import compiled_model
from streamdenoise.cli.messages import report
from streamdenoise.cli.options import (
    AddNoise,
    BackendName,
    Codec,
    Crf,
    Duration,
    HwaccelName,
    Model,
    Output,
    Overwrite,
    Preset,
    Quiet,
    Reference,
    Sigma,
    Start,
    Strength,
    Threads,
    TileSize,
    log_as,
)
from streamdenoise.cli.signals import stop_by_signal
from streamdenoise.console.logs import LogFormat
from streamdenoise.denoisers.options import DenoiseConfig, parse_sigma
from streamdenoise.errors import ConfigError
from streamdenoise.io.options import Hwaccel, Reconnect, Transport, choose_encoder
from streamdenoise.jobs.config import FileConfig, ImageConfig, LiveConfig, OnLoss, View
from streamdenoise.pipeline.queue import Overflow
from streamdenoise.units import parse_time


def file_(
    source: Annotated[str, typer.Argument(metavar="IN", help="A video; - is stdin.")],
    output: Output,
    sigma: Sigma = "auto",
    strength: Strength = 1.0,
    model: Model = "nano",
    backend: BackendName = "auto",
    threads: Threads = None,
    tile: TileSize = None,
    codec: Codec = None,
    crf: Crf = None,
    preset: Preset = None,
    start: Start = "0",
    duration: Duration = None,
    compare: Annotated[
        View | None, typer.Option(help="Write before and after in one picture.")
    ] = None,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Burn the figures into the picture.")
    ] = False,
    overwrite: Overwrite = False,
    reference: Reference = None,
    add_noise: AddNoise = None,
    hwaccel: HwaccelName = Hwaccel.AUTO,
    quiet: Quiet = False,
) -> None:
    """Denoise a video file; audio, subtitles and timestamps are kept.

    As IN and as output, - is a yuv4mpegpipe on stdin and stdout.
    """
    from streamdenoise.console.progress import BuildProgress, Progress

    config = FileConfig(
        source=source,
        output=output,
        denoise=DenoiseConfig(
            *(
                compiled_model(model),
                backend,
                parse_sigma(sigma),
                strength,
                threads,
                tile,
            )
        ),
        encoder=choose_encoder(output, codec, crf, preset),
        start_s=parse_time(start),
        duration_s=None if duration is None else parse_time(duration),
        compare=compare,
        overlay=overlay,
        overwrite=overwrite,
        reference=reference,
        add_noise=add_noise,
        hwaccel=hwaccel,
    )
    with stop_by_signal() as switch, Progress(quiet=quiet) as progress:
        from streamdenoise.jobs.offline import denoise_file

        stats = denoise_file(
            config,
            on_open=progress.opened,
            on_stats=progress.update,
            on_build=BuildProgress(switch.is_stopped, quiet=quiet).step,
            switch=switch,
        )
    report(output, stats, switch, quiet)


def live(
    source: Annotated[
        str | None,
        typer.Argument(help="rtsp:// or http:// URL, file, testsrc:WxH@RATE."),
    ] = None,
    camera: Annotated[
        int | None, typer.Option(help="Number of a camera, instead of SOURCE.")
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "-o",
            "--output",
            help="File, name with %H-%M-%S for segments, rtsp://, rtmp://, srt://, "
            "udp:// or virtualcam:; may be repeated.",
        ),
    ] = None,
    window: Annotated[bool, typer.Option(help="Show a window.")] = True,
    overlay: Annotated[bool, typer.Option(help="Show figures in it.")] = True,
    view: Annotated[View, typer.Option(help="What the window shows.")] = View.CLEAN,
    duration: Duration = None,
    overflow: Annotated[
        Overflow | None, typer.Option(help="What a full queue does.")
    ] = None,
    sigma: Sigma = "auto",
    strength: Strength = 1.0,
    model: Model = "nano",
    backend: BackendName = "auto",
    threads: Threads = None,
    tile: TileSize = None,
    codec: Codec = None,
    crf: Crf = None,
    preset: Preset = None,
    overwrite: Overwrite = False,
    reference: Reference = None,
    add_noise: AddNoise = None,
    wait_for_engine: Annotated[
        bool,
        typer.Option(
            "--wait-for-engine",
            help="Build a missing engine first, not while another backend works.",
        ),
    ] = False,
    timeout: Annotated[
        float, typer.Option(help="Longest silence of the source, in seconds.")
    ] = 10.0,
    transport: Annotated[
        Transport, typer.Option(help="How RTSP comes in; auto is TCP, then UDP.")
    ] = Transport.AUTO,
    reconnect: Annotated[
        str | None,
        typer.Option(
            metavar="N|forever|never",
            help="Attempts in a row to get back what was lost; also the first time if "
            "given, else forever once it worked.",
        ),
    ] = None,
    on_loss: Annotated[
        OnLoss, typer.Option(help="While the source is away: last picture, or a gap.")
    ] = OnLoss.HOLD,
    segment: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Length of segments: 10m, 1h, seconds."),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AGE|SIZE",
            help="Delete older segments: 7d, 50GB; may be repeated.",
        ),
    ] = None,
    max_lag: Annotated[
        float | None,
        typer.Option(
            metavar="MS",
            help="Do less for each picture while they are later than this.",
        ),
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Serve /metrics, /healthz and /status there."
        ),
    ] = None,
    credentials_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Passwords by host, as in a .netrc."),
    ] = None,
    log_format: Annotated[
        LogFormat, typer.Option(help="Of what goes to stderr.", callback=log_as)
    ] = LogFormat.TEXT,
    hwaccel: HwaccelName = Hwaccel.AUTO,
    quiet: Quiet = False,
) -> None:
    """Denoise a camera, a stream, or a file at its own pace, in a window.

    Keys: q quit, s before and after, space freeze, + and - strength, r record.
    In an address {NAME} is the environment variable NAME: rtsp://me:{PASSWORD}@cam/.
    """
    from streamdenoise.console.progress import BuildProgress, Progress

    outputs = tuple(output or ())
    config = LiveConfig(
        source=live_source(source, camera),
        outputs=outputs,
        denoise=DenoiseConfig(
            *(
                compiled_model(model),
                backend,
                parse_sigma(sigma),
                strength,
                threads,
                tile,
            ),
            wait_for_engine=wait_for_engine,
        ),
        encoder=choose_encoder(outputs[0] if outputs else "", codec, crf, preset),
        window=window,
        overlay=overlay,
        view=view,
        duration_s=None if duration is None else parse_time(duration),
        overflow=overflow,
        overwrite=overwrite,
        reference=reference,
        add_noise=add_noise,
        timeout_s=timeout,
        hwaccel=hwaccel,
        transport=transport,
        reconnect=Reconnect.parse(reconnect),
        on_loss=on_loss,
        segment_s=None if segment is None else parse_time(segment),
        keep=tuple(keep or ()),
        max_lag_ms=max_lag,
        status=status,
        credentials_file=credentials_file,
    )
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


def image(
    sources: Annotated[
        list[str], typer.Argument(metavar="IN...", help="Pictures, or folders.")
    ],
    output: Output,
    sigma: Sigma = "auto",
    strength: Strength = 1.0,
    model: Model = "nano-rgb",
    backend: BackendName = "auto",
    threads: Threads = None,
    tile: TileSize = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Denoise pictures (PNG, JPEG, TIFF, WebP), each by itself."""
    config = ImageConfig(
        sources=tuple(sources),
        output=output,
        denoise=DenoiseConfig(
            *(
                compiled_model(model),
                backend,
                parse_sigma(sigma),
                strength,
                threads,
                tile,
            )
        ),
        overwrite=overwrite,
    )
    with stop_by_signal() as switch:
        from streamdenoise.console.progress import BuildProgress
        from streamdenoise.jobs.offline import denoise_images

        progress = BuildProgress(switch.is_stopped, quiet=quiet)
        stats = denoise_images(config, on_build=progress.step, switch=switch)
    report(output, stats, switch, quiet)


def live_source(source: str | None, camera: int | None) -> str:
    """The one source of `live`, from its two ways of naming it."""
    if (source is None) == (camera is None):
        raise ConfigError("give either a SOURCE or --camera N, such as --camera 0")
    return f"camera:{camera}" if source is None else source
