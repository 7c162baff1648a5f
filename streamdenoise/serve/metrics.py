"""Metrics and health of all cameras, with the names of a single stream's."""

import time
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from streamdenoise.pipeline.stats import Stats
from streamdenoise.serve.workers.supervisor import Supervisor
from streamdenoise.service.machine_health import HealthMeter
from streamdenoise.service.prometheus import (
    build_metric,
    labeled,
    labeled_by_camera,
    machine_metrics,
    page_of,
    stream_metrics,
)

_STALL_S = 30.0


class Monitoring:
    """Answers Prometheus and probes."""

    def __init__(self, cameras: Supervisor) -> None:
        self._cameras = cameras
        self._meter = HealthMeter()

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """The page for Prometheus and its media type; see `exposition`."""
        return page_of(self, accept)

    def why_unhealthy(self) -> str:
        """Why the service does not work; empty if it does.

        That cameras are away is no reason, as long as it looks for them: who starts it
        again because of one camera interrupts all others. ``streamdenoise_healthy``
        tells of each.
        """
        silent_s = time.monotonic() - self._cameras.ticked_at
        if silent_s > _STALL_S:
            return f"no progress for {silent_s:.0f} s"
        wanted = [each for each in self._cameras.records() if each.is_enabled]
        failed = [each for each in wanted if each.has_failed]
        if wanted and len(failed) == len(wanted):
            return "; ".join(f"camera {each.name}: {each.reason}" for each in failed)
        return ""

    def close(self) -> None:
        """Release what was opened to read the state of the machine."""
        self._meter.close()

    def collect(self) -> Iterator[Metric]:
        """All metric families."""
        records = self._cameras.records()
        yield build_metric()
        yield from labeled_by_camera(
            {
                each.name: stream_metrics(
                    each.source, each.unhealthy, each.stats or Stats()
                )
                for each in records
                if each.is_enabled
            }
        )
        yield labeled(
            GaugeMetricFamily,
            "streamdenoise_camera_enabled",
            "1 while the camera is switched on, else 0.",
            ("camera",),
            (((each.name,), float(each.is_enabled)) for each in records),
        )
        yield labeled(
            CounterMetricFamily,
            "streamdenoise_worker_restarts",
            "Times that the camera's worker was replaced.",
            ("camera",),
            (((each.name,), each.restarts) for each in records),
        )
        yield labeled(
            GaugeMetricFamily,
            "streamdenoise_worker_resident_memory_bytes",
            "Resident memory of each worker, by the number of its process.",
            ("worker",),
            (((str(pid),), rss) for pid, rss in self._cameras.worker_memory().items()),
        )
        yield from machine_metrics(self._meter.health())
