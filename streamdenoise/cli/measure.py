"""The commands that measure: bench, eval."""

from pathlib import Path
from typing import Annotated

import typer

from streamdenoise.cli.messages import tell
from streamdenoise.cli.options import BackendName, MeasuredModel, Threads
from streamdenoise.errors import ConfigError
from streamdenoise.measure.config import EvalConfig, Protocol, StepBenchConfig


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
