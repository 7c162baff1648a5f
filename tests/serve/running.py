"""A running service for tests, with its loop in a thread."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any, Self, TypeVar

from streamdenoise.serve.config.file import ServiceConfig, parse_config
from streamdenoise.serve.states import CameraChange, CameraState
from streamdenoise.serve.workers.supervisor import Supervisor
from tests.support.waiting import wait_until

T = TypeVar("T")

SMALL = "testsrc:160x120@10"
"""A source that costs little."""


def config_of(text: str) -> ServiceConfig:
    return parse_config(text.encode(), Path("cameras.toml"))


class Running:
    """Cameras in real worker processes; asked from the thread of the test."""

    def __init__(self, text: str, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        # Its thread starts now: those that a test starts have to end with it.
        executor = ThreadPoolExecutor(1)
        executor.submit(int).result()
        self._loop.set_default_executor(executor)
        self.cameras = Supervisor(config_of(text), **options)
        self._thread = Thread(target=self._run, name="service")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self.cameras.stop)
        self._thread.join(60)
        assert not self._thread.is_alive()
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self.cameras.run())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())

    def start(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run it on the service's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def ask(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of what runs on the service's loop."""
        return self.start(coroutine).result(30)

    def call(self, function: Callable[..., T], *args: Any) -> T:
        async def called() -> T:
            return function(*args)

        return self.ask(called())

    def state(self, name: str) -> CameraState:
        return self.call(self.cameras.state, name)

    def change(self, name: str, **values: Any) -> CameraState:
        return self.ask(self.cameras.change(name, CameraChange(**values)))

    def reload(self, text: str) -> None:
        self.call(self.cameras.reload, config_of(text))

    def wait(self, name: str, condition: Callable[[CameraState], bool]) -> CameraState:
        """Wait for a state of a camera."""
        found: list[CameraState] = []

        def holds() -> bool:
            found[:] = [self.state(name)]
            return condition(found[0])

        wait_until(holds, 60)
        return found[0]

    def wait_live(self, *names: str) -> list[CameraState]:
        """Wait until cameras deliver new frames."""
        return [
            self.wait(name, lambda state: state.status == "live" and state.fps_out > 0)
            for name in names
        ]

    def kinds(self, name: str) -> list[str]:
        """Kinds of a camera's events, newest first."""
        return [event.kind for event in self.call(self.cameras.events, name)]
