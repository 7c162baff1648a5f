"""The job of images: files, folders, sequences."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.denoisers.image import ImageDenoiser
from streamdenoise.denoisers.load import load_denoiser
from streamdenoise.errors import (
    ConfigError,
    DeviceMemoryError,
    SinkError,
    SourceError,
    SourceOpenError,
)
from streamdenoise.inference.backend import OnBuild
from streamdenoise.io.ffmpeg.errors import is_write_failure
from streamdenoise.io.image_paths import has_number, is_image
from streamdenoise.io.open import open_sink, open_source
from streamdenoise.io.options import FilterOptions, ReadOptions
from streamdenoise.io.output_folders import make_folder
from streamdenoise.io.protocols import beside_of
from streamdenoise.jobs.config import ImageConfig, PagesAs, View
from streamdenoise.jobs.image_plan import ImageTask, plan_images
from streamdenoise.jobs.job import (
    Parts,
    StopSwitch,
    check_pages,
    denoiser_notes,
    limited_pools,
    open_reference,
    renderer,
    view_info,
)
from streamdenoise.pipeline.pipeline import Pipeline
from streamdenoise.pipeline.stats import Stats
from streamdenoise.pipeline.writer import Output


def denoise_images(
    config: ImageConfig,
    *,
    on_build: OnBuild | None = None,
    switch: StopSwitch | None = None,
) -> Stats:
    """Denoise images, each independently, and animations as video.

    Args:
        config: Inputs, output and options.
        on_build: See `denoise_file`.
        switch: Stops the job after the current image.

    Returns:
        The figures of all images together: the mean scores, the noise of the last one.

    Raises:
        StreamDenoiseError: See `denoise_file`. Nothing has been done if the plan is at
            fault: a missing folder, two inputs with one output, an existing file.
    """
    tasks, notes = plan_images(config)
    switch = switch or StopSwitch()
    with limited_pools(config.denoise.threads), Parts(switch) as stack:
        run = _Run(config, switch, _Denoisers(config, on_build, stack))
        for task in tasks:
            if switch.is_stopped():
                break
            run.denoise(task)
        if tasks and len(run.left_out) == len(tasks):
            raise SourceOpenError(
                f"none of the {len(tasks)} images can be denoised; the first: "
                f"{run.left_out[0]}"
            )
        run.total.notes = [*notes, *run.total.notes, *run.denoisers.notes()]
    return run.total


_ONE_FILE = (SourceError, SinkError, ConfigError, DeviceMemoryError)
"""Errors that may be the fault of one file; of all, the first file has them, too."""


@contextmanager
def _memory_errors(name: str) -> Generator[None]:
    """Say it in a sentence if memory runs out."""
    try:
        yield
    except MemoryError as exc:
        raise DeviceMemoryError(
            f"{name} cannot be denoised: there is too little memory; use a smaller "
            "--tile, or scale it down first"
        ) from exc


class _Denoisers:
    """The denoiser of images, and that of animations, once there is one."""

    def __init__(
        self, config: ImageConfig, on_build: OnBuild | None, stack: ExitStack
    ) -> None:
        self._config = config
        self._on_build = on_build
        self._stack = stack
        self._loaded: dict[bool, Denoiser | ImageDenoiser] = {}

    def get(self, as_video: bool) -> Denoiser | ImageDenoiser:
        if as_video not in self._loaded:
            self._loaded[as_video] = self._stack.enter_context(
                load_denoiser(
                    self._config.denoise, self._on_build, single_images=not as_video
                )
            )
        return self._loaded[as_video]

    def notes(self) -> list[str]:
        """Of all of them, each once."""
        every = (denoiser_notes(each) for each in self._loaded.values())
        return list(dict.fromkeys(note for notes in every for note in notes))


class _Run:
    """Denoises one file after the other, and adds the figures up."""

    def __init__(
        self, config: ImageConfig, switch: StopSwitch, denoisers: _Denoisers
    ) -> None:
        self._config = config
        self._switch = switch
        self.denoisers = denoisers
        self.total = Stats()
        self.left_out: list[str] = []
        """Why files of folders are left out."""

    def denoise(self, task: ImageTask) -> None:
        # Models of RGB refuse YUV, which other files are read as.
        is_stored = is_image(Path(task.source)) or has_number(Path(task.source))
        pix_fmt = None
        if not is_stored:
            is_rgb = self.denoisers.get(False).layout == "rgb"
            pix_fmt = "gray" if self._config.gray else "rgb24" if is_rgb else None
        target = Path(task.target)
        options = ReadOptions(
            pix_fmt=pix_fmt,
            as_stored=task.target.endswith("/") or is_image(target),
            filters=FilterOptions(scale=self._config.scale),
            gray=self._config.gray,
            sandbox=self._config.sandbox,
        )
        try:
            self._add(self._denoised(task, options))
        except _ONE_FILE as exc:
            if not task.is_one_of_folder or is_write_failure(exc.__cause__):
                raise
            self.left_out.append(str(exc))
            self.total.notes.append(f"left out: {exc}")

    def _denoised(self, task: ImageTask, options: ReadOptions) -> Stats:
        with _memory_errors(task.source), Parts(self._switch) as stack:
            with self._switch.stage.doing(f"opening {task.source}"):
                source = stack.enter_context(open_source(task.source, options))
            check_pages(task.source, source, task.target)
            if task.target != "null:":
                make_folder(Path(task.target).parent)
            view = self._config.compare or View.CLEAN
            with self._switch.stage.doing(f"opening {task.target}"):
                sink = stack.enter_context(
                    open_sink(
                        task.target,
                        view_info(source.info, view),
                        beside=beside_of(source),
                        overwrite=self._config.overwrite,
                    )
                )
            reference = open_reference(
                stack,
                source,
                task.reference,
                self._config.add_noise,
                options=options,
            )
            as_video = self._config.pages_as is PagesAs.VIDEO or (
                self._config.pages_as is PagesAs.AUTO and source.info.is_animation
            )
            denoiser = self.denoisers.get(as_video)
            denoiser.reset()
            pipeline = Pipeline(
                source,
                denoiser,
                [Output(sink, renderer(view, overlay=False), task.target)],
                reference=reference,
                each_alone=not as_video,
                with_ssim=True,
            )
            return self._switch.run(pipeline)

    def _add(self, stats: Stats) -> None:
        total = self.total
        total.frames_in += stats.frames_in
        total.frames_out += stats.frames_out
        total.elapsed_s += stats.elapsed_s
        total.sigma = stats.sigma
        total.noise_levels = stats.noise_levels
        total.notes.extend(stats.notes)
        if stats.scores is None:
            return
        total.scores = scores = stats.scores.plus(total.scores)
        total.psnr_in_db = scores.before.psnr_db
        total.psnr_out_db = scores.after.psnr_db
        total.psnr_is_estimate = False
