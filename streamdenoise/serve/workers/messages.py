"""Messages between the supervisor and a worker: JSON, and bytes that stay bytes."""

import json
import socket
import struct
from asyncio import StreamReader
from dataclasses import dataclass
from typing import Any

_HEAD = struct.Struct("<II")
_MOST_BYTES = 64 << 20
"""Of JSON or of a payload; more means that the two do not understand each other."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message from one to the other."""

    kind: str
    fields: dict[str, Any]
    payload: bytes = b""

    def packed(self) -> bytes:
        """The message as it travels."""
        text = json.dumps([self.kind, self.fields]).encode()
        return _HEAD.pack(len(text), len(self.payload)) + text + self.payload


async def next_message(stream: StreamReader) -> Message:
    """Wait for a message.

    Raises:
        EOFError: The other has ended.
        ValueError: It sent something else.
    """
    length, size = _sizes(await stream.readexactly(_HEAD.size))
    return _message(await stream.readexactly(length), await stream.readexactly(size))


def receive(connection: socket.socket) -> Message:
    """The same, in a thread."""
    length, size = _sizes(_exactly(connection, _HEAD.size))
    return _message(_exactly(connection, length), _exactly(connection, size))


def _sizes(head: bytes) -> tuple[int, int]:
    length, size = _HEAD.unpack(head)
    if max(length, size) > _MOST_BYTES:
        raise ValueError(f"a message of {length} and {size} bytes")
    return length, size


def _message(text: bytes, payload: bytes) -> Message:
    kind, fields = json.loads(text)
    return Message(kind, fields, payload)


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
