"""The file of the service: read, checked, and every mistake named with its line."""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, Field, ValidationError

from streamdenoise.errors import ConfigError
from streamdenoise.io.url import is_network, local_path
from streamdenoise.security.masking import mask_address, mask_credentials
from streamdenoise.security.passwords import is_password_hash, is_token_hash
from streamdenoise.security.plain_text import printable
from streamdenoise.serve.config.camera import NAME, Camera, CameraConfig
from streamdenoise.serve.config.lines import KeyPath, key_lines
from streamdenoise.serve.config.mqtt import MqttConfig
from streamdenoise.serve.config.server import Account, ServerConfig
from streamdenoise.serve.config.workers import WorkersConfig
from streamdenoise.service.status_server import parse_address

_SHARED_TARGETS = ("null:", "null")
_OF_SEGMENTS = ("segment", "keep", "adopt")
_PLACE = "{camera}"
"""In the text of a camera's table it stands for the camera's name."""
_MOST_BYTES = 4 << 20


class ServiceFile(BaseModel):
    """The whole file, for its JSON schema."""

    server: ServerConfig = ServerConfig()
    workers: WorkersConfig = Field(default_factory=WorkersConfig)
    mqtt: MqttConfig | None = None
    defaults: dict[str, Any] = Field(
        default={}, description="What every camera's table says unless it says other."
    )
    cameras: dict[str, Camera] = Field(  # pyright: ignore[reportInvalidTypeForm]
        description="A table for each camera, by its name."
    )


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong with the file."""

    line: int
    """From 1; 0 if it is not about a line."""
    text: str
    """One sentence, without secrets."""


class MistakesError(ConfigError):
    """The file cannot be used; the message names every mistake."""

    def __init__(self, path: Path, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(sorted(mistakes, key=lambda each: each.line))
        self.path = path
        super().__init__("; ".join(self.lines()))

    def lines(self) -> list[str]:
        """``FILE:LINE: text`` of each mistake, as editors understand it."""
        return [
            printable(f"{self.path}:{each.line}: {each.text}") for each in self.mistakes
        ]


@dataclass(frozen=True, slots=True)
class CameraTable:
    """A camera of the file."""

    name: str
    table: Mapping[str, Any]
    """As `Camera` validates it, with the defaults in it: plain values, for a worker."""
    config: CameraConfig

    def __repr__(self) -> str:
        return f"CameraTable({self.name!r})"


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """The contents of the file, checked."""

    path: Path
    server: ServerConfig
    workers: WorkersConfig
    mqtt: MqttConfig | None
    cameras: tuple[CameraTable, ...]


def read_config(path: Path) -> ServiceConfig:
    """Read the file.

    Raises:
        MistakesError: Something is wrong with it; names all of it.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as exc:
        why = (getattr(exc, "strerror", None) or str(exc)).lower()
        raise MistakesError(
            path, [Mistake(0, f"it cannot be read: {why}; check the path")]
        ) from None
    if len(data) > _MOST_BYTES:
        raise MistakesError(path, [Mistake(0, "it is too large for a file of cameras")])
    return parse_config(data, path)


def parse_config(data: bytes, path: Path) -> ServiceConfig:
    """Parse the content of the file `path`; see `read_config`."""
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        raise MistakesError(path, [Mistake(line, "it is not text in UTF-8")]) from None
    try:
        tables = tomllib.loads(text)
        lines = key_lines(text)
    except tomllib.TOMLDecodeError as exc:
        found = re.search(r"^(.*) \(at (?:line (\d+)|end of)", str(exc), re.DOTALL)
        what = (found[1] if found else str(exc)).strip()
        line = int(found[2]) if found and found[2] else text.count("\n") + 1
        raise MistakesError(path, [Mistake(line, f"not TOML: {what}")]) from None
    except RecursionError:
        raise MistakesError(path, [Mistake(0, "it is nested too deeply")]) from None
    return _Reading(path, tables, lines).config()


