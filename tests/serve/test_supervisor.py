"""Cameras in worker processes: what they say, what can be changed, what may fail."""

import asyncio
import contextlib
import errno
import os
import signal
import socket
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import psutil
import pytest

from streamdenoise.errors import ConfigError
from streamdenoise.serve.media.fragment import Fragment, Side
from streamdenoise.serve.service import CameraAwayError, UnknownCameraError
from streamdenoise.serve.states import CameraChange, CameraStatus
from streamdenoise.serve.workers import record as record_module
from streamdenoise.serve.workers import supervisor as supervisor_module
from streamdenoise.serve.workers.messages import Message
from streamdenoise.serve.workers.process import WorkerProcess
from streamdenoise.serve.workers.record import CameraRecord
from streamdenoise.serve.workers.supervisor import Supervisor
from tests.serve.running import SMALL, Running, config_of
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recordings")


def text_of(folder: Path, b_source: str = SMALL) -> str:
    return f"""
[workers]
count = 2
[defaults]
source = "{SMALL}"
model = "pico"
[cameras.a]
title = "Camera A"
output = "{folder}/a/%Y-%m-%d/%H-%M-%S.mp4"
segment = "1s"
[cameras.b]
source = "{b_source}"
[cameras.c]
[cameras.off]
enabled = false
"""


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Running]:
    (folder / "a").mkdir()
    with Running(text_of(folder), hang_s=4.0) as running:
        running.wait_live("a", "b", "c")
        yield running


def test_states_say_what_is_known(service: Running, folder: Path) -> None:
    states = service.call(service.cameras.states)
    assert [state.name for state in states] == ["a", "b", "c", "off"]
    a, off = states[0], states[3]
    assert (a.title, a.source, a.status) == ("Camera A", SMALL, CameraStatus.LIVE)
    assert (a.width, a.height, a.reason) == (160, 120, "")
    assert a.used_model.startswith(("nano", "pico"))
    assert [output.name for output in a.outputs] == [
        f"{folder}/a/%Y-%m-%d/%H-%M-%S.mp4"
    ]
    assert psutil.pid_exists(a.worker)
    assert len({state.worker for state in states[:3]}) == 2, (
        "two workers were asked for"
    )
    assert (off.status, off.worker, off.reason) == (CameraStatus.OFF, 0, "")
    with pytest.raises(UnknownCameraError):
        service.state("nobody")


def test_reasons_show_no_password() -> None:
    text = '[cameras.a]\nsource = "rtsp://me:swordfish@127.0.0.1/"'
    record = CameraRecord(config_of(text).cameras[0])
    record.end("rtsp://me:swordfish@127.0.0.1/ is gone")
    assert record.state().reason == "rtsp://***@127.0.0.1/ is gone"


def test_images_of_the_moment(service: Running) -> None:
    for side in Side:
        image = service.ask(service.cameras.frame("b", side, 80))
        pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        assert pixels.shape == (60, 80, 3)
        assert pixels.std() > 10
    with pytest.raises(CameraAwayError):
        service.ask(service.cameras.frame("off", Side.AFTER))


def test_images_that_are_asked_for_do_not_pile_up(service: Running) -> None:
    async def many() -> list[bytes | BaseException]:
        asked = [service.cameras.frame("b", Side.SPLIT) for _ in range(500)]
        return await asyncio.gather(*asked, return_exceptions=True)

    found = service.ask(many())
    assert sum(isinstance(each, bytes) for each in found) == 64
    assert "too many images" in str(found[-1])
    assert service.ask(service.cameras.frame("b", Side.SPLIT))


def test_live_video_for_several_readers(service: Running, tmp_path: Path) -> None:
    async def watched(count: int, begun: asyncio.Event) -> list[Fragment]:
        found: list[Fragment] = []
        video = service.cameras.watch("b", Side.AFTER)
        assert isinstance(video, AsyncGenerator)
        async with contextlib.aclosing(video):
            async for fragment in video:
                found.append(fragment)
                begun.set()
                if len(found) == count:
                    break
        return found

    async def both() -> list[list[Fragment]]:
        begun = asyncio.Event()
        first = asyncio.create_task(watched(15, begun))
        await begun.wait()
        return [await watched(6, asyncio.Event()), await first]

    for fragments in service.ask(both()):
        assert fragments[0].is_header
        assert fragments[1].is_key
        path = tmp_path / "watched.mp4"
        path.write_bytes(b"".join(fragment.data for fragment in fragments))
        with av.open(str(path)) as container:
            frames = list(islice(container.decode(video=0), 3))
        assert [(frame.width, frame.height) for frame in frames] == [(160, 120)] * 3


