"""A real MQTT broker on loopback, and what it holds."""

import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any, Self

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.faults.servers import free_port
from tests.support.skips import skip_or_fail
from tests.support.waiting import wait_until

HOST = "127.0.0.1"


class Broker:
    """Mosquitto, with one user if a password is given, and TLS if a certificate is.

    As a context manager it is ended at the end.
    """

    def __init__(
        self, folder: Path, *, password: str = "", certificate: Path | None = None
    ) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            skip_or_fail("mosquitto", "there is no mosquitto")
        self._program = program
        self.port = free_port()
        lines = [f"listener {self.port} {HOST}", "persistence false"]
        if os.getuid() == 0:
            lines.append("user root")
        if password:
            known = folder / "passwords"
            known.touch(0o600)
            tool = ["mosquitto_passwd", "-b", str(known), "camera", password]
            subprocess.run(tool, check=True, capture_output=True)
            lines.append(f"password_file {known}")
        lines.append(f"allow_anonymous {'false' if password else 'true'}")
        if certificate is not None:
            lines += [f"certfile {certificate}", f"keyfile {certificate}"]
        self._config = folder / "mosquitto.conf"
        self._config.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "-c", str(self._config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Subscriber:
    """A client that keeps the last message of each topic, empty ones included."""

    def __init__(self, broker: Broker) -> None:
        self.messages: dict[str, str] = {}
        self._lock = threading.Lock()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        wait_until(lambda: self._connects(broker.port))
        self._client.loop_start()

    def _connects(self, port: int) -> bool:
        try:
            self._client.connect(HOST, port)
        except OSError:
            return False
        return True

    def _on_connect(self, client: Client, *_: object) -> None:
        client.subscribe("#", 1)

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        with self._lock:
            self.messages[message.topic] = message.payload.decode()

    def get(self, topic: str) -> str | None:
        with self._lock:
            return self.messages.get(topic)

    def publish(self, topic: str, payload: str, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
