"""Options that several commands have."""

import logging
from typing import Annotated

import typer

from streamdenoise.console.logs import LogFormat, configure_logging
from streamdenoise.io.options import Hwaccel

Output = Annotated[str, typer.Option("-o", "--output", help="Where to write.")]
Sigma = Annotated[
    str, typer.Option(help="Noise level in 8-bit levels, or auto to estimate it.")
]
Strength = Annotated[
    float, typer.Option(help="Factor on the noise level; 0 is off, 1 neutral.")
]
Model = Annotated[
    str, typer.Option(help="Name of a model, or path of its .json or .safetensors.")
]
MeasuredModel = Annotated[
    str, typer.Option(help="Name of a model, or path of its .json.")
]
BackendName = Annotated[
    str,
    typer.Option(
        "--backend",
        help="auto, or one that `doctor` lists: openvino, onnxruntime, tensorrt ...",
    ),
]
Threads = Annotated[int | None, typer.Option(help="Threads of the backend.")]
TileSize = Annotated[
    int | None,
    typer.Option("--tile", help="Largest side done at once; for little memory."),
]
Codec = Annotated[
    str | None,
    typer.Option(
        help="x264, x265, svtav1, ffv1, h264_nvenc, hevc_nvenc or copy-settings."
    ),
]
Crf = Annotated[int | None, typer.Option(help="Quality: lower is better, larger.")]
Preset = Annotated[str | None, typer.Option(help="Preset of the encoder.")]
HwaccelName = Annotated[
    Hwaccel, typer.Option("--hwaccel", help="Where to decode; cuda is an NVIDIA GPU.")
]
Start = Annotated[str, typer.Option(help="Skip this much: seconds or HH:MM:SS.")]
Duration = Annotated[
    str | None, typer.Option(help="Stop after this much: seconds or HH:MM:SS.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output.")]
Reference = Annotated[
    str | None, typer.Option(help="Clean version of the input: measures the PSNR.")
]
AddNoise = Annotated[
    float | None,
    typer.Option(metavar="SIGMA", help="Add noise first: measures the PSNR."),
]


def hush(quiet: bool) -> bool:
    """Keep warnings and the like to themselves, as ``--quiet`` says."""
    if quiet:
        logging.disable(logging.WARNING)
    return quiet


def log_as(log_format: LogFormat) -> LogFormat:
    """Log in this format from now on; what programs read tells more."""
    level = logging.getLogger().getEffectiveLevel()
    if log_format is LogFormat.JSON:
        level = min(level, logging.INFO)
    configure_logging(level, log_format)
    return log_format


Quiet = Annotated[
    bool,
    typer.Option("-q", "--quiet", help="Print errors only.", callback=hush),
]
