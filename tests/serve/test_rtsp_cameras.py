"""Cameras on real RTSP servers: lost and back, refused, and what monitoring says."""

import contextlib
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamdenoise.serve.metrics import Monitoring
from streamdenoise.serve.states import CameraStatus
from tests.faults.servers import GstServer
from tests.serve.running import SMALL, Running

PASSWORD = "correct-horse-battery"


@pytest.fixture(scope="module")
def server() -> Iterator[GstServer]:
    server = GstServer(
        auth="digest", password=PASSWORD, size=(160, 120), rate=10, protocols="tcp"
    )
    with server:
        yield server


@pytest.fixture(scope="module")
def service(
    server: GstServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("recordings")
    text = f"""
[defaults]
model = "pico"
transport = "tcp"
timeout = 3
[cameras.street]
source = "{server.url()}"
output = "{folder}/%H-%M-%S.mkv"
segment = "10m"
[cameras.wrong]
source = "{server.url(password="not-this-one")}"
[cameras.pattern]
source = "{SMALL}"
[cameras.off]
source = "{server.url()}"
enabled = false
"""
    with Running(text) as running:
        running.wait_live("street", "pattern")
        running.wait("wrong", lambda state: state.status is CameraStatus.FAILED)
        yield running


def samples(running: Running) -> dict[tuple[str, str], float]:
    """Value by the name of the sample and the camera."""
    with contextlib.closing(Monitoring(running.cameras)) as monitoring:
        page, _ = running.call(monitoring.metrics, "")
    assert PASSWORD.encode() not in page
    return {
        (sample.name, sample.labels.get("camera", "")): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def test_each_camera_has_its_metrics(service: Running) -> None:
    found = samples(service)
    up = "streamdenoise_source_up"
    assert {camera for name, camera in found if name == up} == {
        *("street", "wrong", "pattern")
    }
    healthy = "streamdenoise_healthy"
    assert [found[healthy, name] for name in ("street", "wrong", "pattern")] == [
        1,
        0,
        1,
    ]
    assert found["streamdenoise_camera_enabled", "off"] == 0
    assert found["streamdenoise_source_frames_total", "street"] > 0
    assert found["streamdenoise_worker_resident_memory_bytes", ""] > 1e8
    assert found["process_resident_memory_bytes", ""] > 1e7


def test_the_saved_bit_rate_is_that_of_both_videos(
    service: Running,
) -> None:
    state = service.wait("street", lambda state: state.saved_share is not None)
    found = samples(service)
    received = found["streamdenoise_source_bytes_total", "street"]
    written = found["streamdenoise_output_bytes_total", "street"]
    assert received > 1000
    assert written > 1000
    assert state.saved_share is not None
    # Of other moments, and of few frames.
    assert state.saved_share == pytest.approx(1 - written / received, abs=0.5)
    assert service.state("pattern").saved_share is None


def test_a_refused_password_is_not_tried_again(
    service: Running, server: GstServer
) -> None:
    state = service.state("wrong")
    assert "password refused" in state.reason
    assert "not-this-one" not in state.model_dump_json() + PASSWORD
    (event, *others) = service.call(service.cameras.events, "wrong")
    assert "it is not tried again before its configuration changes" in event.text
    assert not others
    before = server.connections
    service.wait("pattern", lambda new: new.frames_in > state.frames_in + 40)
    assert server.connections == before
    # Off and on is asking for it.
    service.change("wrong", enabled=False)
    service.change("wrong", enabled=True)
    service.wait("wrong", lambda state: state.status is CameraStatus.FAILED)
    assert server.connections > before


def test_a_lost_camera_comes_back_alone(service: Running, server: GstServer) -> None:
    assert service.state("street").source == (
        f"rtsp://***@127.0.0.1:{server.port}/live"
    )
    pattern = service.state("pattern")
    server.kill()
    lost = service.wait("street", lambda state: state.status is CameraStatus.LOST)
    assert "source: " in lost.reason
    with contextlib.closing(Monitoring(service.cameras)) as monitoring:
        assert not service.call(monitoring.why_unhealthy), "it is looked for"
    server.restart()
    service.wait_live("street")
    ways = [kind for kind in service.kinds("street") if kind in ("back", "lost")]
    assert ways[:2] == ["back", "lost"]
    assert service.state("street").worker == lost.worker
    state = service.state("pattern")
    assert state.worker == pattern.worker
    assert state.frames_in > pattern.frames_in


def test_a_service_without_any_working_camera_is_unhealthy(service: Running) -> None:
    with contextlib.closing(Monitoring(service.cameras)) as monitoring:
        for name in ("street", "pattern"):
            service.change(name, enabled=False)
        why = service.call(monitoring.why_unhealthy)
        assert why.startswith("camera wrong: ")
        service.change("wrong", enabled=False)
        assert not service.call(monitoring.why_unhealthy), "all are off on purpose"
