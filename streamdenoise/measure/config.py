"""The options of `eval`, `bench` and `profile`."""

import shlex
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from streamdenoise.denoisers.options import MAX_SIGMA, check_threads
from streamdenoise.errors import ConfigError
from streamdenoise.io.options import Sandbox
from streamdenoise.options import Argument, Option, Panel
from streamdenoise.units import Region, parse_noise_region

Backend = Annotated[
    str, Option("Runtime to use; auto takes the first that works here.", Panel.HARDWARE)
]
Threads = Annotated[int | None, Option("CPU threads.", Panel.HARDWARE)]


class NoiseProtocol(StrEnum):
    """The kind of noise that an evaluation adds, and where it measures."""

    VIDEO = "video"
    """Noise in RGB, clipped to 8 bits, in yuv420 planes: what a file holds."""
    PUBLISHED = "published"
    """Noise in RGB, in float, not clipped: as in the tables of papers."""
    BOTH = "both"
    CAMERA = "camera"
    """Noise of a sensor, the camera's own filter, and a codec at a bit rate."""


@dataclass(frozen=True, slots=True)
class EvalConfig:
    """Options of `streamdenoise eval`."""

    clips: Annotated[
        str | None, Argument("Clean video or image, or a folder of them.", "CLIPS")
    ] = None
    named_clips: Annotated[
        str | None, Option("The same as CLIPS.", Panel.INPUT, "--clips", metavar="PATH")
    ] = None
    """Becomes `clips`."""
    pairs: Annotated[
        str | None,
        Option(
            "Folder of noisy and clean images from real cameras, *_real and *_mean.",
            Panel.INPUT,
            metavar="FOLDER",
        ),
    ] = None
    real: Annotated[
        str | None,
        Option(
            "Noisy footage, or a folder of it and of folders of pairs, to measure "
            "without a clean version and to show enlarged.",
            Panel.INPUT,
            metavar="PATH",
        ),
    ] = None
    output: Annotated[
        str | None,
        Option(
            "Folder for the report, JSON and plots.",
            Panel.OUTPUT,
            "-o",
            "--output",
            metavar="FOLDER",
        ),
    ] = None
    """None writes nothing."""
    protocol: Annotated[
        NoiseProtocol,
        Option(
            "Noise as in 8-bit video, as in published tables, or both, or as of "
            "cameras that encode at 0.5 to 8 Mbit/s.",
            Panel.NOISE,
        ),
    ] = NoiseProtocol.VIDEO
    sigmas: Annotated[
        tuple[float, ...],
        Option(
            "Noise level to add, in 8-bit levels; may be repeated.",
            Panel.NOISE,
            "--sigma",
            metavar="LEVEL",
        ),
    ] = ()
    """Standard deviation of the noise in RGB; none takes each protocol's own."""
    model: Annotated[
        str,
        Option(
            "Name of a model, or path of its .json; by default nano-awgn with CLIPS "
            "in white noise, else nano.",
            Panel.MEASUREMENT,
        ),
    ] = ""
    backend: Backend = "auto"
    peers: Annotated[
        tuple[str, ...],
        Option(
            "Another denoiser to measure, all or none; may be repeated. By default "
            "five with --real and --pairs, none with CLIPS.",
            Panel.MEASUREMENT,
            "--peer",
            metavar="NAME",
        ),
    ] = ()
    """See `streamdenoise.measure.peers.registry.find_peers`."""
    vapoursynth: Annotated[
        str | None,
        Option(
            "Python interpreter that has VapourSynth, to measure V-BM3D.",
            Panel.MEASUREMENT,
            metavar="PATH",
        ),
    ] = None
    tune: Annotated[
        str | None,
        Option(
            "Folder of clips to tune the other denoisers on; by default each measured "
            "clip, which flatters them.",
            Panel.MEASUREMENT,
            metavar="FOLDER",
        ),
    ] = None
    frames: Annotated[
        int, Option("Frames of each clip to use, at most.", Panel.INPUT)
    ] = 24
    behavior: Annotated[
        bool,
        Option(
            "Also measure static scenes, ghosting, flicker and clean input.",
            Panel.MEASUREMENT,
        ),
    ] = True
    threads: Threads = None
    seed: Annotated[int, Option("Random seed of the noise.", Panel.NOISE)] = 0

    def __post_init__(self) -> None:
        if self.clips is not None and self.named_clips is not None:
            raise ConfigError(
                f"clips are given twice, {self.clips} and --clips {self.named_clips}; "
                "give one"
            )
        object.__setattr__(self, "clips", self.clips or self.named_clips)
        object.__setattr__(self, "named_clips", None)
        if not self.model:
            # The noise added to clips is white; camera noise is not.
            is_white = (
                self.clips is not None and self.protocol is not NoiseProtocol.CAMERA
            )
            model = "nano-awgn" if is_white else "nano"
            object.__setattr__(self, "model", model)
        if self.clips is None and self.pairs is None and self.real is None:
            raise ConfigError(
                "eval has nothing to measure; give clips, --pairs, or --real"
            )
        if self.real is not None and self.output is None:
            raise ConfigError("--real writes images; choose their folder with -o")
        if self.frames < 1:
            raise ConfigError(f"--frames {self.frames} leaves nothing; use 1 or more")
        check_threads(self.threads)
        if self.seed < 0:
            raise ConfigError(f"--seed {self.seed} is negative; use 0 or more")
        for sigma in self.sigmas:
            if not 0 < sigma <= MAX_SIGMA:
                raise ConfigError(
                    f"--sigma {sigma:g} cannot be used; give more than 0 to "
                    f"{MAX_SIGMA:g} (8-bit levels)"
                )


