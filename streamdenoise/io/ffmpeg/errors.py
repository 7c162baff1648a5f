"""FFmpeg's errors as words for a one-line message."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import av.error

from streamdenoise.security.masking import mask_credentials, mask_exception

# PyAV raises its own tree, and plain OSError and ValueError from file objects.
FFMPEG_ERRORS = (av.error.FFmpegError, OSError, ValueError, MemoryError)


def reason(exc: BaseException) -> str:
    """The cause of `exc`, without error numbers, class names and credentials."""
    if isinstance(exc, av.error.ExitError):
        return "no answer in time"
    if isinstance(exc, av.error.HTTPUnauthorizedError):
        return "user name or password refused"
    text = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
    text = mask_credentials(str(text)).splitlines()[0].strip().rstrip(".")
    return text[:1].lower() + text[1:]


def is_disk_full(exc: BaseException | None) -> bool:
    """Whether the disk or the user's quota is full."""
    return isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT)


def is_write_failure(exc: BaseException | None) -> bool:
    """Whether the disk failed, and not what was to be written."""
    causes = (errno.EIO, errno.EROFS, errno.EFBIG, errno.EPIPE, errno.EBADF)
    causes += (errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.ETIMEDOUT)
    is_broken = isinstance(exc, OSError) and exc.errno in causes
    return is_broken or is_disk_full(exc)


@contextmanager
def masked_errors() -> Iterator[None]:
    """Mask credentials in exceptions that leave the block, and in their causes.

    FFmpeg's exceptions contain the whole address, which every traceback would print.
    """
    try:
        yield
    except BaseException as exc:
        mask_exception(exc)
        raise
