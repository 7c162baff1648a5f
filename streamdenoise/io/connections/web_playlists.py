"""What a playlist of the web may open: the web."""

import io
import tempfile
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import DataHandler, Request

from streamdenoise.io.connections.playlists import (
    MAX_PLAYLIST_BYTES,
    decrypted,
    unwrapped,
)
from streamdenoise.io.connections.web import UnansweredError, WebClient, WebResource


class WebPlaylist:
    """Opens what a playlist of the web names; nothing but HTTP, HTTPS and data.

    A playlist that came over HTTPS does not lead to unencrypted addresses. A segment
    that the server does not have is empty, so that the next one follows.

    Args:
        client: Makes the requests.
        playlist: The playlist.
    """

    def __init__(self, client: WebClient, playlist: WebResource) -> None:
        self.fault = ""
        """Why something could not be had; empty if all could."""
        self._client = client
        self._is_secure = urlsplit(playlist.name).scheme == "https"

    def __call__(self, address: str, _: int, options: Mapping[str, str]) -> Any:
        """Open an address; see `Opener`."""
        is_encrypted, inside = unwrapped(address)
        scheme = urlsplit(inside).scheme
        if scheme == "data":
            return DataHandler().data_open(Request(inside))
        if scheme != "https" and (self._is_secure or scheme != "http"):
            raise PermissionError(
                f"it leads to {scheme or 'a file'}, which is not allowed"
            )
        end = int(options.get("end_offset", 0)) or None
        try:
            resource = self._client.open(inside, int(options.get("offset", 0)), end)
        except UnansweredError as exc:
            self.fault = str(exc)
            return io.BytesIO()
        if not is_encrypted:
            return _playlist(resource) if resource.is_elsewhere else resource
        with resource, tempfile.NamedTemporaryFile() as kept:
            while data := resource.read(2**16):
                kept.write(data)
            kept.flush()
            return decrypted(kept.name, options)


def _playlist(resource: WebResource) -> Any:
    """A redirected playlist with full addresses: FFmpeg does not know its new place."""
    start = resource.read(2**16)
    if not start.startswith(b"#EXTM3U"):
        return _Prefixed(start, resource)
    text = start
    while len(text) < MAX_PLAYLIST_BYTES and (data := resource.read(2**16)):
        text += data
    resource.close()
    lines = [_absolute(line, resource.name) for line in text.decode().splitlines()]
    return io.BytesIO("\n".join(lines).encode())


def _absolute(line: str, base: str) -> str:
    if line and not line.startswith("#"):
        return urljoin(base, line)
    before, mark, rest = line.partition('URI="')
    uri, quote, after = rest.partition('"')
    return f"{before}{mark}{urljoin(base, uri)}{quote}{after}" if quote else line


class _Prefixed(io.RawIOBase):
    """A resource of which the start has been read."""

    def __init__(self, start: bytes, rest: WebResource) -> None:
        self._start, self._rest = start, rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._start:
            size = len(self._start) if size < 0 else size
            data, self._start = self._start[:size], self._start[size:]
            return data
        return self._rest.read(size)

    def close(self) -> None:
        self._rest.close()
        super().close()
