"""Replacing the denoiser of a running stream between two frames."""

from dataclasses import replace
from threading import Event

import numpy as np

from streamdenoise.denoisers.load import load_denoiser
from streamdenoise.denoisers.options import DenoiseConfig
from streamdenoise.frame import Frame
from streamdenoise.jobs.changeable import ChangeableDenoiser
from streamdenoise.pipeline.frame_denoiser import FrameDenoiser
from tests.support.frames import make_frame
from tests.support.waiting import wait_until

PICO = DenoiseConfig(model="pico", sigma=5.0)


def noisy(index: int) -> Frame:
    frame = make_frame(index)
    rng = np.random.default_rng(index)
    planes = tuple(
        (plane + rng.normal(0, 5, plane.shape)).clip(0, 255).astype(np.uint8)
        for plane in frame.planes
    )
    return frame.with_planes(planes)


def test_the_next_denoiser_takes_over_between_two_frames() -> None:
    gate = Event()

    def load(config: DenoiseConfig) -> FrameDenoiser:
        gate.wait(30)
        return load_denoiser(config)

    with ChangeableDenoiser(load_denoiser(PICO), load) as denoiser:
        assert len(denoiser.process(noisy(0))) == 1
        assert (denoiser.model, denoiser.sigma) == ("pico", 5.0)
        denoiser.strength = 0.5
        denoiser.change(replace(PICO, sigma=9.0))
        denoiser.change(replace(PICO, sigma=12.0, model="nano"))
        denoiser.strength = 0.75
        # Frames do not wait for it.
        assert len(denoiser.process(noisy(1))) == 1
        assert denoiser.model == "pico"
        gate.set()
        numbers = iter(range(2, 1000))

        def has_changed() -> bool:
            (frame,) = denoiser.process(noisy(number := next(numbers)))
            assert frame.index == number
            return denoiser.model == "nano"

        wait_until(has_changed, poll_s=0.05)
        assert denoiser.sigma == 12.0
        assert denoiser.strength == 0.75, "set while the other one was loaded"
        # As if it had been there alone.
        with load_denoiser(replace(PICO, sigma=12.0, model="nano")) as alone:
            alone.strength = 0.75
            number = next(numbers)
            denoiser.reset()
            (one,) = denoiser.process(noisy(number))
            (other,) = alone.process(noisy(number))
        np.testing.assert_array_equal(one.planes[0], other.planes[0])


def test_what_cannot_be_loaded_changes_nothing() -> None:
    with ChangeableDenoiser(load_denoiser(PICO), load_denoiser) as denoiser:
        denoiser.process(noisy(0))
        denoiser.change(replace(PICO, model="nonesuch"))
        wait_until(lambda: bool(denoiser.change_error))
        assert "nonesuch" in denoiser.change_error
        assert len(denoiser.process(noisy(1))) == 1
        assert denoiser.model == "pico"


def test_an_unknown_failure_is_reported_and_the_next_change_works() -> None:
    def load(config: DenoiseConfig) -> FrameDenoiser:
        if config.sigma == 9.0:
            raise RuntimeError("the driver is gone")
        return load_denoiser(config)

    with ChangeableDenoiser(load_denoiser(PICO), load) as denoiser:
        denoiser.process(noisy(0))
        denoiser.change(replace(PICO, sigma=9.0))
        wait_until(lambda: "the driver is gone" in denoiser.change_error)
        denoiser.change(replace(PICO, sigma=12.0))
        numbers = iter(range(1, 1000))

        def has_changed() -> bool:
            denoiser.process(noisy(next(numbers)))
            return denoiser.sigma == 12.0

        wait_until(has_changed, poll_s=0.05)
        assert not denoiser.change_error


def test_a_failure_counts_only_while_it_is_wanted() -> None:
    begun, gate = Event(), Event()

    def load(config: DenoiseConfig) -> FrameDenoiser:
        begun.set()
        gate.wait(30)
        return load_denoiser(config)

    with ChangeableDenoiser(load_denoiser(PICO), load) as denoiser:
        denoiser.process(noisy(0))
        denoiser.change(replace(PICO, model="nonesuch"))
        begun.wait(30)
        denoiser.change(replace(PICO, sigma=12.0))
        gate.set()
        numbers = iter(range(1, 1000))

        def has_changed() -> bool:
            denoiser.process(noisy(next(numbers)))
            return denoiser.sigma == 12.0

        wait_until(has_changed, poll_s=0.05)
        assert not denoiser.change_error


def test_closing_while_it_loads_closes_what_was_loaded() -> None:
    loaded: list[FrameDenoiser] = []
    begun = Event()

    def load(config: DenoiseConfig) -> FrameDenoiser:
        begun.set()
        loaded.append(load_denoiser(config))
        return loaded[-1]

    denoiser = ChangeableDenoiser(load_denoiser(PICO), load)
    denoiser.process(noisy(0))
    denoiser.change(replace(PICO, sigma=9.0))
    begun.wait(30)
    denoiser.close()
    denoiser.close()
    assert len(loaded) == 1
