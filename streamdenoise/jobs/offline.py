"""The offline job: a video file."""

import os
from dataclasses import replace
from pathlib import Path

from streamdenoise.denoisers.load import load_denoiser
from streamdenoise.errors import ConfigError
from streamdenoise.inference.backend import OnBuild
from streamdenoise.io.ffmpeg.nvenc import usable_encoder
from streamdenoise.io.image_paths import is_image
from streamdenoise.io.open import holds_orientation, open_sink, open_source
from streamdenoise.io.options import ReadOptions
from streamdenoise.io.output_folders import make_folder
from streamdenoise.io.protocols import beside_of
from streamdenoise.io.sinks.file import MUXERS
from streamdenoise.jobs.config import FileConfig, View
from streamdenoise.jobs.job import (
    OnOpen,
    Parts,
    StopSwitch,
    check_job_memory,
    check_network,
    check_pages,
    denoiser_notes,
    limited_pools,
    loss_notes,
    open_reference,
    renderer,
    view_info,
)
from streamdenoise.pipeline.pipeline import OnStats, Pipeline
from streamdenoise.pipeline.stats import Stats
from streamdenoise.pipeline.writer import Output
from streamdenoise.progress import Stage


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
            failed during the run; frames written before stay. After `HungError` the
            process should end: threads still use what hangs.
    """
    if os.path.isdir(config.source):
        raise ConfigError(
            f"{config.source} is a folder; give one video file, or denoise a folder of "
            "images with `streamdenoise image`"
        )
    check_network(config.network)
    target = config.target
    view = config.compare or View.CLEAN
    # What is drawn into the frames, or cut out of them, has to be upright, too.
    changes = config.overlay or config.filters.changes
    is_plain = view is View.CLEAN and not changes
    options = ReadOptions(
        start_s=config.start_s,
        duration_s=config.duration_s,
        hwaccel=config.hwaccel,
        as_stored=is_image(Path(target)),
        upright=not (is_plain and holds_orientation(target)),
        stream=config.streams.stream,
        audio=config.streams.audio,
        subtitles=config.streams.subtitles,
        input_rate=config.streams.input_rate,
        filters=config.filters,
        network=config.network,
        keep_original=_keeps_original(target, config, view),
        sandbox=config.sandbox,
    )
    switch = switch or StopSwitch()
    with limited_pools(config.denoise.threads), Parts(switch) as stack:
        with switch.stage.doing(f"opening {config.source}"):
            source = stack.enter_context(open_source(config.source, options))
        check_pages(config.source, source, target)
        written = view_info(source.info, view)
        check_job_memory(config.source, written, [target])
        encoder, notes = usable_encoder(
            config.encoder.for_output(target, written), written
        )
        if target != config.output:
            make_folder(Path(target).parent)
        stage = Stage()
        with switch.stage.doing(f"opening {target}"):
            sink = stack.enter_context(
                open_sink(
                    target,
                    written,
                    encoder=encoder,
                    beside=beside_of(source),
                    overwrite=config.overwrite,
                    start_s=config.start_s,
                    stage=stage,
                    network=config.network,
                )
            )
        notes = [*notes, *loss_notes(source, target)]
        reference = open_reference(
            stack,
            source,
            config.reference,
            config.add_noise,
            options=options,
        )
        with switch.stage.doing("loading the model"):
            denoiser = stack.enter_context(load_denoiser(config.denoise, on_build))
        if on_open is not None:
            on_open(source.info)
        pipeline = Pipeline(
            source,
            denoiser,
            [Output(sink, renderer(view, config.overlay), target, stage)],
            reference=reference,
        )
        stats = switch.run(pipeline, on_stats)
    return replace(stats, notes=[*stats.notes, *notes, *denoiser_notes(denoiser)])


def _keeps_original(target: str, config: FileConfig, view: View) -> bool:
    """Whether the output can have the input's own chroma, bits and alpha.

    A wider picture has no original, and added noise would be in the 4:2:0 planes only.
    """
    suffix = Path(target).suffix.lower()
    is_video = target == "-" or suffix in (*MUXERS, ".y4m")
    is_wider = view is View.SIDE or view is View.GRID
    return is_video and not is_wider and config.add_noise is None
