"""The command line: options become a config, one library call does the work.

Nothing heavy is imported before a command runs, so that ``--help`` is instant.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from streamdenoise._version import __version__
from streamdenoise.console.logs import (
    LogFormat,
    configure_logging,
    install_hooks,
    logs_json,
)
from streamdenoise.console.process_title import hide_arguments
from streamdenoise.denoisers.options import DenoiseConfig, parse_sigma
from streamdenoise.errors import (
    BuildStoppedError,
    ConfigError,
    SinkError,
    SinkRefusedError,
    SourceRefusedError,
    StreamDenoiseError,
)
from streamdenoise.io.options import Hwaccel, Reconnect, Transport, choose_encoder
from streamdenoise.jobs.config import FileConfig, ImageConfig, LiveConfig, OnLoss, View
from streamdenoise.masking import mask_address, mask_exception
from streamdenoise.measure.config import EvalConfig, Protocol, StepBenchConfig
from streamdenoise.pipeline.queue import Overflow
from streamdenoise.units import parse_size, parse_time

if TYPE_CHECKING:
    from streamdenoise.jobs.job import StopSwitch
    from streamdenoise.pipeline.stats import Stats

log = logging.getLogger(__name__)

EXIT_REFUSED = 77
"""A password was refused (EX_NOPERM of sysexits.h): starting again would not help, and
may lock the account."""


class ErrorGroup(TyperGroup):
    """The one place where an expected error becomes a sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except StreamDenoiseError as exc:
            if logs_json():
                log.error("%s", exc)
            else:
                typer.echo(f"error: {exc}", err=True)
            refused = isinstance(exc, (SourceRefusedError, SinkRefusedError))
            raise typer.Exit(EXIT_REFUSED if refused else 1) from exc
        except Exception as exc:
            mask_exception(exc)  # errors of usage quote what was typed
            raise
        except KeyboardInterrupt as exc:
            raise typer.Exit(128 + signal.SIGINT) from exc


app = typer.Typer(
    cls=ErrorGroup,
    help="Make noisy video clean: live, in files, in pictures.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # rich alone takes as long to import as all of the rest
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Output = Annotated[str, typer.Option("-o", "--output", help="Where to write.")]
Sigma = Annotated[
    str, typer.Option(help="Noise level in 8-bit levels, or auto to estimate it.")
]
Strength = Annotated[
    float, typer.Option(help="Factor on the noise level; 0 is off, 1 neutral.")
]
Model = Annotated[
    str, typer.Option(help="Name of a model, or path of its .json or .safetensors.")
]
MeasuredModel = Annotated[
    str, typer.Option(help="Name of a model, or path of its .json.")
]
BackendName = Annotated[
    str,
    typer.Option(
        "--backend",
        help="auto, or one that `doctor` lists: openvino, onnxruntime, tensorrt ...",
    ),
]
Threads = Annotated[int | None, typer.Option(help="Threads of the backend.")]
TileSize = Annotated[
    int | None,
    typer.Option("--tile", help="Largest side done at once; for little memory."),
]
Codec = Annotated[
    str | None,
    typer.Option(
        help="x264, x265, svtav1, ffv1, h264_nvenc, hevc_nvenc or copy-settings."
    ),
]
Crf = Annotated[int | None, typer.Option(help="Quality: lower is better, larger.")]
Preset = Annotated[str | None, typer.Option(help="Preset of the encoder.")]
HwaccelName = Annotated[
    Hwaccel, typer.Option("--hwaccel", help="Where to decode; cuda is an NVIDIA GPU.")
]
Start = Annotated[str, typer.Option(help="Skip this much: seconds or HH:MM:SS.")]
Duration = Annotated[
    str | None, typer.Option(help="Stop after this much: seconds or HH:MM:SS.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output.")]
Reference = Annotated[
    str | None, typer.Option(help="Clean version of the input: measures the PSNR.")
]
AddNoise = Annotated[
    float | None,
    typer.Option(metavar="SIGMA", help="Add noise first: measures the PSNR."),
]


def hush(quiet: bool) -> bool:
    """Keep warnings and the like to themselves, as ``--quiet`` says."""
    if quiet:
        logging.disable(logging.WARNING)
    return quiet


def log_as(log_format: LogFormat) -> LogFormat:
    """Log in this format from now on; what programs read tells more."""
    level = logging.getLogger().getEffectiveLevel()
    if log_format is LogFormat.JSON:
        level = min(level, logging.INFO)
    configure_logging(level, log_format)
    return log_format


Quiet = Annotated[
    bool,
    typer.Option("-q", "--quiet", help="Print errors only.", callback=hush),
]


def print_version(wanted: bool) -> None:
    """Do what ``--version`` asks for, before a command is looked for."""
    if wanted:
        typer.echo(f"streamdenoise {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            help="Print the version and exit.",
            is_eager=True,
            callback=print_version,
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Log what is going on.")
    ] = False,
) -> None:
    """Read the options that belong to no command."""
    configure_logging(logging.INFO if verbose else logging.WARNING)
    # What will be taken of the GPU's memory is told before it is taken.
    logging.getLogger("streamdenoise.budget").setLevel(logging.INFO)


