"""Describes a camera to Home Assistant by its MQTT discovery.

See https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery.
"""

from dataclasses import dataclass
from typing import Any

from streamdenoise._version import __version__
from streamdenoise.denoisers.options import MAX_STRENGTH
from streamdenoise.serve.states import CameraState, CameraStatus

ON, OFF = "ON", "OFF"
"""Payloads of switches."""
ONLINE, OFFLINE = "online", "offline"
"""Payloads of the topic that says whether the service runs."""

_KINDS = {
    "enabled": "switch",
    "strength": "number",
    "noise": "sensor",
    "status": "sensor",
}
"""What is shown of a camera, by Home Assistant's kinds of entities."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of topics below a common one."""

    root: str
    discovery: str

    @property
    def service(self) -> str:
        """Whether the service runs: `ONLINE` or `OFFLINE`, even if it was killed."""
        return f"{self.root}/status"

    @property
    def commands(self) -> str:
        """Subscription to the commands of all cameras."""
        return f"{self.root}/cameras/+/+/set"

    @property
    def home_assistant(self) -> str:
        """Where Home Assistant says that it has started."""
        return f"{self.discovery}/status"

    def state(self, camera: str) -> str:
        """State of a camera as JSON, see `payload`."""
        return f"{self.root}/cameras/{camera}/state"

    def command(self, camera: str, setting: str) -> str:
        """Where a setting of a camera is changed: ``enabled`` or ``strength``."""
        return f"{self.root}/cameras/{camera}/{setting}/set"

    @property
    def states(self) -> str:
        """Subscription to the states of all cameras, also those of earlier runs."""
        return self.state("+")

    def parse_state(self, topic: str) -> str | None:
        """Camera of a topic that `state` made; None for any other."""
        start, end = f"{self.root}/cameras/", "/state"
        if not (topic.startswith(start) and topic.endswith(end)):
            return None
        return topic[len(start) : -len(end)]

    def entities(self, camera: str) -> dict[str, str]:
        """Where the entities of a camera are described, by what they show."""
        name = self.id(camera)
        return {
            key: f"{self.discovery}/{kind}/{name}/{key}/config"
            for key, kind in _KINDS.items()
        }

    def id(self, camera: str) -> str:
        """Name of a camera among all devices of the broker."""
        return f"{self.root.replace('/', '_')}_{camera}"

    def parse_command(self, topic: str) -> tuple[str, str] | None:
        """Camera and setting of a topic that `command` made; None for any other."""
        start, end = f"{self.root}/cameras/", "/set"
        if not (topic.startswith(start) and topic.endswith(end)):
            return None
        camera, slash, setting = topic[len(start) : -len(end)].partition("/")
        return (camera, setting) if slash else None


def payload(state: CameraState) -> dict[str, Any]:
    """What the entities of a camera show."""
    return {
        "enabled": OFF if state.status is CameraStatus.OFF else ON,
        "strength": state.strength,
        "noise": round(state.sigma_now, 1),
        "status": state.status.value,
        "reason": state.reason,
    }


def entities(topics: Topics, state: CameraState) -> dict[str, dict[str, Any]]:
    """The discovery messages of a camera: payloads by topic."""
    device = {
        "identifiers": [topics.id(state.name)],
        "name": state.title,
        "manufacturer": "streamdenoise",
        "model": "Denoised camera",
        "sw_version": __version__,
    }
    origin = {"name": "streamdenoise", "sw_version": __version__}

    def described(key: str, name: str, **more: object) -> dict[str, Any]:
        return {
            "unique_id": f"{topics.id(state.name)}_{key}",
            "name": name,
            "state_topic": topics.state(state.name),
            "value_template": f"{{{{ value_json.{key} }}}}",
            "availability_topic": topics.service,
            "device": device,
            "origin": origin,
            **more,
        }

    found = {
        "enabled": described(
            "enabled",
            "Denoising",
            command_topic=topics.command(state.name, "enabled"),
            payload_on=ON,
            payload_off=OFF,
            icon="mdi:cctv",
        ),
        "strength": described(
            "strength",
            "Strength",
            command_topic=topics.command(state.name, "strength"),
            min=0,
            max=MAX_STRENGTH,
            step=0.05,
            mode="slider",
            icon="mdi:tune",
        ),
        "noise": described(
            "noise",
            "Noise level",
            state_class="measurement",
            icon="mdi:grain",
        ),
        "status": described(
            "status",
            "State",
            device_class="enum",
            options=[each.value for each in CameraStatus],
            json_attributes_topic=topics.state(state.name),
            json_attributes_template="{{ {'reason': value_json.reason} | tojson }}",
        ),
    }
    where = topics.entities(state.name)
    return {where[key]: message for key, message in found.items()}