def test_switching_off_and_on(service: Running) -> None:
    others = [service.state(name).restarts for name in "ac"]
    assert service.change("b", enabled=False).status is CameraStatus.OFF
    service.wait("b", lambda state: not state.worker)
    service.change("b", enabled=True)
    service.wait_live("b")
    assert service.kinds("b")[:2].count("live") == 1
    assert [service.state(name).restarts for name in "ac"] == others


def test_strength_at_once(service: Running) -> None:
    before = service.state("b")
    assert service.change("b", strength=0.25).strength == 0.25
    after = service.wait("b", lambda state: state.frames_in > before.frames_in + 10)
    assert after.worker == before.worker
    assert after.frames_in > before.frames_in, "the job was not started again"
    service.change("b", strength=1.0)


def test_sigma_and_model_without_a_gap(service: Running) -> None:
    (before,) = service.wait_live("b")
    assert service.change("b", sigma="12").sigma == "12"
    service.wait("b", lambda state: state.sigma_now == 12)
    assert service.change("b", model="nano", sigma="auto").model == "nano"
    after = service.wait("b", lambda state: state.used_model.startswith("nano on"))
    assert after.frames_in > before.frames_in, "the job was not started again"
    service.wait("b", lambda state: state.sigma_now != 12)


def test_a_change_that_fails_keeps_the_one_before(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = service.change("b", sigma="12").model
    service.wait("b", lambda state: state.sigma_now == 12)
    # Such as a model that the machine cannot load, which only the worker sees.
    monkeypatch.setattr(Supervisor, "_check_model", lambda *_: None)
    assert service.change("b", model="none", sigma="9").model == "none"
    state = service.wait("b", lambda state: state.model != "none")
    assert (state.model, state.sigma, state.sigma_now) == (model, "12", 12)
    assert service.kinds("b")[0] == "change"
    service.change("b", sigma="auto")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"sigma": "lots"}, "cannot be used"),
        ({"sigma": "101"}, "out of range"),
        ({"model": "../../etc/passwd"}, "there is no model"),
        ({"recording": True}, "no folder for recordings"),
    ],
)
def test_changes_that_cannot_be(service: Running, values: dict, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        service.change("b", **values)


def test_recordings_are_listed_and_deleted(service: Running, folder: Path) -> None:
    service.change("a", recording=True)
    service.wait("a", lambda state: state.recording)
    wait_until(lambda: any((folder / "a").rglob("a-*")))
    begun = service.state("a")
    service.wait("a", lambda state: state.frames_out > begun.frames_out + 5)
    service.change("a", recording=False)
    service.wait("a", lambda state: not state.recording)
    (folder / "secret-2026.mp4").write_bytes(b"not yours")
    day = next((folder / "a").glob("20*"))
    (day / "00-00-00.mp4").symlink_to(folder / "secret-2026.mp4")

    def listed() -> dict[str, int]:
        found = service.ask(service.cameras.recordings("a"))
        assert all(each.playable for each in found)
        return {each.id: each.size_bytes for each in found}

    wait_until(lambda: any("a-" in each for each in listed()))
    wait_until(lambda: any(each.startswith(day.name) for each in listed()))
    ids = listed()
    assert f"{day.name}/00-00-00.mp4" not in ids, "links may lead anywhere"
    by_hand = next(each for each in ids if "a-" in each)
    path = service.ask(service.cameras.recording_path("a", by_hand))
    assert path.stat().st_size == ids[by_hand] > 0
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).width == 160
    service.ask(service.cameras.delete_recording("a", by_hand))
    assert by_hand not in listed()
    for name in ("../secret-2026.mp4", str(folder / "secret-2026.mp4"), by_hand, ""):
        with pytest.raises(UnknownCameraError):
            service.ask(service.cameras.recording_path("a", name))
    assert service.ask(service.cameras.recordings("b")) == []


def test_a_recording_that_is_started_again_at_once_goes_on(service: Running) -> None:
    service.change("a", recording=True)
    service.wait("a", lambda state: state.recording)

    async def again() -> bool:
        for recording in (False, True):
            await service.cameras.change("a", CameraChange(recording=recording))
        record = service.cameras.records()[0]
        worker = record.worker
        assert worker is not None
        between = {"a": {**record.report, "recording": False}}
        report = {
            "rss": service.cameras.worker_memory()[worker.pid],
            "cameras": between,
        }
        service.cameras._heard(worker, Message("status", report))
        return record.settings.recording

    assert service.ask(again())
    service.wait("a", lambda state: state.recording)
    service.change("a", recording=False)
    service.wait("a", lambda state: not state.recording)