@app.command("file")
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


@app.command()
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


@app.command()
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


@app.command()
def models() -> None:
    """List the models that come with the package, and where they are from."""
    from streamdenoise.cli.models import models_table

    typer.echo(models_table(), nl=False)


@app.command()
def doctor() -> None:
    """Tell what works on this machine, and why the rest does not."""
    from streamdenoise.cli.doctor import report as doctor_report

    typer.echo(doctor_report())


@app.command()
def bench(
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder for table, JSON and plot."),
    ] = None,
    clip: Annotated[Path | None, typer.Option(help="A clean video.")] = None,
    model: MeasuredModel = "nano-awgn",  # as the added noise is white
    sigma: Annotated[float, typer.Option(help="Std of the added noise.")] = 30.0,
    repeat: Annotated[
        int, typer.Option(help="Runs of 10 min, or turns of steps; the median counts.")
    ] = 3,
    threads: Threads = None,
    peers: Annotated[bool, typer.Option(help="Run FFmpeg's denoisers too.")] = True,
    quick: Annotated[bool, typer.Option("--quick", help="A trial, no figures.")] = (
        False
    ),
    backend: Annotated[
        list[str] | None,
        typer.Option(
            help="Measure the step of this backend alone, or of all; may be repeated."
        ),
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            help="Of steps: 360p, 720p, 1080p, 2160p or WxH; may be repeated."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of the table.")
    ] = False,
) -> None:
    """Measure speed and PSNR here, beside FFmpeg's denoisers.

    With --backend: the engine step alone, beside the limits of this machine.
    """
    if backend:
        from streamdenoise.measure.speed.steps import bench_steps

        config = StepBenchConfig(
            backends=tuple(backend),
            sizes=tuple(size or ()),
            clip=None if clip is None else str(clip),
            model=model,
            sigma=sigma,
            turns=repeat,
            threads=threads,
            quick=quick,
        )
        result = bench_steps(config, on_progress=tell)
    elif size:
        raise ConfigError("--size is for steps; say whose with --backend, or all")
    else:
        from streamdenoise.measure.speed.bench import bench as run_bench

        result = run_bench(
            clip=clip,
            model=model,
            sigma=sigma,
            repeat=repeat,
            quick=quick,
            threads=threads,
            peers=peers,
            on_progress=tell,
        )
    if output is not None:
        result.write(output)
    typer.echo(result.json() if as_json else result.markdown(), nl=False)


