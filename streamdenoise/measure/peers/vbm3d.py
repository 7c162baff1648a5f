"""V-BM3D through VapourSynth, in a separate Python."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from streamdenoise.errors import ConfigError
from streamdenoise.imaging.noise import plane_sigmas
from streamdenoise.measure.peers.peer import (
    Axes,
    Filtered,
    Options,
    StoredClip,
    from_raw,
    scaled_axes,
)

NAME = "v-bm3d"
SCRIPT = Path(__file__).with_name("vbm3d_script.py")
_SECONDS = re.compile(r"^seconds ([0-9.]+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class VBM3D:
    """Two steps of block matching over five frames (Dabov and others, 2007).

    The plugin is ``bm3dcpu``, which works with VapourSynth 79: ``pip install
    vapoursynth==79 vapoursynth-bm3dcpu numpy`` in an environment of Python 3.12.

    Attributes:
        python: The interpreter of that environment.
    """

    python: Path
    name: str = NAME
    clock: str = "from the request for the first frame to the last write"
    max_frames: int | None = 5
    takes_images: bool = False

    def axes(self, luma_sigma: float) -> Axes:
        """Values to try; ``sigma`` is the noise of luma in 8-bit levels."""
        return scaled_axes(
            {"sigma": (1.5, 1.0, 1.25, 1.8, 2.2)},
            {"radius": (2, 1), "block_step": (4,), "bm_range": (12,)},
            luma_sigma,
        )

    def run(self, options: Options, clip: StoredClip, threads: int | None) -> Filtered:
        first = clip.frames[0]
        luma, *chroma = plane_sigmas(
            1.0, first.color, first.width, first.height, first.pix_fmt
        )
        sigma = float(options["sigma"])
        command = [
            *(str(self.python), "-P", str(SCRIPT), str(clip.raw)),
            *map(str, (first.width, first.height, len(clip.frames), threads or 0)),
            *(str(options[key]) for key in ("radius", "block_step", "bm_range")),
            *(f"{share / luma * sigma:.4f}" for share in (luma, *chroma)),
        ]
        data, log = self._run(command)
        try:
            frames = from_raw(data, clip.frames)
        except ValueError as exc:
            raise ConfigError(f"{NAME} returned {exc}: {log}; see its message") from exc
        clock = _SECONDS.search(log)
        return Filtered(frames, float(clock[1]) if clock else float("nan"))

    def check(self) -> None:
        """Check that the interpreter has everything needed.

        Raises:
            ConfigError: Something is missing.
        """
        needs = "import numpy, vapoursynth; vapoursynth.core.bm3dcpu.BM3Dv2"
        self._run([str(self.python), "-P", "-c", needs])

    def _run(self, command: list[str]) -> tuple[bytes, str]:
        try:
            done = subprocess.run(command, capture_output=True, check=False)
        except OSError as exc:
            raise ConfigError(
                f"{self.python} cannot be run: {exc.strerror}; give --vapoursynth the "
                "path of a Python that has vapoursynth and vapoursynth-bm3dcpu"
            ) from exc
        log = done.stderr.decode(errors="replace").strip()
        if done.returncode:
            last = (log.splitlines() or ["no message"])[-1]
            raise ConfigError(
                f"{self.python} cannot run {NAME}: {last}; pip install "
                "vapoursynth==79 vapoursynth-bm3dcpu numpy there"
            )
        return done.stdout, log
