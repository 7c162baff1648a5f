"""Opening the outputs of a live stream; each one fails and recovers alone."""

import re
from collections.abc import Callable
from threading import Thread

from streamdenoise.contexts import Completing
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
    """Interrupts outputs that wait for the network while they are being opened.

    A later stop does not interrupt them: they write what they have, and disconnect.
    """

    def __init__(self) -> None:
        self._stopped = Interruption()
        self._is_over = False

    def stop(self) -> None:
        """Interrupt the opening; may be called from any thread or signal handler."""
        if not self._is_over:
            self._stopped.set()

    def over(self) -> None:
        """Note that all outputs are open, or have failed."""
        self._is_over = True

    def interrupts(self, interruption: Interruption) -> Interruption:
        """`interruption`, which `stop` sets from now on."""
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

    URLs, virtual cameras and segments are opened again when they fail, and only by the
    first frame if `--reconnect` applies to the first connection. A file that fails is
    left out.

    Returns:
        The output's name, without credentials, and its sink.

    Raises:
        SinkError: The output cannot be opened.
        ConfigError: Its options do not fit together.
    """
    if is_network(target):
        # A GPU's encoder leaves the CPU to the denoiser; viewers hardly notice its
        # lower quality per bit.
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
    """Reject inconsistent options before anything is opened.

    Raises:
        ConfigError: The names of outputs do not fit `--segment`.
        SinkError: Segments cannot have this file extension.
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


class ClosedTogether(Completing):
    """Ends sinks at the same time, so that none waits for another's network."""

    def __init__(self) -> None:
        self._sinks: list[Sink] = []

    def add(self, sink: Sink) -> None:
        """Take charge of ending `sink`."""
        self._sinks.append(sink)

    def close(self) -> None:
        """Close all sinks.

        Raises:
            SinkError: The first output that could not be finished.
        """
        errors = self._end(lambda sink: sink.close())
        if errors:
            raise errors[0]

    def abort(self) -> None:
        """Abort all sinks, ignoring failures."""
        self._end(lambda sink: sink.abort())

    def _end(self, end: Callable[[Sink], None]) -> list[Exception]:
        errors: list[Exception] = []

        def run(sink: Sink) -> None:
            try:
                end(sink)
            except Exception as error:
                errors.append(error)

        threads = [
            Thread(target=run, args=(sink,), name="close-output")
            for sink in self._sinks
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return errors
