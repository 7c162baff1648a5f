"""The API as programs use it."""

import io
import math
import time
import urllib.request
from pathlib import Path

import av
import pytest

from streamdenoise.serve.states import CameraStatus, Event, Point
from tests.serve.web.made_cameras import HEIGHT, WIDTH, MadeCameras
from tests.serve.web.running import Running, next_fragments
from tests.support.waiting import wait_until


def test_states_of_all_cameras_in_their_order(opened: Running):
    answer = opened.client().ask("/api/cameras")
    assert answer.code == 200
    assert [each["name"] for each in answer.json] == ["yard", "door"]
    assert answer.json[0] == opened.client().ask("/api/cameras/yard").json


def test_credentials_and_infinite_numbers_are_in_no_answer(
    opened: Running, cameras: MadeCameras
):
    cameras.set("yard", source="rtsp://admin:hunter2@camera/1", latency_ms=math.inf)
    answer = opened.client().ask("/api/cameras/yard")
    assert "hunter2" not in answer.text
    assert answer.json["latency_ms"] is None


def test_settings_are_changed(opened: Running, cameras: MadeCameras):
    change = {"strength": 0.5, "sigma": "12", "recording": True}
    answer = opened.client().ask("/api/cameras/yard", "PATCH", change)
    assert answer.code == 200
    assert {key: answer.json[key] for key in change} == change
    assert cameras.state("yard").strength == 0.5
    assert cameras.state("door").strength == 1.0


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"strength": 7}, "strength: "),
        ({"model": "huge"}, "there is no model huge"),
        ({"speed": 1}, "speed: "),
        ([], "the request: "),
    ],
)
def test_wrong_settings_are_refused_in_one_sentence(
    opened: Running, cameras: MadeCameras, change: object, word: str
):
    before = cameras.state("yard")
    answer = opened.client().ask("/api/cameras/yard", "PATCH", change)
    assert answer.code == 422
    assert answer.json["detail"].startswith(word)
    assert cameras.state("yard") == before


@pytest.mark.parametrize(
    "path", ["", "/frame.jpg", "/history", "/events", "/recordings", "/stream.mjpeg"]
)
def test_unknown_cameras_are_not_found(opened: Running, path: str):
    answer = opened.client().ask(f"/api/cameras/attic{path}")
    assert answer.code == 404
    assert answer.json == {"detail": "there is no camera attic"}


def test_frames_of_each_side(opened: Running, cameras: MadeCameras):
    noise = {}
    for side in ("before", "after", "split"):
        answer = opened.client().ask(f"/api/cameras/yard/frame.jpg?side={side}")
        assert answer.headers["Content-Type"] == "image/jpeg"
        with av.open(io.BytesIO(answer.body), "r") as image:
            pixels = next(image.decode(video=0)).to_ndarray(format="gray")
        assert pixels.shape == (HEIGHT, WIDTH)
        noise[side] = abs(pixels[:, 1:].astype(float) - pixels[:, :-1]).mean()
    assert noise["before"] > 1.5 * noise["split"] > 2 * noise["after"]
    small = opened.client().ask("/api/cameras/yard/frame.jpg?width=64")
    with av.open(io.BytesIO(small.body), "r") as image:
        assert next(image.decode(video=0)).width == 64
    cameras.set("yard", status=CameraStatus.LOST)
    assert opened.client().ask("/api/cameras/yard/frame.jpg").code == 409


@pytest.mark.parametrize(("side", "width"), [("after", WIDTH), ("split", 2 * WIDTH)])
def test_video_is_a_type_then_fragments(opened: Running, side: str, width: int):
    with opened.client().video(side=side) as socket:
        mime, data = next_fragments(socket, 12)
    assert mime.startswith('video/mp4; codecs="avc1.')
    with av.open(io.BytesIO(data), "r") as video:
        frames = list(video.decode(video=0))
    assert len(frames) >= 11
    assert frames[0].width == width


def test_video_starts_anew_when_a_camera_is_back(opened: Running, cameras: MadeCameras):
    with opened.client().video() as socket:
        next_fragments(socket, 2)
        cameras.set("yard", status=CameraStatus.LOST)
        time.sleep(0.3)
        cameras.set("yard", status=CameraStatus.LIVE)
        while not isinstance(message := socket.recv(timeout=20), str):
            pass
        assert message.startswith("video/mp4")


