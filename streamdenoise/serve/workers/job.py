"""One camera inside of a worker: a live job in a thread, and what can be done to it."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from enum import StrEnum
from threading import Lock, Thread
from typing import Any

from pydantic import TypeAdapter

from streamdenoise.denoisers.family import LARGEST
from streamdenoise.denoisers.options import AUTO, DenoiseConfig
from streamdenoise.errors import (
    HungError,
    SinkRefusedError,
    SourceRefusedError,
    StreamDenoiseError,
)
from streamdenoise.frame import StreamInfo
from streamdenoise.io.ffmpeg.sound import Sound
from streamdenoise.jobs.changeable import ChangeableDenoiser
from streamdenoise.jobs.config import LiveConfig
from streamdenoise.jobs.job import StopSwitch
from streamdenoise.jobs.live import denoise_live
from streamdenoise.jobs.recorder import Recorder
from streamdenoise.pipeline.stats import Stats
from streamdenoise.pipeline.writer import Output
from streamdenoise.serve.config.camera import Camera, CameraConfig
from streamdenoise.serve.media.fragment import Fragment, Side
from streamdenoise.serve.media.live_view import LiveView
from streamdenoise.serve.recordings import Recordings
from streamdenoise.serve.workers.settings import Settings
from streamdenoise.service.health import is_alive

log = logging.getLogger(__name__)

STATS = TypeAdapter(Stats)
"""Makes plain values of figures, and figures of them."""

_SILENT_S = 30.0
"""A running job reports figures several times a second."""
_STOP_S = 15.0
"""For parts of a job that cannot be interrupted while they are opened or closed."""


class Outcome(StrEnum):
    """How a job is, or has ended."""

    RUNNING = "running"
    ENDED = "ended"
    """It was stopped, or its source has ended."""
    FAILED = "failed"
    REFUSED = "refused"
    """A password was wrong: trying again could lock the account."""
    HUNG = "hung"
    """Threads are still inside of what hangs: the process has to end."""


def no_job(reason: str) -> dict[str, Any]:
    """What `CameraJob.status` says of a camera whose job could not begin."""
    return {
        "outcome": Outcome.FAILED,
        "reason": reason,
        "change_error": "",
        "stats": None,
    }


class CameraJob:
    """Runs from `start` until it is stopped, fails, or its source ends."""

    def __init__(
        self,
        name: str,
        table: Mapping[str, Any],
        settings: Settings,
        emit: Callable[[Side, Fragment], None],
    ) -> None:
        """Prepare the job of a camera.

        Args:
            name: Of the camera.
            table: As `Camera` validates it.
            settings: Chosen on the page.
            emit: Gets the live video that is watched; see `LiveView`.
        """
        self.name = name
        self._config: CameraConfig = Camera.model_validate(table)
        self.settings = settings
        """Settings that were chosen; `apply` gives them to the running job."""
        self._applied = settings
        self._asked: list[tuple[DenoiseConfig | None, Settings]] = [(None, settings)]
        """Models that the denoiser was asked for, from the one that works on."""
        self._applying = Lock()
        self._switch = StopSwitch()
        self._outcome, self._reason = Outcome.RUNNING, ""
        self._info: StreamInfo | None = None
        self._stats: Stats | None = None
        self._stats_at = 0.0
        self._stopped_at: float | None = None
        self._failure = ""
        self._denoiser: ChangeableDenoiser | None = None
        self._recorder: Recorder | None = None
        self.view = LiveView(emit)
        """What browsers see of it."""
        self._thread = Thread(target=self._run, name=f"camera {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the job soon, with complete outputs; may be called again."""
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()
            self._switch.stop()

    def fail(self, reason: str) -> None:
        """End the job soon, as one that has failed."""
        self._failure = reason
        self.stop()

    def join(self, timeout_s: float) -> bool:
        """Whether the job ends within this time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def apply(self) -> None:
        """Change what the settings say of a running job; from any thread.

        While it is being opened nothing is done: it gets them when it runs.
        """
        with self._applying:
            denoiser, recorder = self._denoiser, self._recorder
            if denoiser is None:
                return
            before, self._applied = self._applied, self.settings
            settings, chosen = self._applied, self._job(self._applied).denoise
            if settings.strength != before.strength:
                denoiser.strength = chosen.strength
            if (settings.sigma, settings.model) != (before.sigma, before.model):
                self._asked.append((chosen, settings))
                denoiser.change(chosen)
            if recorder is not None and recorder.is_recording != settings.recording:
                recorder.toggle()

    def status(self) -> dict[str, Any]:
        """Describe the job, for a message."""
        outcome, reason = self._outcome, self._reason
        if self._thread.is_alive() and (hang := self._hang()):
            outcome, reason = Outcome.HUNG, hang
        info, stats, denoiser = self._info, self._stats, self._denoiser
        recorder = self._recorder
        used = ""
        if denoiser is not None and denoiser.backend:
            used = f"{denoiser.model} on {denoiser.backend}"
        change_error = "" if denoiser is None else denoiser.change_error
        works = self._working()  # after the error: what it keeps is at least this new
        return {
            "outcome": outcome,
            "reason": reason,
            "works": {"model": works.model, "sigma": works.sigma},
            "width": info.width if info else 0,
            "height": info.height if info else 0,
            "used_model": used,
            "change_error": change_error,
            "recording": recorder is not None and recorder.is_recording,
            "recording_failures": recorder.failures if recorder else 0,
            "recording_error": recorder.error if recorder else "",
            "recording_missing": recorder.missing if recorder else 0,
            "stats": None if stats is None else STATS.dump_python(stats, mode="json"),
        }

    def _run(self) -> None:
        outcome, reason = Outcome.FAILED, ""
        try:
            stats = denoise_live(
                self._job(self._applied),
                on_open=self._opened,
                on_stats=self._update,
                on_build=self._may_build,
                switch=self._switch,
                viewer=self._view,
            )
            outcome = Outcome.ENDED
            reason = "" if self._switch.is_stopped() else "the source has ended"
            log.info("camera %s: %d frames", self.name, stats.frames_out)
        except (SourceRefusedError, SinkRefusedError) as exc:
            outcome, reason = Outcome.REFUSED, str(exc)
        except HungError as exc:
            outcome, reason = Outcome.HUNG, str(exc)
        except StreamDenoiseError as exc:
            outcome, reason = Outcome.FAILED, str(exc)
            if self._switch.is_stopped():
                outcome = Outcome.ENDED
        except Exception as exc:
            log.exception("camera %s: a mistake in the program", self.name)
            reason = f"a mistake in the program: {type(exc).__name__}; see the log"
        finally:
            self._denoiser = None
            if self._failure and outcome is Outcome.ENDED:
                outcome, reason = Outcome.FAILED, self._failure
            self._outcome, self._reason = outcome, reason

    def _working(self) -> Settings:
        """The last settings whose model could be loaded."""
        works = self._denoiser.config if self._denoiser is not None else None
        for index, (chosen, _) in enumerate(self._asked):
            if chosen is works:
                del self._asked[:index]
                break
        return self._asked[0][1]

    def _job(self, settings: Settings) -> LiveConfig:
        config = settings.applied(self._config.live)
        if config.denoise.model == AUTO and config.max_lag_ms is not None:
            # Timing it now would measure how busy the others are at this moment. The
            # limit of the lag finds the model that keeps up, and finds it again later.
            config = Settings(model=LARGEST).applied(config)
        return config

    def _may_build(self, phase: str, number: int, steps: int) -> bool:
        return not self._switch.is_stopped()

    def _opened(self, info: StreamInfo) -> None:
        self._stats_at = time.monotonic()
        self._info = info

    def _update(self, stats: Stats) -> None:
        self._stats, self._stats_at = stats, time.monotonic()

    def _view(
        self,
        stack: ExitStack,
        info: StreamInfo,
        denoiser: ChangeableDenoiser,
        opened: Sequence[Output],
        sound: Sound | None,
    ) -> Sequence[Output]:
        outputs = self.view.outputs(info, opened, sound)
        names = Recordings(self.name, self._config).by_hand
        if names is not None:
            recorder = stack.enter_context(Recorder(info, names=names, sound=sound))
            self._recorder = recorder
            outputs.append(Output(recorder, name="recorder", is_view=True))
        self._denoiser = denoiser
        self.apply()
        return outputs

    def _hang(self) -> str:
        """Why only the end of the process can help; empty if it is not needed."""
        now = time.monotonic()
        if self._stopped_at is not None:
            if self._switch.is_bounded or now - self._stopped_at < _STOP_S:
                return ""
            return self._switch.stage.hang(0) or "the camera's job does not stop"
        stats = self._stats
        if stats is None or self._info is None:
            return ""  # loading a model, with others at the same time, takes its time
        if not is_alive(stats):
            return stats.denoiser_error or "no output makes progress"
        if now - self._stats_at > _SILENT_S:
            return f"no figures for {now - self._stats_at:.0f} s"
        return ""
