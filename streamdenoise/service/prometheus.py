"""The figures of a running pipeline as Prometheus metrics.

Names, units and meanings are listed in samples/monitoring.md; a test keeps it true.
"""

import platform
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import NamedTuple, cast

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from streamdenoise.errors import mask_credentials
from streamdenoise.machine import package_versions
from streamdenoise.pipeline.stats import LATENCY_BOUNDS_MS, OutputStats, Stats
from streamdenoise.service.machine_health import MachineHealth

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = openmetrics.CONTENT_TYPE_LATEST

Samples = Iterable[tuple[tuple[str, ...], float]]
"""Values of the labels, and the figure."""


class Snapshot(NamedTuple):
    """All that is told of one moment."""

    source: str
    unhealthy: str
    """The reason, empty when healthy."""
    stats: Stats
    machine: MachineHealth


def exposition(snapshot: Snapshot, accept: str = "") -> tuple[bytes, str]:
    """The page that a Prometheus server reads, and its media type.

    Args:
        snapshot: What to tell.
        accept: The request's header of that name; OpenMetrics is given if it has it.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(snapshot))
    # Not the library's own negotiation: versions that are no numbers make it fail.
    if "application/openmetrics-text" in accept.lower():
        # Its argument has no type.
        generate = openmetrics.generate_latest  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return cast("bytes", generate(registry)), OPENMETRICS_TYPE
    return generate_latest(registry), TEXT_TYPE


class _Collector:
    """Prometheus asks it for all families at once, of one and the same moment."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot
        yield InfoMetricFamily(
            "streamdenoise_build", "Versions of the program and its runtimes.", _build()
        )
        yield InfoMetricFamily(
            "streamdenoise_source",
            "Where the video comes from.",
            {"source": _text(snapshot.source)},
        )
        yield _gauge(
            "streamdenoise_healthy",
            "1 while /healthz says ok, else 0.",
            float(not snapshot.unhealthy),
        )
        yield from _stream(snapshot.stats)
        yield from _outputs(snapshot.stats.outputs)
        yield from _machine(snapshot.machine)


@cache
def _build() -> dict[str, str]:
    versions = package_versions()
    return {
        "version": versions.pop("streamdenoise"),
        "python": platform.python_version(),
        **versions,
    }


def _stream(stats: Stats) -> Iterator[Metric]:
    yield _gauge(
        "streamdenoise_run_seconds",
        "Since the pipeline began.",
        stats.elapsed_s,
    )
    yield _counter(
        "streamdenoise_source_frames",
        "Frames that the source gave.",
        stats.frames_in,
    )
    yield _gauge(
        "streamdenoise_source_frames_per_second",
        "Rate of the source over its last frames.",
        stats.fps_in,
    )
    yield _gauge(
        "streamdenoise_source_up",
        "1 while the source gives frames or is expected to, 0 while it is lost.",
        float(not stats.source_error),
    )
    yield _gauge(
        "streamdenoise_source_frame_age_seconds",
        "Since the source gave its last frame, or since the start.",
        stats.frame_age_s,
    )
    yield _counter(
        "streamdenoise_source_reconnects",
        "How often the source was lost and came back.",
        stats.reconnects,
    )
    yield _counter(
        "streamdenoise_written_frames",
        "Frames that the first output has written.",
        stats.frames_out,
    )
    yield _gauge(
        "streamdenoise_written_frames_per_second",
        "Rate of the first output over its last frames.",
        stats.fps_out,
    )
    yield _counters(
        "streamdenoise_dropped_frames",
        "Frames of the source that were not written, by cause.",
        ("cause",),
        (((_text(cause),), count) for cause, count in stats.drops.items()),
    )
    yield _gauge(
        "streamdenoise_sigma_levels",
        "Standard deviation of the noise, told or estimated, in 8-bit levels of RGB.",
        stats.sigma,
    )
    yield _gauge(
        "streamdenoise_strength_ratio",
        "Factor on the noise level that the denoiser works with.",
        stats.strength,
    )
    kind = "estimated" if stats.psnr_is_estimate else "measured"
    pictures = {"noisy": stats.psnr_in_db, "denoised": stats.psnr_out_db}
    yield _gauges(
        "streamdenoise_psnr_decibels",
        "PSNR before and after; absent until it is known.",
        ("picture", "kind"),
        (
            ((picture, kind), psnr_db)
            for picture, psnr_db in pictures.items()
            if psnr_db is not None
        ),
    )
    yield _gauges(
        "streamdenoise_load_reduced",
        "1 while something is switched off to keep up, which the label names; else 0.",
        ("step",),
        [((_text(stats.load_step),), float(bool(stats.load_step)))],
    )


