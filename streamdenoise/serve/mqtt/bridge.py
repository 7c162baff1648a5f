"""Keeps a broker up to date, and changes cameras as it asks."""

import asyncio
import json
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from streamdenoise.denoisers.options import MAX_STRENGTH
from streamdenoise.errors import ConfigError, StreamDenoiseError
from streamdenoise.io.url import StreamURL
from streamdenoise.security.plain_text import printable
from streamdenoise.serve.config.mqtt import MqttConfig
from streamdenoise.serve.mqtt.discovery import (
    OFF,
    OFFLINE,
    ON,
    ONLINE,
    Topics,
    entities,
    payload,
)
from streamdenoise.serve.service import Cameras
from streamdenoise.serve.states import CameraChange

log = logging.getLogger(__name__)

_LOOK_S = 1.0
"""Time between two looks at the cameras."""
_SETTLE = 0.5
"""A noise level must change by this many levels to be sent: it moves all the time."""
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_LONGEST_COMMAND = 32


class MqttBridge:
    """Publishes the cameras to an MQTT broker, and takes its commands.

    Connects by itself whenever the broker is there; a service without its broker works
    as before. Use `run` as a task of the service's loop; canceling it says goodbye.

    Args:
        cameras: What is published and controlled.
        config: The broker.

    Raises:
        ConfigError: The address cannot be used, or the package is missing.
    """

    def __init__(self, cameras: Cameras, config: MqttConfig) -> None:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
        except ImportError as exc:
            raise ConfigError(
                "the table [mqtt] needs a package: pip install 'streamdenoise[mqtt]'"
            ) from exc
        self._cameras = cameras
        self._topics = Topics(config.topic, config.discovery)
        self._name = StreamURL.parse(config.broker)
        self._address = urlsplit(self._name.reveal())
        try:
            port = self._address.port or _PORTS[self._address.scheme]
        except ValueError as exc:
            raise ConfigError(f"broker {self._name}: the port is not valid") from exc
        self._port = port
        client = Client(
            CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311
        )
        if self._address.username is not None:
            client.username_pw_set(
                unquote(self._address.username), unquote(self._address.password or "")
            )
        if self._address.scheme == "mqtts":
            try:
                context = ssl.create_default_context(cafile=config.ca)
                # Its argument has no type.
                client.tls_set_context(context)  # pyright: ignore[reportUnknownMemberType]
            except OSError as exc:
                raise ConfigError(
                    f"[mqtt] ca {config.ca} cannot be used: {exc}; give a PEM file"
                ) from exc
        client.will_set(self._topics.service, OFFLINE, qos=1, retain=True)
        client.reconnect_delay_set(1, 60)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        self._client = client
        self._error = ""
        self._published: dict[str, dict[str, Any]] = {}
        self._remembered: set[str] = set()
        """Cameras of which the broker has messages, also from earlier runs."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Publish and obey until canceled."""
        self._loop = asyncio.get_running_loop()
        self._client.connect_async(self._address.hostname or "", self._port)
        # Its own thread: the library has no asyncio interface.
        self._client.loop_start()
        try:
            while True:
                if self._client.is_connected():
                    self._publish_changes()
                await asyncio.sleep(_LOOK_S)
        finally:
            await asyncio.to_thread(self._leave)

    def _leave(self) -> None:
        with suppress(ValueError, RuntimeError):
            goodbye = self._client.publish(
                self._topics.service, OFFLINE, qos=1, retain=True
            )
            if self._client.is_connected():
                goodbye.wait_for_publish(1.0)
        self._client.disconnect()
        self._client.loop_stop()

    def _publish_changes(self) -> None:
        names: set[str] = set()
        for state in self._cameras.states():
            names.add(state.name)
            if state.name not in self._published:
                for topic, message in entities(self._topics, state).items():
                    self._send(topic, json.dumps(message))
            said, now = self._published.get(state.name), payload(state)
            if said is None or _differ(said, now):
                self._published[state.name] = now
                self._send(self._topics.state(state.name), json.dumps(now))
        for gone in self._remembered - names:
            self._remembered.discard(gone)
            self._published.pop(gone, None)
            for topic in (
                *self._topics.entities(gone).values(),
                self._topics.state(gone),
            ):
                self._send(topic, "")  # an empty retained message is deleted
        self._remembered |= names

    def _send(self, topic: str, message: str) -> None:
        self._client.publish(topic, message, qos=1, retain=True)

    # The library calls what follows from its thread.

    def _on_connect(
        self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        if reason.is_failure:
            self._report(f"it refuses the connection ({reason})")
            return
        self._error = ""
        log.info("MQTT: connected to %s", self._name)
        topics = self._topics
        asked = (topics.commands, topics.states, topics.home_assistant)
        client.subscribe([(topic, 1) for topic in asked])
        client.publish(topics.service, ONLINE, qos=1, retain=True)
        self._call(self._published.clear)

    def _on_connect_fail(self, client: Any, userdata: Any) -> None:
        self._report("it cannot be reached")

    def _on_disconnect(
        self, client: Any, userdata: Any, flags: Any, reason: Any, properties: Any
    ) -> None:
        if reason.is_failure and not self._error:
            self._report(f"the connection was lost ({reason})")

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        topic, data = str(message.topic), bytes(message.payload)
        if topic == self._topics.home_assistant:
            if data == b"online":
                self._call(self._published.clear)  # describes and publishes everything
            return
        camera = self._topics.parse_state(topic)
        if camera is not None:
            if data:
                self._call(lambda: self._remembered.add(camera))
            return
        command = self._topics.parse_command(topic)
        # A retained command would be obeyed again at each start.
        if command is not None and not message.retain:
            self._call(lambda: self._obey(*command, data))

    def _call(self, function: Callable[[], object]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has just ended
                self._loop.call_soon_threadsafe(function)

    def _obey(self, camera: str, setting: str, data: bytes) -> None:
        task = asyncio.ensure_future(self._change(camera, setting, data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _change(self, camera: str, setting: str, data: bytes) -> None:
        try:
            await self._cameras.change(camera, _change_of(setting, data))
        except StreamDenoiseError as exc:
            log.warning("MQTT: %s", exc)
            # The broker's client shows what it asked for until the state is sent again.
            self._published.pop(camera, None)

    def _report(self, why: str) -> None:
        if why != self._error:  # not at each attempt
            self._error = why
            log.warning("MQTT: %s: %s; trying again", self._name, printable(why))


def _differ(said: dict[str, Any], now: dict[str, Any]) -> bool:
    moved = abs(said["noise"] - now["noise"]) >= _SETTLE
    return moved or {**said, "noise": 0} != {**now, "noise": 0}


def _change_of(setting: str, data: bytes) -> CameraChange:
    """The change that a command asks for.

    Raises:
        ConfigError: It cannot be understood.
    """
    text = data[:_LONGEST_COMMAND].decode(errors="replace").strip()
    if setting == "enabled" and text in (ON, OFF):
        return CameraChange(enabled=text == ON)
    if setting == "strength":
        with suppress(ValueError):
            return CameraChange(strength=float(text))
    raise ConfigError(
        f"the command {setting} {text!r} cannot be used; send {ON} or {OFF} to "
        f"enabled, or a number from 0 to {MAX_STRENGTH:g} to strength"
    )
