"""The commands that measure: bench, eval, profile."""

from streamdenoise.cli.options import AsJson
from streamdenoise.cli.terminal import print_progress, say
from streamdenoise.measure.config import BenchConfig, EvalConfig, ProfileConfig


def bench(config: BenchConfig, as_json: AsJson = False) -> None:
    """Measure speed and PSNR, compared with FFmpeg's denoisers.

    With --stages, measure what each stage of a job takes. With --backend, compare the
    engine step alone with the limits of this machine.
    """
    if config.stages:
        from streamdenoise.measure.speed.stages import bench_stages as measure
    elif config.backends:
        from streamdenoise.measure.speed.steps import bench_steps as measure
    else:
        from streamdenoise.measure.speed.bench import bench as measure

    result = measure(config, on_progress=print_progress)
    if config.output is not None:
        result.write(config.output)
    say(result.json() if as_json else result.markdown())


def eval_(config: EvalConfig, as_json: AsJson = False) -> None:
    """Measure quality, on clean clips with added noise and on real noise."""
    from streamdenoise.measure.quality.evaluate import evaluate
    from streamdenoise.measure.quality.markdown import markdown

    measured = evaluate(config, on_progress=print_progress)
    say(measured.json() if as_json else markdown(measured))


def profile(config: ProfileConfig) -> None:
    """Measure the noise of a camera, for --noise-profile.

    The noise is measured where the picture is flat or still. Point at a flat area, such
    as a wall, with --profile-region if there is little of either.
    """
    from streamdenoise.measure.noise_profile import measure_profile

    measured = measure_profile(config)
    say(measured.text())
    for path in config.outputs:
        measured.write(path)
