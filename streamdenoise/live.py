"""The live job: a camera, stream or paced file, a window, keys and recordings."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from streamdenoise.backends import OnBuild
from streamdenoise.config import EncoderConfig, LiveConfig, View, fast_encoder
from streamdenoise.denoiser import Denoiser
from streamdenoise.errors import SinkError
from streamdenoise.frame import Frame, StreamInfo
from streamdenoise.io import Sink, open_sink, open_source
from streamdenoise.io.nvenc import usable_encoder
from streamdenoise.jobs import (
    OnOpen,
    OnStats,
    StopSwitch,
    denoiser_notes,
    load_denoiser,
    open_reference,
)
from streamdenoise.overlay import compose, draw_text
from streamdenoise.pipeline import Output, Pipeline
from streamdenoise.stats import Stats, stats_items

log = logging.getLogger(__name__)

STRENGTH_STEP = 0.1
MAX_STRENGTH = 4.0


class Recorder:
    """A sink that writes files with the time in their names, while it is switched on.

    A recording that fails ends with a note; the live view goes on.
    """

    def __init__(
        self,
        info: StreamInfo,
        encoder: EncoderConfig | None = None,
        folder: Path = Path(),
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self.notes: tuple[str, ...] = ()
        self._info = info
        self._encoder = fast_encoder(".mp4", encoder)
        self._folder = folder
        self._now = now
        self._lock = Lock()
        self._wanted = False
        self._sink: Sink | None = None
        self._path = Path()

    @property
    def is_recording(self) -> bool:
        return self._wanted

    def toggle(self) -> None:
        """Begin a new file with the next frame, or end the present one."""
        with self._lock:
            self._wanted = not self._wanted
            if not self._wanted:
                self._end()

    def write(self, frame: Frame) -> None:
        """Record `frame` if switched on."""
        with self._lock:
            if not self._wanted:
                return
            try:
                if self._sink is None:
                    self._sink = self._begin(frame)
                self._sink.write(frame)
            except (SinkError, ValueError) as exc:
                self._wanted = False
                if self._sink is not None:
                    self._sink.abort()
                    self._sink = None
                self._note(f"recording ended: {exc}")

    def close(self) -> None:
        """End the present file; any number of times."""
        with self._lock:
            self._wanted = False
            self._end()

    def abort(self) -> None:
        """The same as `close`: what is recorded is kept."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _begin(self, frame: Frame) -> Sink:
        name = f"streamdenoise-{self._now():%Y%m%d-%H%M%S}"
        self._path = self._folder / f"{name}.mp4"
        number = 1
        while self._path.exists():
            number += 1
            self._path = self._folder / f"{name}-{number}.mp4"
        info = replace(
            self._info,
            width=frame.width,
            height=frame.height,
            pix_fmt=frame.pix_fmt,
            time_base=frame.time_base,
        )
        return open_sink(
            str(self._path), info, encoder=self._encoder, start_s=frame.time_s
        )

    def _end(self) -> None:
        sink, self._sink = self._sink, None
        if sink is None:
            return
        try:
            sink.close()
        except SinkError as exc:
            self._note(f"recording ended: {exc}")
        else:
            self._note(f"recorded {self._path}")

    def _note(self, text: str) -> None:
        log.warning("%s", text)
        self.notes = (*self.notes, text)


class LiveControls:
    """What the keys change, and the picture that the window shows of it."""

    def __init__(
        self,
        denoiser: Denoiser,
        recorder: Recorder,
        stop: Callable[[], None],
        view: View = View.CLEAN,
        overlay: bool = True,
    ) -> None:
        self.view = view
        self._compared = View.SPLIT if view is View.CLEAN else view
        self._denoiser = denoiser
        self._recorder = recorder
        self._overlay = overlay
        self._actions: dict[str, Callable[[], None]] = {
            "q": stop,
            "s": self._switch_view,
            "+": lambda: self._change_strength(STRENGTH_STEP),
            "-": lambda: self._change_strength(-STRENGTH_STEP),
            "r": recorder.toggle,
        }

    def press(self, key: str) -> None:
        """Do what `key` stands for; an unknown one does nothing."""
        action = self._actions.get(key)
        if action is not None:
            action()

    def render(self, before: Frame, after: Frame, stats: Stats) -> Frame:
        """The picture for the window."""
        picture = compose(self.view, before, after)
        items = stats_items(stats) if self._overlay else ()
        if self._recorder.is_recording:
            items = ("REC", *items)
        return draw_text(picture, items) if items else picture

    def _switch_view(self) -> None:
        self.view = View.CLEAN if self.view is self._compared else self._compared

    def _change_strength(self, step: float) -> None:
        strength = round(self._denoiser.strength + step, 2)
        self._denoiser.strength = min(MAX_STRENGTH, max(0.0, strength))


def denoise_live(
    config: LiveConfig,
    *,
    on_open: OnOpen | None = None,
    on_stats: OnStats | None = None,
    on_build: OnBuild | None = None,
    switch: StopSwitch | None = None,
) -> Stats:
    """Denoise a live source until it ends, the window is closed, or it is stopped.

    The view and the figures are for the window; recordings and published streams get
    the clean picture alone.

    Args:
        config: What the user wants.
        on_open: Gets what is known of the source before its first frame.
        on_stats: See `Pipeline.run`.
        on_build: Told how far the build of an engine is; may stop it.
        switch: Stops the job with complete outputs.

    Returns:
        The figures of the run.

    Raises:
        StreamDenoiseError: The source, a sink or the model cannot be used, or failed.
    """
    switch = switch or StopSwitch()
    with ExitStack() as stack:
        source = stack.enter_context(
            open_source(
                config.source,
                duration_s=config.duration_s,
                timeout_s=config.timeout_s,
                live=True,
                hwaccel=config.hwaccel,
            )
        )
        encoder, notes = usable_encoder(config.encoder, source.info)
        sinks = [
            stack.enter_context(
                open_sink(
                    target,
                    source.info,
                    encoder=fast_encoder(target, encoder),
                    overwrite=config.overwrite,
                )
            )
            for target in config.outputs
        ]
        denoiser = stack.enter_context(load_denoiser(config.denoise, on_build))
        reference = open_reference(
            stack,
            source,
            config.reference,
            config.add_noise,
            duration_s=config.duration_s,
        )
        outputs = [Output(sink) for sink in sinks]
        if config.window:
            # Late: the window needs a display, and OpenCV's child takes its time.
            from streamdenoise.io.window import WindowSink

            recorder = stack.enter_context(Recorder(source.info, encoder))
            controls = LiveControls(
                denoiser, recorder, switch.stop, config.view, config.overlay
            )
            window = stack.enter_context(WindowSink(controls.press))
            outputs = [Output(window, controls.render), *outputs, Output(recorder)]
        info = source.info
        denoiser.prepare(info.width, info.height, info.pix_fmt)
        if on_open is not None:
            on_open(info)
        pipeline = Pipeline(
            source,
            denoiser,
            outputs,
            overflow=config.overflow,
            reference=reference,
        )
        switch.attach(pipeline)
        stats = pipeline.run(on_stats)
    return replace(stats, notes=[*stats.notes, *notes, *denoiser_notes(denoiser)])
