"""The status page: true figures, honest health, and no client that can do harm."""

import http.client
import json
import os
import random
import re
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import psutil
import pytest
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from streamdenoise.errors import ConfigError
from streamdenoise.pipeline.stats import (
    LATENCY_BOUNDS_MS,
    LatencyMeter,
    OutputStats,
    Stats,
)
from streamdenoise.service import status_server
from streamdenoise.service.machine_health import (
    DeviceHealth,
    HealthMeter,
    MachineHealth,
)
from streamdenoise.service.prometheus import Snapshot, exposition
from streamdenoise.service.status_server import (
    MAX_CONNECTIONS,
    StatusServer,
    parse_address,
)
from tests.conftest import skip_or_fail

SAMPLES = Path(__file__).parents[2] / "samples"
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


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Iterator[StatusServer]:
    source = f"rtsp://admin:{SECRET}@camera/1"
    with StatusServer("127.0.0.1:0", source, stall_s=10.0, clock=clock) as server:
        yield server


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


def test_metrics_are_the_figures_of_the_stream(server: StatusServer):
    server.update(RUNNING)
    found = families(server)
    clean = {"output": "rtsp://***@server/clean"}
    for family, labels, expected in (
        ("streamdenoise_source_frames", {}, 1000),
        ("streamdenoise_source_frames_per_second", {}, 25),
        ("streamdenoise_source_up", {}, 1),
        ("streamdenoise_source_reconnects", {}, 2),
        ("streamdenoise_written_frames", {}, 990),
        ("streamdenoise_written_frames_per_second", {}, 24.5),
        ("streamdenoise_dropped_frames", {"cause": "denoising"}, 7),
        ("streamdenoise_dropped_frames", {"cause": "writing"}, 3),
        ("streamdenoise_sigma_levels", {}, 12.5),
        ("streamdenoise_strength_ratio", {}, 1.1),
        (
            "streamdenoise_psnr_decibels",
            {"picture": "denoised", "kind": "estimated"},
            33.5,
        ),
        ("streamdenoise_load_reduced", {"step": "half size"}, 1),
        ("streamdenoise_output_frames", clean, 990),
        ("streamdenoise_output_dropped_frames", {"output": "clean.mkv"}, 90),
        ("streamdenoise_output_queued_frames", clean, 2),
        ("streamdenoise_output_reconnects", clean, 1),
        ("streamdenoise_output_up", clean, 1),
        ("streamdenoise_output_recent_latency_seconds", clean | {"quantile": "1"}, 20),
        ("streamdenoise_healthy", {}, 1),
    ):
        assert value(found, family, **labels) == expected, family
    rss = value(found, "process_resident_memory_bytes")
    assert rss == pytest.approx(psutil.Process().memory_info().rss, rel=0.5)
    assert value(found, "process_threads") >= 2


def test_a_latency_histogram_is_cumulative_and_in_seconds(server: StatusServer):
    server.update(RUNNING)
    samples = families(server)["streamdenoise_output_latency_seconds"].samples
    mine = [s for s in samples if s.labels["output"] != "clean.mkv"]
    buckets = [
        (float(s.labels["le"]), s.value) for s in mine if s.name.endswith("_bucket")
    ]
    bounds, counts = zip(*buckets, strict=True)
    assert bounds == (*(bound / 1000 for bound in LATENCY_BOUNDS_MS), float("inf"))
    assert list(counts) == sorted(counts)
    assert dict(buckets)[0.005] == 2  # a bound belongs to its bucket
    assert dict(buckets)[0.05] == 4
    assert dict(buckets)[10.0] == 4
    assert dict(buckets)[float("inf")] == 5
    rest = {s.name.rpartition("_")[2]: s.value for s in mine}
    assert rest["count"] == 5
    assert rest["sum"] == pytest.approx(20.086)


def test_openmetrics_is_given_to_who_asks_for_it(server: StatusServer):
    server.update(RUNNING)
    _, headers, page = ask(server, accept=f"{OPENMETRICS};q=0.9,text/plain;q=0.1")
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    strict = openmetrics_parser.text_string_to_metric_families(page)
    assert "streamdenoise_output_latency_seconds" in {each.name for each in strict}


@pytest.mark.parametrize(
    "accept", ["text/plain;version=banana", f"{OPENMETRICS};version=x", ";;,=,\x00"]
)
def test_a_strange_accept_header_gets_a_page_too(server: StatusServer, accept: str):
    with connect(server) as client:
        client.sendall(f"GET /metrics HTTP/1.1\r\nAccept: {accept}\r\n\r\n".encode())
        assert client.makefile("rb").readline().split()[1] == b"200"


