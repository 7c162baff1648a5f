"""The `[mqtt]` table: a broker through which home automation sees the cameras."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

_ADDRESS = re.compile(r"mqtts?://(\S*@)?([\w.\-]+|\[[\da-fA-F:]+\])(:\d{1,5})?/?\Z")
_TOPIC = r"^[^\s+#/]+(/[^\s+#/]+)*$"


class MqttConfig(BaseModel):
    """An MQTT broker, and the names that are used there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    broker: str = Field(repr=False)
    """``mqtt://USER:{STREAMDENOISE_MQTT}@HOST:1883``, or ``mqtts://`` with TLS."""
    ca: Path | None = None
    """Certificates of the CA that the broker's certificate is from, as PEM; without it
    the system's are used."""
    topic: Annotated[str, Field(pattern=_TOPIC, max_length=100)] = "streamdenoise"
    """Everything is below this topic; two services on one broker need two."""
    discovery: Annotated[str, Field(pattern=_TOPIC, max_length=100)] = "homeassistant"
    """Home Assistant's discovery prefix."""

    @field_validator("broker")
    @classmethod
    def _is_address(cls, broker: str) -> str:
        # The host is what follows the login, which may hold anything.
        if not _ADDRESS.match(broker):
            raise ValueError(
                "give the broker as mqtt://HOST:PORT, or with a login and TLS as "
                "mqtts://USER:{STREAMDENOISE_MQTT}@HOST"
            )
        return broker
