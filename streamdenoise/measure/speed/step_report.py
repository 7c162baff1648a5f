"""The results of `bench --backend`: a table and a JSON file."""

from dataclasses import asdict, dataclass
from pathlib import Path

from streamdenoise.console.json_text import json_text
from streamdenoise.console.table import markdown_table
from streamdenoise.measure.output import write_bench
from streamdenoise.measure.speed.gpu_kernels import GPUPrediction, prediction_lines


@dataclass(frozen=True, slots=True)
class StepResult:
    """One backend at one size; the names are those of the JSON file."""

    backend: str
    size: str
    width: int
    height: int
    precision: str
    """Precision of the products: ``int8``, ``fp16`` or ``fp32``."""
    device: str
    steps: int
    """Number of steps timed."""
    step_ms_median: float
    step_ms_p99: float
    fps: float
    """Frames per second at the median step."""
    kmac_per_px: float
    """Thousands of multiply-accumulates of the convolutions for each luma pixel."""
    tflops: float
    """10^12 operations a second, of the median step; a MAC is two."""
    gb_per_s: float
    """10^9 bytes a second of compulsory traffic, see `roofline.work_of_step`."""
    peak_tflops: float
    peak_gb_per_s: float
    fraction_of_compute: float
    fraction_of_bandwidth: float
    fraction_of_roofline: float
    """Shortest possible time over the median one, by the tighter limit."""
    bound_by: str
    """The tighter limit: ``compute`` or ``bandwidth``."""

    def row(self) -> tuple[str, ...]:
        """Cells of the table."""
        return (
            self.size,
            self.backend,
            f"{self.step_ms_median:.1f}",
            f"{self.step_ms_p99:.1f}",
            f"{self.fps:.1f}",
            f"{self.kmac_per_px:.1f}",
            f"{self.tflops:.2f}",
            f"{self.fraction_of_compute:.0%} of {self.peak_tflops:.2f} "
            f"{self.precision}",
            f"{self.gb_per_s:.1f}",
            f"{self.fraction_of_bandwidth:.1%} of {self.peak_gb_per_s:.0f}",
            f"{self.fraction_of_roofline:.0%} ({self.bound_by})",
        )


@dataclass(frozen=True, slots=True)
class StepReport:
    """All results of a run, and how they were measured."""

    command: str
    """Repeats the run."""
    model: str
    clip: str
    sigma: float
    """Std of the added noise in RGB, in 8-bit levels."""
    turns: int
    quick: bool
    """Whether this was a trial, whose figures mean nothing."""
    cpu: str
    cores: int
    """Cores that the process could use."""
    threads: int
    versions: dict[str, str]
    results: tuple[StepResult, ...]
    left_out: dict[str, str]
    """Backends that do not work here, or not at a size, and why."""
    predicted: tuple[GPUPrediction, ...] = ()
    """Steps on GPUs that this machine does not have."""

    def json(self) -> str:
        """Everything, for programs."""
        return json_text(asdict(self))

    def markdown(self) -> str:
        """The table, and how to read it."""
        versions = ", ".join(f"{name} {v}" for name, v in self.versions.items())
        header = (
            *("size", "backend", "ms", "ms p99", "fps", "kMAC/px", "TFLOP/s"),
            *("of peak", "GB/s", "of peak", "roofline"),
        )
        lines = [
            f"{self.cpu}, {self.threads} threads, {versions}.",
            f"The engine step alone, model {self.model}; clip {self.clip}, white "
            f"Gaussian noise of sigma {self.sigma:g} in RGB; median and 99th "
            f"percentile over {self.turns} turns of each backend. GB/s: pixels and "
            "state in and out, and weights once. Peaks: the best of a large matrix "
            "product in the backend's runtime and precision, and of a large copy, in "
            "this run. Roofline: shortest possible time over the median, by the "
            "tighter limit."
            f"{' This was a trial: the figures mean nothing.' if self.quick else ''}",
            "",
            *markdown_table(header, (result.row() for result in self.results)),
            "",
            *(f"- not measured: {reason}" for reason in self.left_out.values()),
        ]
        if self.predicted:
            lines += ["", *prediction_lines(self.predicted)]
        return "\n".join(lines).rstrip() + "\n"

    def write(self, folder: Path) -> None:
        """Write ``bench.md`` and ``bench.json``.

        Raises:
            ConfigError: `folder` cannot be written.
        """
        write_bench(folder, self.markdown(), self.json())