@dataclass(frozen=True, slots=True)
class ProfileConfig:
    """Options of `streamdenoise profile`."""

    source: Annotated[str, Argument("Video, image, or folder of images.", "IN")]
    outputs: Annotated[
        tuple[Path, ...],
        Option(
            "File for the profile (.json) or for its plot (.png); may be repeated.",
            Panel.OUTPUT,
            "-o",
            "--output",
            metavar="FILE",
        ),
    ] = ()
    profile_region: Annotated[
        Region | None,
        Option(
            "Flat area of the frame to measure the noise in, in pixels.",
            Panel.INPUT,
            parse=parse_noise_region,
            metavar="X,Y,W,H",
        ),
    ] = None
    frames: Annotated[int, Option("Frames to use, at most.", Panel.INPUT)] = 120
    sandbox: Sandbox = False

    def __post_init__(self) -> None:
        for path in self.outputs:
            if path.suffix.lower() not in (".json", ".png"):
                raise ConfigError(
                    f"-o {path} is neither a profile nor a plot; give a name that ends "
                    "in .json or .png"
                )
        if self.frames < 1:
            raise ConfigError(f"--frames {self.frames} leaves nothing; use 1 or more")


@dataclass(frozen=True, slots=True)
class BenchConfig:
    """Options of `bench`: it measures whole jobs, their stages, or backends' steps."""

    clip: Annotated[
        Path | None,
        Option(
            "Clean video to use; by default the sample. With --stages, any video, "
            "which is measured as it is.",
            Panel.INPUT,
        ),
    ] = None
    output: Annotated[
        Path | None,
        Option("Folder for the table, JSON and plot.", Panel.OUTPUT, "-o", "--output"),
    ] = None
    """With `stages`, the clips stay there, too."""
    model: Annotated[
        str,
        Option(
            "Name of a model, or path of its .json; by default nano-awgn, with "
            "--stages nano.",
            Panel.MEASUREMENT,
        ),
    ] = ""
    sigma: Annotated[
        float | None,
        Option(
            "Noise level to add, in 8-bit levels; by default 30, with --stages 8.",
            Panel.NOISE,
            metavar="LEVEL",
        ),
    ] = None
    """Standard deviation of the noise in RGB; see `added_sigma`."""
    repeat: Annotated[
        int,
        Option(
            "Runs of each contender; the median counts.", Panel.MEASUREMENT, metavar="N"
        ),
    ] = 3
    stages: Annotated[
        bool,
        Option(
            "Show what each stage of a job takes, and what to change if one is the "
            "limit.",
            Panel.MEASUREMENT,
        ),
    ] = False
    backends: Annotated[
        tuple[str, ...],
        Option(
            "Measure only the step of this backend, or of all; may be repeated. With "
            "--stages, the backend of the job.",
            Panel.MEASUREMENT,
            "--backend",
            metavar="NAME",
        ),
    ] = ()
    """``all`` stands for those that work here."""
    sizes: Annotated[
        tuple[str, ...],
        Option(
            "Frame size of steps or stages: 360p, 720p, 1080p, 2160p or WIDTHxHEIGHT; "
            "may be repeated.",
            Panel.MEASUREMENT,
            "--size",
            metavar="SIZE",
        ),
    ] = ()
    """None takes 720p and 1080p, or 360p if `quick`."""
    peers: Annotated[
        bool,
        Option(
            "Measure FFmpeg's denoisers too; with --stages, nlmeans.",
            Panel.MEASUREMENT,
        ),
    ] = True
    quick: Annotated[
        bool,
        Option(
            "Use a few frames, to check that it works; the figures mean nothing.",
            Panel.MEASUREMENT,
        ),
    ] = False
    threads: Annotated[
        int | None, Option("CPU threads; by default one for each core.", Panel.HARDWARE)
    ] = None

    def __post_init__(self) -> None:
        if self.sizes and not (self.backends or self.stages):
            raise ConfigError(
                "--size applies to steps; choose a backend with --backend, or all"
            )
        if self.stages:
            self._check_stages()
        if not self.model:
            object.__setattr__(self, "model", "nano" if self.stages else "nano-awgn")
        if self.repeat < 1:
            raise ConfigError(f"--repeat {self.repeat} measures nothing; use 1 or more")
        check_threads(self.threads)
        if not 0 <= self.added_sigma <= MAX_SIGMA:
            raise ConfigError(
                f"--sigma {self.added_sigma:g} cannot be used; give 0 to "
                f"{MAX_SIGMA:g} (8-bit levels)"
            )

    def _check_stages(self) -> None:
        if len(self.backends) > 1 or "all" in self.backends:
            raise ConfigError(
                "--stages measures one job at a time; give one --backend, or none"
            )
        if self.clip is not None and (self.sizes or self.sigma is not None):
            raise ConfigError(
                "--stages measures the video of --clip as it is; leave out "
                f"{'--size' if self.sizes else '--sigma'}"
            )

    @property
    def added_sigma(self) -> float:
        """Standard deviation of the noise to add in RGB, in 8-bit levels."""
        if self.sigma is not None:
            return self.sigma
        return 8.0 if self.stages else 30.0

    @property
    def command(self) -> str:
        """The command line that measures the same, with defaults written out."""
        words = ["streamdenoise", "bench", *(["--stages"] if self.stages else [])]
        for option, values in (("--backend", self.backends), ("--size", self.sizes)):
            for value in values:
                words += [option, value]
        if self.clip is not None:
            words += ["--clip", str(self.clip)]
        words += ["--model", self.model]
        if not (self.stages and self.clip):
            words += ["--sigma", f"{self.added_sigma:g}"]
        words += ["--repeat", str(self.repeat)]
        if self.threads is not None:
            words += ["--threads", str(self.threads)]
        words += ["--quick"] * self.quick + ["--no-peers"] * (not self.peers)
        return shlex.join(words)
