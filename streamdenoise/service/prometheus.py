"""Prometheus metrics of a running pipeline.

samples/monitoring.md lists names, units and meanings; a test keeps the list correct.
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple, Protocol, cast

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

from streamdenoise.imaging.noise_profile import LEVELS
from streamdenoise.machine import package_versions
from streamdenoise.pipeline.stats import LATENCY_BOUNDS_MS, OutputStats, Stats
from streamdenoise.security.masking import mask_credentials
from streamdenoise.security.plain_text import printable_lines
from streamdenoise.service.machine_health import MachineHealth

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS_TYPE = openmetrics.CONTENT_TYPE_LATEST

Samples = Iterable[tuple[tuple[str, ...], float]]
"""Values of the labels, and the value of the metric."""

_Kind = type[GaugeMetricFamily] | type[CounterMetricFamily]


class Snapshot(NamedTuple):
    """The state of a pipeline and its machine at one moment."""

    source: str
    unhealthy: str
    """Why the pipeline is unhealthy; empty when it is healthy."""
    stats: Stats
    machine: MachineHealth


def exposition(snapshot: Snapshot, accept: str = "") -> tuple[bytes, str]:
    """The page for a Prometheus server, and its media type.

    Args:
        snapshot: The state to expose.
        accept: ``Accept`` header of the request; OpenMetrics is used if it is listed.
    """
    return page_of(_Pipeline(snapshot), accept)


class Collector(Protocol):
    """Returns metric families."""

    def collect(self) -> Iterable[Metric]: ...


def page_of(collector: Collector, accept: str = "") -> tuple[bytes, str]:
    """The page of all families of a collector; see `exposition`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    # The library's own negotiation fails on versions that are not numbers.
    if "application/openmetrics-text" in accept.lower():
        # Its argument has no type.
        generate = openmetrics.generate_latest  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        return cast("bytes", generate(registry)), OPENMETRICS_TYPE
    return generate_latest(registry), TEXT_TYPE