def _outputs(outputs: Sequence[OutputStats]) -> Iterator[Metric]:
    label = ("output",)
    names = _unique(output.name for output in outputs)
    named = [((name,), out) for name, out in zip(names, outputs, strict=True)]
    yield _counters(
        "streamdenoise_output_frames",
        "Frames written, held pictures too.",
        label,
        ((name, output.frames) for name, output in named),
    )
    yield _counters(
        "streamdenoise_output_dropped_frames",
        "Frames not written, because the output was slow or away.",
        label,
        ((name, output.dropped) for name, output in named),
    )
    yield _gauges(
        "streamdenoise_output_queued_frames",
        "Frames that wait to be encoded and written.",
        label,
        ((name, output.queued) for name, output in named),
    )
    yield _counters(
        "streamdenoise_output_reconnects",
        "How often the output was lost and came back.",
        label,
        ((name, output.reconnects) for name, output in named),
    )
    yield _gauges(
        "streamdenoise_output_up",
        "1 while the output works, 0 while it is away or has ended with an error.",
        label,
        ((name, float(not output.error)) for name, output in named),
    )
    histogram = HistogramMetricFamily(
        "streamdenoise_output_latency_seconds",
        "From the capture of a frame until it is written, of the whole run.",
        labels=label,
    )
    for name, output in named:
        latency = output.latency
        bounds = (repr(bound / 1000) for bound in LATENCY_BOUNDS_MS)
        buckets = [*zip(bounds, latency.counts, strict=True), ("+Inf", latency.count)]
        histogram.add_metric(name, buckets, latency.sum_ms / 1000)
    yield histogram
    yield _gauges(
        "streamdenoise_output_recent_latency_seconds",
        "Quantiles of the same over the last frames; quantile 1 is the longest.",
        ("output", "quantile"),
        (
            ((*name, quantile), latency_ms / 1000)
            for name, output in named
            for quantile, latency_ms in (
                ("0.5", output.latency.p50_ms),
                ("0.95", output.latency.p95_ms),
                ("0.99", output.latency.p99_ms),
                ("1", output.latency.max_ms),
            )
        ),
    )


def _machine(machine: MachineHealth) -> Iterator[Metric]:
    # The process_* names are those of all Prometheus clients: dashboards know them.
    yield _gauge(
        "process_start_time_seconds",
        "Start of the process, in seconds since 1970.",
        machine.started_at,
    )
    yield _counter(
        "process_cpu_seconds",
        "Time that all threads have spent on processors.",
        machine.cpu_s,
    )
    yield _gauge(
        "process_resident_memory_bytes",
        "Memory of the process that is in RAM.",
        machine.rss_bytes,
    )
    yield _gauge("process_threads", "Threads of the process.", machine.threads)
    if machine.open_files is not None:
        yield _gauge(
            "process_open_fds", "File descriptors of the process.", machine.open_files
        )
    sensors = machine.temperatures_c
    yield _gauges(
        "streamdenoise_temperature_celsius",
        "Sensors of the machine that its system shows; absent without any.",
        ("sensor",),
        (
            ((name,), celsius)
            for name, (_, celsius) in zip(
                _unique(name for name, _ in sensors), sensors, strict=True
            )
        ),
    )
    devices = machine.devices
    label = ("device",)
    yield _gauges(
        "streamdenoise_device_memory_used_bytes",
        "Memory of an NVIDIA GPU that all programs take; absent without nvidia-ml-py.",
        label,
        (((device.name,), device.used_bytes) for device in devices),
    )
    yield _gauges(
        "streamdenoise_device_memory_bytes",
        "Memory that an NVIDIA GPU has.",
        label,
        (((device.name,), device.total_bytes) for device in devices),
    )
    yield _gauges(
        "streamdenoise_device_temperature_celsius",
        "Temperature of an NVIDIA GPU.",
        label,
        (
            ((device.name,), device.temperature_c)
            for device in devices
            if device.temperature_c is not None
        ),
    )


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value)


def _counter(name: str, documentation: str, value: float) -> Metric:
    return CounterMetricFamily(name, documentation, value)


def _gauges(
    name: str, documentation: str, labels: tuple[str, ...], samples: Samples
) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counters(
    name: str, documentation: str, labels: tuple[str, ...], samples: Samples
) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _text(text: str) -> str:
    """`text` masked, and fit for UTF-8, as not every name of a file is."""
    return mask_credentials(text).encode(errors="replace").decode()


def _unique(names: Iterable[str]) -> list[str]:
    """`names` masked, and numbered where several would be the same.

    One time series that comes twice makes a server refuse the whole page.
    """
    taken: list[str] = []
    for name in map(_text, names):
        unique, number = name, 1
        while unique in taken:
            number += 1
            unique = f"{name} ({number})"
        taken.append(unique)
    return taken
