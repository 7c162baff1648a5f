"""The status page: health, JSON, masking and addresses."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import pytest

from streamdenoise.errors import ConfigError
from streamdenoise.pipeline.stats import OutputStats, Stats
from streamdenoise.service import machine_health
from streamdenoise.service.machine_health import HealthMeter, MachineHealth
from streamdenoise.service.status_server import StatusServer, parse_address
from tests.service.status import (
    OPENMETRICS,
    RUNNING,
    SECRET,
    ask,
    connect,
    families,
    health,
    value,
)
from tests.support.clock import Clock
from tests.support.skips import skip_or_fail


def test_file_names_that_are_not_valid_utf_8(server: StatusServer):
    output = OutputStats("caf\udce9.mkv", error="caf\udce9.mkv is full")
    server.update(replace(RUNNING, outputs=(output,)))
    assert value(families(server), "streamdenoise_output_up", output="caf?.mkv") == 0
    assert health(server) == (503, "output caf?.mkv: caf?.mkv is full\n")
    assert ask(server, "/status")[0] == 200


def test_no_page_contains_a_password(server: StatusServer):
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


def test_json_has_all_stats(server: StatusServer):
    server.update(replace(RUNNING, psnr_out_db=float("inf")))
    status, headers, page = ask(server, "/")
    shown = json.loads(page)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert shown["source"] == "rtsp://***@camera/1"
    assert shown["healthy"] is True
    assert shown["stats"]["drops"] == RUNNING.drops
    assert shown["stats"]["dropped"] == 10
    assert shown["stats"]["outputs"][1]["name"] == "clean.mkv"
    assert shown["stats"]["psnr_out_db"] is None  # JSON has no infinity
    assert shown["machine"]["rss_bytes"] > 1e6
    assert json.loads(ask(server, "/status?pretty")[2])["stats"] == shown["stats"]


def test_health_follows_the_stats(server: StatusServer, clock: Clock):
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
    # Healthy: a restart would also interrupt the output that works.
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


def test_what_hangs_is_unhealthy_even_beside_what_works(server: StatusServer):
    why = "no progress for 12 s while writing a frame"
    hangs = replace(RUNNING.outputs[1], error=why, hangs=True)
    server.update(replace(RUNNING, outputs=(RUNNING.outputs[0], hangs)))
    assert health(server) == (503, f"output clean.mkv: {why}\n")
    assert value(families(server), "streamdenoise_output_up", output="clean.mkv") == 0
    assert value(families(server), "streamdenoise_denoiser_up") == 1
    server.update(replace(RUNNING, denoiser_error="no progress for 12 s"))
    assert health(server) == (503, "denoiser: no progress for 12 s\n")
    assert value(families(server), "streamdenoise_denoiser_up") == 0


def test_a_pipeline_that_hangs_is_unhealthy(server: StatusServer, clock: Clock):
    server.update(RUNNING)
    clock.now += 9.5
    assert health(server) == (200, "ok\n")
    assert value(families(server), "streamdenoise_source_frame_age_seconds") == (
        pytest.approx(9.6)
    )
    clock.now += 1.0
    assert health(server) == (503, "no progress for 10 s\n")
    assert value(families(server), "streamdenoise_healthy") == 0
    server.update(RUNNING)
    assert health(server) == (200, "ok\n")


def test_unknown_methods_and_paths(server: StatusServer):
    server.update(RUNNING)
    status, headers, page = ask(server, "/healthz", "HEAD")
    assert (status, headers["Content-Length"], page) == (200, "3", "")
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "BREW"):
        status, headers, page = ask(server, "/metrics", method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD")
    for path in ("/nothing", "/metrics/..", "//[", "/../etc/passwd"):
        status, headers, page = ask(server, path)
        assert status == 404
        assert headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    "accept", ["text/plain;version=banana", f"{OPENMETRICS};version=x", ";;,=,é"]
)
def test_an_invalid_accept_header_is_ignored(server: StatusServer, accept: str):
    with connect(server) as client:
        client.sendall(f"GET /metrics HTTP/1.0\r\nAccept: {accept}\r\n\r\n".encode())
        assert client.makefile("rb").readline().split()[1] == b"200"


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
def test_addresses_are_parsed(text: str, place: tuple[str, int]):
    assert parse_address(text) == place


@pytest.mark.parametrize(
    "text",
    [
        *("", "9090", "host", "host:", "host:http", "host:65536", "host:-1", "h:+80"),
        *("::1:80", "[::1]", "[::1:80", "[h]:80", "http://host:80", "a b:80"),
        *("h:٣", "\0:80"),
    ],
)
def test_invalid_addresses(text: str):
    with pytest.raises(ConfigError, match="give HOST:PORT"):
        StatusServer(text, "", stall_s=1.0)


def test_an_address_in_use_or_of_another_machine(server: StatusServer):
    with pytest.raises(ConfigError, match=rf"{server.address} cannot be used"):
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


def test_only_names_of_this_server_are_answered():
    with StatusServer(
        "127.0.0.1:0", "", stall_s=1.0, allowed_hosts=("Camera-Box.local", "[fd00::1]")
    ) as server:
        port = server.address.rpartition(":")[2]
        for host in (
            *("localhost", f"LOCALHOST:{port}", server.address, "[::1]"),
            *(f"[::1]:{port}", "camera-box.local", "[fd00:0::1]:80"),
        ):
            assert status_for(server, host) == 503, host  # it is starting
        for host in (
            *("evil.example", f"evil.example:{port}", "localhost.evil.example"),
            *("127.0.0.1.evil.example", "203.0.113.7", "0.0.0.0", "*", "[::1", ""),
            *("localhost@evil.example", "localhost:80@evil.example"),
            *("evil.example:localhost", "localhost:evil.example"),
            *("localhost,evil.example", "[::1]evil.example", "fd00::1"),
        ):
            assert status_for(server, host) == 421, host


def status_for(server: StatusServer, host: str) -> int:
    with connect(server) as client:
        client.sendall(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return int(client.makefile("rb").readline().split()[1])


def test_the_address_of_the_connection_is_a_name_of_this_server():
    with StatusServer("0.0.0.0:0", "", stall_s=1.0) as server:
        port = int(server.address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.9", port), 20) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.9\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"


def test_the_refusal_of_a_name_says_how_to_allow_it(server: StatusServer):
    with connect(server) as client:
        client.sendall(b"GET /status HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        page = client.makefile("rb").read().decode()
    assert page.endswith(
        "421 this name is not allowed; use localhost, or allow it with "
        "--status-host NAME\n"
    )


def test_a_driver_that_hangs_blocks_no_other_client(
    server: StatusServer, monkeypatch: pytest.MonkeyPatch
):
    hangs, goes_on = Event(), Event()

    def read(meter: HealthMeter) -> MachineHealth:
        hangs.set()
        assert goes_on.wait(20)
        return meter._health

    monkeypatch.setattr(machine_health, "READ_INTERVAL_S", 0.0)
    monkeypatch.setattr(HealthMeter, "_read", read)
    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(health, server)
        assert hangs.wait(20)
        try:
            assert health(server) == (503, "starting\n")
        finally:
            goes_on.set()
        assert blocked.result(20) == (503, "starting\n")
