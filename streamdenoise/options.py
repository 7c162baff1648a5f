"""Declarations of command-line options, next to the fields that hold their values.

The annotation of a dataclass's field makes it an option or an argument::

    duration_s: Annotated[
        float | None,
        Option("Stop after this much.", Panel.INPUT, "--duration", parse=parse_time),
    ] = None

The command line makes its commands from these declarations.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any


class Panel(StrEnum):
    """Groups of options in ``--help``, in the order in which they are listed."""

    INPUT = "Input"
    NETWORK = "Network"
    NOISE = "Noise"
    OUTPUT = "Output"
    ENCODER = "Encoder"
    LIVE = "Live"
    RECORDING = "Recording"
    CAMERAS = "Cameras"
    MEASUREMENT = "Measurement"
    TRAINING = "Training"
    ENGINE = "Engine"
    MONITORING = "Monitoring"
    HARDWARE = "Hardware"


class Argument:
    """A field whose value is given by its position."""

    repeats = False
    shown = None

    def __init__(
        self, help: str, metavar: str, parse: Callable[[str], Any] | None = None
    ) -> None:
        """Declare an argument.

        Args:
            help: One sentence.
            metavar: Its name in the usage line.
            parse: Turns the text into the field's value; raises `ConfigError`.
        """
        self.help = help
        self.metavar = metavar
        self.parse = parse


class Option:
    """A field whose value is given by name."""

    def __init__(
        self,
        help: str,
        panel: Panel,
        *flags: str,
        parse: Callable[[Any], Any] | None = None,
        metavar: str | None = None,
        repeats: bool = False,
        shown: str | None = None,
    ) -> None:
        """Declare an option.

        Args:
            help: One sentence.
            panel: The group that lists it.
            flags: Names such as ``-o`` and ``--output``; by default the name of the
                field, with a ``--no-`` form if it is not false by default.
            parse: Turns the text, or the list of texts if it `repeats`, into the
                field's value; raises `ConfigError`.
            metavar: What the value looks like, such as ``HOST:PORT``.
            repeats: Whether a parsed option may be given several times. Fields that
                are tuples may anyway.
            shown: The default of a parsed option as users write it.
        """
        self.help = help
        self.panel = panel
        self.flags = flags
        self.parse = parse
        self.metavar = metavar
        self.repeats = repeats
        self.shown = shown
