"""The status page: health, JSON, masking and addresses."""

import json
import socket
from dataclasses import replace

import pytest

from streamdenoise.errors import ConfigError
from streamdenoise.pipeline.stats import OutputStats, Stats
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
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        status, headers, page = ask(server, "/metrics", method)
        assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert ask(server, "/metrics", "BREW")[0] == 501
    for path in ("/nothing", "/metrics/..", "//[", "/../etc/passwd"):
        status, headers, page = ask(server, path)
        assert status == 404
        assert headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize(
    "accept", ["text/plain;version=banana", f"{OPENMETRICS};version=x", ";;,=,\x00"]
)
def test_an_invalid_accept_header_is_ignored(server: StatusServer, accept: str):
    with connect(server) as client:
        client.sendall(f"GET /metrics HTTP/1.1\r\nAccept: {accept}\r\n\r\n".encode())
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
