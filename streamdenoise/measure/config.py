"""What `eval` and `bench` measure."""

import shlex
from dataclasses import dataclass
from enum import StrEnum

from streamdenoise.denoisers.options import MAX_SIGMA
from streamdenoise.errors import ConfigError


class Protocol(StrEnum):
    """Which kind of noise an evaluation adds, and where it measures."""

    VIDEO = "video"
    """Noise in RGB, clipped to 8 bits, in yuv420 planes: what a file holds."""
    PUBLISHED = "published"
    """Noise in RGB, in float, not clipped: that of the tables in papers."""
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class EvalConfig:
    """One `streamdenoise eval`."""

    clips: str | None = None
    """A clean video or picture, or a folder of them."""
    pairs: str | None = None
    """Folder of noisy and clean pictures of real cameras, ``*_real`` and ``*_mean``."""
    real: str | None = None
    """Noisy footage, or a folder of it, for pictures before and after in the report."""
    output: str | None = None
    """Folder for the report, its JSON and its plots; None writes nothing."""
    protocol: Protocol = Protocol.VIDEO
    sigmas: tuple[float, ...] = ()
    """Std of the noise in RGB, in 8-bit levels; none takes each protocol's own."""
    model: str = "nano-awgn"
    backend: str = "auto"
    peers: tuple[str, ...] = ()
    """Other denoisers, see `streamdenoise.measure.peers.registry.find_peers`."""
    vapoursynth: str | None = None
    """A Python that has VapourSynth, for V-BM3D."""
    tune: str | None = None
    """Folder of clips on which the peers' options are searched; None searches them on
    each measured clip itself, which flatters them."""
    frames: int = 24
    """At most so many of each clip, from its start."""
    behavior: bool = True
    """Also measure static scenes, ghosts, flicker and clean input."""
    threads: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.clips is None and self.pairs is None and self.real is None:
            raise ConfigError(
                "eval has nothing to measure; give clips, --pairs, or --real"
            )
        if self.real is not None and self.output is None:
            raise ConfigError("--real makes pictures; say with -o where they go")
        if self.frames < 1:
            raise ConfigError(f"--frames {self.frames} leaves nothing; use 1 or more")
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"--threads {self.threads} cannot work; use 1 or more")
        if self.seed < 0:
            raise ConfigError(f"--seed {self.seed} is negative; use 0 or more")
        for sigma in self.sigmas:
            if not 0 < sigma <= MAX_SIGMA:
                raise ConfigError(
                    f"--sigma {sigma:g} cannot be used; give more than 0 to "
                    f"{MAX_SIGMA:g} (8-bit levels)"
                )


@dataclass(frozen=True, slots=True)
class StepBenchConfig:
    """What `bench --backend` measures: the engine step alone."""

    backends: tuple[str, ...] = ("all",)
    """Names of backends; ``all`` stands for those that work here."""
    sizes: tuple[str, ...] = ()
    """Names such as ``720p``, or ``WxH`` in pixels; none takes 720p and 1080p, or 360p
    if `quick`."""
    clip: str | None = None
    """A clean video; None takes the sample."""
    model: str = "nano-awgn"
    sigma: float = 30.0
    """Std of the added noise in RGB, in 8-bit levels."""
    turns: int = 3
    """Of each backend at each size."""
    threads: int | None = None
    """Of the CPU; None takes one for each core."""
    quick: bool = False
    """A few steps and small peaks: to see that it works, not for figures."""

    def __post_init__(self) -> None:
        if self.turns < 1:
            raise ConfigError(f"--repeat {self.turns} measures nothing; use 1 or more")
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"--threads {self.threads} cannot work; use 1 or more")
        if not 0 <= self.sigma <= MAX_SIGMA:
            raise ConfigError(
                f"--sigma {self.sigma:g} cannot be used; give 0 to {MAX_SIGMA:g} "
                "(8-bit levels)"
            )

    @property
    def command(self) -> str:
        """The command line, with what was left to defaults."""
        words = ["streamdenoise", "bench"]
        for option, values in (("--backend", self.backends), ("--size", self.sizes)):
            for value in values:
                words += [option, value]
        if self.clip is not None:
            words += ["--clip", self.clip]
        words += ["--model", self.model, "--sigma", f"{self.sigma:g}"]
        words += ["--repeat", str(self.turns)]
        if self.threads is not None:
            words += ["--threads", str(self.threads)]
        return shlex.join([*words, *(["--quick"] if self.quick else [])])
