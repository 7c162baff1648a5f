"""Open sources and sinks by name."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from streamdenoise.errors import ConfigError
from streamdenoise.frame import PIX_FMTS, StreamInfo
from streamdenoise.io.image_paths import is_pattern
from streamdenoise.io.options import IMAGE_SUFFIXES, ORIENTED_SUFFIXES, ReadOptions
from streamdenoise.io.protocols import Sink, Source
from streamdenoise.io.url import StreamURL, is_network, local_path

if TYPE_CHECKING:
    from streamdenoise.io.ffmpeg.beside import Beside
    from streamdenoise.io.ffmpeg.packet_tap import PacketTap
    from streamdenoise.io.ffmpeg.sound import Sound
    from streamdenoise.io.options import EncoderConfig, NetworkOptions
    from streamdenoise.io.timeouts import Interruption
    from streamdenoise.progress import Stage


def open_source(
    uri: "str | StreamURL",
    options: ReadOptions | None = None,
    *,
    live: bool = False,
    sound: "Sound | None" = None,
) -> Source:
    """Open `uri` and read its first frame.

    Args:
        uri: A video file, also as a ``file://`` URL; an image, a folder of images, or
            a pattern of their names such as ``img_%04d.png``; ``-`` for yuv4mpegpipe on
            stdin; ``rtsp://``, ``http://`` and other URLs that FFmpeg reads;
            ``camera:N``; ``testsrc:WxH@RATE``, a test pattern.
        options: How it is read.
        live: Give a file or test pattern at its own pace, as a camera would.
        sound: Gets the sound of a file or stream while frames are read.

    Raises:
        SourceOpenError: It cannot be opened, or has no frame.
        ConfigError: `uri` or ``options.pix_fmt`` cannot be used.
    """
    options = options or ReadOptions()
    if options.pix_fmt is not None and options.pix_fmt not in PIX_FMTS:
        raise ConfigError(
            f"pix_fmt {options.pix_fmt!r} is not supported; "
            f"use one of {', '.join(PIX_FMTS)}"
        )
    source = _open(uri, options, sound)
    if live and not source.info.is_live:
        from streamdenoise.io.sources.paced import PacedSource

        return PacedSource(source)
    return source


def _open(
    uri: "str | StreamURL", options: ReadOptions, sound: "Sound | None"
) -> Source:
    if isinstance(uri, StreamURL) or is_network(uri) or uri.endswith(".sdp"):
        from streamdenoise.io.sources.network import NetworkSource

        return NetworkSource(uri, options, sound)
    if options.filters.is_used and _is_unfiltered(uri):
        if uri == "-":
            raise ConfigError(
                "stdin cannot be turned, cropped, masked, scaled, retimed or "
                "deinterlaced here; do it with ffmpeg first"
            )
        if replace(options.filters, scale=None).is_used:
            raise ConfigError(
                f"{uri} cannot be turned, cropped, masked, retimed or deinterlaced "
                "here, only scaled; do it with ffmpeg first"
            )
    if uri == "-":
        from streamdenoise.io.sources.y4m import Y4MSource

        return Y4MSource.from_stdin(options)
    if uri.startswith("camera:"):
        from streamdenoise.io.sources.camera import open_camera

        return open_camera(uri, options)
    if uri == "testsrc" or uri.startswith("testsrc:"):
        from streamdenoise.io.sources.test_pattern import TestPatternSource

        return TestPatternSource(uri, options)
    if options.sandbox:
        from streamdenoise.io.sandbox.source import SandboxedSource

        return SandboxedSource(uri, options)
    path = Path(local_path(uri))
    # FFmpeg reads animated GIF as the video that it is.
    is_video = path.suffix.lower() == ".gif" and not options.as_stored
    is_image = path.suffix.lower() in IMAGE_SUFFIXES and not is_video
    if is_image or os.path.isdir(path) or is_pattern(path):
        from streamdenoise.io.sources.image import ImageSource

        return ImageSource(path, options)
    from streamdenoise.io.sources.file import FileSource

    return FileSource(path, options, sound)


def _is_unfiltered(uri: str) -> bool:
    """Whether frames do not come through FFmpeg's decoders, and so not its filters."""
    path = Path(local_path(uri))
    return uri == "-" or path.suffix.lower() in IMAGE_SUFFIXES or os.path.isdir(path)


