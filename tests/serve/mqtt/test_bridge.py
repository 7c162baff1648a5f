"""The bridge to home automation, against a real broker."""

import asyncio
import json
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from streamdenoise.errors import ConfigError
from streamdenoise.serve.config.mqtt import MqttConfig
from streamdenoise.serve.mqtt.bridge import MqttBridge
from streamdenoise.serve.service import Cameras, UnknownCameraError
from streamdenoise.serve.states import CameraChange, CameraState, CameraStatus
from tests.support.brokers import HOST, Broker, Subscriber
from tests.support.certificates import make_certificates
from tests.support.waiting import wait_until


def camera(name: str) -> CameraState:
    return CameraState(
        name=name,
        title=f"Camera {name}",
        source="rtsp://cam/stream",
        status=CameraStatus.LIVE,
        reason="",
        width=1280,
        height=720,
        fps_in=25,
        fps_out=25,
        latency_ms=20,
        latency_p99_ms=30,
        noise="fine 3",
        sigma_now=3.25,
        psnr_gain_db=3.0,
        saved_share=None,
        strength=1.0,
        sigma="auto",
        model="auto",
        used_model="nano on openvino",
        load_step="",
        frames_in=100,
        frames_out=100,
        dropped=0,
        reconnects=0,
        recording=False,
        outputs=(),
        worker=1,
        restarts=0,
    )


class Shelf:
    """Cameras that are settings alone: what a bridge reads and changes."""

    def __init__(self, *names: str) -> None:
        self.kept = {name: camera(name) for name in names}

    def states(self) -> Sequence[CameraState]:
        return list(self.kept.values())

    async def change(self, name: str, change: CameraChange) -> CameraState:
        if name not in self.kept:
            raise UnknownCameraError(f"there is no camera {name}")
        wanted: dict[str, Any] = {}
        if change.strength is not None:
            wanted["strength"] = change.strength
        if change.enabled is not None:
            status = CameraStatus.LIVE if change.enabled else CameraStatus.OFF
            wanted["status"] = status
        self.kept[name] = self.kept[name].model_copy(update=wanted)
        return self.kept[name]


@contextmanager
def bridged(shelf: Shelf, config: MqttConfig) -> Iterator[None]:
    """Run the bridge in a loop of its own thread, as the service does in its loop."""
    bridge = MqttBridge(cast("Cameras", shelf), config)
    loop = asyncio.new_event_loop()
    task = loop.create_task(bridge.run())

    def run() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(20)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def config_of(broker: Broker, **more: Any) -> MqttConfig:
    return MqttConfig(broker=f"mqtt://{HOST}:{broker.port}", **more)


def state_of(subscriber: Subscriber, name: str) -> dict[str, Any]:
    return json.loads(subscriber.get(f"streamdenoise/cameras/{name}/state") or "{}")