class _Pipeline:
    """Returns all metric families of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot
        yield build_metric()
        yield from stream_metrics(snapshot.source, snapshot.unhealthy, snapshot.stats)
        yield from machine_metrics(snapshot.machine)


def build_metric() -> Metric:
    """Versions of the program and its runtimes."""
    return InfoMetricFamily(
        "streamdenoise_build", "Versions of the program and its runtimes.", _build()
    )


def stream_metrics(source: str, unhealthy: str, stats: Stats) -> Iterator[Metric]:
    """The families of one stream.

    Args:
        source: Its address.
        unhealthy: Why it is unhealthy; empty when it is healthy.
        stats: Its figures.
    """
    yield InfoMetricFamily(
        "streamdenoise_source",
        "Address of the video source.",
        {"source": _text(source)},
    )
    yield GaugeMetricFamily(
        "streamdenoise_healthy",
        "1 while /healthz returns 200, else 0.",
        float(not unhealthy),
    )
    yield from _stream(stats)
    yield from _outputs(stats.outputs)


def labeled_by_camera(streams: Mapping[str, Iterable[Metric]]) -> Iterable[Metric]:
    """The families of several streams as one, with the label ``camera``."""
    families: dict[str, Metric] = {}
    for camera, metrics in streams.items():
        for metric in metrics:
            family = families.setdefault(
                metric.name, Metric(metric.name, metric.documentation, metric.type)
            )
            family.samples += [
                sample._replace(labels={"camera": camera, **sample.labels})
                for sample in metric.samples
            ]
    return families.values()


@cache
def _build() -> dict[str, str]:
    versions = package_versions()
    return {
        "version": versions.pop("streamdenoise"),
        "python": platform.python_version(),
        **versions,
    }


def _stream(stats: Stats) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "streamdenoise_run_seconds",
        "Time since the pipeline started.",
        stats.elapsed_s,
    )
    yield CounterMetricFamily(
        "streamdenoise_source_frames",
        "Frames received from the source.",
        stats.frames_in,
    )
    yield GaugeMetricFamily(
        "streamdenoise_source_frames_per_second",
        "Recent frame rate of the source.",
        stats.fps_in,
    )
    yield GaugeMetricFamily(
        "streamdenoise_source_up",
        "1 while the source delivers frames or is starting, 0 while it is lost.",
        float(not stats.source_error),
    )
    yield GaugeMetricFamily(
        "streamdenoise_source_frame_age_seconds",
        "Time since the last frame of the source, or since the start.",
        stats.frame_age_s,
    )
    yield CounterMetricFamily(
        "streamdenoise_source_reconnects",
        "Times that the source was lost and reconnected.",
        stats.reconnects,
    )
    yield GaugeMetricFamily(
        "streamdenoise_denoiser_up",
        "1 while the denoiser works, 0 while it hangs.",
        float(not stats.denoiser_error),
    )
    yield CounterMetricFamily(
        "streamdenoise_source_bytes",
        "Compressed video received from the source.",
        stats.bytes_in,
    )
    yield CounterMetricFamily(
        "streamdenoise_written_frames",
        "Frames written to the first output.",
        stats.frames_out,
    )
    yield GaugeMetricFamily(
        "streamdenoise_written_frames_per_second",
        "Recent frame rate of the first output.",
        stats.fps_out,
    )
    yield labeled(
        CounterMetricFamily,
        "streamdenoise_dropped_frames",
        "Source frames that were not written, by cause.",
        ("cause",),
        (((_text(cause),), count) for cause, count in stats.drops.items()),
    )
    yield GaugeMetricFamily(
        "streamdenoise_sigma_levels",
        "Standard deviation of the noise, given or estimated, in 8-bit RGB levels.",
        stats.sigma,
    )
    yield labeled(
        GaugeMetricFamily,
        "streamdenoise_noise_levels",
        "Standard deviation of the noise by plane and grain size, in 8-bit RGB levels.",
        ("plane", "scale"),
        (
            (("YUV"[plane], str(scale)), level)
            for (plane, scale), level in zip(LEVELS, stats.noise_levels, strict=True)
        ),
    )
    yield GaugeMetricFamily(
        "streamdenoise_strength_ratio",
        "How strongly noise is removed; 1 is neutral.",
        stats.strength,
    )
    kind = "estimated" if stats.psnr_is_estimate else "measured"
    frames = {"noisy": stats.psnr_in_db, "denoised": stats.psnr_out_db}
    yield labeled(
        GaugeMetricFamily,
        "streamdenoise_psnr_decibels",
        "PSNR before and after denoising; absent until it is known.",
        ("frames", "kind"),
        (
            ((name, kind), psnr_db)
            for name, psnr_db in frames.items()
            if psnr_db is not None
        ),
    )
    yield labeled(
        GaugeMetricFamily,
        "streamdenoise_load_reduced",
        "1 while quality is reduced to keep up, as the label names; else 0.",
        ("step",),
        [((_text(stats.load_step),), float(bool(stats.load_step)))],
    )


def _outputs(outputs: Sequence[OutputStats]) -> Iterator[Metric]:
    names = _unique(output.name for output in outputs)
    named = [((name,), out) for name, out in zip(names, outputs, strict=True)]
    label = ("output",)

    def per_output(
        kind: _Kind, name: str, about: str, value: Callable[[OutputStats], float]
    ) -> Metric:
        samples = ((labels, value(output)) for labels, output in named)
        return labeled(kind, name, about, label, samples)

    yield per_output(
        CounterMetricFamily,
        "streamdenoise_output_frames",
        "Frames written, including held frames.",
        lambda output: output.frames,
    )
    yield per_output(
        CounterMetricFamily,
        "streamdenoise_output_bytes",
        "Compressed video written.",
        lambda output: output.bytes,
    )
    yield per_output(
        CounterMetricFamily,
        "streamdenoise_output_dropped_frames",
        "Frames not written, because the output was slow or unavailable.",
        lambda output: output.dropped,
    )
    yield per_output(
        GaugeMetricFamily,
        "streamdenoise_output_queued_frames",
        "Frames waiting to be encoded and written.",
        lambda output: output.queued,
    )
    yield per_output(
        CounterMetricFamily,
        "streamdenoise_output_reconnects",
        "Times that the output failed and recovered.",
        lambda output: output.reconnects,
    )
    yield per_output(
        GaugeMetricFamily,
        "streamdenoise_output_up",
        "1 while the output works, 0 while it is away or hangs, or after it failed.",
        lambda output: float(not output.error),
    )
    histogram = HistogramMetricFamily(
        "streamdenoise_output_latency_seconds",
        "Time from the capture of a frame until it is written, over the whole run.",
        labels=label,
    )
    for name, output in named:
        latency = output.latency
        bounds = (repr(bound / 1000) for bound in LATENCY_BOUNDS_MS)
        buckets = [*zip(bounds, latency.counts, strict=True), ("+Inf", latency.count)]
        histogram.add_metric(name, buckets, latency.sum_ms / 1000)
    yield histogram
    yield labeled(
        GaugeMetricFamily,
        "streamdenoise_output_recent_latency_seconds",
        "Quantiles of the latency of recent frames; quantile 1 is the maximum.",
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


def machine_metrics(machine: MachineHealth) -> Iterator[Metric]:
    """The families of this process and of the machine."""
    # All Prometheus clients use these process_* names, so dashboards know them.
    yield GaugeMetricFamily(
        "process_start_time_seconds",
        "Start time of the process, in seconds since 1970.",
        machine.started_at,
    )
    yield CounterMetricFamily(
        "process_cpu_seconds", "CPU time used by all threads.", machine.cpu_s
    )
    yield GaugeMetricFamily(
        "process_resident_memory_bytes",
        "Resident memory of the process.",
        machine.rss_bytes,
    )
    yield GaugeMetricFamily(
        "process_threads", "Threads of the process.", machine.threads
    )
    if machine.open_files is not None:
        yield GaugeMetricFamily(
            "process_open_fds",
            "Open file descriptors of the process.",
            machine.open_files,
        )
    sensors = machine.temperatures_c
    names = _unique(name for name, _ in sensors)
    yield labeled(
        GaugeMetricFamily,
        "streamdenoise_temperature_celsius",
        "Temperature sensors of the machine; absent if the system has none.",
        ("sensor",),
        (((name,), celsius) for name, (_, celsius) in zip(names, sensors, strict=True)),
    )
    devices = machine.devices
    label = ("device",)
    yield labeled(
        GaugeMetricFamily,
        "streamdenoise_device_memory_used_bytes",
        "Used memory of an NVIDIA GPU; absent without nvidia-ml-py.",
        label,
        (((device.name,), device.used_bytes) for device in devices),
    )
    yield labeled(
        GaugeMetricFamily,
        "streamdenoise_device_memory_bytes",
        "Total memory of an NVIDIA GPU.",
        label,
        (((device.name,), device.total_bytes) for device in devices),
    )
    yield labeled(
        GaugeMetricFamily,
        "streamdenoise_device_temperature_celsius",
        "Temperature of an NVIDIA GPU.",
        label,
        (
            ((device.name,), device.temperature_c)
            for device in devices
            if device.temperature_c is not None
        ),
    )


def labeled(
    kind: _Kind, name: str, about: str, labels: Sequence[str], samples: Samples
) -> Metric:
    """A family with a sample for each combination of labels."""
    family = kind(name, about, labels=labels)
    for values, sample in samples:
        family.add_metric(values, sample)
    return family


def _text(text: str) -> str:
    """Mask `text`, and make it valid UTF-8, as file names may not be.

    The format escapes line breaks, but no other control characters.
    """
    return printable_lines(mask_credentials(text).encode(errors="replace").decode())


def _unique(names: Iterable[str]) -> list[str]:
    """Mask `names`, and number those that would be equal.

    Prometheus rejects the whole page if a time series occurs twice.
    """
    taken: list[str] = []
    for name in map(_text, names):
        unique, number = name, 1
        while unique in taken:
            number += 1
            unique = f"{name} ({number})"
        taken.append(unique)
    return taken
