"""Every error that streamdenoise raises on purpose.

StreamDenoiseError
├── SourceError (OSError)
│   ├── SourceOpenError      the source never gave a frame
│   │   └── SourceRefusedError   ... because it does not let us in
│   └── SourceLostError      the source stopped in mid-stream
├── SinkError (OSError)      the output cannot be opened, written or finished
│   └── SinkRefusedError     a server does not let this user publish
├── BackendError (RuntimeError)
│   ├── BackendUnavailableError   a package, device or artifact is missing
│   ├── EngineMismatchError       an engine does not fit its manifest
│   ├── EngineBuildError          an engine could not be built
│   │   └── BuildStoppedError         ... because it was not wanted any more
│   ├── EngineLoadError           a runtime cannot read an engine
│   ├── EngineMissingError        an engine would have to be built first
│   ├── EngineRefusedError        an engine computes something else than it should
│   └── DeviceMemoryError         the device has too little memory
├── CheckpointError (ValueError)
├── ConfigError (ValueError)
└── DivergedError (FloatingPointError)   training led to no finite loss

Messages say what was asked, what happened and what to do, in one line. Programmer
mistakes stay plain ``ValueError`` and ``TypeError``.
"""

from streamdenoise.masking import mask_credentials as mask_credentials


class StreamDenoiseError(Exception):
    """Base of every error that a user of streamdenoise is expected to handle."""

    def __init__(self, message: str) -> None:
        super().__init__(mask_credentials(message))

    def __str__(self) -> str:
        # OSError has its own idea of str(); ours is always the one sentence.
        return str(self.args[0]) if self.args else ""


class SourceError(StreamDenoiseError, OSError):
    """Something is wrong with an input."""


class SourceOpenError(SourceError):
    """The input could not be opened, or holds no video."""


class SourceRefusedError(SourceOpenError):
    """The input does not let us in: asking again would only lock the account."""


class SourceLostError(SourceError):
    """The input stopped giving frames before its end."""


class SinkError(StreamDenoiseError, OSError):
    """An output could not be opened, written or finished."""


class SinkRefusedError(SinkError):
    """A server refused the user or the password: asking again may lock the account."""


class BackendError(StreamDenoiseError, RuntimeError):
    """A compiled graph could not be loaded or run."""


class BackendUnavailableError(BackendError):
    """A backend's package, device or artifact is missing here."""


class EngineMismatchError(BackendError):
    """An engine file does not fit its manifest, the model or this machine."""


class EngineBuildError(BackendError):
    """A runtime could not compile a model."""


class BuildStoppedError(EngineBuildError):
    """A build was stopped by who had asked for it."""


class EngineLoadError(BackendError):
    """A runtime cannot read an engine."""


class EngineMissingError(BackendError):
    """An engine would have to be built first.

    Attributes:
        size: height and width that it is missing for, in pixels.
    """

    def __init__(self, message: str, size: tuple[int, int]) -> None:
        super().__init__(message)
        self.size = size


class EngineRefusedError(BackendError):
    """An engine runs, but its pictures are not those of the model.

    Attributes:
        is_known: whether a new one was refused already, in an earlier run.
    """

    def __init__(self, message: str, is_known: bool = False) -> None:
        super().__init__(message)
        self.is_known = is_known


class DeviceMemoryError(BackendError):
    """A device has too little free memory for a step of this size."""


class CheckpointError(StreamDenoiseError, ValueError):
    """A checkpoint is unreadable or belongs to another architecture."""


class ConfigError(StreamDenoiseError, ValueError):
    """An option has a value that cannot be used."""


class DivergedError(StreamDenoiseError, FloatingPointError):
    """Training led to a loss or gradients that are no finite numbers."""
