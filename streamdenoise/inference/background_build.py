"""An engine build in a process of its own."""

import os
import subprocess
from collections.abc import Callable
from threading import Thread

from streamdenoise.errors import BackendError
from streamdenoise.inference.backend import Backend
from streamdenoise.inference.engine_folders import FOLDER_VARIABLE
from streamdenoise.inference.engine_store import EngineStore

_PATIENCE_S = 2.0
"""How long a build may take to end by itself; the store survives that it is killed."""


class _BackgroundBuild(Thread):
    """Builds an engine in a process of its own, which may be stopped, then loads it."""

    def __init__(
        self, command: list[str], store: EngineStore, load: Callable[[], Backend]
    ) -> None:
        super().__init__(name="build-engine", daemon=True)
        self.engine: Backend | None = None
        self.error: BackendError | None = None
        self._load = load
        environment = {**os.environ, FOLDER_VARIABLE: str(store.folder)}
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._stopped = False

    def run(self) -> None:
        _, errors = self._process.communicate()
        if self._stopped:
            return
        if self._process.returncode:
            last = (errors.strip().splitlines() or ["it does not say why"])[-1]
            self.error = BackendError(f"no engine was built: {last}")
            return
        try:
            self.engine = self._load()
        except BackendError as exc:
            self.error = exc
        except Exception as exc:  # or nobody would hear of it
            self.error = BackendError(f"the new engine does not work: {exc!r}")

    def stop(self) -> None:
        self._stopped = True
        self._process.terminate()
        self.join(_PATIENCE_S)
        if self.is_alive():
            self._process.kill()
            self.join()
        if self.engine is not None:
            self.engine.close()
