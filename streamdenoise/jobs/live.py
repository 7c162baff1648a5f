"""The live job: a camera, stream or paced file to a window and other outputs."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from streamdenoise.denoisers.adaptive import AdaptiveDenoiser
from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.denoisers.image import ImageDenoiser
from streamdenoise.denoisers.keeping_up import largest_that_keeps_up
from streamdenoise.denoisers.load import load_denoiser, load_video_denoiser
from streamdenoise.denoisers.options import AUTO, DenoiseConfig
from streamdenoise.frame import StreamInfo
from streamdenoise.inference.backend import OnBuild
from streamdenoise.io.ffmpeg.nvenc import usable_encoder
from streamdenoise.io.ffmpeg.sound import Sound
from streamdenoise.io.open import open_source
from streamdenoise.io.options import ReadOptions
from streamdenoise.io.protocols import Source
from streamdenoise.io.sources.reconnecting import ReconnectingSource
from streamdenoise.io.url import Credentials, StreamURL, is_network
from streamdenoise.jobs.changeable import ChangeableDenoiser
from streamdenoise.jobs.config import LiveConfig, OnLoss
from streamdenoise.jobs.job import (
    OnOpen,
    Parts,
    StopSwitch,
    check_job_memory,
    check_network,
    denoiser_notes,
    limited_pools,
    open_reference,
)
from streamdenoise.jobs.live_controls import LiveControls
from streamdenoise.jobs.live_outputs import Opening, check_targets, open_output
from streamdenoise.jobs.overlay import draw_no_signal
from streamdenoise.jobs.recorder import Recorder
from streamdenoise.pipeline.frame_denoiser import FrameDenoiser
from streamdenoise.pipeline.live_rules import LiveRules
from streamdenoise.pipeline.pipeline import OnStats, Pipeline
from streamdenoise.pipeline.stats import Stats
from streamdenoise.pipeline.writer import Output
from streamdenoise.service.health import is_alive
from streamdenoise.service.status_server import StatusServer
from streamdenoise.service.systemd import Notifier

OpenViewer = Callable[
    [ExitStack, StreamInfo, ChangeableDenoiser, Sequence[Output], Sound | None],
    Sequence[Output],
]
"""Opens outputs that show a running job, and may control its denoiser.

It gets the outputs of the configuration, which come before these, and the sound if
there may be any. The stack closes everything at the end.
"""


def denoise_live(
    config: LiveConfig,
    *,
    on_open: OnOpen | None = None,
    on_stats: OnStats | None = None,
    on_build: OnBuild | None = None,
    switch: StopSwitch | None = None,
    viewer: OpenViewer | None = None,
) -> Stats:
    """Denoise a live source until it ends, the window is closed, or it is stopped.

    Only the window shows the view and the figures; recordings and published streams
    get the denoised frames alone. Lost cameras and streams are reconnected as
    `LiveConfig.reconnect` says; an output that fails is left out while others work.

    Args:
        config: Source, outputs and options.
        on_open: Gets the properties of the source before its first frame.
        on_stats: See `Pipeline.run`.
        on_build: Gets the steps of an engine's build; returns False to stop it.
        switch: Stops the job, which leaves complete outputs.
        viewer: Shows the job elsewhere than in a window.

    Returns:
        The figures of the run.

    Raises:
        StreamDenoiseError: The source, all outputs or the model cannot be used, or
            failed permanently. After `HungError` the process should end: threads still
            use what hangs.
    """
    switch = switch or StopSwitch()
    check_targets(config)
    check_network(config.network)
    credentials = None
    if config.credentials_file is not None:
        credentials = Credentials.from_file(config.credentials_file)
    # A process that hangs keeps its descriptors: ports and cameras are closed before.
    pools = limited_pools(config.denoise.threads)
    with pools, ExitStack() as always, Parts(switch) as stack:
        notifier = Notifier.from_environment()
        watch = _watchers(always, config, on_stats, notifier)
        sound = None if config.audio == "none" else Sound(config.audio)
        with switch.stage.doing(f"opening {config.source}"):
            source = _open_source(config, credentials, switch, watch, sound)
            reconnects = isinstance(source, ReconnectingSource)
            (always if reconnects else stack).enter_context(source)
        info = source.info
        check_job_memory(config.source, info, config.outputs)
        first = config.outputs[0] if config.outputs else ""
        encoder, notes = usable_encoder(config.encoder.for_output(first), info)
        outputs: list[Output] = []
        opening = Opening()
        switch.attach(opening)
        for target in config.outputs:
            with switch.stage.doing(f"opening {target}"):
                output = open_output(
                    target, info, encoder, config, credentials, opening, sound
                )
            stack.enter_context(output.sink)
            outputs.append(output)
        opening.over()
        building = while_building(on_build, notifier)
        with switch.stage.doing("loading the model"):
            load = partial(_load_denoiser, config, info, building)
            denoiser = stack.enter_context(
                ChangeableDenoiser(load(config.denoise), load)
            )
        reference = open_reference(
            stack,
            source,
            config.reference,
            config.add_noise,
            options=ReadOptions(duration_s=config.duration_s),
        )
        if config.window:
            # Imported late: it needs a display, and its process takes time to start.
            from streamdenoise.io.sinks.window import WindowSink

            recorder = stack.enter_context(Recorder(info, encoder, sound=sound))
            controls = LiveControls(
                denoiser, recorder, switch.stop, config.view, config.overlay
            )
            window = stack.enter_context(WindowSink(controls.press))
            outputs = [
                Output(window, controls.render, "window"),
                *outputs,
                Output(recorder, name="recorder"),
            ]
        if viewer is not None:
            outputs += viewer(stack, info, denoiser, outputs, sound)
        if on_open is not None:
            on_open(info)
        pipeline = Pipeline(
            source,
            denoiser,
            outputs,
            overflow=config.overflow,
            reference=reference,
            live=_rules(config, source, denoiser),
        )
        stats = switch.run(pipeline, watch)
    heard = [] if sound is None else [*sound.notes, *_silent(config.outputs, sound)]
    notes = [*_losses(stats), *heard, *notes, *denoiser_notes(denoiser)]
    return replace(stats, notes=[*stats.notes, *notes])


def _losses(stats: Stats) -> list[str]:
    """What each output lacks while others, or most of it, were written."""
    return [
        f"{output.name}: {output.dropped} frames were not written"
        + f" ({output.error})" * bool(output.error)
        for output in stats.outputs
        if output.dropped
    ]


def _silent(outputs: tuple[str, ...], sound: Sound) -> list[str]:
    """Which outputs lack the sound of the source although they are videos."""
    silent = [each for each in outputs if each == "-" or each.endswith(".y4m")]
    if not sound.has_begun:
        return []
    return [f"{each}: sound is left out: y4m has none" for each in silent]


def while_building(on_build: OnBuild | None, notifier: Notifier) -> OnBuild:
    """`on_build` that also feeds systemd's watchdog: a build may take minutes."""

    def step(phase: str, number: int, steps: int) -> bool:
        notifier.watchdog()
        return on_build is None or on_build(phase, number, steps)

    return step