def holds_orientation(target: str) -> bool:
    """Whether an output can be tagged with a rotation of its frames."""
    return not is_network(target) and Path(target).suffix.lower() in ORIENTED_SUFFIXES


def encodes(target: str) -> bool:
    """Whether an output is a video of a codec, not frames as they are."""
    from streamdenoise.io.sinks.file import MUXERS

    return is_network(target) or Path(target).suffix.lower() in MUXERS


def open_sink(
    target: "str | StreamURL",
    info: StreamInfo,
    *,
    encoder: "EncoderConfig | None" = None,
    beside: "Beside | None" = None,
    sound: "Sound | None" = None,
    names_from: str | None = None,
    overwrite: bool = False,
    start_s: float = 0.0,
    interruption: "Interruption | None" = None,
    stage: "Stage | None" = None,
    network: "NetworkOptions | None" = None,
    tap: "PacketTap | None" = None,
) -> Sink:
    """Open `target` for frames that look like `info`.

    Args:
        target: A video file (mp4, m4v, mov, mkv, webm, avi, ts, y4m); an image; a
            folder, or a pattern such as ``out/%05d.png``, for an image per frame;
            ``-`` for yuv4mpegpipe on stdout; ``rtsp://``, ``rtmp://``, ``srt://``,
            ``udp://`` and ``tcp://`` to publish; ``virtualcam:``, or
            ``virtualcam:/dev/video9``, for other programs; ``null:`` discards frames.
        info: Size, format, rate, time base and color tags of the frames.
        encoder: Codec and quality; None chooses what suits the container.
        beside: The audio, subtitles, attachments, chapters and tags of the source,
            its `beside`; video files take them.
        sound: The sound of a live source; video files and network streams take it.
        names_from: For images, the file or folder whose names are used.
        overwrite: Replace an existing output.
        start_s: The `start_s` that the source was opened with: the output is shifted
            so that it begins near 0. With `beside` it is known already.
        interruption: Ends waits for the network when it is set.
        stage: Gets the progress of long work, and of the threads of the sink.
        network: Which servers are trusted.
        tap: Gets the packets of what is encoded, too.

    Raises:
        SinkError: It cannot be written, or exists and `overwrite` is False.
        ConfigError: The address cannot be published to.
    """
    from streamdenoise.io.options import EncoderConfig

    if isinstance(target, StreamURL) or is_network(target):
        from streamdenoise.io.publishing.sink import PublishSink

        return PublishSink(
            target,
            info,
            encoder or EncoderConfig(preset="veryfast"),
            interruption=interruption,
            network=network,
            tap=tap,
            sound=sound,
        )
    if target == "null:":
        from streamdenoise.io.sinks.null import NullSink

        return NullSink()
    if target == "-":
        from streamdenoise.io.sinks.y4m import Y4MSink

        return Y4MSink.to_stdout(info)
    if target.startswith("virtualcam:"):
        from streamdenoise.io.sinks.virtualcam import VirtualCamSink

        return VirtualCamSink(target.removeprefix("virtualcam:") or None, info)
    path = Path(target)
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES or os.path.isdir(path) or target.endswith(("/", "\\")):
        from streamdenoise.io.sinks.image import ImageSink

        names = Path(names_from) if names_from is not None else None
        return ImageSink(path, info, names_from=names, overwrite=overwrite)
    if suffix == ".y4m":
        from streamdenoise.io.sinks.y4m import Y4MSink

        return Y4MSink.to_file(path, info, overwrite=overwrite)
    from streamdenoise.io.sinks.file import FileSink

    return FileSink(
        path,
        info,
        encoder=encoder,
        beside=beside,
        sound=sound,
        overwrite=overwrite,
        start_s=start_s,
        stage=stage,
        tap=tap,
    )
