"""Several streams through one engine, each as if it were alone."""

from collections.abc import Callable
from threading import Barrier, Thread

import numpy as np
import pytest

from streamdenoise.denoisers.batch import StreamBatch
from streamdenoise.denoisers.denoiser import Denoiser
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
SIGMA = np.full(3, 0.05, np.float32)


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
    levels = (1.0, 0.5, 2.0)
    for t, streams in enumerate(given):
        inputs = {
            i: LaneInput(clips[i][t], (i + 1) * SIGMA, levels[i]) for i in streams
        }
        got = batch.step_lanes(inputs)
        assert got.keys() == set(streams)
        for i in streams:
            expected = alone[i].step(clips[i][t], (i + 1) * SIGMA, levels[i])
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


def test_threads_that_share_an_engine_get_their_own_results() -> None:
    count, frames = 3, 8
    clips = [clip(seed, frames) for seed in range(count)]
    results: list[list[np.ndarray]] = [[] for _ in range(count)]
    with StreamBatch(count, W, H, backend="eager", sigma=12.75, wait_s=5.0) as batch:
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
        with Denoiser.load("nano", backend="eager", sigma=12.75) as alone:
            for planes, got in zip(clips[i], results[i], strict=True):
                expected = alone(i420(planes), "yuv420p")
                assert (expected != got).mean() < 1e-3


def test_a_batch_does_not_wait_for_a_slow_stream() -> None:
    with StreamBatch(2, W, H, backend="eager", sigma=10, wait_s=0.01) as batch:
        slow, fast = batch.denoisers
        first, *rest = clip(0, 4)
        slow(i420(first), "yuv420p")
        for planes in rest:
            fast(i420(planes), "yuv420p")
        assert batch.calls == 4
        slow.close()
        assert fast.backend == "eager"


def test_a_stream_that_comes_back_starts_fresh() -> None:
    first, second, *_, last = clip(0, 8)
    with (
        StreamBatch(1, W, H, backend="eager", sigma=10) as batch,
        Denoiser.load("nano", backend="eager", sigma=10) as alone,
    ):
        (denoiser,) = batch.denoisers
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
        assert batch._engine.name == "eager"


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
            # Two levels where three are due: the step itself fails.
            sigma = SIGMA if i else SIGMA[:2]
            with pytest.raises(RuntimeError) as caught:
                lanes[i].step(planes, sigma)
            seen.append(str(caught.value))

        run_together([lambda: work(0), lambda: work(1)])
        assert len(set(seen)) == 1


def test_other_sizes_and_backends_are_refused() -> None:
    with pytest.raises(ConfigError, match="takes one stream per call"):
        StreamBatch(2, W, H, backend="openvino")
    with pytest.raises(ConfigError, match="0 streams"):
        StreamBatch(0, W, H)
    with StreamBatch(2, W, H, backend="eager", sigma=10) as batch:
        wrong = np.zeros((H * 3, W * 2), np.uint8)
        with pytest.raises(ConfigError, match="the batch is for 96x64, 8 bit"):
            batch.denoisers[1](wrong, "yuv420p")