def test_home_assistant_finds_and_controls_a_camera(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf("door", "yard")
    with Broker(tmp_path) as broker, Subscriber(broker) as subscriber:
        with bridged(shelf, config_of(broker)):
            switch = "homeassistant/switch/streamdenoise_door/enabled/config"
            wait_until(lambda: subscriber.get(switch) is not None)
            wait_until(lambda: state_of(subscriber, "yard") != {})
            entity = json.loads(subscriber.get(switch) or "")
            assert entity["device"]["name"] == "Camera door"
            assert subscriber.get(entity["availability_topic"]) == "online"
            assert state_of(subscriber, "door") == {
                "enabled": "ON",
                "strength": 1.0,
                "noise": 3.2,
                "status": "live",
                "reason": "",
            }
            # All that Home Assistant needs of a device: where to read, where to write.
            kinds = {
                topic.split("/")[1] + "/" + topic.split("/")[3]: json.loads(message)
                for topic, message in subscriber.messages.items()
                if "streamdenoise_door" in topic
            }
            assert set(kinds) == {
                "switch/enabled",
                "number/strength",
                "sensor/noise",
                "sensor/status",
            }
            assert len({each["unique_id"] for each in kinds.values()}) == 4

            subscriber.publish(entity["command_topic"], "OFF")
            wait_until(lambda: state_of(subscriber, "door")["enabled"] == "OFF")
            assert shelf.kept["door"].status is CameraStatus.OFF
            assert shelf.kept["yard"].status is CameraStatus.LIVE
            subscriber.publish(kinds["number/strength"]["command_topic"], "0.35")
            wait_until(lambda: state_of(subscriber, "door")["strength"] == 0.35)

            for topic, message in (
                ("door/strength", "much"),
                ("door/strength", "nan"),
                ("door/strength", "9"),
                ("door/enabled", "\x1b[2J" * 99),
                ("door/recording", "ON"),
                ("attic/enabled", "ON"),
            ):
                caplog.clear()
                subscriber.publish(f"streamdenoise/cameras/{topic}/set", message)
                wait_until(lambda: "MQTT" in caplog.text)
                assert "\x1b" not in caplog.text
            assert shelf.kept["door"].strength == 0.35
        assert subscriber.get("streamdenoise/status") == "offline"


def test_cameras_that_are_gone_are_removed(tmp_path: Path) -> None:
    shelf = Shelf("door", "yard")
    with Broker(tmp_path) as broker, Subscriber(broker) as subscriber:
        # Of an earlier run, and of a service with another topic.
        subscriber.publish("streamdenoise/cameras/old/state", "{}", retain=True)
        subscriber.publish("other/cameras/old/state", "{}", retain=True)
        old = "homeassistant/sensor/streamdenoise_old/noise/config"
        subscriber.publish(old, "{}", retain=True)
        with bridged(shelf, config_of(broker)):
            wait_until(lambda: state_of(subscriber, "yard") != {})
            wait_until(lambda: subscriber.get(old) == "")
            del shelf.kept["yard"]
            gone = "homeassistant/number/streamdenoise_yard/strength/config"
            wait_until(lambda: subscriber.get(gone) == "")
            assert state_of(subscriber, "yard") == {}
            assert subscriber.get("other/cameras/old/state") == "{}"
            assert state_of(subscriber, "door") != {}


def test_a_broker_that_is_away_comes_back_to_all_messages(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    broker = Broker(tmp_path)
    with bridged(Shelf("door"), config_of(broker)):
        wait_until(lambda: "cannot be reached" in caplog.text)
        with broker, Subscriber(broker) as subscriber:
            wait_until(lambda: state_of(subscriber, "door") != {})
        wait_until(lambda: "connection was lost" in caplog.text)
        with broker, Subscriber(broker) as subscriber:
            wait_until(lambda: state_of(subscriber, "door") != {})
            assert subscriber.get("streamdenoise/status") == "online"
            # Home Assistant starts after the broker: it asks for everything.
            subscriber.messages.clear()
            subscriber.publish("homeassistant/status", "online")
            wait_until(lambda: state_of(subscriber, "door") != {})


def test_login_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates = make_certificates(tmp_path)
    monkeypatch.setenv("STREAMDENOISE_MQTT", "s3cr/et#1")
    with Broker(
        tmp_path, password="s3cr/et#1", certificate=certificates.good
    ) as broker:
        config = MqttConfig(
            broker=f"mqtts://camera:{{STREAMDENOISE_MQTT}}@{HOST}:{broker.port}",
            ca=certificates.ca,
        )
        connected = threading.Event()
        with bridged_log(connected), bridged(Shelf("door"), config):
            assert connected.wait(30)


def test_a_refused_password_is_said_once_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Broker(tmp_path, password="right-one") as broker:
        config = MqttConfig(broker=f"mqtt://camera:wrong-one@{HOST}:{broker.port}")
        with bridged(Shelf("door"), config):
            wait_until(lambda: "refuses the connection" in caplog.text)
            refused = caplog.text.count("\n")
            time.sleep(2.5)  # at least one more attempt
            assert caplog.text.count("\n") == refused
    assert "wrong-one" not in caplog.text + repr(config)


@pytest.mark.parametrize(
    ("broker", "said"),
    [
        ("mqtt://host:99999", "port"),
        ("mqtt://me:{PASSWORD}@host", "may not use"),
        ("mqtt://:1883", "HOST"),
        ("http://host", "HOST"),
        ("mqtt://host:port", "HOST"),
    ],
)
def test_addresses_that_cannot_be_used(broker: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as raised:
        MqttBridge(cast("Cameras", Shelf()), MqttConfig(broker=broker))
    assert isinstance(raised.value, ConfigError | ValidationError)


@contextmanager
def bridged_log(connected: threading.Event) -> Iterator[None]:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "connected to" in record.getMessage():
                connected.set()

    logger = logging.getLogger("streamdenoise.serve.mqtt.bridge")
    handler, level = Handler(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