def test_a_time_series_comes_once_even_if_outputs_have_one_name(server: StatusServer):
    targets = ["rtsp://a:b@host/x", "rtsp://c:d@host/x", "rtsp://***@host/x (2)"]
    server.update(replace(RUNNING, outputs=tuple(map(OutputStats, targets))))
    samples = families(server)["streamdenoise_output_frames"].samples
    names = [sample.labels["output"] for sample in samples]
    assert names[:2] == ["rtsp://***@host/x", "rtsp://***@host/x (2)"]
    assert len(set(names)) == 3


def test_names_that_need_escaping_survive(server: StatusServer):
    name = 'a "b"\\c\nd ü'
    server.update(replace(RUNNING, outputs=(OutputStats(name),)))
    assert value(families(server), "streamdenoise_output_frames", output=name) == 0


def test_names_of_files_that_are_no_text_are_told_all_the_same(server: StatusServer):
    output = OutputStats("caf\udce9.mkv", error="caf\udce9.mkv is full")
    server.update(replace(RUNNING, outputs=(output,)))
    assert value(families(server), "streamdenoise_output_up", output="caf?.mkv") == 0
    assert health(server) == (503, "output caf?.mkv: caf?.mkv is full\n")
    assert ask(server, "/status")[0] == 200


def test_nothing_tells_a_password(server: StatusServer):
    reason = f"cannot reach rtsp://me:{SECRET}@server/clean"
    for stats in (
        replace(RUNNING, source_error=reason),
        replace(RUNNING, outputs=(replace(RUNNING.outputs[0], error=reason),)),
    ):
        server.update(stats)
        for path in ("/metrics", "/healthz", "/status"):
            for accept in ("", OPENMETRICS):
                status, headers, page = ask(server, path, accept=accept)
                assert SECRET not in page + str(headers), path
        assert status == 200
        assert "server/clean" in ask(server, "/healthz")[2]


def test_json_has_all_figures(server: StatusServer):
    server.update(replace(RUNNING, psnr_out_db=float("inf")))
    status, headers, page = ask(server, "/")
    told = json.loads(page)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert told["source"] == "rtsp://***@camera/1"
    assert told["healthy"] is True
    assert told["stats"]["drops"] == RUNNING.drops
    assert told["stats"]["dropped"] == 10
    assert told["stats"]["outputs"][1]["name"] == "clean.mkv"
    assert told["stats"]["psnr_out_db"] is None  # JSON has no infinity
    assert told["machine"]["rss_bytes"] > 1e6
    assert json.loads(ask(server, "/status?pretty")[2])["stats"] == told["stats"]


def health(server: StatusServer) -> tuple[int, str]:
    status, _, page = ask(server, "/healthz")
    return status, page


def test_health_follows_the_frames(server: StatusServer, clock: Clock):
    assert health(server) == (503, "starting\n")
    server.update(Stats())
    assert health(server) == (503, "starting\n")
    server.update(Stats(source_error="connection\nrefused"))
    assert health(server) == (503, "source: connection refused\n")
    server.update(RUNNING)
    assert health(server) == (200, "ok\n")
    server.update(replace(RUNNING, frame_age_s=10.5))
    assert health(server) == (503, "no frame for 10 s\n")
    server.update(replace(RUNNING, source_error="no route to host"))
    assert health(server) == (503, "source: no route to host\n")
    gone = replace(RUNNING.outputs[1], error="disk full")
    server.update(replace(RUNNING, outputs=(RUNNING.outputs[0], gone)))
    # No reason to start again what works: the recording would be cut as well.
    assert health(server) == (200, "ok, without output clean.mkv: disk full\n")
    assert value(families(server), "streamdenoise_healthy") == 1
    away = replace(RUNNING.outputs[0], error="no answer")
    server.update(replace(RUNNING, outputs=(away, gone)))
    assert health(server) == (
        503,
        "output rtsp://***@server/clean: no answer; output clean.mkv: disk full\n",
    )
    server.update(RUNNING)
    assert health(server) == (200, "ok\n")


def test_a_pipeline_that_hangs_is_unhealthy(server: StatusServer, clock: Clock):
    server.update(RUNNING)
    clock.now += 9.5
    assert health(server) == (200, "ok\n")
    assert value(families(server), "streamdenoise_source_frame_age_seconds") == (
        pytest.approx(9.6)
    )
    clock.now += 1.0
    assert health(server) == (503, "no sign of life for 10 s\n")
    assert value(families(server), "streamdenoise_healthy") == 0
    server.update(RUNNING)
    assert health(server) == (200, "ok\n")


