"""Requests to a status server, and stats for it to show."""

import http.client
import socket

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from streamdenoise.pipeline.stats import LatencyMeter, OutputStats, Stats
from streamdenoise.service.status_server import StatusServer

SECRET = "hunter2"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def latency(*milliseconds: float):
    meter = LatencyMeter()
    for each in milliseconds:
        meter.add(each)
    return meter.latency()


RUNNING = Stats(
    frames_in=1000,
    frames_out=990,
    drops={"denoising": 7, "writing": 3},
    fps_in=25.0,
    fps_out=24.5,
    sigma=12.5,
    noise_levels=(3.0, 7.0, 9.0, 5.0, 5.5, 4.0, 4.5),
    strength=1.1,
    psnr_in_db=26.0,
    psnr_out_db=33.5,
    elapsed_s=40.0,
    frame_age_s=0.1,
    reconnects=2,
    load_step="half size",
    outputs=(
        OutputStats(
            f"rtsp://me:{SECRET}@server/clean",
            frames=990,
            dropped=3,
            queued=2,
            reconnects=1,
            latency=latency(1, 5, 40, 40, 20000),
        ),
        OutputStats("clean.mkv", frames=900, dropped=90),
    ),
    notes=[f"published to rtsp://me:{SECRET}@server/clean"],
)


def connect(server: StatusServer) -> socket.socket:
    host, _, port = server.address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=20)


def ask(
    server: StatusServer, path: str = "/metrics", method: str = "GET", accept: str = ""
) -> tuple[int, http.client.HTTPMessage, str]:
    host, _, port = server.address.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=20)
    try:
        connection.request(method, path, headers={"Accept": accept})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def families(server: StatusServer) -> dict[str, Metric]:
    _, headers, page = ask(server)
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {each.name: each for each in text_string_to_metric_families(page)}


def value(found: dict[str, Metric], family: str, **labels: str) -> float:
    (sample,) = [s for s in found[family].samples if s.labels == labels]
    return sample.value


def health(server: StatusServer) -> tuple[int, str]:
    status, _, page = ask(server, "/healthz")
    return status, page
