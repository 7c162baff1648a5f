"""The `[mqtt]` table: a broker through which home automation sees the cameras."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_TOPIC = r"^[^\s+#/]+(/[^\s+#/]+)*$"


class MqttConfig(BaseModel):
    """An MQTT broker, and the names that are used there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    broker: str = Field(pattern=r"^mqtts?://\S+$", repr=False)
    """``mqtt://USER:{STREAMDENOISE_MQTT}@HOST:1883``, or ``mqtts://`` with TLS."""
    ca: Path | None = None
    """Certificates of the CA that the broker's certificate is from, as PEM; without it
    the system's are used."""
    topic: Annotated[str, Field(pattern=_TOPIC, max_length=100)] = "streamdenoise"
    """Everything is below this topic; two services on one broker need two."""
    discovery: Annotated[str, Field(pattern=_TOPIC, max_length=100)] = "homeassistant"
    """Home Assistant's discovery prefix."""