class _Reading:
    """Collects what is wrong while the tables become configs."""

    def __init__(
        self, path: Path, tables: dict[str, Any], lines: dict[KeyPath, int]
    ) -> None:
        self._path = path
        self._tables = tables
        self._lines = lines
        self._mistakes: list[Mistake] = []

    def config(self) -> ServiceConfig:
        for key in self._tables:
            if key not in ServiceFile.model_fields:
                self._add((key,), _unknown(key, ServiceFile.model_fields))
        server = self._validated(ServerConfig, "server") or ServerConfig()
        self._check_server(server)
        workers = self._validated(WorkersConfig, "workers") or WorkersConfig()
        mqtt = self._validated(MqttConfig, "mqtt") if "mqtt" in self._tables else None
        cameras = tuple(self._cameras())
        self._check_targets(cameras)
        if self._mistakes:
            raise MistakesError(self._path, list(dict.fromkeys(self._mistakes)))
        return ServiceConfig(self._path, server, workers, mqtt, cameras)

    def _cameras(self) -> Iterator[CameraTable]:
        defaults = self._table("defaults")
        tables = self._table("cameras")
        if not tables and isinstance(self._tables.get("cameras", {}), dict):
            self._add((), "there is no camera; add [cameras.NAME] with a source")
        for name, table in tables.items():
            path = ("cameras", name)
            if not NAME.fullmatch(name):
                self._add(
                    path,
                    f"{name!r} cannot name a camera; use 1 to 64 letters, digits, - "
                    "and _",
                )
            elif not isinstance(table, dict):
                self._add(path, f"cameras.{name} must be a table: [cameras.{name}]")
            else:
                table = cast("dict[str, Any]", table)
                merged = _placed(_inherited(defaults, table) | table, name)
                if (config := self._camera(name, table, merged)) is not None:
                    yield CameraTable(name, merged, config)

    def _camera(
        self, name: str, own: Mapping[str, Any], merged: dict[str, Any]
    ) -> CameraConfig | None:
        """The config of a camera; None if something is wrong with its table.

        Checks of several keys run only if each is right by itself, and end at the first
        mistake. So what is wrong is left out, and the rest is checked again.
        """
        keys = [field.alias or key for key, field in Camera.model_fields.items()]
        left, removed = dict(merged), set[str]()
        while True:
            try:
                config = Camera.model_validate(left)
            except ValidationError as exc:
                found = {
                    self._note_fault(name, own, merged, fault, removed)
                    for fault in _faults(exc, keys)
                }
            else:
                return None if removed else config
            if not found - removed - {""}:
                return None
            removed |= found
            left = {key: value for key, value in merged.items() if key not in removed}
            if "source" in removed:
                left["source"] = "testsrc:"

    def _note_fault(
        self,
        name: str,
        own: Mapping[str, Any],
        merged: Mapping[str, Any],
        fault: tuple[str, KeyPath, str],
        removed: set[str],
    ) -> str:
        """Note a fault of a camera's table; returns the key that it is about."""
        key, place, text = fault
        # An option names itself: "--strength 9 is out of range; ...".
        options = [
            "output" if each == "-o" else each.lstrip("-")
            for each in re.findall(r"(?<!\S)(?:--[a-z][a-z-]*|-o\b)", text)
        ]
        if not place:
            if removed.intersection(options):
                return ""  # a consequence of what is reported already
            key = next((each for each in options if each in merged), "")
            place = (key,) if key else ()
        is_own = not key or key in own or key not in merged
        table = ("cameras", name) if is_own else ("defaults",)
        shown = re.sub(r"(?<!\S)--([a-z][a-z-]*)", r"\1", text)
        shown = re.sub(r"(?<!\S)-o\b", "output", shown)
        begins = not key or shown.startswith(key)
        label = ".".join(table) + ("" if begins else f".{key}")
        self._add((*table, *place), f"{label}: {shown}")
        return key

    def _validated(self, model: type[Any], section: str) -> Any:
        try:
            return model.model_validate(self._table(section))
        except ValidationError as exc:
            known = [*model.model_fields, *Account.model_fields]
            for _, place, text in _faults(exc, known):
                label = ".".join(map(str, (section, *place)))
                self._add((section, *place), f"{label}: {text}")
            return None

    def _check_server(self, server: ServerConfig) -> None:
        for key, accounts, is_hash, option in (
            ("users", server.users, is_password_hash, "--hash-password"),
            ("tokens", server.tokens, is_token_hash, "--new-token"),
        ):
            for name, account in accounts.items():
                if not is_hash(account.secret.get_secret_value()):
                    self._add(
                        ("server", key, name, "secret"),
                        f"server.{key}.{name}.secret is no hash; streamdenoise serve "
                        f"{option} prints one",
                    )
        try:
            parse_address(server.address, "server.address")
        except ConfigError as exc:
            self._add(("server", "address"), str(exc))
        if (server.certificate is None) != (server.key is None):
            given = "key" if server.certificate is None else "certificate"
            self._add(
                ("server", given),
                "server.certificate and server.key belong together: give both, or "
                "neither",
            )

    def _table(self, name: str) -> dict[str, Any]:
        table = self._tables.get(name, {})
        if not isinstance(table, dict):
            self._add((name,), f"{name} must be a table: [{name}]")
            return {}
        return cast("dict[str, Any]", table)

    def _check_targets(self, cameras: Sequence[CameraTable]) -> None:
        """Two that write to one place would destroy each other's video."""
        owners: dict[str, str] = {}
        for camera in cameras:
            for target in camera.config.live.outputs:
                if target in _SHARED_TARGETS:
                    continue
                place = target
                if not is_network(target) and not target.startswith("virtualcam:"):
                    place = os.path.abspath(local_path(target))
                owner = owners.setdefault(place, camera.name)
                if owner != camera.name:
                    path: KeyPath = ("cameras", camera.name, "output")
                    if path not in self._lines:
                        path = ("defaults", "output")
                    self._add(
                        path,
                        f"cameras.{camera.name}: {mask_address(target)} is an output "
                        f"of {owner} already; give each camera its own, such as with "
                        f"{_PLACE} in its name",
                    )

    def _add(self, path: KeyPath, text: str) -> None:
        """Note a mistake at the line of the longest part of `path` that has one."""
        line = 0
        for count in range(len(path), 0, -1):
            if found := self._lines.get(path[:count]):
                line = found
                break
        self._mistakes.append(Mistake(line, mask_credentials(text)))