def test_a_recording_that_fails_is_an_event(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    text = f'[cameras.a]\nsource = "{SMALL}"\nmodel = "pico"\n'
    with Running(text + f'recordings = "{tmp_path}/file"\n') as running:
        running.wait_live("a")
        running.change("a", recording=True)

        def is_said() -> bool:
            events = running.call(running.cameras.events, "a")
            return any("recording ended: the folder" in each.text for each in events)

        wait_until(is_said, 30)
        (record,) = running.cameras.records()
        assert not record.settings.recording


def test_a_killed_worker_is_replaced_and_others_are_not_touched(
    service: Running,
) -> None:
    states = {name: service.state(name) for name in "abc"}
    hit = states["a"].worker
    others = [name for name in "abc" if states[name].worker != hit]
    assert others
    os.kill(hit, signal.SIGKILL)
    began = time.monotonic()
    new = service.wait("a", lambda state: state.worker not in (0, hit))
    assert time.monotonic() - began < 2
    service.wait_live("a")
    assert new.restarts == states["a"].restarts + 1
    assert "worker" in service.kinds("a")
    for name in others:
        state = service.state(name)
        assert (state.worker, state.restarts) == (
            states[name].worker,
            states[name].restarts,
        )


@pytest.mark.slow
def test_an_image_does_not_wait_for_a_worker_that_is_gone(service: Running) -> None:
    (state,) = service.wait_live("c")
    os.kill(state.worker, signal.SIGSTOP)
    answer = service.start(service.cameras.frame("c", Side.AFTER))
    wait_until(lambda: bool(service.cameras._answers))
    os.kill(state.worker, signal.SIGKILL)
    with pytest.raises(CameraAwayError, match="replaced"):
        answer.result(30)


def test_a_worker_that_hangs_is_replaced(service: Running) -> None:
    (before,) = service.wait_live("c")
    os.kill(before.worker, signal.SIGSTOP)
    service.wait("c", lambda state: state.worker not in (0, before.worker))
    wait_until(lambda: not psutil.pid_exists(before.worker))
    service.wait_live("c")
    (text, *_) = [
        event.text
        for event in service.call(service.cameras.events, "c")
        if event.kind == "worker"
    ]
    assert "it hangs: nothing was heard of it for" in text


def test_figures_are_remembered_for_plots(service: Running) -> None:
    wait_until(lambda: bool(service.call(service.cameras.history, "a")))
    point = service.call(service.cameras.history, "a")[-1]
    assert point.fps > 0
    assert abs(point.time - time.time()) < 60
    assert not service.call(service.cameras.history, "off")


def test_only_what_changed_is_started_again(service: Running, folder: Path) -> None:
    service.wait_live("a", "b", "c")
    before = {name: service.state(name) for name in "ac"}
    text = text_of(folder, "testsrc:176x144@10").replace(
        "[cameras.off]", "[cameras.new]"
    )
    service.reload(text)
    service.wait("b", lambda state: state.width == 176)
    for name, state in before.items():
        assert service.state(name).worker == state.worker
        assert service.state(name).frames_in >= state.frames_in
    with pytest.raises(UnknownCameraError):
        service.state("off")
    assert service.state("new").status is CameraStatus.OFF
    newest = service.call(service.cameras.events, "")[0]
    assert newest.kind == "config"
    assert "2 cameras changed, 1 removed" in newest.text


def test_live_video_of_a_camera_that_starts_again_or_is_removed() -> None:
    text = f'[defaults]\nsource = "{SMALL}"\nmodel = "pico"\n[cameras.b]\n'
    with Running(text + "[cameras.a]\n") as running:
        running.wait_live("a")
        found: list[Fragment] = []

        async def watch() -> None:
            async for fragment in running.cameras.watch("a", Side.AFTER):
                found.append(fragment)

        def headers() -> int:
            return sum(each.is_header for each in list(found))

        watching = running.start(watch())
        wait_until(lambda: len(found) > 2)
        os.kill(running.state("a").worker, signal.SIGKILL)
        # The header is the same, but the timestamps begin anew.
        wait_until(lambda: headers() == 2 and not found[-1].is_header)
        running.reload(text)
        with pytest.raises(UnknownCameraError, match="removed"):
            watching.result(30)


def test_a_camera_that_is_removed_while_it_starts_is_not_started() -> None:
    text = f'[defaults]\nsource = "{SMALL}"\n[cameras.a]\n'

    async def reloaded() -> Supervisor:
        cameras = Supervisor(config_of(text + "[cameras.b]\nenabled = false\n"))
        (record, _) = cameras.records()
        running = asyncio.create_task(cameras.run())
        while not cameras.worker_memory():
            await asyncio.sleep(0)
        assert record.worker is None, "its process has just begun"
        cameras.reload(config_of(text.replace("cameras.a", "cameras.b")))
        await asyncio.sleep(0.3)
        assert record.worker is None
        cameras.stop()
        await running
        return cameras

    asyncio.run(reloaded())


def test_a_machine_that_starts_no_process_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> WorkerProcess:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    with monkeypatch.context() as full:
        full.setattr(supervisor_module, "WorkerProcess", fail)
        running = Running(f'[cameras.a]\nsource = "{SMALL}"\nmodel = "pico"\n')
        with running:
            state = running.wait("a", lambda a: a.status is CameraStatus.FAILED)
            assert "no worker can be started: Resource" in state.reason
            full.undo()
            running.wait_live("a")


@pytest.mark.slow
def test_a_camera_that_fails_again_and_again_hides_no_leak(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(supervisor_module, "_SETTLED_S", 5.0)
    monkeypatch.setattr(supervisor_module, "_MARGIN_BYTES", -(1 << 40))
    monkeypatch.setattr(record_module, "_LONGEST_WAIT_S", 0.2)
    text = (
        f'[workers]\ncount = 1\n[cameras.a]\nsource = "{SMALL}"\nmodel = "pico"\n'
        f'[cameras.b]\nsource = "{tmp_path}/none.mkv"\n'
    )
    with Running(text) as running:
        running.wait("a", lambda state: state.restarts > 0)
        events = running.call(running.cameras.events, "a")
        assert any("MB of memory" in event.text for event in events)


def test_tables_of_the_whole_service_wait_for_the_next_start() -> None:
    text = "[cameras.a]\nsource = 'testsrc:'\nenabled = false\n"
    cameras = Supervisor(config_of(text))
    for _ in range(2):
        cameras.reload(config_of("[workers]\nmemory = '200MB'\n" + text))
        assert "when the service is started again" in cameras.events("")[0].text


def test_a_camera_that_loses_its_worker_again_and_again(tmp_path: Path) -> None:
    """Nobody knows at first which of the two it is; then it is alone, and waits."""
    text = (
        f'[workers]\ncount = 1\n[defaults]\nsource = "{SMALL}"\nmodel = "pico"\n'
        "[cameras.good]\n[cameras.bad]\n"
    )
    with Running(text) as running:

        def kill() -> int:
            state = running.wait("bad", lambda state: state.worker != 0)
            os.kill(state.worker, signal.SIGKILL)
            running.wait("bad", lambda new: new.worker != state.worker)
            return state.worker

        running.wait("good", lambda state: state.worker != 0)
        assert running.state("good").worker == running.state("bad").worker
        kill()
        kill()
        apart = running.wait("bad", lambda state: state.worker != 0)
        (good,) = running.wait_live("good")
        assert good.worker != apart.worker
        kill()
        failed = running.state("bad")
        assert failed.status is CameraStatus.FAILED
        assert "the worker was lost: it was ended by signal 9" in failed.reason
        kill()
        assert "next try in 2 s" in running.call(running.cameras.events, "bad")[0].text
        now = running.state("good")
        assert (now.worker, now.restarts) == (good.worker, good.restarts)
        running.change("bad", enabled=False)
        assert running.state("bad").status is CameraStatus.OFF


def test_a_table_that_a_worker_rejects_ends_no_other_camera() -> None:
    text = (
        f'[workers]\ncount = 1\n[defaults]\nsource = "{SMALL}"\nmodel = "pico"\n'
        "[cameras.a]\n"
    )
    config = config_of(text + "[cameras.b]\n")
    a, b = config.cameras
    # Such as a file that is gone when the worker looks.
    b = replace(b, table={**b.table, "strength": 9})
    with Running(text) as running:
        (before,) = running.wait_live("a")
        running.call(running.cameras.reload, replace(config, cameras=(a, b)))
        state = running.wait("b", lambda state: state.status is CameraStatus.FAILED)
        assert "--strength 9 is out of range" in state.reason
        now = running.state("a")
        assert (now.worker, now.restarts) == (before.worker, 0)


def test_a_job_that_fails_says_why_and_is_tried_again(tmp_path: Path) -> None:
    target = tmp_path / "a.mkv"
    target.write_bytes(b"precious")
    text = (
        f'[cameras.a]\nsource = "{SMALL}"\noutput = "{target}"\n'
        f'[cameras.b]\nsource = "{tmp_path}/none.mkv"\n'
    )
    with Running(text) as running:
        for name in "ab":
            running.wait(name, lambda state: state.status is CameraStatus.FAILED)
        assert "exists" in running.state("a").reason
        assert "none.mkv" in running.state("b").reason
        target.unlink()
        (state,) = running.wait_live("a")
        assert state.restarts == 0
    assert target.stat().st_size > 100


@pytest.mark.slow
def test_a_worker_that_cannot_be_started_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    text = f'[workers]\ncount = 1\n[cameras.a]\nsource = "{SMALL}"\nmodel = "pico"\n'
    with Running(text) as service:
        (before,) = service.wait_live("a")
        with monkeypatch.context() as patched:
            patched.setattr(socket, "socketpair", fail)
            os.kill(before.worker, signal.SIGKILL)
            state = service.wait("a", lambda state: state.status == "failed")
        assert state.reason == "no worker can be started: Too many open files"
        service.wait_live("a")
