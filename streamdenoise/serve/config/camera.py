"""A camera's table: its own keys, and the options of `streamdenoise live`."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Self, cast, get_args, get_origin, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    create_model,
    model_validator,
)

from streamdenoise.errors import ConfigError
from streamdenoise.jobs.config import LiveConfig
from streamdenoise.jobs.live_outputs import check_targets
from streamdenoise.options import Argument, Option

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
"""What a camera may be called: it is part of addresses, and of labels of metrics."""

_NOT_OF_CAMERAS = {
    *("camera", "window", "overlay", "view", "duration_s", "reference", "add_noise"),
    *("status", "status_hosts", "threads", "overflow"),
}
"""Fields of `LiveConfig` that belong to a person at a window, or to the service."""

_NOWHERE = "null:"
"""The output of a camera that is only watched in the browser."""

_CHOSEN: dict[str, Any] = {"reconnect": "forever", "max-lag": 500.0}
"""Options whose default for one stream would not suit many that share a machine."""


class CameraConfig(BaseModel):
    """Keys of a camera that `live` has no option for; `Camera` has all."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    title: str = Field(default="", max_length=200, description="Name to show.")
    enabled: bool = Field(default=True, description="Whether the camera runs.")
    recordings: Path | None = Field(
        default=None,
        description="Folder for recordings that are started by hand; by default that "
        "of the segments.",
    )

    _live: LiveConfig = PrivateAttr()

    @property
    def live(self) -> LiveConfig:
        """The job of this camera."""
        return self._live

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        given = {
            key: getattr(self, option.attribute) for key, option in _OPTIONS.items()
        }
        given["output"] = given["output"] or (_NOWHERE,)
        if "-" in given["output"]:
            raise ConfigError("output - would write to stdout; give a file or a URL")
        live = _built(LiveConfig, {**given, "window": False})
        check_targets(live)
        self._live = live
        return self


@dataclass(frozen=True, slots=True)
class _Key:
    """An option of `live` as a key of the file."""

    name: str
    """As on the command line, without dashes in front."""
    field: str
    kind: Any
    option: Option | Argument
    default: Any

    @property
    def attribute(self) -> str:
        return self.name.replace("-", "_")

    def declared(self) -> tuple[Any, Any]:
        """Type and default for `create_model`."""
        default = _CHOSEN.get(self.name, self.default)
        if self.name == "source":
            default = ...
        shown = self.name not in ("source", "output")  # they hold passwords
        field = Field(
            default,
            alias=self.name,
            description=self.option.help,
            repr=shown,
            validate_default=self.name in _CHOSEN,
        )
        return self._type(), field

    def _type(self) -> Any:
        parse = self.option.parse
        if parse is not None:
            return Annotated[
                Any,
                PlainValidator(
                    _parser(parse, self.option.repeats),
                    json_schema_input_type=list[str] | str
                    if self.option.repeats
                    else str | float,
                ),
            ]
        if get_origin(self.kind) is tuple:
            return Annotated[
                self.kind,
                BeforeValidator(_listed, json_schema_input_type=self.kind | str),
            ]
        return self.kind


def _parser(parse: Callable[[Any], Any], repeats: bool) -> Callable[[Any], Any]:
    def one(value: object) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError("give text" + " or a number" * (not repeats))
        return f"{value:g}" if isinstance(value, float) else str(value)

    def several(value: object) -> Any:
        texts = _listed(value)
        if not isinstance(texts, list):
            raise ValueError("give text, or a list of texts")
        return parse([one(each) for each in cast("list[object]", texts)])

    return several if repeats else lambda value: parse(one(value))


def _listed(value: Any) -> Any:
    """One text is a list of one."""
    return [value] if isinstance(value, str) else value


def _keys(config: Any) -> Iterator[_Key]:
    """The options of a config and of those inside of it."""
    hints = get_type_hints(config, include_extras=True)
    for field in fields(config):
        hint = hints[field.name]
        if field.name in _NOT_OF_CAMERAS:
            continue
        if is_dataclass(hint):
            yield from _keys(hint)
        elif get_origin(hint) is Annotated:
            kind, option = get_args(hint)
            default = field.default
            if field.default_factory is not MISSING:
                default = field.default_factory()
            yield _Key(_name(field.name, option), field.name, kind, option, default)


def _name(field: str, option: Option | Argument) -> str:
    flags = option.flags if isinstance(option, Option) else ()
    long = [flag for flag in flags if flag.startswith("--")]
    return long[0][2:] if long else field.replace("_", "-")


_OPTIONS = {key.name: key for key in _keys(LiveConfig)}


def _built(config: Any, given: Mapping[str, Any]) -> Any:
    """A config, and those inside of it, from the values of keys."""
    values: dict[str, Any] = {}
    hints = get_type_hints(config, include_extras=True)
    for field in fields(config):
        hint = hints[field.name]
        if is_dataclass(hint):
            values[field.name] = _built(hint, given)
        elif get_origin(hint) is Annotated:
            name = _name(field.name, get_args(hint)[1])
            if name in given:
                values[field.name] = given[name]
    return config(**values)


_declared: dict[str, Any] = {key.attribute: key.declared() for key in _OPTIONS.values()}
Camera: type[CameraConfig] = create_model(
    "Camera",
    __base__=CameraConfig,
    __doc__="A camera, with the options of `streamdenoise live`.",
    **_declared,
)
"""`CameraConfig` with the options of `live` as further fields."""
