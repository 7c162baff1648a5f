"""Several streams through one engine, each as if it were alone."""

from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest

from streamdenoise.denoisers.batch import StreamBatch
from streamdenoise.denoisers.denoiser import Denoiser
from streamdenoise.denoisers.saved_profile import SavedProfile
from streamdenoise.errors import ConfigError
from streamdenoise.imaging.blocks import layout_shapes
from streamdenoise.inference.artifact import open_artifact
from streamdenoise.inference.backend import LaneInput
from streamdenoise.inference.backends.torch_device import TorchDeviceBackend
from streamdenoise.inference.load import load_backend
from streamdenoise.inference.self_test import known_frame
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.machine import has_cuda

H, W = 64, 96
SIGMA = np.full(open_artifact("nano").levels, 0.05, np.float32)


def clip(seed: int, frames: int) -> list[tuple[np.ndarray, ...]]:
    """Another part of the known clip for each seed."""
    shapes = layout_shapes("yuv420", H, W)
    return [known_frame(10 * seed + t, shapes, 255) for t in range(frames)]


def i420(planes: tuple[np.ndarray, ...]) -> np.ndarray:
    return np.concatenate([plane.reshape(-1) for plane in planes]).reshape(-1, W)


def test_a_batch_equals_each_stream_alone_even_with_frames_missing() -> None:
    artifact = open_artifact("nano")
    batch = load_backend(StepRequest("eager", artifact, H, W, threads=1, streams=3))
    assert isinstance(batch, TorchDeviceBackend)
    alone = [
        load_backend(StepRequest("eager", artifact, H, W, threads=1)) for _ in range(3)
    ]
    clips = [clip(seed, 6) for seed in range(3)]
    given = [(0, 1, 2), (0, 2), (1,), (0, 1, 2), (2,), (0, 1, 2)]
    for t, streams in enumerate(given):
        inputs = {i: LaneInput(clips[i][t], (i + 1) * SIGMA) for i in streams}
        got = batch.step_lanes(inputs)
        assert got.keys() == set(streams)
        for i in streams:
            expected = alone[i].step(clips[i][t], (i + 1) * SIGMA)
            for a, b in zip(expected, got[i], strict=True):
                assert np.abs(a.astype(int) - b).max() <= 1
                assert (a != b).mean() < 1e-3
        if t == 3:
            batch.lane(1).reset()
            alone[1].reset()
        for lane, single in zip(map(batch.lane, range(3)), alone, strict=True):
            for a, b in zip(single.state(), lane.state(), strict=True):
                np.testing.assert_allclose(a, b, atol=2e-3, rtol=1e-3)
    batch.close()


