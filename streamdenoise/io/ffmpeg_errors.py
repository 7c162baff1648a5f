"""FFmpeg's errors in words for a one-line message."""

import av.error

# PyAV raises its own tree, and plain OSError and ValueError from file objects.
FFMPEG_ERRORS = (av.error.FFmpegError, OSError, ValueError, MemoryError)


def reason(exc: BaseException) -> str:
    """What happened, without error numbers, class names and credentials' place."""
    if isinstance(exc, av.error.ExitError):
        return "no answer in time"
    if isinstance(exc, av.error.HTTPUnauthorizedError):
        return "user name or password refused"
    text = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    text = str(text).splitlines()[0].strip().rstrip(".")
    return text[:1].lower() + text[1:]