def _faults(
    exc: ValidationError, known: Sequence[str]
) -> Iterator[tuple[str, KeyPath, str]]:
    """Key, path of the key, and sentence of each error."""
    for error in exc.errors(include_url=False, include_input=False):
        place = error["loc"]
        key = str(place[0]) if place else ""
        cause = error.get("ctx", {}).get("error")
        if error["type"] == "extra_forbidden":
            text = _unknown(str(place[-1]), known)
        elif error["type"] == "missing":
            text = f"{place[-1]} is missing"
        elif isinstance(cause, ValueError):
            text = str(cause)
        else:
            words = error["msg"].removeprefix("Input ").removeprefix("Value error, ")
            name = [str(each) for each in place if isinstance(each, str)][-1:]
            text = f"{name[0] if name else 'it'} {words[:1].lower()}{words[1:]}"
        yield key, place, text


def _unknown(key: str, known: Any) -> str:
    text = f"{key} is not a known key"
    if near := difflib.get_close_matches(key.replace("_", "-"), list(known), 1):
        text += f"; did you mean {near[0]}?"
    return text


def _inherited(defaults: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults that apply to a table: not those of segments if it has none."""
    outputs = table.get("output", defaults.get("output", ()))
    named = "%" in str(outputs)
    return {
        key: value
        for key, value in defaults.items()
        if named or key not in _OF_SEGMENTS
    }


def _placed(table: dict[str, Any], name: str) -> dict[str, Any]:
    """`table` with the camera's name where its text asks for it."""

    def placed(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(_PLACE, name)
        if isinstance(value, list):
            return [placed(each) for each in cast("list[Any]", value)]
        return value

    return {key: placed(value) for key, value in table.items()}