def run_together(jobs: list[Callable[[], None]]) -> None:
    """Run all at once, each in its own thread; raises the first exception."""
    errors: list[BaseException] = []
    start = Barrier(len(jobs))

    def run(job: Callable[[], None]) -> None:
        try:
            start.wait()
            job()
        except BaseException as exc:
            errors.append(exc)

    threads = [Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("backend", ["eager", "openvino", "openvino-fp32"])
def test_threads_that_share_an_engine_get_their_own_results(backend: str) -> None:
    count, frames = 3, 8
    clips = [clip(seed, frames) for seed in range(count)]
    results: list[list[np.ndarray]] = [[] for _ in range(count)]
    with StreamBatch(
        count, W, H, backend=backend, sigma=12.75, threads=1, wait_s=5.0
    ) as batch:
        all_began = Barrier(count)

        def work(i: int) -> None:
            with batch.denoisers[i] as denoiser:
                for number, planes in enumerate(clips[i]):
                    results[i].append(denoiser(i420(planes), "yuv420p"))
                    if number == 0:
                        # A batch does not wait for streams that have not begun.
                        all_began.wait(30)

        run_together([lambda i=i: work(i) for i in range(count)])
        # All came together, but perhaps the first frames.
        assert frames <= batch.calls <= frames + count
    for i in range(count):
        with Denoiser.load("nano", backend=backend, sigma=12.75, threads=1) as alone:
            for planes, got in zip(clips[i], results[i], strict=True):
                expected = alone(i420(planes), "yuv420p")
                # A batch of convolutions adds up in another order.
                assert (expected != got).mean() < (5e-3 if backend == "eager" else 1e-9)


@pytest.mark.parametrize("backend", ["eager", "openvino"])
def test_a_batch_does_not_wait_for_a_slow_stream(backend: str) -> None:
    with StreamBatch(2, W, H, backend=backend, sigma=10, wait_s=0.01) as batch:
        slow, fast = batch.denoisers
        first, *rest = clip(0, 4)
        slow(i420(first), "yuv420p")
        for planes in rest:
            fast(i420(planes), "yuv420p")
        assert batch.calls == 4
        slow.close()
        assert fast.backend == backend


@pytest.mark.parametrize("backend", ["eager", "openvino"])
def test_a_stream_that_comes_back_starts_fresh(backend: str) -> None:
    first, second, *_, last = clip(0, 8)
    with (
        StreamBatch(2, W, H, backend=backend, sigma=10) as batch,
        Denoiser.load("nano", backend=backend, sigma=10) as alone,
    ):
        denoiser = batch.denoisers[1]
        denoiser(i420(first), "yuv420p")
        denoiser(i420(second), "yuv420p")
        denoiser.close()
        denoiser.reset()
        got = denoiser(i420(last), "yuv420p")
        expected = alone(i420(last), "yuv420p")
    assert (got != expected).mean() < 1e-3


@pytest.mark.skipif(has_cuda(), reason="takes the GPU where there is one")
def test_auto_picks_the_first_backend_that_takes_batches() -> None:
    with StreamBatch(2, W, H) as batch:
        assert batch._engine.name == "openvino"


def test_streams_have_the_noise_and_strength_of_a_denoiser(tmp_path: Path) -> None:
    levels = (6.0, 8.0, 9.0, 4.0, 5.0, 4.0, 5.0)
    camera = tmp_path / "camera.json"
    camera.write_text(SavedProfile(levels, W, H, False).json())
    options: dict[str, Any] = {
        "noise_profile": camera,
        "strength": 0.8,
        "strength_luma": 0.5,
        "strength_chroma": 2.0,
        "threads": 1,
    }
    with (
        StreamBatch(2, W, H, **options) as batch,
        Denoiser.load("nano", **options) as alone,
        Denoiser.load("nano", threads=1) as neutral,
    ):
        first, second = batch.denoisers
        for planes in clip(0, 3):
            got = first(i420(planes), "yuv420p")
            np.testing.assert_array_equal(got, alone(i420(planes), "yuv420p"))
            assert (got != neutral(i420(planes), "yuv420p")).any()
        assert first.noise_levels == levels
        # The options of one stream do not reach the other.
        first.strength = 0
        assert second.strength == 0.8
        (other,) = clip(1, 1)
        assert (second(i420(other), "yuv420p") != i420(other)).any()
    with StreamBatch(1, W, H, profile_region=(0, 0, 48, 48), threads=1) as batch:
        batch.denoisers[0](i420(clip(0, 1)[0]), "yuv420p")
        assert batch.denoisers[0].sigma > 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise_profile": "no.json"}, "the noise profile no.json cannot be read"),
        ({"sigma": 5, "profile_region": (0, 0, 48, 48)}, "give only one of sigma"),
        ({"strength_chroma": 5}, "strength_chroma 5 is outside 0 to 4"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        StreamBatch(2, W, H, **options)


def test_an_interrupted_stream_does_not_hang_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with StreamBatch(2, W, H, backend="eager", sigma=10, wait_s=5.0) as batch:
        lanes = [batch.lane(i, H, W, 8) for i in range(2)]
        (planes,) = clip(0, 1)

        def interrupt(given: object) -> None:
            raise KeyboardInterrupt

        seen: list[type[BaseException]] = []

        def work(i: int) -> None:
            try:
                lanes[i].step(planes, SIGMA)
            except BaseException as exc:
                seen.append(type(exc))

        with monkeypatch.context() as patch:
            patch.setattr(batch._engine, "step_lanes", interrupt)
            run_together([lambda: work(0), lambda: work(1)])
        assert sorted(kind.__name__ for kind in seen) == [
            "BackendError",
            "KeyboardInterrupt",
        ]
        # The next frames get their own results.
        later = clip(1, 2)
        got: dict[int, np.ndarray] = {}

        def step(i: int) -> None:
            got[i] = lanes[i].step(later[i], SIGMA)[0]

        run_together([lambda: step(0), lambda: step(1)])
        alone = load_backend(StepRequest("eager", open_artifact("nano"), H, W))
        for i in range(2):
            alone.reset()
            assert (alone.step(later[i], SIGMA)[0] != got[i]).mean() < 1e-3


def test_an_error_reaches_every_stream_of_the_batch() -> None:
    with StreamBatch(2, W, H, backend="eager", sigma=10, wait_s=5.0) as batch:
        lanes = [batch.lane(i, H, W, 8) for i in range(2)]
        (planes,) = clip(0, 1)
        seen: list[str] = []

        def work(i: int) -> None:
            # Two levels where more are due: the step itself fails.
            sigma = SIGMA if i else SIGMA[:2]
            with pytest.raises(RuntimeError) as caught:
                lanes[i].step(planes, sigma)
            seen.append(str(caught.value))

        run_together([lambda: work(0), lambda: work(1)])
        assert len(set(seen)) == 1


def test_other_sizes_and_backends_are_refused() -> None:
    with pytest.raises(ConfigError, match="takes one stream per call"):
        StreamBatch(2, W, H, backend="onnxruntime")
    with pytest.raises(ConfigError, match="0 streams"):
        StreamBatch(0, W, H)
    with StreamBatch(2, W, H, backend="eager", sigma=10) as batch:
        wrong = np.zeros((H * 3, W * 2), np.uint8)
        with pytest.raises(ConfigError, match="the batch is for 96x64, 8 bit"):
            batch.denoisers[1](wrong, "yuv420p")
