"""Runs the commands and the Python blocks of the pages with an installed wheel.

    python -m tests.docs.from_wheel PYTHON [--extras PYTHON --site FOLDER]

The first PYTHON is the interpreter of an environment that has the wheel and no extras.
Everything runs in one new folder with only the inputs that the pages name. A command
must work, or say in one line which extra it needs; then it must work with the second
PYTHON, which has all extras that need no GPU, and imports the wheel from FOLDER. Left
out is what needs a camera, a network, VapourSynth or a checkout.
"""

import argparse
import gzip
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.docs.pages import PAGES, blocks, commands
from tests.support.command import ROOT, SAMPLES
from tests.support.media import write_media

EXTRA = re.compile(r"pip install '?streamdenoise\[([\w-]+)\]'?$")
FOR_GPUS = ("tensorrt", "tensorrt-rtx", "torch-tensorrt")
ELSEWHERE = ("--camera", "rtsp:", "$")
"""Parts of words of commands that need a device, a network, or the values of a loop."""
SHORTER = {
    "layers": ("--steps", "2"),
    "motion": ("--turns", "2"),
    "windows": ("--size", "640x480", "--frames", "28", "--scene", "empty"),
    "bench": ("--quick",),
    "eval": ("--frames", "2", "--no-behavior"),
    "file": ("--overwrite",),
    "image": ("--overwrite",),
    "serve": ("--check",),
    "train": ("--epochs", "1"),
}
"""Options that shorten a command or repeat it, and do not change what it needs."""
IMAGES = "import numpy as np\nimages = [np.full((64, 96, 3), 90, np.uint8)] * 2\n"
"""Stands for the reader's own images in Python blocks."""