def _watchers(
    stack: ExitStack, config: LiveConfig, on_stats: OnStats | None, notifier: Notifier
) -> OnStats:
    """Start reporting; returns what passes figures to the caller and the services."""
    watchers: list[OnStats] = []
    if config.status is not None:
        name = str(StreamURL.parse(config.source, env=config.network.env))
        server = StatusServer(
            config.status,
            name,
            stall_s=max(5.0, config.timeout_s),
            allowed_hosts=config.status_hosts,
        )
        watchers.append(stack.enter_context(server).update)
    if on_stats is not None:
        watchers.append(on_stats)
    # Ready before the source: restarting this service would not bring a camera back.
    notifier.ready()
    stack.callback(notifier.stopping)

    def watch(stats: Stats) -> None:
        if is_alive(stats):
            notifier.watchdog()
        for watcher in watchers:
            watcher(stats)

    return watch


def _open_source(
    config: LiveConfig,
    credentials: Credentials | None,
    switch: StopSwitch,
    watch: OnStats,
    sound: Sound | None,
) -> Source:
    """Make a camera or stream that reconnects, or open a file at its own pace.

    `switch` can stop the wait for the first frame of a camera or stream.
    """
    uri = config.source
    is_camera = uri.startswith("camera:")
    if not (is_network(uri) or is_camera or uri.endswith(".sdp")):
        return open_source(
            uri,
            ReadOptions(
                duration_s=config.duration_s,
                hwaccel=config.hwaccel,
                alone=True,
                filters=config.filters,
            ),
            live=True,
            sound=sound,
        )
    url = uri if is_camera else StreamURL.parse(uri, credentials, config.network.env)

    def open_session(known: StreamInfo | None) -> Source:
        return open_source(
            url,
            ReadOptions(
                pix_fmt=known and known.pix_fmt,
                size=known and (known.width, known.height),
                timeout_s=config.timeout_s,
                hwaccel=config.hwaccel,
                transport=config.transport,
                network=config.network,
                alone=True,
                filters=config.filters,
            ),
            live=True,
            sound=sound,
        )

    since = time.monotonic()

    def wait() -> None:
        age_s = time.monotonic() - since
        watch(
            Stats(elapsed_s=age_s, frame_age_s=age_s, source_error=reconnecting.error)
        )

    reconnecting = ReconnectingSource(
        open_session,
        str(url),
        config.reconnect,
        duration_s=config.duration_s,
        while_waiting=wait,
    )
    switch.attach(reconnecting)
    return reconnecting


def _rules(config: LiveConfig, source: Source, denoiser: FrameDenoiser) -> LiveRules:
    """Rules of the pipeline; only sources that reconnect are held and retimed."""
    info = source.info
    reconnects = isinstance(source, ReconnectingSource)
    holds = reconnects and config.on_loss is OnLoss.HOLD
    return LiveRules(
        prepare=lambda: denoiser.prepare(info.width, info.height, info.pix_fmt),
        wall_clock=reconnects,
        hold=draw_no_signal if holds else None,
    )


def _load_denoiser(
    config: LiveConfig,
    info: StreamInfo,
    on_build: OnBuild | None,
    chosen: DenoiseConfig,
) -> Denoiser | ImageDenoiser | AdaptiveDenoiser:
    wait = config.wait_for_engine

    def open_denoiser(model: str, half_size: bool = False) -> Denoiser:
        return load_video_denoiser(
            replace(chosen, model=model),
            on_build,
            wait_for_engine=wait,
            half_size=half_size,
        )

    model = chosen.model
    if model == AUTO:
        denoiser = largest_that_keeps_up(open_denoiser, info)
        if config.max_lag_ms is None:
            return denoiser
        denoiser.close()
        model = denoiser.model
    if config.max_lag_ms is None:
        return load_denoiser(chosen, on_build, wait_for_engine=wait)
    return AdaptiveDenoiser(open_denoiser, model, config.max_lag_ms)
