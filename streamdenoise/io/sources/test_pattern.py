"""A moving test pattern, for demonstrations and tests."""

import re
from fractions import Fraction

import av

from streamdenoise.errors import ConfigError
from streamdenoise.frame import size_fault
from streamdenoise.io.options import ReadOptions
from streamdenoise.io.sources.pyav import PyAVSource

_SPEC = re.compile(
    r"testsrc(?::(?P<w>\d{1,6})x(?P<h>\d{1,6})(?:@(?P<n>\d{1,6})(?:/(?P<d>\d{1,6}))?)?)?"
)


class TestPatternSource(PyAVSource):
    """FFmpeg's endless `testsrc2`, with moving shapes and gradients and a clock.

    It is drawn, and tagged, in BT.601 at every size.

    The name is ``testsrc``, ``testsrc:640x360`` or ``testsrc:640x360@30000/1001``; the
    default is 640x360 at 25 Hz.
    """

    __test__ = False  # pytest would take the name for a test class

    def __init__(
        self,
        spec: str,
        options: ReadOptions,
    ) -> None:
        width, height, rate = _parse(spec)
        # In 4:2:0 the pattern itself rounds odd sizes down.
        even = f"{width + width % 2}x{height + height % 2}"
        graph = (
            f"testsrc2=size={even}:rate={rate},format=yuv420p,"
            f"crop={width}:{height}:0:0:exact=1,"
            "setparams=colorspace=smpte170m:range=limited"
        )
        container = av.open(graph, "r", format="lavfi")
        super().__init__(
            container,
            container.streams.video[0],
            spec,
            options,
            is_live=False,
        )


def _parse(spec: str) -> tuple[int, int, Fraction]:
    match = _SPEC.fullmatch(spec)
    if match is None:
        raise ConfigError(
            f"{spec!r} is not a test pattern; write testsrc:WIDTHxHEIGHT@RATE, "
            "such as testsrc:640x360@25"
        )
    width, height = int(match["w"] or 640), int(match["h"] or 360)
    numerator, denominator = int(match["n"] or 25), int(match["d"] or 1)
    fault = size_fault(width, height)
    if fault is not None:
        raise ConfigError(f"{spec}: {fault}")
    if numerator < 1 or denominator < 1 or numerator > 1000 * denominator:
        raise ConfigError(f"{spec}: the rate must be more than 0 and at most 1000 Hz")
    return width, height, Fraction(numerator, denominator)
