"""The `[workers]` table: how cameras share the machine."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from streamdenoise.errors import ConfigError
from streamdenoise.threads import usable_cores

_UNITS = {"MB": 10**6, "GB": 10**9}
_CORES_OF_WORKER = 4


def _bytes(value: object) -> object:
    if isinstance(value, str):
        unit = _UNITS.get(value[-2:])
        try:
            size = float(value[:-2]) if unit else 0.0
        except ValueError:
            size = 0.0
        if unit is None or not 0 < size < 1e6:
            raise ConfigError("give a size such as 800MB or 2GB")
        return round(size * unit)
    return value


class WorkersConfig(BaseModel):
    """How many processes run the cameras, and what each may take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: Annotated[int, Field(ge=1, le=64)] = Field(
        default_factory=lambda: -(-usable_cores() // _CORES_OF_WORKER),
        description="Processes that share the cameras; by default one for four cores.",
    )
    """Cameras in one process share engines, which saves memory; several processes
    protect cameras from each other, and Python runs in more than one thread."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        default=None,
        description="CPU threads of each engine, decoder and encoder.",
    )
    memory: Annotated[
        Annotated[int, Field(ge=10**8)] | None,
        BeforeValidator(_bytes, json_schema_input_type=str | int | None),
    ] = Field(
        default=None,
        description="Memory from which on a worker counts as leaking and is replaced, "
        "such as 2GB; by default twice what it needed at first, and 512 MB more.",
    )
