"""The results of `bench`: a table, a JSON file and a plot."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from streamdenoise.console.json_text import json_text
from streamdenoise.console.table import markdown_table
from streamdenoise.measure.output import write_bench
from streamdenoise.measure.plots import draw_point, name_points, new_axes
from streamdenoise.measure.speed.job import CRF, PRESET


@dataclass(slots=True)
class Result:
    """One contender at one size."""

    name: str
    size: str
    psnr_y: float
    """PSNR-Y of the denoised frames, before any encoder, in dB; at the first size."""
    frames: int
    """Frames of each job."""
    step_fps: list[float] = field(default_factory=list)
    """Ours: `Denoiser.process` on frames in memory. FFmpeg: decode and filter only."""
    job_fps: list[float] = field(default_factory=list)
    """The whole process, start included: file in, x264 file out."""
    options: str = ""

    def row(self) -> tuple[str, ...]:
        """Cells of the table."""
        step, job = (
            f"{median(values):.1f}" if values else "-"
            for values in (self.step_fps, self.job_fps)
        )
        return self.size, self.name, step, job, f"{self.psnr_y:.2f}", str(self.frames)


@dataclass(frozen=True, slots=True)
class BenchReport:
    """All results of a run, and how they were measured."""

    results: tuple[Result, ...]
    machine: dict[str, str]
    clip: str
    sigma: float
    """Std of the added noise in RGB, in 8-bit levels."""
    repeat: int
    left_out: tuple[str, ...]
    """Why a backend does not work here."""
    searched: bool = True
    """Whether FFmpeg's filters got their best options, or the first ones (quick)."""

    def markdown(self) -> str:
        """The table, and how to read it."""
        noisy = next(r.psnr_y for r in self.results if r.name == "none")
        options = (
            "use the best options of a search on this very clip"
            if self.searched
            else "use options that were not searched: this was a trial, and the "
            "figures mean nothing"
        )
        header = ("size", "denoiser", "step fps", "job fps", "PSNR-Y dB", "frames")
        lines = [
            f"{', '.join(f'{k} {v}' for k, v in self.machine.items())}.",
            f"Clip {self.clip}, white Gaussian noise of sigma {self.sigma:g} in RGB "
            f"(PSNR-Y {noisy:.2f} dB); median of {self.repeat} interleaved runs. "
            "Step: the denoiser alone (FFmpeg: read and filter). Job: file to file "
            f"with x264 {PRESET}, crf {CRF}, process start included. streamdenoise "
            f"estimates the noise itself; FFmpeg's filters {options}. PSNR-Y: "
            f"denoised frames before the encoder, {self.results[0].size}.",
            "",
            *markdown_table(header, (result.row() for result in self.results)),
            "",
            *(f"- not measured: {reason}" for reason in self.left_out),
        ]
        return "\n".join(lines).rstrip() + "\n"

    def json(self) -> str:
        """Everything, for programs."""
        return json_text(asdict(self))

    def write(self, folder: Path) -> None:
        """Write ``bench.md``, ``bench.json`` and ``bench.png``.

        Raises:
            ConfigError: Matplotlib is missing, or `folder` cannot be written.
        """
        write_bench(folder, self.markdown(), self.json(), self._plot)

    def _plot(self, path: Path) -> None:
        sizes = list(dict.fromkeys(result.size for result in self.results))
        size = "720p" if "720p" in sizes else sizes[0]
        axes = new_axes(log_x=True)
        points = {}
        for result in self.results:
            if result.size != size or not result.job_fps:
                continue
            points[result.name] = (median(result.job_fps), result.psnr_y)
            is_ours = result.name.startswith("streamdenoise")
            draw_point(axes, points[result.name], is_ours)
        axes.set_xlabel(f"frames per second, whole job at {size} (log)")
        axes.set_ylabel("PSNR-Y, dB")
        axes.set_title(f"{self.clip}, noise of sigma {self.sigma:g}")
        name_points(axes, points)
        axes.figure.savefig(path, dpi=120)
