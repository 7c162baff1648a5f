"""Where frames come from and where they go.

`open_source` and `open_sink` read a name and give an object that meets `Source` or
`Sink`. Nothing heavy is imported before one of them is called.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from streamdenoise.errors import ConfigError
from streamdenoise.frame import PIX_FMTS, Frame, StreamInfo
from streamdenoise.io.open import open_sink, open_source
from streamdenoise.io.options import IMAGE_SUFFIXES, Hwaccel, Transport
from streamdenoise.io.protocols import Sink, Source
from streamdenoise.io.url import StreamURL, is_network

if TYPE_CHECKING:
    from streamdenoise.io.options import EncoderConfig
    from streamdenoise.io.timeouts import Interruption

__all__ = ["Sink", "Source", "is_network", "open_sink", "open_source"]