@app.command("eval")
def eval_(
    clips: Annotated[
        str | None,
        typer.Argument(help="A clean video or picture, or a folder of them."),
    ] = None,
    own_clips: Annotated[
        str | None, typer.Option("--clips", help="The same as CLIPS.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="Folder for report, JSON and plots."),
    ] = None,
    protocol: Annotated[
        Protocol, typer.Option(help="8-bit noise, the noise of papers, or both.")
    ] = Protocol.VIDEO,
    sigma: Annotated[
        list[float] | None, typer.Option(help="Noise level; may be repeated.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Model; nano-awgn if not told, nano without CLIPS."),
    ] = None,
    backend: BackendName = "auto",
    peer: Annotated[
        list[str] | None,
        typer.Option(help="Denoiser to measure too, or all; may be repeated."),
    ] = None,
    vapoursynth: Annotated[
        str | None, typer.Option(help="A Python with VapourSynth: adds V-BM3D.")
    ] = None,
    tune: Annotated[
        str | None, typer.Option(help="Folder of clips to tune the peers on.")
    ] = None,
    pairs: Annotated[
        str | None, typer.Option(help="Folder of pictures *_real and *_mean.")
    ] = None,
    real: Annotated[
        str | None, typer.Option(help="Noisy footage, for pictures of it cleaned.")
    ] = None,
    behavior: Annotated[
        bool, typer.Option(help="Still scenes, ghosts, flicker, clean input too.")
    ] = True,
    frames: Annotated[int, typer.Option(help="Frames of each clip at most.")] = 24,
    threads: Threads = None,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
) -> None:
    """Measure a model's quality on clean clips with noise added, and on real noise."""
    if clips is not None and own_clips is not None:
        raise ConfigError(
            f"clips are given twice, {clips} and --clips {own_clips}; give one"
        )
    clips = clips or own_clips
    config = EvalConfig(
        clips=clips,
        pairs=pairs,
        real=real,
        output=output,
        protocol=protocol,
        sigmas=tuple(sigma or ()),
        # The noise that is added to clips is white, that of cameras is not.
        model=model or ("nano" if clips is None else "nano-awgn"),
        backend=backend,
        peers=tuple(peer or ()),
        vapoursynth=vapoursynth,
        tune=tune,
        frames=frames,
        behavior=behavior,
        threads=threads,
        seed=seed,
    )
    from streamdenoise.measure.quality.evaluate import evaluate
    from streamdenoise.measure.quality.markdown import markdown

    typer.echo(markdown(evaluate(config, on_progress=tell)), nl=False)


class RecipeOrCommand(TyperGroup):
    """`train RECIPE`, beside `train` with a command of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["recipe", *args]
        return super().parse_args(ctx, args)


train_app = typer.Typer(
    cls=RecipeOrCommand,
    help="Train a model: `train RECIPE.toml`, or `train classic NAME`.",
    no_args_is_help=True,
)
app.add_typer(train_app, name="train")


@train_app.command("recipe")
def train_recipe(
    recipe: Annotated[Path, typer.Argument(help="A .toml of train/recipes.")],
) -> None:
    """Train a model of video from a recipe; the word `recipe` may be left out."""
    need_torch("train")
    from train.loop import main

    main(str(recipe))


@train_app.command("classic")
def train_classic(
    names: Annotated[
        str,
        typer.Argument(
            metavar="NAME[,NAME...]",
            help="cnn4dn, autoencoder_pool, autoencoder_strided, autoencoder_mnist, "
            "unet, resnet, dncnn, ffdnet, nano, or all.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Folder of the report and the runs: runs/NAME."
        ),
    ] = None,
    data: Annotated[
        str, typer.Option(help="mnist (in data/mnist), an IDX file, or a folder.")
    ] = "mnist",
    color: Annotated[
        bool, typer.Option("--color", help="Networks for RGB, not for gray.")
    ] = False,
    noise: Annotated[
        str, typer.Option(help="gaussian, poisson, salt-pepper, speckle or camera.")
    ] = "gaussian",
    sigma: Annotated[
        str, typer.Option(help="Noise in 8-bit levels, or a range such as 0-55.")
    ] = "25",
    clip: Annotated[
        bool, typer.Option(help="Clip noisy pictures to black and white.")
    ] = True,
    loss: Annotated[str, typer.Option(help="mse, bce, l1 or charbonnier.")] = "mse",
    epochs: Annotated[
        int | None,
        typer.Option(help="100, or as many as --minutes allow if those are given."),
    ] = None,
    minutes: Annotated[
        float,
        typer.Option(help="CPU time of each run, of all threads; no early stop then."),
    ] = 0.0,
    batch: Annotated[int, typer.Option(help="Pictures of a step.")] = 32,
    split: Annotated[str, typer.Option(help="Train and test.")] = "80:20",
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1e-3,
    width: Annotated[
        int, typer.Option(help="Channels inside; 0 for each network's own.")
    ] = 0,
    grid: Annotated[
        list[str] | None,
        typer.Option(help="Try all of lr=1e-3,3e-4, batch=.. or width=..; repeat it."),
    ] = None,
    augment: Annotated[
        bool | None,
        typer.Option(help="Flip, turn, scale; photographs only if not told."),
    ] = None,
    resize: Annotated[
        int, typer.Option(help="Make pictures squares of this side, such as 256.")
    ] = 0,
    crop: Annotated[
        int,
        typer.Option(help="Side that is learned from, of photographs; 0 is all of it."),
    ] = 64,
    crops: Annotated[int, typer.Option(help="Of each photograph, in an epoch.")] = 8,
    patience: Annotated[
        int, typer.Option(help="Epochs without progress before the end; 0: never.")
    ] = 10,
    seed: Annotated[
        int, typer.Option(help="Of weights, split, and what is learned from.")
    ] = 0,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what was interrupted.")
    ] = False,
) -> None:
    """Train textbook networks on pictures, compare them, and write a report."""
    need_torch("train classic")
    from train.classic.config import (
        ClassicConfig,
        parse_grid,
        parse_levels,
        parse_names,
        parse_split,
    )
    from train.classic.noise import PictureNoise
    from train.classic.report import train_and_report

    config = ClassicConfig(
        networks=parse_names(names),
        output=output or Path("runs") / names.replace(",", "+"),
        data=data,
        channels=3 if color else 1,
        noise=PictureNoise(noise, parse_levels(sigma), clip),
        loss=loss,
        epochs=epochs if epochs is not None else 0 if minutes else 100,
        minutes=minutes,
        batch=batch,
        split=parse_split(split),
        lr=lr,
        width=width,
        grid=parse_grid(grid or []),
        augment=augment,
        resize=resize,
        crop=crop,
        crops=crops,
        patience=patience,
        seed=seed,
        threads=threads,
        resume=resume,
    )
    typer.echo(train_and_report(config, tell), nl=False)


@app.command("compile")
def compile_(
    model: Annotated[
        str, typer.Argument(help="A model's name or .json, or a .safetensors.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for a checkpoint's files.")
    ] = Path("engines"),
    calibration: Annotated[
        Path | None, typer.Option(help="Clean clips for INT8; none leaves it out.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Build an engine: 720p, 1080p, 2160p or WxH.")
    ] = None,
    backend: BackendName = "auto",
    precision: Annotated[
        str | None, typer.Option(help="fp32, fp16 or int8; the backend's if not told.")
    ] = None,
    depth: Annotated[int, typer.Option(help="Bits per sample: 8 or 10.")] = 8,
    compute_capability: Annotated[
        list[str] | None,
        typer.Option(help="GPU to build for, such as 8.6; may be repeated."),
    ] = None,
    version_compatible: Annotated[
        bool,
        typer.Option(
            help="Also for later versions of the runtime, up to the next major."
        ),
    ] = False,
    hardware_compatible: Annotated[
        bool, typer.Option(help="Also for other GPUs, from Ampere (8.0) on.")
    ] = False,
    dynamic: Annotated[
        bool, typer.Option(help="One engine for all sizes up to --size.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Compile a checkpoint to a model, and a model to an engine for one size.

    Engines are kept in `engines` or the user's cache, and used from there.
    """
    if model.endswith(".safetensors"):
        need_torch("compile")
        model = compile_checkpoint(Path(model), output, calibration)
        typer.echo(model)
    elif size is None:
        raise ConfigError(
            f"{model} is compiled already; give --size, such as --size 1080p, to build "
            "an engine of it"
        )
    if size is None:
        return
    width, height = parse_size(size)
    with stop_by_signal() as switch:
        from streamdenoise.console.progress import BuildProgress
        from streamdenoise.inference.backend import EngineOptions
        from streamdenoise.inference.build import make_engine

        progress = BuildProgress(switch.is_stopped, quiet=quiet)
        options = EngineOptions(
            tuple(compute_capability or ()),
            version_compatible,
            hardware_compatible,
            dynamic,
        )
        made = make_engine(
            *(model, backend, precision, width, height, depth, options),
            progress.step,
        )
    if not quiet:
        typer.echo(made, err=True)
    if switch.signum is not None:
        raise typer.Exit(128 + switch.signum)


engines_app = typer.Typer(
    help="Look after the engines that were built.", no_args_is_help=True
)
app.add_typer(engines_app, name="engines")


@engines_app.command("list")
def engines_list() -> None:
    """List the engines, what they are for and how long they took."""
    from streamdenoise.cli.engines import engines_table

    typer.echo(engines_table(), nl=False)


@engines_app.command("verify")
def engines_verify() -> None:
    """Read every engine; exit with 1 if one is broken or of another version."""
    from streamdenoise.cli.engines import verify_engines

    text, broken = verify_engines()
    typer.echo(text, nl=False)
    if broken:
        raise typer.Exit(1)


@engines_app.command("prune")
def engines_prune(
    everything: Annotated[
        bool, typer.Option("--all", help="Delete good engines too.")
    ] = False,
) -> None:
    """Delete engines that are broken, or of other versions of their runtime.

    Those of other weights stay: they may be of a model of yours. --all takes them too.
    """
    from streamdenoise.cli.engines import prune_engines

    typer.echo(prune_engines(everything), nl=False)


def live_source(source: str | None, camera: int | None) -> str:
    """The one source of `live`, from its two ways of naming it."""
    if (source is None) == (camera is None):
        raise ConfigError("give either a SOURCE or --camera N, such as --camera 0")
    return f"camera:{camera}" if source is None else source


def compile_checkpoint(path: Path, output: Path, calibration: Path | None) -> str:
    """Compile a checkpoint of either kind: of video, or of pictures."""
    from streamdenoise.network.checkpoint import is_of_pictures

    if is_of_pictures(path):
        from train.classic.export import compile_network as compile_
    else:
        from streamdenoise.export.export import compile_checkpoint as compile_
    return str(compile_(path, output, calibration))


def compiled_model(model: str) -> str:
    """The model to run: a checkpoint is compiled beside itself first, where needed."""
    path = Path(model)
    if path.suffix != ".safetensors":
        return model
    if not path.is_file():
        raise ConfigError(f"--model {model}: there is no such file; check the name")
    from streamdenoise.inference.artifact import is_compiled, is_manifest

    manifest = path.with_suffix(".json")
    if is_compiled(path):
        return str(manifest)
    elsewhere = f"run `streamdenoise compile {model} -o DIR`, and give the .json there"
    theirs = [
        each
        for each in (manifest, path.with_suffix(".onnx"))
        if each.exists() and not is_manifest(manifest)
    ]
    if theirs:
        raise ConfigError(
            f"--model {model} would be compiled over {theirs[0]}, which is no model of "
            f"ours; {elsewhere}"
        )
    need_torch(f"--model {model}")
    tell(f"compiling {model}; this takes some seconds, once")
    try:
        return compile_checkpoint(path, path.parent, None)
    except SinkError as exc:
        raise SinkError(
            f"--model {model} cannot be compiled in its folder ({exc.__cause__}); "
            f"{elsewhere}"
        ) from exc


def need_torch(command: str) -> None:
    """Raise unless PyTorch is installed: the base install has none."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise ConfigError(
            f"{command} needs PyTorch, which is not installed; "
            "pip install 'streamdenoise[train]'"
        )


@contextmanager
def stop_by_signal() -> Iterator["StopSwitch"]:
    """Stop on the first SIGINT or SIGTERM, abort on the second.

    The exit code tells the signal, as shells expect it, though the job ends well, or
    with an error, as where it was stopped before its source was open.
    """
    from streamdenoise.jobs.job import StopSwitch

    switch = StopSwitch()
    received: list[int] = []

    def handle(signum: int, frame: FrameType | None) -> None:
        received.append(signum)
        if len(received) > 1:
            raise SystemExit(128 + signum)
        switch.stop()

    signals = (signal.SIGINT, signal.SIGTERM)
    previous = {signum: signal.signal(signum, handle) for signum in signals}
    try:
        yield switch
    except StreamDenoiseError as exc:
        if not received and not isinstance(exc, BuildStoppedError):
            raise
        if logs_json():
            log.warning("stopped: %s", exc)
        else:
            typer.echo(f"stopped: {exc}", err=True)
        raise typer.Exit(128 + received[0] if received else 0) from exc
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
    switch.signum = received[0] if received else None


def report(name: str, stats: "Stats", switch: "StopSwitch", quiet: bool) -> None:
    """Print the summary and the notes; exit with the code of a signal, if any."""
    from streamdenoise.console.progress import stats_fields, summary

    name = "stdout" if name == "-" else mask_address(name)
    if logs_json():
        log.info("%s", summary(name, stats), extra=stats_fields(stats))
    elif not quiet:
        for line in (summary(name, stats), *(f"note: {n}" for n in stats.notes)):
            typer.echo(line, err=True)
    if switch.signum is not None:
        raise typer.Exit(128 + switch.signum)


def tell(line: str) -> None:
    """A line of progress, beside what goes to stdout."""
    typer.echo(line, err=True)


def main() -> None:
    """Run the command line tool."""
    hide_arguments()
    install_hooks()
    try:
        # Not `app()`, which puts its own hook for tracebacks in place of ours.
        typer.main.get_command(app)(prog_name="streamdenoise")
    except SystemExit as exc:
        _leave_threads(exc.code)
        raise


def _leave_threads(code: object) -> None:
    """End here and now where a thread is still inside a library, else return.

    FFmpeg that waits for a camera cannot be woken. When it comes back into an
    interpreter that is being taken down, the process dies of a segmentation fault.
    """
    if isinstance(code, int) and any(each.daemon for each in threading.enumerate()):
        logging.shutdown()
        with suppress(OSError):  # nobody reads it any more
            sys.stdout.flush()
        os._exit(code)