class Environment:
    """An environment that has the wheel, and the folder in which everything runs."""

    def __init__(self, python: str, site: str | None, folder: Path) -> None:
        self.folder = folder
        self._python = python
        self._variables = {
            key: v for key, v in os.environ.items() if key != "PYTHONPATH"
        }
        self._variables |= {
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(folder / ".cache"),
        }
        if site is not None:
            self._variables["PYTHONPATH"] = str(Path(site).resolve())

    def run(self, *words: str, stdin: Path | None = None) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of the interpreter with these arguments."""
        with open(stdin or os.devnull, "rb") as file:
            done = subprocess.run(
                [self._python, *words], cwd=self.folder, env=self._variables,
                stdin=file, capture_output=True, timeout=1200, check=False,
            )  # fmt: skip
        stdout, stderr = (
            b.decode(errors="replace") for b in (done.stdout, done.stderr)
        )
        return done.returncode, stdout, stderr

    def must_run(self, *words: str) -> str:
        """The stdout of an interpreter that must succeed."""
        code, stdout, stderr = self.run(*words)
        if code:
            sys.exit(f"error: {' '.join(words)}: {stderr}")
        return stdout.strip()

    def write_inputs(self) -> None:
        """Make the files that the pages name, and the models that training makes."""
        for start, name in enumerate(("noisy.mp4", "b.mp4", "in.y4m")):
            self.must_run(
                *("-m", "streamdenoise", "file", str(SAMPLES / "cctv.mp4"), "-o", name),
                *("--start", str(start), "--duration", "0.3", "--strength", "0"),
            )
        pixels = np.random.default_rng(1).integers(90, 130, (96, 128, 3), np.uint8)
        image = self.folder / "image.ppm"
        image.write_bytes(b"P6 128 96 255\n" + pixels.tobytes())
        for name in ("photos/a.png", "noisy.png", "FOLDER/b_real.png"):
            (self.folder / name).parent.mkdir(exist_ok=True)
            self.must_run("-m", "streamdenoise", "image", str(image), "-o", name)
        self._write_films()
        self._write_pictures()
        for copy in (
            *("recording.mp4", "FOLDER/a.mp4", "CLIPS/a.mp4", "data/val/video/a.mp4"),
            *("data/train/video/b.mp4", "FOLDER/b_mean.png"),
        ):
            source = {"b.mp4": "b.mp4", "b_mean.png": "noisy.png"}
            self._copy(source.get(Path(copy).name, "noisy.mp4"), copy)
        digits = np.random.default_rng(0).integers(0, 256, (60, 28, 28), np.uint8)
        mnist = self.folder / "data/mnist/t10k-images-idx3-ubyte.gz"
        mnist.parent.mkdir()
        example = ROOT / "streamdenoise/serve/config/example.toml"
        self._copy(example, "cameras.toml")
        header = struct.pack(">4I", 0x0803, *digits.shape)
        mnist.write_bytes(gzip.compress(header + digits.tobytes()))
        where = "from importlib.resources import files; print(files('streamdenoise'))"
        for file in Path(self.must_run("-c", where), "weights").glob("nano-awgn*"):
            self._copy(file, f"engines/{file.name}")
            if file.suffix == ".safetensors":
                self._copy(file, "train/runs/nano_awgn/ema.safetensors")
                self._copy(file, "train/runs/mnist/nano/nano.safetensors")

    def _write_films(self) -> None:
        cues = [(0.1, 0.3, "a line")]
        write_media(self.folder / "film.mkv", seconds=0.4, subtitles=cues)
        shutil.copy(self.folder / "film.mkv", self.folder / "disc.mkv")
        raw = self.folder / "cam.h264"
        write_media(raw, seconds=0.4, audio=None, format_name="h264")
        for name, codec in (
            *(("master.mov", "prores"), ("scan.mkv", "ffv1"), ("camera.avi", "x264")),
        ):
            self.must_run(
                *("-m", "streamdenoise", "file", "noisy.mp4", "-o", name),
                *("--codec", codec, "--duration", "0.2", "--strength", "0"),
            )

    def _write_pictures(self) -> None:
        rng = np.random.default_rng(3)
        pictures = [
            Image.fromarray(rng.integers(90, 130, (48, 64, 3), np.uint8))
            for _ in range(3)
        ]
        for name in ("party.gif", "party.webp", "series.tif"):
            timing: dict[str, Any] = {} if name.endswith("tif") else {"duration": 100}
            pictures[0].save(
                self.folder / name,
                save_all=True,
                append_images=pictures[1:],
                **timing,
            )
        for name in (
            *("scan_001.tif", "scan_002.tif", "render_0001.png", "render_0002.png"),
            *("noisy.jpg", "noisy/1.png", "clean/1.png", "study/one/1.png"),
            "data/train/stills/1.png",
        ):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            pictures[0].resize((128, 96)).save(self.folder / name)

    def _copy(self, source: str | Path, name: str) -> None:
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.folder / source, target)


def interpreted(command: list[str]) -> list[str] | None:
    """A command as arguments of an interpreter; None if it cannot be run here."""
    if any(part in word for word in command for part in ELSEWHERE):
        return None
    if command[0] == "streamdenoise":
        words = ["-m", *command, *SHORTER.get(command[1], ())]
    elif " ".join(command).startswith("python -m streamdenoise."):
        words = [*command[1:], *SHORTER.get(command[2].rpartition(".")[2], ())]
    else:
        return None
    if command[1] == "eval":  # all the other denoisers take minutes
        words = ["hqdn3d" if word == "all" else word for word in words]
    if "--vapoursynth" in words:
        at = words.index("--vapoursynth")
        del words[at : at + 2]
    return words


def extra_named(stderr: str, is_command: bool) -> str | None:
    """The extra that the last line of an error names; None if it names none."""
    if is_command and "Traceback" in stderr:
        return None
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = EXTRA.search((stderr.strip().splitlines() or [""])[-1])
    known = project["project"]["optional-dependencies"]
    return found[1] if found and found[1] in known else None


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs the commands of the pages.")
    parser.add_argument("python", help="interpreter of an environment with the wheel")
    parser.add_argument("--extras", help="interpreter of one that has all extras")
    parser.add_argument("--site", help="folder with the wheel for the latter")
    options = parser.parse_args()
    wrong: list[str] = []
    done: set[tuple[str, ...]] = set()
    with tempfile.TemporaryDirectory(prefix="streamdenoise-wheel-") as name:
        base = Environment(options.python, None, Path(name))
        full = Environment(options.extras or "", options.site, Path(name))
        base.write_inputs()
        y4m = base.folder / "in.y4m"
        for block in (block for page in PAGES for block in blocks(page)):
            cases = [interpreted(command) for command in commands(block)]
            if block.language == "python":
                cases.append(["-c", IMAGES + block.text])
            for words in cases:
                if words is None or tuple(words) in done:
                    continue
                done.add(tuple(words))
                shown = str(block) if words[0] == "-c" else " ".join(words[1:])
                code, _, stderr = base.run(*words, stdin=y4m)
                outcome, extra = "ok", None
                if code:
                    extra = extra_named(stderr, words[0] == "-m")
                    outcome = f"needs [{extra}]"
                if extra is not None and extra not in FOR_GPUS and options.extras:
                    code, _, stderr = full.run(*words, stdin=y4m)
                    outcome += ", with which it is ok"
                elif extra is not None:
                    code = 0
                if code:
                    outcome = "FAILED"
                    wrong.append(f"{block}: {shown}\n{stderr}")
                print(f"{outcome}: {shown}", flush=True)
    if wrong:
        sys.exit("\n".join(["error: the pages promise more than works:", *wrong]))


if __name__ == "__main__":
    main()
