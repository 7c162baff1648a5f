"""The service: its cameras, its page, its file, and signals."""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from streamdenoise.serve.config.file import MistakesError, ServiceConfig, read_config
from streamdenoise.serve.config.watch import FileWatch
from streamdenoise.serve.metrics import Monitoring
from streamdenoise.serve.web.app import create_app
from streamdenoise.serve.web.server import PageServer
from streamdenoise.serve.workers.supervisor import Supervisor
from streamdenoise.service.systemd import Notifier

if TYPE_CHECKING:
    from streamdenoise.serve.mqtt.bridge import MqttBridge

log = logging.getLogger(__name__)

_LOOK_S = 1.0
_STOPS: Sequence[signal.Signals] = (signal.SIGINT, signal.SIGTERM)


def run_service(config: ServiceConfig) -> int | None:
    """Run the cameras until a signal stops them.

    Returns:
        The number of the signal.

    Raises:
        ConfigError: The page cannot be served at its address.
    """
    return asyncio.run(_Service(config).run())


class _Service:
    def __init__(self, config: ServiceConfig) -> None:
        self._config = config
        self._cameras = Supervisor(config)
        self._monitoring = Monitoring(self._cameras)
        self._notifier = Notifier.from_environment()
        self._watch = FileWatch(config.path)
        self._reload = asyncio.Event()
        self._trials = Path()
        """Folder for what people try on the page; deleted at the end."""
        self._signum: int | None = None

    async def run(self) -> int | None:
        loop = asyncio.get_running_loop()
        for signum in _STOPS:
            loop.add_signal_handler(signum, self._stop, signum)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        try:
            async with AsyncExitStack() as stack:
                self._trials = Path(
                    stack.enter_context(TemporaryDirectory(prefix="streamdenoise-"))
                )
                # First: a wrong address is an error before any camera is opened.
                page = self._open_page()
                broker = self._open_broker()
                _beside(stack, page.serve(), page.stop)
                if broker is not None:
                    _beside(stack, broker.run())
                _beside(stack, self._look())
                self._notifier.ready()
                log.info("the page is at %s", page.url)
                await self._cameras.run()
        finally:
            self._monitoring.close()
            for signum in (*_STOPS, signal.SIGHUP):
                loop.remove_signal_handler(signum)
        return self._signum

    def _open_page(self) -> PageServer:
        """Listen at the address of the page.

        Raises:
            ConfigError: The address, the certificate or a secret cannot be used.
        """
        app = create_app(
            self._cameras,
            self._config.server,
            metrics=self._monitoring.metrics,
            why_unhealthy=self._monitoring.why_unhealthy,
            trials=self._trials,
        )
        return PageServer(app, self._config.server)

    def _open_broker(self) -> "MqttBridge | None":
        """Prepare the connection to home automation, if there is to be one.

        Raises:
            ConfigError: The address of the broker cannot be used.
        """
        if self._config.mqtt is None:
            return None
        # Imported late: its package is an extra.
        from streamdenoise.serve.mqtt.bridge import MqttBridge

        return MqttBridge(self._cameras, self._config.mqtt)

    def _stop(self, signum: int) -> None:
        self._signum = self._signum or signum
        self._notifier.stopping()
        self._cameras.stop()

    async def _look(self) -> None:
        """Read the file again when it changes, and report to systemd."""
        loop = asyncio.get_running_loop()
        while True:
            self._notifier.watchdog()
            states = self._cameras.states()
            live = sum(state.status == "live" for state in states)
            self._notifier.status(f"{live} of {len(states)} cameras live")
            try:
                await asyncio.wait_for(self._reload.wait(), _LOOK_S)
            except TimeoutError:
                asked = False
            else:
                asked = True
                self._reload.clear()
            # Disks may be slow, and the cameras must not wait for them.
            if asked:
                await asyncio.to_thread(self._watch.accept)
            if asked or await asyncio.to_thread(self._watch.has_changed):
                self._notifier.reloading()
                await self._read(loop)
                self._notifier.ready()

    async def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            config = await asyncio.to_thread(read_config, self._config.path)
        except MistakesError as exc:
            self._cameras.refuse(exc)
            return
        self._config = config
        self._cameras.reload(config)


def _beside(
    stack: AsyncExitStack,
    work: Coroutine[Any, Any, None],
    stop: Callable[[], None] | None = None,
) -> None:
    """Run `work` until the stack is left, when `stop` or a cancellation ends it."""
    task = asyncio.create_task(work)

    async def ended() -> None:
        (stop or task.cancel)()
        await asyncio.gather(task, return_exceptions=True)

    def note(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("a part of the service has ended; start it again", exc_info=exc)

    task.add_done_callback(note)
    stack.push_async_callback(ended)
