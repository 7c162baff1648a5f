"""What `bench` measured: a table, a JSON file and a plot."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

from streamdenoise.measure.plots import figure_type, name_points, write_texts

PRESET = "veryfast"
CRF = 23


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

    def row(self) -> str:
        """A line of the table."""
        step, job = (
            f"{median(values):.1f}" if values else "-"
            for values in (self.step_fps, self.job_fps)
        )
        return (
            f"| {self.size} | {self.name} | {step} | {job} | {self.psnr_y:.2f} | "
            f"{self.frames} |"
        )


@dataclass(frozen=True, slots=True)
class BenchReport:
    """All results of a run, and how they were got."""

    results: tuple[Result, ...]
    machine: dict[str, str]
    clip: str
    sigma: float
    repeat: int
    left_out: tuple[str, ...]
    """Why a backend does not work here."""
    searched: bool = True
    """Whether FFmpeg's filters got their best options, or the first ones (quick)."""

    def markdown(self) -> str:
        """The table, with what must be known to read it."""
        noisy = next(r.psnr_y for r in self.results if r.name == "none")
        options = (
            "the best options of a search on this very clip"
            if self.searched
            else "options that were not searched: a trial, no figures"
        )
        lines = [
            f"{', '.join(f'{k} {v}' for k, v in self.machine.items())}.",
            f"Clip {self.clip}, white Gaussian noise of sigma {self.sigma:g} in RGB "
            f"(PSNR-Y {noisy:.2f} dB); median of {self.repeat} interleaved runs. "
            "Step: the denoiser alone (FFmpeg: read and filter). Job: file to file "
            f"with x264 {PRESET}, crf {CRF}, process start included. streamdenoise "
            f"estimates the noise itself; FFmpeg's filters have {options}. PSNR-Y: "
            f"denoised frames before the encoder, "
            f"{self.results[0].size}.",
            "",
            "| size | denoiser | step fps | job fps | PSNR-Y dB | frames |",
            "|---|---|---|---|---|---|",
            *(result.row() for result in self.results),
            "",
            *(f"- not measured: {reason}" for reason in self.left_out),
        ]
        return "\n".join(lines).rstrip() + "\n"

    def json(self) -> str:
        """All of it, for programs."""
        return json.dumps(asdict(self), indent=1) + "\n"

    def write(self, folder: Path) -> None:
        """Write `bench.md`, `bench.json` and `bench.png` into `folder`.

        Raises:
            ConfigError: matplotlib is missing, or `folder` cannot be written.
        """
        write_texts(folder, {"bench.md": self.markdown(), "bench.json": self.json()})
        self._plot(folder / "bench.png")

    def _plot(self, path: Path) -> None:
        sizes = list(dict.fromkeys(result.size for result in self.results))
        size = "720p" if "720p" in sizes else sizes[0]
        figure = figure_type()(figsize=(8, 5), layout="constrained")
        axes = figure.add_subplot()
        axes.set_xscale("log")
        axes.margins(x=0.25, y=0.3)
        names = {}
        for result in self.results:
            if result.size != size or not result.job_fps:
                continue
            fps = median(result.job_fps)
            names[result.name] = (fps, result.psnr_y)
            ours = result.name.startswith("streamdenoise")
            color = "tab:red" if ours else "tab:blue"
            marker = "*" if ours else "o"
            axes.plot(fps, result.psnr_y, marker, color=color, ms=12 if ours else 7)
        axes.grid(which="both", alpha=0.3)
        axes.set_xlabel(f"frames per second, whole job at {size} (log)")
        axes.set_ylabel("PSNR-Y, dB")
        axes.set_title(f"{self.clip}, noise of sigma {self.sigma:g}")
        name_points(axes, names)
        figure.savefig(path, dpi=120)
