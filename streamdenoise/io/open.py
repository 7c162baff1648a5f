"""Open sources and sinks by name."""

from pathlib import Path
from typing import TYPE_CHECKING

from streamdenoise.errors import ConfigError
from streamdenoise.frame import PIX_FMTS, StreamInfo
from streamdenoise.io.options import IMAGE_SUFFIXES, ReadOptions
from streamdenoise.io.protocols import Sink, Source
from streamdenoise.io.url import StreamURL, is_network

if TYPE_CHECKING:
    from streamdenoise.io.options import EncoderConfig
    from streamdenoise.io.timeouts import Interruption


def open_source(
    uri: "str | StreamURL", options: ReadOptions | None = None, *, live: bool = False
) -> Source:
    """Open `uri` and read its first frame.

    Args:
        uri: A video file; an image, or a folder of images; ``-`` for yuv4mpegpipe on
            stdin; ``rtsp://``, ``http://`` and other URLs that FFmpeg reads;
            ``camera:N``; ``testsrc:WxH@RATE``, a moving test pattern.
        options: How it is read.
        live: Give a file or test pattern at its own pace, as a camera would.

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
    source = _open(uri, options)
    if live and not source.info.is_live:
        from streamdenoise.io.sources.paced import PacedSource

        return PacedSource(source)
    return source


def _open(uri: "str | StreamURL", options: ReadOptions) -> Source:
    if isinstance(uri, StreamURL) or is_network(uri) or uri.endswith(".sdp"):
        from streamdenoise.io.sources.network import NetworkSource

        return NetworkSource(uri, options)
    if uri == "-":
        from streamdenoise.io.sources.y4m import Y4MSource

        return Y4MSource.from_stdin(options)
    if uri.startswith("camera:"):
        from streamdenoise.io.sources.camera import open_camera

        return open_camera(uri, options)
    if uri == "testsrc" or uri.startswith("testsrc:"):
        from streamdenoise.io.sources.test_pattern import TestPatternSource

        return TestPatternSource(uri, options)
    path = Path(uri)
    if path.suffix.lower() in IMAGE_SUFFIXES or path.is_dir():
        from streamdenoise.io.sources.image import ImageSource

        return ImageSource(path, options)
    from streamdenoise.io.sources.file import FileSource

    return FileSource(path, options)


def open_sink(
    target: "str | StreamURL",
    info: StreamInfo,
    *,
    encoder: "EncoderConfig | None" = None,
    copy_from: str | None = None,
    overwrite: bool = False,
    start_s: float = 0.0,
    duration_s: float | None = None,
    interruption: "Interruption | None" = None,
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
        copy_from: The input file whose audio, subtitles, attachments, chapters,
            metadata and rotation are copied; for images, the file or folder whose
            names are used.
        overwrite: Replace an existing output.
        start_s: The `start_s` that the source was opened with: the output is shifted
            so that it begins near 0.
        duration_s: The `duration_s` that the source was opened with.
        interruption: Ends waits for the network when it is set.

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
    if suffix in IMAGE_SUFFIXES or path.is_dir() or target.endswith(("/", "\\")):
        from streamdenoise.io.sinks.image import ImageSink

        names = Path(copy_from) if copy_from is not None else None
        return ImageSink(path, info, names_from=names, overwrite=overwrite)
    if suffix == ".y4m":
        from streamdenoise.io.sinks.y4m import Y4MSink

        return Y4MSink.to_file(path, info, overwrite=overwrite)
    from streamdenoise.io.sinks.file import FileSink

    return FileSink(
        path,
        info,
        encoder=encoder,
        copy_from=copy_from,
        overwrite=overwrite,
        start_s=start_s,
        duration_s=duration_s,
    )
