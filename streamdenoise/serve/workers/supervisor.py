"""Runs all cameras in worker processes, and replaces those that fail."""

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from streamdenoise.denoisers.options import AUTO, parse_sigma
from streamdenoise.errors import ConfigError
from streamdenoise.inference.artifact import open_artifact, shipped_models
from streamdenoise.io.url import is_network
from streamdenoise.pipeline.stats import Stats
from streamdenoise.serve.config.file import CameraTable, ServiceConfig
from streamdenoise.serve.events import EventLog
from streamdenoise.serve.media.fragment import Fragment, Side
from streamdenoise.serve.service import CameraAwayError, UnknownCameraError
from streamdenoise.serve.states import (
    CameraChange,
    CameraState,
    CameraStatus,
    Event,
    Point,
    Recording,
)
from streamdenoise.serve.workers.broadcast import Broadcast
from streamdenoise.serve.workers.job import Outcome
from streamdenoise.serve.workers.messages import Message
from streamdenoise.serve.workers.process import WorkerProcess
from streamdenoise.serve.workers.record import ALONE_AFTER, POINT_S, CameraRecord
from streamdenoise.serve.workers.settings import Settings

log = logging.getLogger(__name__)

_TICK_S = 0.1
_HANG_S = 10.0
"""A worker that says nothing for so long hangs; it reports four times a second."""
_START_S = 60.0
"""For a new process to load its libraries from a slow disk."""
_END_S = 20.0
"""For all workers to end; longer than they give their cameras."""
_SETTLED_S = 60.0
"""After the last camera's start, a worker has the memory that it needs."""
_MARGIN_BYTES = 512 << 20
_HEALTHY_S = 60.0
"""A camera that is live for so long has recovered."""
_ANSWER_S = 10.0
_MOST_ASKED = 64
"""Images that are waited for; workers would make all that were ever asked for."""
_MOST_SIGMA = 100.0


@dataclass(eq=False, slots=True)
class _Worker:
    process: WorkerProcess
    is_alone: bool
    """Whether it runs one camera that had trouble, and no other."""
    rss: int = 0
    usual_rss: int | None = None
    """Once its cameras run."""
    changed_at: float = 0.0
    """When a camera last started here that had not been here before."""
    seen: list[CameraTable] = field(default_factory=list[CameraTable])
    """Cameras that were started here: one that fails again and again hides no leak."""


