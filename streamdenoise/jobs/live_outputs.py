"""The outputs of a live stream, by their targets; each fails and recovers alone."""

import re
from threading import Thread
from types import TracebackType
from typing import Self

from streamdenoise.errors import ConfigError
from streamdenoise.frame import StreamInfo
from streamdenoise.io.ffmpeg.nvenc import usable_encoder
from streamdenoise.io.open import open_sink
from streamdenoise.io.options import EncoderConfig, fast_encoder
from streamdenoise.io.protocols import Sink
from streamdenoise.io.recording.retention import Keep
from streamdenoise.io.recording.segments import SegmentSink, check_pattern
from streamdenoise.io.sinks.retrying import RetryingSink
from streamdenoise.io.timeouts import Interruption
from streamdenoise.io.url import Credentials, StreamURL, is_network
from streamdenoise.jobs.config import LiveConfig

_TIME_IN_NAME = re.compile(r"%[A-Za-z]")


class Opening:
    """While outputs are opened, a stop ends their waits for the network.

    A later one does not: they write what they have, and say goodbye.
    """

    def __init__(self) -> None:
        self._stopped = Interruption()
        self._is_over = False

    def stop(self) -> None:
        """Interrupt what is being opened; from any thread or signal handler."""
        if not self._is_over:
            self._stopped.set()

    def over(self) -> None:
        """All are open, or have failed."""
        self._is_over = True

    def interrupts(self, interruption: Interruption) -> Interruption:
        """`interruption`, which is set by `stop`, too."""
        if not self._is_over:
            self._stopped.add(interruption.set)
        return interruption


def open_output(
    target: str,
    info: StreamInfo,
    encoder: EncoderConfig | None,
    config: LiveConfig,
    credentials: Credentials | None,
    opening: Opening,
) -> tuple[str, Sink]:
    """Open one output.

    Networks, virtual cameras and segments are sought again when they fail, and opened
    by the first frame where `--reconnect` covers the first time; a file that fails is
    left out.

    Returns:
        Its name, without credentials, and its sink.

    Raises:
        SinkError: It cannot be opened.
        ConfigError: It fits no `--segment` or `--keep`.
    """
    if is_network(target):
        # A GPU's encoder leaves the processor to the denoiser; viewers see little of
        # what it costs per bit.
        encoder = encoder or usable_encoder(EncoderConfig("h264_nvenc"), info)[0]
        encoder = fast_encoder(target, encoder)
        url = StreamURL.parse(target, credentials)
        name = str(url)
        sink: Sink = RetryingSink(
            lambda interruption: open_sink(
                url,
                info,
                encoder=encoder,
                interruption=opening.interrupts(interruption),
            ),
            name,
            reconnect=config.reconnect,
        )
    elif target.startswith("virtualcam:"):
        name = target
        sink = RetryingSink(
            lambda _: open_sink(target, info), name, reconnect=config.reconnect
        )
    elif config.segment_s is not None and _TIME_IN_NAME.search(target):
        name, segment_s, keep = target, config.segment_s, Keep.parse(config.keep)
        sink = RetryingSink(
            lambda _: SegmentSink(
                target, info, segment_s=segment_s, keep=keep, encoder=encoder
            ),
            name,
            reconnect=config.reconnect,
        )
    else:
        name = target
        encoder = fast_encoder(target, encoder)
        sink = open_sink(target, info, encoder=encoder, overwrite=config.overwrite)
    return name, sink


def check_targets(config: LiveConfig) -> None:
    """Refuse what cannot be meant, before anything is opened.

    Raises:
        ConfigError: Names and `--segment` do not go together.
        SinkError: Segments cannot have such an ending.
    """
    Keep.parse(config.keep)
    timed = [
        target
        for target in config.outputs
        if _TIME_IN_NAME.search(target) and not is_network(target)
    ]
    if config.segment_s is None and timed:
        raise ConfigError(
            f"-o {timed[0]} has the time in its name; add --segment 10m for files of "
            "ten minutes"
        )
    if config.segment_s is not None and not timed:
        raise ConfigError(
            "--segment needs an output with the time in its name, such as "
            "-o clips/%Y-%m-%d_%H-%M-%S.mkv"
        )
    for target in timed:
        check_pattern(target)


class ClosedTogether:
    """Closes sinks at the same time, so that none waits for another's network."""

    def __init__(self) -> None:
        self._sinks: list[Sink] = []

    def add(self, sink: Sink) -> None:
        self._sinks.append(sink)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """`close` after success, `abort` after an exception.

        Raises:
            SinkError: The first output that could not be finished.
        """
        errors: list[Exception] = []

        def end(sink: Sink) -> None:
            try:
                if exc_type is None:
                    sink.close()
                else:
                    sink.abort()
            except Exception as error:
                errors.append(error)

        threads = [
            Thread(target=end, args=(sink,), name="close-output")
            for sink in self._sinks
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors and exc is None:
            raise errors[0]