def test_methods_and_paths_that_are_not_there(server: StatusServer):
    server.update(RUNNING)
    status, headers, page = ask(server, "/healthz", "HEAD")
    assert (status, headers["Content-Length"], page) == (200, "3", "")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        status, headers, page = ask(server, "/metrics", method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert ask(server, "/metrics", "BREW")[0] == 501
    for path in ("/nothing", "/metrics/..", "//[", "/../etc/passwd"):
        status, headers, page = ask(server, path)
        assert status == 404
        assert headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("127.0.0.1:9090", ("127.0.0.1", 9090)),
        (":9090", ("127.0.0.1", 9090)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:9090", ("::1", 9090)),
        ("camera-box.local:0", ("camera-box.local", 0)),
    ],
)
def test_addresses(text: str, place: tuple[str, int]):
    assert parse_address(text) == place


@pytest.mark.parametrize(
    "text",
    [
        *("", "9090", "host", "host:", "host:http", "host:65536", "host:-1", "h:+80"),
        *(
            "::1:80",
            "[::1]",
            "[::1:80",
            "[h]:80",
            "http://host:80",
            "a b:80",
            "h:٣",
            "\0:80",
        ),
    ],
)
def test_addresses_that_are_none(text: str):
    with pytest.raises(ConfigError, match="give HOST:PORT"):
        StatusServer(text, "", stall_s=1.0)


def test_an_address_that_is_taken_or_of_another_machine(server: StatusServer):
    with pytest.raises(ConfigError, match=rf"{server.address} cannot be served"):
        StatusServer(server.address, "", stall_s=1.0)
    with pytest.raises(ConfigError, match="choose an address of this machine"):
        StatusServer("203.0.113.1:9090", "", stall_s=1.0)


def test_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as exc:
        skip_or_fail("ipv6", f"this machine has no IPv6: {exc}")
    with StatusServer("[::1]:0", "", stall_s=1.0) as server:
        assert server.address.startswith("[::1]:")
        assert health(server) == (503, "starting\n")


def test_fifty_clients_at_once_are_all_answered(server: StatusServer):
    server.update(RUNNING)
    start = threading.Barrier(50)

    def client(number: int) -> str:
        start.wait()
        path = ("/metrics", "/status", "/healthz")[number % 3]
        status, _, page = ask(server, path)
        assert status == 200
        return page

    with ThreadPoolExecutor(50) as pool:
        pages = list(pool.map(client, range(50)))
    assert all(page == "ok\n" for page in pages[2::3])