class Supervisor:
    """The running cameras; implements `streamdenoise.serve.service.Cameras`."""

    def __init__(self, config: ServiceConfig, *, hang_s: float = _HANG_S) -> None:
        """Prepare the cameras; `run` starts them.

        Args:
            config: What the file says.
            hang_s: Time without a sign of life after which a worker is replaced.
        """
        self._config = config
        self._hang_s = hang_s
        self._log = EventLog()
        self._cameras: dict[str, CameraRecord] = {}
        for entry in config.cameras:
            self._continue(entry, None)
        self._leaving: dict[str, CameraRecord] = {}
        """Cameras that were removed, until their jobs have ended."""
        self._workers: list[_Worker] = []
        self._ending: list[tuple[WorkerProcess, float]] = []
        """Workers that are not needed any more, and when they must be gone."""
        self._videos: dict[tuple[str, Side], Broadcast] = {}
        self._answers: dict[
            int, tuple[WorkerProcess | None, asyncio.Future[bytes]]
        ] = {}
        """By number: images that workers are making."""
        self._numbers = itertools.count()
        self._stopping = asyncio.Event()
        self._points_at = 0.0
        self._ticked_at = time.monotonic()

    async def run(self) -> None:
        """Keep the cameras running until `stop`; returns when all have ended."""
        while not self._stopping.is_set():
            await self._tick()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _TICK_S)
        await self._end()

    def stop(self) -> None:
        """End all cameras, with complete outputs; `run` returns then."""
        self._stopping.set()

    @property
    def ticked_at(self) -> float:
        """When it looked after its workers last, on the monotonic clock."""
        return self._ticked_at

    def reload(self, config: ServiceConfig) -> None:
        """Go on with another configuration; what is the same is not touched."""
        before = self._config
        fixed = ("server", "workers", "mqtt")
        self._config = replace(
            config, **{each: getattr(before, each) for each in fixed}
        )
        old, self._cameras = self._cameras, {}
        changed = [
            self._continue(entry, old.pop(entry.name, None)) for entry in config.cameras
        ]
        for record in old.values():
            self._log.forget(record.name)
            for side in Side:
                if video := self._videos.pop((record.name, side), None):
                    video.end(UnknownCameraError("this camera was removed"))
            if record.worker is not None:
                self._stop_job(record)
                self._leaving[record.name] = record
        text = (
            f"the configuration was read again: {sum(changed)} cameras changed, "
            f"{len(old)} removed"
        )
        if any(getattr(before, each) != getattr(config, each) for each in fixed):
            text += (
                "; [server], [workers] and [mqtt] apply when the service is started "
                "again"
            )
        self._log.add("", "config", text, logging.INFO)

    def refuse(self, exc: ConfigError) -> None:
        """Note that the file has changed and cannot be used."""
        self._log.add("", "config", f"the configuration stays as it was: {exc}")

    def records(self) -> Sequence[CameraRecord]:
        """A record of each camera, for metrics and health."""
        return list(self._cameras.values())

    def worker_memory(self) -> dict[int, int]:
        """Resident bytes of each worker, by the number of its process."""
        return {each.process.pid: each.rss for each in self._workers}

    # What `Cameras` asks for.

    def states(self) -> Sequence[CameraState]:
        return [record.state() for record in self._cameras.values()]

    def state(self, name: str) -> CameraState:
        return self._record(name).state()

    async def change(self, name: str, change: CameraChange) -> CameraState:
        record = self._record(name)
        settings = self._checked(record, change)
        was_enabled = record.is_enabled
        record.settings = settings
        if record.is_enabled != was_enabled:
            word = "on" if record.is_enabled else "off"
            self._log.add(name, "switched", f"switched {word}", logging.INFO)
            record.backoff.succeed()
            record.refused, record.reason, record.was_live = False, "", False
            if not record.is_enabled:
                self._stop_job(record)
        self._send(record, "change", settings=settings.plain())
        return record.state()

    async def frame(self, name: str, side: Side, width: int | None = None) -> bytes:
        record = self._record(name)
        if len(self._answers) >= _MOST_ASKED:
            raise CameraAwayError("too many images are asked for at once; try again")
        number = next(self._numbers)
        answer = asyncio.get_running_loop().create_future()
        self._answers[number] = record.worker, answer
        try:
            if not self._send(record, "snapshot", id=number, side=side, width=width):
                raise CameraAwayError(f"{name} has no video at present")
            return await asyncio.wait_for(answer, _ANSWER_S)
        except TimeoutError:
            raise CameraAwayError(f"{name} does not answer") from None
        finally:
            del self._answers[number]

    def watch(self, name: str, side: Side) -> AsyncIterator[Fragment]:
        record = self._record(name)
        key = (name, side)
        if key not in self._videos:

            def wanted(wanted: bool) -> None:
                current = self._cameras.get(name)
                if current is not None:
                    self._send(current, "watch", side=side, wanted=wanted)

            self._videos[key] = Broadcast(wanted)
        video = self._videos[key]
        if video.is_read:
            # Its key frames may be far apart: the one more reader needs one now.
            self._send(record, "restart", side=side)
        return video.read()

    def history(self, name: str) -> Sequence[Point]:
        return list(self._record(name).history)

    def events(self, name: str | None = None) -> Sequence[Event]:
        if name:
            self._record(name)
        return self._log.latest(name)

    async def recordings(self, name: str) -> Sequence[Recording]:
        return await asyncio.to_thread(self._record(name).recordings.all)

    async def recording_path(self, name: str, recording_id: str) -> Path:
        recordings = self._record(name).recordings
        return await asyncio.to_thread(recordings.path, recording_id)

    async def delete_recording(self, name: str, recording_id: str) -> None:
        record = self._record(name)
        await asyncio.to_thread(record.recordings.delete, recording_id)
        self._log.add(name, "deleted", f"{recording_id} was deleted", logging.INFO)

    def _record(self, name: str) -> CameraRecord:
        try:
            return self._cameras[name]
        except KeyError:
            raise UnknownCameraError("there is no camera of this name") from None

    def _checked(self, record: CameraRecord, change: CameraChange) -> Settings:
        """The settings after a change.

        Raises:
            ConfigError: A value cannot be used.
        """
        given = change.model_dump(exclude_none=True)
        if change.sigma is not None:
            sigma = given["sigma"] = parse_sigma(change.sigma)
            if not isinstance(sigma, str) and sigma > _MOST_SIGMA:
                raise ConfigError(
                    f"sigma {sigma:g} is out of range; use auto or 0 to 100"
                )
        if change.model is not None:
            self._check_model(record, change.model)
        if change.recording and record.recordings.by_hand is None:
            raise ConfigError(
                f"{record.name} has no folder for recordings; add recordings = "
                '"FOLDER" to its table'
            )
        settings = replace(record.settings, **given)
        settings.applied(record.config.live)
        return settings

    def _check_model(self, record: CameraRecord, model: str) -> None:
        """Names of shipped models only: nobody may read files from the page."""
        names = [AUTO, *shipped_models()]
        configured = record.config.live.denoise.model
        if model != configured and model not in names:
            raise ConfigError(f"there is no model {model}; use {', '.join(names)}")
        if model not in (AUTO, configured):
            artifact = open_artifact(model)
            if not artifact.state_names or artifact.layout != "yuv420":
                raise ConfigError(f"model {model} is not for cameras; use auto or nano")

    # Looking after the workers.

    async def _tick(self) -> None:
        now = time.monotonic()
        # After a pause of this whole process, workers had no chance to be heard.
        was_away = now - self._ticked_at > self._hang_s / 2
        self._ticked_at = now
        for worker in list(self._workers):
            if worker.process.is_gone:
                self._replace(worker, worker.process.ended_by())
            elif not was_away and (why := self._fault(worker, now)):
                self._replace(worker, why)
        for record in list(self._cameras.values()):
            if record.is_ready(now) and record.name not in self._leaving:
                try:
                    await self._start_job(record, now)
                except OSError as exc:
                    wait_s = record.backoff.fail(now)
                    why = f"no worker can be started: {exc.strerror}"
                    record.end(why)
                    text = f"{why}; next try in {wait_s:.0f} s"
                    self._log.add(record.name, "worker", text)
        self._end_idle(now)
        if now - self._points_at >= POINT_S:
            self._points_at = now
            for record in self._cameras.values():
                record.remember()

    def _fault(self, worker: _Worker, now: float) -> str:
        """Why a worker has to be replaced; empty if it works."""
        process = worker.process
        silent_s = now - process.heard_at
        limit_s = self._hang_s if process.has_reported else max(_START_S, self._hang_s)
        if silent_s > limit_s:
            return f"it hangs: nothing was heard of it for {silent_s:.0f} s"
        limit = self._config.workers.memory
        if limit is None:
            if now - worker.changed_at < _SETTLED_S or not worker.rss:
                return ""
            if worker.usual_rss is None:
                worker.usual_rss = worker.rss
            limit = 2 * worker.usual_rss + _MARGIN_BYTES
        if worker.rss > limit:
            return (
                f"it takes {worker.rss / 1e6:.0f} MB of memory, more than "
                f"{limit / 1e6:.0f} MB"
            )
        return ""

    def _replace(
        self, worker: _Worker, why: str, guilty: CameraRecord | None = None
    ) -> None:
        """End a worker; its cameras get another one with the next look.

        Args:
            worker: To be replaced.
            why: In words.
            guilty: The camera that caused it; None if it is not known.
        """
        now = time.monotonic()
        worker.process.kill()
        self._retire(worker, now)
        for process, answer in self._answers.values():
            if process is worker.process and not answer.done():
                answer.set_exception(CameraAwayError("its worker is replaced"))
        for record in self._of(worker):
            if record.stops:  # it would have ended anyway
                self._ended(record)
                continue
            record.restarts += 1
            text = f"its worker {worker.process.pid} is replaced: {why}"
            if guilty is None:
                record.deaths.append(now)
            elif record is guilty:
                record.deaths.extend([now] * ALONE_AFTER)
            if worker.is_alone:
                wait_s = record.backoff.fail(now)
                text += f"; next try in {wait_s:.0f} s"
                record.end(f"the worker was lost: {why}")
            else:
                record.end()
            self._log.add(record.name, "worker", text)

    def _retire(self, worker: _Worker, now: float) -> None:
        self._workers.remove(worker)
        self._ending.append((worker.process, now + _END_S))

    def _end_idle(self, now: float) -> None:
        """Workers of one camera end with it; those that have ended are buried."""
        for worker in list(self._workers):
            if worker.is_alone and not self._of(worker):
                worker.process.send(Message("end", {}))
                self._retire(worker, now)
        for process, limit in list(self._ending):
            if process.has_ended or now > limit:
                process.kill()
                self._ending.remove((process, limit))

    async def _end(self) -> None:
        """End all workers, which complete the outputs of their cameras."""
        processes = [*(each.process for each in self._workers)]
        processes += [process for process, _ in self._ending]
        self._workers, self._ending = [], []
        for process in processes:
            process.send(Message("end", {}))
        ended = await asyncio.gather(*(each.ended(_END_S) for each in processes))
        for process, has_ended in zip(processes, ended, strict=True):
            if not has_ended:
                log.error("worker %d did not end, and was killed", process.pid)
            process.kill()
            await process.ended(1.0)

    async def _start_job(self, record: CameraRecord, now: float) -> None:
        try:
            worker = await self._place(record, now)
        except OSError as exc:
            # Out of processes, memory or descriptors: it may pass.
            wait_s = record.backoff.fail(now)
            why = f"no worker can be started: {exc.strerror}"
            record.end(why)
            self._log.add(record.name, "worker", f"{why}; next try in {wait_s:.0f} s")
            return
        if self._cameras.get(record.name) is not record or not record.is_ready(now):
            return  # it was removed or switched off meanwhile
        if record.entry not in worker.seen:
            worker.seen.append(record.entry)
            worker.changed_at, worker.usual_rss = now, None
        record.begin(worker.process)
        watched: list[Side] = []
        for (name, side), video in self._videos.items():
            if name == record.name:
                video.begin_anew()
                if video.is_read:
                    watched.append(side)
        self._send(
            record,
            "start",
            table=record.entry.table,
            settings=record.settings.plain(),
            watched=watched,
        )

    async def _place(self, record: CameraRecord, now: float) -> _Worker:
        """The worker for a camera: its own, or the one with the fewest."""
        is_alone = record.needs_own_worker(now)
        shared = [each for each in self._workers if not each.is_alone]
        if not is_alone and len(shared) >= self._config.workers.count:
            return min(shared, key=lambda each: len(self._of(each)))
        process = WorkerProcess(self._heard, self._config.workers.threads)
        worker = _Worker(process, is_alone)
        self._workers.append(worker)
        await process.open()
        return worker

    def _of(self, worker: _Worker) -> list[CameraRecord]:
        """The cameras in a worker."""
        records = [*self._cameras.values(), *self._leaving.values()]
        return [each for each in records if each.worker is worker.process]

    def _stop_job(self, record: CameraRecord) -> None:
        if record.worker is not None and not record.stops:
            record.stops = True
            self._send(record, "stop")

    def _continue(self, entry: CameraTable, record: CameraRecord | None) -> bool:
        """Take a camera over into the new configuration; whether it has changed."""
        if record is None:
            self._cameras[entry.name] = CameraRecord(entry)
            self._log.remember(entry.name)
            return True
        self._cameras[entry.name] = record
        if record.entry.table == entry.table:
            return False
        record.entry = entry
        record.reset()
        self._stop_job(record)
        return True

    # What workers say.

    def _send(self, record: CameraRecord, kind: str, **fields: object) -> bool:
        """Say something to the worker of a camera, if it has one."""
        if record.worker is None:
            return False
        record.worker.send(Message(kind, {"camera": record.name, **fields}))
        return True

    def _heard(self, process: WorkerProcess, message: Message) -> None:
        fields = message.fields
        if message.kind == "snapshot":
            _, answer = self._answers.get(fields["id"], (None, None))
            if answer is not None and not answer.done():
                if fields["error"]:
                    answer.set_exception(CameraAwayError(fields["error"]))
                else:
                    answer.set_result(message.payload)
        elif message.kind == "fragment":
            video = self._videos.get((fields["camera"], Side(fields["side"])))
            if video is not None:
                video.put(Fragment(message.payload, fields["mime"], fields["is_key"]))
        elif message.kind == "status":
            self._reported(process, fields)

    def _reported(self, process: WorkerProcess, fields: dict[str, Any]) -> None:
        process.has_reported = True
        worker = next((w for w in self._workers if w.process is process), None)
        if worker is None:
            return
        worker.rss = fields["rss"]
        for name, report in fields["cameras"].items():
            for records in (self._cameras, self._leaving):
                record = records.get(name)
                if record is not None and record.worker is process:
                    self._update(worker, record, report)

    def _update(
        self, worker: _Worker, record: CameraRecord, report: dict[str, Any]
    ) -> None:
        before, old, was_recording = record.status, record.stats, record.is_recording
        old_error = record.report.get("change_error", "")
        failures = record.report.get("recording_failures", 0)
        now = time.monotonic()
        record.update(report, now)
        if record.name in self._cameras:
            self._note_changes(record, before, old)
            self._note_recording(record, was_recording, failures)
        if (error := report["change_error"]) and error != old_error:
            self._log.add(record.name, "change", f"the model stays as it was: {error}")
            # What is shown, and what the next job begins with, is what works.
            record.settings = replace(record.settings, **report["works"])
        if record.live_since is not None and now - record.live_since > _HEALTHY_S:
            record.backoff.succeed()
        outcome, reason = Outcome(report["outcome"]), str(report["reason"])
        if outcome is Outcome.RUNNING:
            return
        if outcome is Outcome.HUNG:
            self._replace(worker, f"camera {record.name} hangs: {reason}", record)
        elif record.stops:
            self._ended(record)
        elif outcome is Outcome.REFUSED:
            record.refused = True
            record.end(reason)
            advice = "it is not tried again before its configuration changes"
            self._log.add(record.name, "failed", f"{reason}; {advice}")
        else:
            wait_s = record.backoff.fail(now)
            record.end(reason)
            text = f"{reason}; next try in {wait_s:.0f} s"
            self._log.add(record.name, "failed", text)

    def _ended(self, record: CameraRecord) -> None:
        """A job that was asked to stop has ended."""
        record.end()
        if self._leaving.get(record.name) is record:
            del self._leaving[record.name]

    def _note_changes(
        self,
        record: CameraRecord,
        before: CameraStatus,
        old: Stats | None,
    ) -> None:
        """Make events of what differs from the last report."""
        name, status, new = record.name, record.status, record.stats
        if new is None:
            return
        if before is not status:
            if status is CameraStatus.LOST:
                self._log.add(name, "lost", new.source_error)
            elif status is CameraStatus.LIVE:
                kind = "back" if before is CameraStatus.LOST else "live"
                size = f"{record.report['width']}x{record.report['height']}"
                self._log.add(name, kind, f"live, {size}", logging.INFO)
        if new.load_step != (old.load_step if old else ""):
            text = new.load_step or "full quality again"
            if new.load_step:
                text = f"quality is reduced to keep up: {text}"
            self._log.add(name, "load", text, logging.INFO)
        errors = {each.name: each.error for each in old.outputs} if old else {}
        for output in new.outputs:
            if bool(output.error) != bool(errors.get(output.name)):
                kind = "output" if is_network(output.name) else "disk"
                text = output.error or "works again"
                self._log.add(name, kind, f"{output.name}: {text}")

    def _note_recording(
        self, record: CameraRecord, was_recording: bool, failures: int
    ) -> None:
        """Make events of recordings by hand that begin, end or fail."""
        name, report = record.name, record.report
        has_failed = report.get("recording_failures", 0) > failures
        if has_failed or (was_recording and not record.is_recording):
            text = "recording ended"
            if has_failed:
                text += f": {report['recording_error']}"
            if missing := report.get("recording_missing", 0):
                text += f"; {missing} frames were not written"
            level = logging.WARNING if has_failed or missing else logging.INFO
            self._log.add(name, "recording", text, level)
        # Without a failure it ended because someone asked, who may want another since.
        if has_failed and not record.is_recording:
            record.settings = replace(record.settings, recording=False)
        if record.is_recording and not was_recording:
            self._log.add(name, "recording", "recording", logging.INFO)
