"""The offline jobs: a video file, or images."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from streamdenoise.denoisers.load import load_denoiser
from streamdenoise.errors import ConfigError
from streamdenoise.inference.backend import OnBuild
from streamdenoise.io.ffmpeg.nvenc import usable_encoder
from streamdenoise.io.open import open_sink, open_source
from streamdenoise.io.options import IMAGE_SUFFIXES, ReadOptions
from streamdenoise.jobs.config import FileConfig, ImageConfig, View
from streamdenoise.jobs.job import (
    OnOpen,
    StopSwitch,
    denoiser_notes,
    open_reference,
    renderer,
    view_info,
)
from streamdenoise.pipeline.pipeline import OnStats, Pipeline
from streamdenoise.pipeline.stats import Stats
from streamdenoise.pipeline.writer import Output


def denoise_file(
    config: FileConfig,
    *,
    on_open: OnOpen | None = None,
    on_stats: OnStats | None = None,
    on_build: OnBuild | None = None,
    switch: StopSwitch | None = None,
) -> Stats:
    """Denoise one video.

    Args:
        config: Input, output and options.
        on_open: Gets the properties of the input before its first frame.
        on_stats: See `Pipeline.run`.
        on_build: Gets the steps of an engine's build; returns False to stop it.
        switch: Stops the job, which leaves a complete file.

    Returns:
        The figures of the run; `Stats.notes` has remarks for the user.

    Raises:
        StreamDenoiseError: The input, the output or the model cannot be used, or
            failed during the run; frames written before stay.
    """
    if Path(config.source).is_dir():
        raise ConfigError(
            f"{config.source} is a folder; give one video file, or denoise a folder of "
            "images with `streamdenoise image`"
        )
    with ExitStack() as stack:
        source = stack.enter_context(
            open_source(
                config.source,
                ReadOptions(
                    start_s=config.start_s,
                    duration_s=config.duration_s,
                    hwaccel=config.hwaccel,
                ),
            )
        )
        view = config.compare or View.CLEAN
        written = view_info(source.info, view)
        encoder, notes = usable_encoder(
            config.encoder.for_output(config.output), written
        )
        sink = stack.enter_context(
            open_sink(
                config.output,
                written,
                encoder=encoder,
                copy_from=config.source if Path(config.source).is_file() else None,
                overwrite=config.overwrite,
                start_s=config.start_s,
                duration_s=config.duration_s,
            )
        )
        reference = open_reference(
            stack,
            source,
            config.reference,
            config.add_noise,
            start_s=config.start_s,
            duration_s=config.duration_s,
        )
        denoiser = stack.enter_context(load_denoiser(config.denoise, on_build))
        if on_open is not None:
            on_open(source.info)
        pipeline = Pipeline(
            source,
            denoiser,
            [Output(sink, renderer(view, config.overlay))],
            reference=reference,
        )
        if switch is not None:
            switch.attach(pipeline)
        stats = pipeline.run(on_stats)
    return replace(stats, notes=[*stats.notes, *notes, *denoiser_notes(denoiser)])


def denoise_images(
    config: ImageConfig,
    *,
    on_build: OnBuild | None = None,
    switch: StopSwitch | None = None,
) -> Stats:
    """Denoise images independently.

    Args:
        config: Inputs, output and options.
        on_build: See `denoise_file`.
        switch: Stops the job after the current image.

    Returns:
        The figures of all images together; `Stats.sigma` is that of the last one.

    Raises:
        StreamDenoiseError: See `denoise_file`.
    """
    total = Stats()
    target = _image_target(config)
    with load_denoiser(config.denoise, on_build) as denoiser:
        pix_fmt = "rgb24" if denoiser.layout == "rgb" else None
        for path in config.sources:
            if switch is not None and switch.is_stopped():
                break
            with (
                open_source(path, ReadOptions(pix_fmt=pix_fmt)) as source,
                open_sink(
                    target, source.info, copy_from=path, overwrite=config.overwrite
                ) as sink,
            ):
                pipeline = Pipeline(source, denoiser, [Output(sink)], each_alone=True)
                if switch is not None:
                    switch.attach(pipeline)
                stats = pipeline.run()
            total.frames_in += stats.frames_in
            total.frames_out += stats.frames_out
            total.elapsed_s += stats.elapsed_s
            total.sigma = stats.sigma
            total.notes.extend(stats.notes)
        total.notes.extend(denoiser_notes(denoiser))
    return total


def _image_target(config: ImageConfig) -> str:
    """Path of a file for one image, otherwise of a folder, which ends in a slash."""
    folders = any(Path(source).is_dir() for source in config.sources)
    many = folders or len(config.sources) > 1
    is_image = Path(config.output).suffix.lower() in IMAGE_SUFFIXES
    if many and is_image:
        raise ConfigError(
            f"-o {config.output} is one image file, but there are several images to "
            "write; give a folder"
        )
    if is_image or config.output == "null:":
        return config.output
    return config.output.rstrip("/\\") + "/"
