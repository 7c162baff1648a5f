"""Every error that streamdenoise raises on purpose.

StreamDenoiseError
├── SourceError (OSError)
│   ├── SourceOpenError      the source could not be opened
│   │   └── SourceRefusedError   ... because it denies access
│   └── SourceLostError      the source stopped mid-stream
├── SinkError (OSError)      the output cannot be opened, written or finished
│   └── SinkRefusedError     a server rejected the user or the password
├── BackendError (RuntimeError)
│   ├── BackendUnavailableError   a package, device or artifact is missing
│   ├── EngineMismatchError       an engine does not match its manifest
│   ├── EngineBuildError          an engine could not be built
│   │   └── BuildStoppedError         ... because someone stopped the build
│   ├── EngineLoadError           a runtime cannot load an engine
│   ├── EngineMissingError        an engine must be built first
│   ├── EngineRefusedError        an engine fails its self-test
│   └── DeviceMemoryError         the device has too little memory
├── CheckpointError (ValueError)
├── ConfigError (ValueError)
├── HungError (TimeoutError)              a part makes no progress, and was left behind
└── DivergedError (FloatingPointError)   a loss is no longer finite

A message says in one line what was asked, what happened and what to do. Programming
mistakes stay plain ``ValueError`` and ``TypeError``.
"""

from streamdenoise.security.masking import mask_credentials
from streamdenoise.security.plain_text import printable


class StreamDenoiseError(Exception):
    """Base of every error that a user of streamdenoise is expected to handle."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(mask_credentials(message)))

    def __str__(self) -> str:
        # OSError would format its arguments; ours are always one sentence.
        return str(self.args[0]) if self.args else ""


class SourceError(StreamDenoiseError, OSError):
    """An input failed."""


class SourceOpenError(SourceError):
    """The input could not be opened, or contains no video."""


class SourceRefusedError(SourceOpenError):
    """The input denies access: retrying could lock the account."""


class SourceLostError(SourceError):
    """The input stopped delivering frames before its end."""


class SinkError(StreamDenoiseError, OSError):
    """An output could not be opened, written or finished."""


class SinkRefusedError(SinkError):
    """A server rejected the user or the password: retrying could lock the account."""


class BackendError(StreamDenoiseError, RuntimeError):
    """A compiled graph could not be loaded or run."""


class BackendUnavailableError(BackendError):
    """A package, device or artifact that a backend needs is missing."""


class EngineMismatchError(BackendError):
    """An engine file does not match its manifest, the model or this machine."""


class EngineBuildError(BackendError):
    """A runtime could not compile a model."""


class BuildStoppedError(EngineBuildError):
    """A build was stopped on request."""


class EngineLoadError(BackendError):
    """A runtime cannot load an engine."""


class EngineMissingError(BackendError):
    """An engine must be built first.

    Attributes:
        size: Height and width of the missing engine, in pixels.
    """

    def __init__(self, message: str, size: tuple[int, int]) -> None:
        super().__init__(message)
        self.size = size


class EngineRefusedError(BackendError):
    """An engine runs, but its output differs from that of the model.

    Attributes:
        is_known: Whether a newly built one failed already, in an earlier run.
    """

    def __init__(self, message: str, is_known: bool = False) -> None:
        super().__init__(message)
        self.is_known = is_known


class DeviceMemoryError(BackendError):
    """A device has too little free memory for a step of this size."""


class CheckpointError(StreamDenoiseError, ValueError):
    """A checkpoint is unreadable or belongs to another architecture."""


class ConfigError(StreamDenoiseError, ValueError):
    """An option has an invalid value."""


class HungError(StreamDenoiseError, TimeoutError):
    """A part of a job makes no progress any more, and was left behind.

    A thread is still inside it, so nothing that it uses may be closed.
    """


class DivergedError(StreamDenoiseError, FloatingPointError):
    """The loss or the gradients of a training run are no longer finite."""
