"""What a playlist may open: the web from the web, and from a folder what is in it.

FFmpeg calls an `Opener` for every address in a playlist, instead of opening it itself.
"""

import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av

Opener = Callable[[str, int, Mapping[str, str]], Any]
"""Gets an address, FFmpeg's flags and options; returns a file."""

OPTIONS = {"http_persistent": "0", "http_multiple": "0", "protocol_whitelist": "none"}
"""FFmpeg's options for playlists that are opened through an `Opener`."""

MAX_PLAYLIST_BYTES = 2**24


class Playlist(io.BytesIO):
    """The text of a playlist, and the address to which those in it are relative."""

    def __init__(self, text: bytes, name: str) -> None:
        super().__init__(text)
        self.name = name


def read_playlist(path: Path) -> Playlist:
    """Read a playlist from a file."""
    with path.open("rb") as file:
        return Playlist(file.read(MAX_PLAYLIST_BYTES), str(path.absolute()))


def from_folder(folder: Path) -> Opener:
    """Opens the files in `folder` and below it that a playlist names."""
    root = folder.resolve()

    def open_it(address: str, _: int, options: Mapping[str, str]) -> Any:
        is_encrypted, inside = unwrapped(address)
        path = Path(inside.removeprefix("file:")).resolve()
        is_file = urlsplit(inside).scheme in ("", "file")
        if not is_file or not path.is_relative_to(root):
            raise PermissionError(
                f"it leads to {inside}, which is not beside it; move all files into "
                "the folder of the playlist"
            )
        if not os.path.isfile(path):
            raise FileNotFoundError(f"{path}, which it names, does not exist")
        return decrypted(str(path), options) if is_encrypted else path.open("rb")

    return open_it


def unwrapped(address: str) -> tuple[bool, str]:
    """Whether it is to be decrypted, and the address without FFmpeg's mark for that."""
    for mark in ("crypto+", "crypto:"):
        if address.startswith(mark):
            return True, address.removeprefix(mark)
    return False, address


def decrypted(path: str, options: Mapping[str, str]) -> io.BytesIO:
    """A segment of an encrypted playlist, by FFmpeg's own decryption."""
    given = {name: options[name] for name in ("key", "iv") if name in options}
    given |= {"protocol_whitelist": "crypto,file", "format_whitelist": "data"}
    with av.open(f"crypto:{path}", format="data", options=given) as container:
        return io.BytesIO(b"".join(bytes(packet) for packet in container.demux()))