def test_what_nobody_watches_ends(opened: Running, cameras: MadeCameras):
    with opened.client().video() as socket:
        next_fragments(socket, 1)
        assert cameras.watchers == 1
    wait_until(lambda: cameras.watchers == 0)


def test_an_unknown_side_or_camera_has_no_video(opened: Running):
    from websockets.exceptions import InvalidStatus

    for name, side, code in (("attic", "after", 404), ("yard", "before", 403)):
        with pytest.raises(InvalidStatus) as caught, opened.client().video(name, side):
            pass
        assert caught.value.response.status_code == code


def test_mjpeg_for_other_programs(opened: Running):
    url = f"http://127.0.0.1:{opened.port}/api/cameras/yard/stream.mjpeg?fps=20"
    with av.open(url, format="mpjpeg", timeout=20) as stream:
        frames = [
            frame for frame, _ in zip(stream.decode(video=0), range(3), strict=False)
        ]
    assert [frame.width for frame in frames] == [WIDTH] * 3


def test_mjpeg_of_a_camera_that_is_removed_ends(opened: Running, cameras: MadeCameras):
    url = f"http://127.0.0.1:{opened.port}/api/cameras/yard/stream.mjpeg?fps=20"
    with urllib.request.urlopen(url, timeout=20) as stream:
        assert stream.read(7) == b"--frame"
        del cameras.known["yard"]
        stream.read()


def test_events_and_history_since_a_time(opened: Running, cameras: MadeCameras):
    cameras.given = [
        Event(time=20, camera="yard", kind="back", text="yard is back"),
        Event(time=10, camera="door", kind="lost", text="door is lost"),
    ]
    cameras.points = [
        Point(time=t, fps=10, latency_ms=40, sigma=9, psnr_gain_db=None)
        for t in (10, 20)
    ]
    client = opened.client()
    assert [e["kind"] for e in client.ask("/api/events").json] == ["back", "lost"]
    assert [e["kind"] for e in client.ask("/api/events?since=10").json] == ["back"]
    assert len(client.ask("/api/cameras/door/events").json) == 1
    assert len(client.ask("/api/cameras/door/history?since=10").json) == 1


@pytest.fixture
def recording(cameras: MadeCameras) -> Path:
    path = cameras.folder / "yard" / "2026-11-30" / "22-00-00.mp4"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(range(256)) * 40)
    return path


def test_recordings_are_played_in_parts_downloaded_and_deleted(
    opened: Running, recording: Path
):
    client = opened.client()
    (listed,) = client.ask("/api/cameras/yard/recordings").json
    assert listed["size_bytes"] == 10240
    path = f"/api/cameras/yard/recordings/{listed['id']}"
    part = client.ask(path, Range="bytes=256-259")
    assert (part.code, part.body) == (206, bytes(range(4)))
    assert part.headers["Content-Range"] == "bytes 256-259/10240"
    assert part.headers["Content-Type"] == "video/mp4"
    whole = client.ask(f"{path}?download=true")
    assert whole.body == recording.read_bytes()
    assert "attachment" in whole.headers["Content-Disposition"]
    assert client.ask(path, Range="bytes=999999-").code == 416
    assert client.ask(path, "DELETE").code == 204
    assert not recording.exists()
    assert client.ask(path, "DELETE").code == 404
    assert client.ask(path).code == 404


def test_version_health_and_the_pages(opened: Running):
    client = opened.client()
    assert client.ask("/healthz").text == "ok\n"
    assert client.ask("/api/version").json["version"]
    for path in ("/", "/cameras/yard", "/docs", "/login"):
        answer = client.ask(path, Accept="text/html")
        assert answer.code == 200, path
        assert answer.headers["Content-Type"].startswith("text/html")
    missing = client.ask("/cameras/attic", Accept="text/html")
    assert missing.code == 404
    assert "There is no camera attic (404)." in missing.text
    docs = client.ask("/docs").text
    for path in client.ask("/api/openapi.json").json["paths"]:
        assert path in docs
