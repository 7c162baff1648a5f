"""Opening the outputs of a live stream; each one fails and recovers alone."""

import re

from streamdenoise.errors import ConfigError
from streamdenoise.frame import StreamInfo
from streamdenoise.io.ffmpeg.nvenc import usable_encoder
from streamdenoise.io.ffmpeg.packet_tap import PacketTap
from streamdenoise.io.ffmpeg.sound import Sound
from streamdenoise.io.open import encodes, open_sink
from streamdenoise.io.options import EncoderConfig, fast_encoder
from streamdenoise.io.protocols import Sink
from streamdenoise.io.recording.disk import MountedFolder
from streamdenoise.io.recording.retention import Keep
from streamdenoise.io.recording.segments import SegmentSink, check_pattern
from streamdenoise.io.sinks.retrying import RetryingSink
from streamdenoise.io.timeouts import Interruption
from streamdenoise.io.url import Credentials, StreamURL, is_network
from streamdenoise.jobs.config import LiveConfig
from streamdenoise.pipeline.writer import Output
from streamdenoise.progress import HANG_S, Stage, within

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
    sound: Sound | None = None,
) -> Output:
    """Open one output, with its name without credentials.

    URLs, virtual cameras and segments are opened again when they fail, and only by the
    first frame if `--reconnect` applies to the first connection. A file that fails is
    left out.

    Raises:
        HungError: The disk does not answer.
        SinkError: The output cannot be opened.
        ConfigError: Its options do not fit together.
    """
    stage, tap = Stage(), PacketTap()
    if is_network(target):
        # A GPU's encoder leaves the CPU to the denoiser; viewers hardly notice its
        # lower quality per bit.
        encoder = encoder or usable_encoder(EncoderConfig("h264_nvenc"), info)[0]
        encoder = fast_encoder(target, encoder)
        url = StreamURL.parse(target, credentials, config.network.env)
        name = str(url)
        sink: Sink = RetryingSink(
            lambda interruption: open_sink(
                url,
                info,
                encoder=encoder,
                interruption=opening.interrupts(interruption),
                network=config.network,
                tap=tap,
                sound=sound,
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

        def record() -> RetryingSink:
            disk = MountedFolder(check_pattern(target).root)
            return RetryingSink(
                lambda _: SegmentSink(
                    target,
                    info,
                    segment_s=segment_s,
                    keep=keep,
                    encoder=encoder,
                    source=str(StreamURL.parse(config.source, env=config.network.env)),
                    adopt=config.adopt,
                    disk=disk,
                    stage=stage,
                    tap=tap,
                    sound=sound,
                ),
                name,
                reconnect=config.reconnect,
                must_recover=True,
            )

        sink = within(HANG_S, f"opening {target}", record)
    else:
        name = target
        encoder = fast_encoder(target, encoder)
        sink = within(
            HANG_S,
            f"opening {target}",
            lambda: open_sink(
                target,
                info,
                encoder=encoder,
                overwrite=config.overwrite,
                stage=stage,
                tap=tap,
                sound=sound,
            ),
        )
    return Output(sink, name=name, stage=stage, tap=tap if encodes(target) else None)


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
