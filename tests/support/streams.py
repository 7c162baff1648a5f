"""Reading frames that show their numbers, so that none is lost or repeated unseen."""

import re
import time
from collections.abc import Iterable
from itertools import islice, pairwise

import pytest

from streamdenoise.errors import SourceLostError
from streamdenoise.frame import Frame
from streamdenoise.io.protocols import Source
from tests.faults.frame_code import frame_number

SLACK_S = 3.0
"""Seconds that a busy machine may add to a time-out."""


def take(frames: Iterable[Frame], how_many: int) -> list[Frame]:
    return list(islice(frames, how_many))


def numbers(frames: list[Frame]) -> list[int | None]:
    """The number that each frame shows; None if it is unreadable."""
    return [frame_number(frame) for frame in frames]


def readable_numbers(frames: list[Frame]) -> list[int]:
    """The number that each frame shows; fail if one is unreadable."""
    shown = [number for number in numbers(frames) if number is not None]
    assert len(shown) == len(frames)
    return shown


def assert_complete(frames: list[Frame], step: int) -> None:
    """Assert that no frame is missing, and that they are `step` ticks apart."""
    assert {b - a for a, b in pairwise(readable_numbers(frames))} == {1}
    assert {b.pts - a.pts for a, b in pairwise(frames)} == {step}
    assert [frame.index for frame in frames] == list(range(len(frames)))


def seconds_until_lost(
    source: Source, why: str, got: list[Frame] | None = None
) -> float:
    """Read until the source is lost because of `why`; append the frames to `got`."""
    begin = time.monotonic()
    frames = [] if got is None else got
    with pytest.raises(SourceLostError, match=why) as caught:
        frames.extend(iter(source))
    assert re.fullmatch(r"[^\n]*: the stream was lost \([^)]*\); .*", str(caught.value))
    return time.monotonic() - begin
