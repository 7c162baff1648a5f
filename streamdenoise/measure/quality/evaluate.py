"""Measures quality: three protocols, behavior over time, and real noise.

One run makes one report. `video` compares the model and other denoisers on the same
noisy 8-bit planes; `published` follows the tables of papers; `camera` adds what cameras
do; `behavior` measures what a mean PSNR hides; `pairs` and `real` have the noise of
real cameras.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile

from streamdenoise.errors import ConfigError
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.machine import cpu_name
from streamdenoise.measure.clips import find_clips, read_clip
from streamdenoise.measure.config import EvalConfig, NoiseProtocol
from streamdenoise.measure.output import writing_to
from streamdenoise.measure.peers.registry import find_peers
from streamdenoise.measure.plots import figure_type
from streamdenoise.measure.quality.behavior import MIN_WIDTH, measure_behavior
from streamdenoise.measure.quality.camera import measure_cameras
from streamdenoise.measure.quality.html import to_html
from streamdenoise.measure.quality.markdown import markdown
from streamdenoise.measure.quality.pairs import find_pairs, measure_pairs
from streamdenoise.measure.quality.plots import draw_plots
from streamdenoise.measure.quality.published import measure_published, open_published
from streamdenoise.measure.quality.real.clip import measure_real
from streamdenoise.measure.quality.real.contenders import LADDERS
from streamdenoise.measure.quality.real.footage import find_footage
from streamdenoise.measure.quality.report import EvalReport
from streamdenoise.measure.quality.video import measure_video
from streamdenoise.measure.quality.vmaf import why_no_vmaf
from streamdenoise.threads import usable_cores

VIDEO_SIGMAS = (10.0, 30.0, 50.0)
PUBLISHED_SIGMAS = (10.0, 20.0, 30.0, 40.0, 50.0)
MIN_SIZE = 32
"""Least side in pixels in the video protocol, for VMAF's scales and SSIM's window."""


def evaluate(
    config: EvalConfig, *, on_progress: Callable[[str], None] | None = None
) -> EvalReport:
    """Measure a model, and the named peers, and write the report.

    Args:
        config: What to measure, and on which clips.
        on_progress: Called with progress messages.

    Returns:
        The report, which is also written to `EvalConfig.output`, if given.

    Raises:
        ConfigError: There is no clip, or one that cannot be measured or is also tuned
            on; a peer is unknown or cannot run; a package is missing; or the output
            cannot be written.
        BackendUnavailableError: ONNX Runtime, for the published protocol, is missing.
        SourceError: A clip does not decode.
    """
    on_progress = on_progress or (lambda _: None)
    # Anything that may be missing is checked before hours of measuring.
    artifact = open_artifact(config.model)
    vapoursynth = Path(config.vapoursynth) if config.vapoursynth else None
    peers, left_out = find_peers(config.peers, vapoursynth)
    paths = find_clips(Path(config.clips)) if config.clips is not None else []
    _check_names(paths)
    tuning = Path(config.tune).resolve() if config.tune is not None else None
    if tuning is not None:
        _check_tuning(tuning, paths)
    folders = [Path(config.pairs)] if config.pairs is not None else []
    real, real_peers = [], peers
    if not config.peers and (config.real is not None or config.pairs is not None):
        found, missing = find_peers(["all"], vapoursynth)
        real_peers = [peer for peer in found if peer.name in LADDERS]
        left_out += [why for why in missing if why.split(":")[0] in LADDERS]
    if config.real is not None:
        real, with_pairs = find_footage(Path(config.real))
        folders += with_pairs
        _check_names(real)
    pairs = [pair for folder in folders for pair in find_pairs(folder)]
    published, video, camera = (
        bool(paths) and config.protocol in protocols
        for protocols in (
            (NoiseProtocol.PUBLISHED, NoiseProtocol.BOTH),
            (NoiseProtocol.VIDEO, NoiseProtocol.BOTH),
            (NoiseProtocol.CAMERA,),
        )
    )
    if published:
        open_published(artifact, 64, 64, config.threads).close()
    if video or camera:
        if artifact.layout != "yuv420":
            raise ConfigError(
                f"model {artifact.name} works on {artifact.layout}; give --protocol "
                "published, or a model for yuv420"
            )
        _check_sizes(paths, video and config.behavior)
    no_vmaf = why_no_vmaf() if video else None
    if config.output is not None:
        figure_type()
        with writing_to(folder := Path(config.output)), TemporaryFile(dir=folder):
            pass

    report = EvalReport(
        model=artifact.name,
        layout=artifact.layout,
        kmac_per_px=artifact.manifest.get("kmac_per_px"),
        frames=config.frames,
        machine={
            "CPU": cpu_name(),
            "threads": str(config.threads or usable_cores()),
        },
        tuned_on=tuning.name if tuning is not None else None,
        clocks={peer.name: peer.clock for peer in peers},
        not_measured=left_out,
    )
    if video:
        sigmas = config.sigmas or VIDEO_SIGMAS
        if no_vmaf is not None:
            report.not_measured.append(f"VMAF: {no_vmaf}")
        report.scores += measure_video(
            config, paths, sigmas, peers, tuning, no_vmaf is None, on_progress
        )
        if config.behavior:
            report.behavior = measure_behavior(config, paths, sigmas, on_progress)
    if published:
        sigmas = config.sigmas or PUBLISHED_SIGMAS
        report.published += measure_published(
            config, artifact, paths, sigmas, on_progress
        )
    if camera:
        report.cameras += measure_cameras(config, paths, peers, on_progress)
    if pairs:
        report.pairs += measure_pairs(config, pairs, real_peers, on_progress)
    if real and config.output is not None:
        report.real, without = measure_real(
            config, real, real_peers, Path(config.output), on_progress
        )
        report.not_measured += without
    if config.output is not None:
        write_report(report, Path(config.output))
    return report


def write_report(report: EvalReport, folder: Path) -> None:
    """Write ``eval.md``, the same as ``eval.html``, ``eval.json`` and the plots.

    Raises:
        ConfigError: Matplotlib is missing, or `folder` cannot be written.
    """
    with writing_to(folder):
        page = markdown(report)
        (folder / "eval.md").write_text(page)
        (folder / "eval.html").write_text(to_html(page))
        (folder / "eval.json").write_text(report.json())
        draw_plots(report, folder)


def _check_names(paths: Sequence[Path]) -> None:
    """Check that names without the suffix, which reports show, are unique."""
    known: dict[str, Path] = {}
    for path in paths:
        other = known.setdefault(path.stem, path)
        if other is not path:
            raise ConfigError(
                f"{other} and {path.name} have the same name in the report; rename one"
            )


def _check_tuning(tuning: Path, paths: Sequence[Path]) -> None:
    measured = {path.resolve() for path in paths}
    for path in find_clips(tuning):
        if path.resolve() in measured:
            raise ConfigError(
                f"--tune {tuning} has the measured clip {path.name}; give a folder of "
                "other clips"
            )


def _check_sizes(paths: Sequence[Path], behavior: bool) -> None:
    for path in paths:
        first = read_clip(path, 1)[0]
        if min(first.width, first.height) < MIN_SIZE:
            raise ConfigError(
                f"{path} is {first.width}x{first.height}; give clips of at least "
                f"{MIN_SIZE}x{MIN_SIZE}"
            )
        if behavior and first.width < MIN_WIDTH:
            raise ConfigError(
                f"{path} is {first.width} pixels wide, too narrow to move an object "
                f"over; give clips of {MIN_WIDTH} or more, or --no-behavior"
            )