def test_silent_clients_are_cut_off_and_keep_nobody_out(
    server: StatusServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(status_server, "CONNECTION_S", 1.5)
    with ExitStack() as stack:
        silent = [
            stack.enter_context(connect(server)) for _ in range(MAX_CONNECTIONS + 8)
        ]
        assert ask(server)[0] == 200  # after the silent ones before it in the queue
        for client in silent:
            assert client.recv(1) == b""


def test_a_client_that_drips_is_cut_off_too(
    server: StatusServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(status_server, "CONNECTION_S", 1.0)
    with connect(server) as client:
        client.settimeout(0.02)

        def is_cut_off() -> bool:
            try:
                client.sendall(b"X")
                return client.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        wait_until(is_cut_off)


def test_a_client_that_takes_no_answer_is_cut_off(
    server: StatusServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(status_server, "CONNECTION_S", 1.0)
    notes = ["0" * 1000] * 20_000  # far more than the buffers of sockets hold
    server.update(replace(RUNNING, notes=notes))
    with connect(server) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.sendall(b"GET / HTTP/1.0\r\n\r\n")
        wait_until(lambda: not client_threads())
        assert ask(server)[0] == 200


def client_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "status-client"]


def wait_until(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(400):
        tick.wait(0.05)
        if condition():
            return
    pytest.fail("it did not come to that within 20 s")


def test_garbage_and_broken_connections_do_no_harm(server: StatusServer):
    server.update(RUNNING)
    rng = random.Random(7)
    for garbage in (
        *(rng.randbytes(rng.randrange(1, 3000)) for _ in range(60)),
        b"GET / HTTP/1.0\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /metrics\r\n\r\n",
        b"\r\n" * 100,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the start of TLS
        b"POST / HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\nabc",
    ):
        with connect(server) as client:
            try:
                client.sendall(garbage)
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
            except OSError:
                continue  # it may well have been closed on us
    for _ in range(20):
        with connect(server) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            linger = struct.pack("ii", 1, 0)  # closing it resets the connection
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    assert ask(server)[0] == 200
    wait_until(lambda: not client_threads())


def test_closing_leaves_nothing_behind():
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    if not Path("/proc/self/fd").is_dir():
        skip_or_fail("linux", "only Linux shows descriptors")
    before = descriptors()
    with ExitStack() as stack:
        server = stack.enter_context(StatusServer(":0", "", stall_s=1.0))
        address = server.address
        silent = [connect(server) for _ in range(MAX_CONNECTIONS + 4)]
        wait_until(lambda: len(client_threads()) == MAX_CONNECTIONS)
        server.close()
        assert not client_threads()
        server.close()
    for client in silent:
        client.close()
    assert descriptors() == before
    with StatusServer(address, "", stall_s=1.0) as again:
        assert again.address == address


def test_a_server_that_never_began_can_be_closed():
    StatusServer(":0", "", stall_s=1.0).close()


HEALTH = MachineHealth(
    started_at=1.0,
    rss_bytes=2,
    cpu_s=3.0,
    threads=4,
    open_files=5,
    temperatures_c=(("nvme Composite", 40.0), ("nvme Composite", 50.0)),
    devices=(DeviceHealth("0 H200", 6, 7, 60.0),),
)


def test_the_table_of_metrics_is_what_is_served():
    page, _ = exposition(Snapshot("camera", "", RUNNING, HEALTH), OPENMETRICS)
    served = {}
    for family in openmetrics_parser.text_string_to_metric_families(page.decode()):
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        labels = {name for sample in family.samples for name in sample.labels}
        assert family.samples, family.name
        served[family.name + suffix] = (family.type, labels - {"le"})
    build, labels = served["streamdenoise_build_info"]
    assert labels > {"version", "python"}
    served["streamdenoise_build_info"] = (build, {"version", "python", "runtimes"})
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \|([\w, ]*)\|",
        (SAMPLES / "monitoring.md").read_text(),
        re.MULTILINE,
    )
    table = {
        name: (kind, {label for label in labels.strip().split(", ") if label})
        for name, kind, labels in rows
    }
    assert table == served


def test_sensors_of_one_name_are_told_apart():
    page, _ = exposition(Snapshot("", "", RUNNING, HEALTH))
    assert 'sensor="nvme Composite"} 40.0' in page.decode()
    assert 'sensor="nvme Composite (2)"} 50.0' in page.decode()


def test_alerts_ask_for_metrics_that_there_are():
    page, _ = exposition(Snapshot("", "", RUNNING, HEALTH))
    served = {
        sample.name
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }
    (group,) = yaml.safe_load((SAMPLES / "prometheus/alerts.yml").read_text())["groups"]
    for rule in group["rules"]:
        asked = set(re.findall(r"\b(?:streamdenoise|process)_\w+", rule["expr"]))
        assert asked <= served
        assert asked or "up{" in rule["expr"]
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert len(group["rules"]) >= 6


def test_the_machine_is_read_once_a_second_at_most():
    now = [0.0]
    meter = HealthMeter(clock=lambda: now[0])
    first = meter.health()
    assert first.rss_bytes > 1e6
    assert first.threads >= 1
    assert meter.health() is first
    now[0] = 1.0
    assert meter.health() is not first
    assert meter.health().cpu_s >= first.cpu_s
    meter.close()


class FakeNVMLError(Exception):
    pass


def test_gpus_are_told_as_the_driver_tells_them(monkeypatch: pytest.MonkeyPatch):
    def temperature(device: int, sensor: int) -> int:
        if device == 1:
            raise FakeNVMLError
        return 61

    def memory(device: int) -> SimpleNamespace:
        if device == 2:
            raise FakeNVMLError
        return SimpleNamespace(used=5 + device, total=50)

    driver = ModuleType("pynvml")
    closed = []
    driver.__dict__.update(
        NVMLError=FakeNVMLError,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: closed.append(True),
        nvmlDeviceGetCount=lambda: 3,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda device: "GPU",
        nvmlDeviceGetMemoryInfo=memory,
        nvmlDeviceGetTemperature=temperature,
    )
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    meter = HealthMeter()
    assert meter.health().devices == (
        DeviceHealth("0 GPU", 5, 50, 61.0),
        DeviceHealth("1 GPU", 6, 50, None),
    )
    meter.close()
    assert closed == [True]


def test_a_true_gpu_tells_its_memory():
    try:
        import pynvml
    except ImportError as exc:
        skip_or_fail("nvml", f"nvidia-ml-py is not installed: {exc}")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as exc:
        skip_or_fail("nvml", f"no NVIDIA driver: {exc}")
    meter = HealthMeter()
    device = meter.health().devices[0]
    assert 0 < device.used_bytes < device.total_bytes
    meter.close()
    pynvml.nvmlShutdown()
