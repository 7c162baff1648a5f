"""An engine build in a separate process."""

import subprocess
from collections.abc import Callable
from threading import Thread

from streamdenoise.errors import BackendError
from streamdenoise.inference.backend import Backend
from streamdenoise.inference.engine_folders import FOLDER_VARIABLE
from streamdenoise.inference.engine_store import EngineStore
from streamdenoise.inference.step_request import StepRequest
from streamdenoise.security.import_path import python_child

PROGRAM = ("-m", "streamdenoise")
"""Runs the command line, which builds the engine."""

_PATIENCE_S = 2.0
"""Time in seconds that a stopped build has before it is killed."""


class BackgroundBuild(Thread):
    """Builds an engine in a process that can be stopped, then loads it.

    Attributes:
        engine: the loaded engine, once the thread has ended; None if it failed.
        error: why it failed, once the thread has ended.
    """

    def __init__(
        self, request: StepRequest, store: EngineStore, load: Callable[[], Backend]
    ) -> None:
        """Start the process; `start` waits for it in a thread.

        Args:
            request: what the engine is for.
            store: where it is kept.
            load: loads it, afterward.
        """
        super().__init__(name="build-engine", daemon=True)
        self.engine: Backend | None = None
        self.error: BackendError | None = None
        self._load = load
        artifact = request.artifact
        command, environment = python_child(
            *(*PROGRAM, "compile", str(artifact.path or artifact.name)),
            *("--size", f"{request.width}x{request.height}"),
            *("--depth", str(request.depth)),
            *("--backend", request.backend, "--quiet"),
        )
        self.process = subprocess.Popen(
            command,
            env={**environment, FOLDER_VARIABLE: str(store.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._stopped = False

    def run(self) -> None:
        """Wait for the process, then load the engine."""
        _, errors = self.process.communicate()
        if self._stopped:
            return
        if self.process.returncode:
            last = (errors.strip().splitlines() or ["no reason was given"])[-1]
            self.error = BackendError(f"no engine was built: {last}")
            return
        try:
            self.engine = self._load()
        except BackendError as exc:
            self.error = exc
        except Exception as exc:  # or it would be lost with the thread
            self.error = BackendError(f"the new engine does not work: {exc!r}")

    def stop(self) -> None:
        """End the process and free the engine."""
        self._stopped = True
        self.process.terminate()
        self.join(_PATIENCE_S)
        if self.is_alive():
            self.process.kill()
            self.join()
        if self.engine is not None:
            self.engine.close()
