"""Prometheus metrics, their documentation and their alerts."""

import re
from dataclasses import replace

import psutil
import pytest
import yaml
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from streamdenoise.pipeline.stats import LATENCY_BOUNDS_MS, OutputStats
from streamdenoise.service.machine_health import DeviceHealth, MachineHealth
from streamdenoise.service.prometheus import Snapshot, exposition
from streamdenoise.service.status_server import StatusServer
from tests.service.status import OPENMETRICS, RUNNING, ask, families, value
from tests.support.command import SAMPLES


def test_metrics_match_the_stats(server: StatusServer):
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
        ("streamdenoise_noise_levels", {"plane": "Y", "scale": "4"}, 9),
        ("streamdenoise_noise_levels", {"plane": "V", "scale": "2"}, 4.5),
        ("streamdenoise_strength_ratio", {}, 1.1),
        (
            "streamdenoise_psnr_decibels",
            {"frames": "denoised", "kind": "estimated"},
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
    assert dict(buckets)[0.005] == 2  # bounds are inclusive
    assert dict(buckets)[0.05] == 4
    assert dict(buckets)[10.0] == 4
    assert dict(buckets)[float("inf")] == 5
    rest = {s.name.rpartition("_")[2]: s.value for s in mine}
    assert rest["count"] == 5
    assert rest["sum"] == pytest.approx(20.086)


def test_openmetrics_is_served_on_request(server: StatusServer):
    server.update(RUNNING)
    _, headers, page = ask(server, accept=f"{OPENMETRICS};q=0.9,text/plain;q=0.1")
    assert headers["Content-Type"].startswith("application/openmetrics-text")
    strict = openmetrics_parser.text_string_to_metric_families(page)
    assert "streamdenoise_output_latency_seconds" in {each.name for each in strict}


def test_outputs_of_the_same_name_are_numbered(server: StatusServer):
    targets = ["rtsp://a:b@host/x", "rtsp://c:d@host/x", "rtsp://***@host/x (2)"]
    server.update(replace(RUNNING, outputs=tuple(map(OutputStats, targets))))
    samples = families(server)["streamdenoise_output_frames"].samples
    names = [sample.labels["output"] for sample in samples]
    assert names[:2] == ["rtsp://***@host/x", "rtsp://***@host/x (2)"]
    assert len(set(names)) == 3


def test_names_are_escaped(server: StatusServer):
    name = 'a "b"\\c\nd ü'
    server.update(replace(RUNNING, outputs=(OutputStats(name),)))
    assert value(families(server), "streamdenoise_output_frames", output=name) == 0


HEALTH = MachineHealth(
    started_at=1.0,
    rss_bytes=2,
    cpu_s=3.0,
    threads=4,
    open_files=5,
    temperatures_c=(("nvme Composite", 40.0), ("nvme Composite", 50.0)),
    devices=(DeviceHealth("0 H200", 6, 7, 60.0),),
)


def test_the_documented_metrics_are_those_served():
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


def test_sensors_of_the_same_name_are_numbered():
    page, _ = exposition(Snapshot("", "", RUNNING, HEALTH))
    assert 'sensor="nvme Composite"} 40.0' in page.decode()
    assert 'sensor="nvme Composite (2)"} 50.0' in page.decode()


def test_alerts_use_existing_metrics():
    page, _ = exposition(Snapshot("", "", RUNNING, HEALTH))
    served = {
        sample.name
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }
    (group,) = yaml.safe_load((SAMPLES / "prometheus/alerts.yml").read_text())["groups"]
    for rule in group["rules"]:
        used = set(re.findall(r"\b(?:streamdenoise|process)_\w+", rule["expr"]))
        assert used <= served
        assert used or "up{" in rule["expr"]
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert len(group["rules"]) >= 6
