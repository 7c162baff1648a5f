"""The operations of an OpenAPI schema, as the page about the API lists them.

The usual viewers load scripts from other sites, which this page never does.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

_Schema = Mapping[str, Any]


class Field(NamedTuple):
    """A parameter, or a member of a body."""

    name: str
    place: str
    """``path``, ``query`` or ``body``."""
    kind: str
    about: str


class Operation(NamedTuple):
    """A method of a path."""

    method: str
    path: str
    about: str
    fields: Sequence[Field]
    answers: Sequence[str]
    """Status codes."""


def operations(schema: _Schema) -> dict[str, list[Operation]]:
    """Operations by tag, in the order of the schema."""
    found: dict[str, list[Operation]] = {}
    for path, methods in cast("_Schema", schema["paths"]).items():
        for method, each in cast("_Schema", methods).items():
            about = each.get("description") or each.get("summary", "")
            fields = [*_parameters(schema, each), *_members(schema, each)]
            answers = sorted(each["responses"])
            operation = Operation(method.upper(), path, about, fields, answers)
            found.setdefault(each.get("tags", [""])[0], []).append(operation)
    return found


def _parameters(schema: _Schema, operation: _Schema) -> list[Field]:
    return [
        Field(
            each["name"],
            each["in"],
            _kind(schema, each["schema"]),
            each.get("description", ""),
        )
        for each in operation.get("parameters", ())
    ]


def _members(schema: _Schema, operation: _Schema) -> list[Field]:
    content = operation.get("requestBody", {}).get("content", {})
    members: list[Field] = []
    for body in content.values():
        model = _resolved(schema, body["schema"])
        for name, each in model.get("properties", {}).items():
            about = each.get("description", "")
            members.append(Field(name, "body", _kind(schema, each), about))
    return members


def _kind(schema: _Schema, kind: _Schema) -> str:
    """A type in words, such as ``number, 0 to 2``."""
    kind = _resolved(schema, kind)
    if "anyOf" in kind:
        kinds = [_kind(schema, each) for each in kind["anyOf"]]
        return " or ".join(each for each in kinds if each != "null")
    if "enum" in kind:
        return ", ".join(map(str, kind["enum"]))
    words = str(kind.get("type", "anything"))
    if "minimum" in kind and "maximum" in kind:
        words += f", {kind['minimum']} to {kind['maximum']}"
    return words


def _resolved(schema: _Schema, kind: _Schema) -> _Schema:
    name = str(kind.get("$ref", "")).rpartition("/")[2]
    return schema["components"]["schemas"][name] if name else kind
