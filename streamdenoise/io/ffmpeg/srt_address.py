"""Addresses of SRT for the `ffmpeg` program, without secrets among its arguments."""

import os
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote_plus

from streamdenoise.io.url import StreamURL

# Parameters of an address -> FFmpeg's options of the same meaning.
_SECRETS = {
    "passphrase": "passphrase",
    "streamid": "srt_streamid",
    "srt_streamid": "srt_streamid",
}


_SHORTEST, _LONGEST = 10, 79
"""Bytes of a passphrase, see SRTO_PASSPHRASE in SRT's API."""


@dataclass(frozen=True, slots=True)
class SrtAddress:
    """An address in two parts, of which one may be seen by other users."""

    open_part: str
    secrets: dict[str, str]
    """FFmpeg's options, such as the passphrase, which are passed by other means."""

    @classmethod
    def of(cls, url: StreamURL) -> Self:
        """Split an address.

        Raises:
            ValueError: A secret is elsewhere than in the passphrase or the stream ID,
                or the passphrase is too short or too long for SRT; the message is a
                clause.
        """
        open_part, secrets = _split(url.reveal())
        size = len(os.fsencode(secrets.get("passphrase", "")))
        if size and not _SHORTEST <= size <= _LONGEST:
            raise ValueError(
                f"its passphrase has {size} bytes, and SRT takes {_SHORTEST} to "
                f"{_LONGEST}"
            )
        if open_part != _split(str(url))[0]:
            raise ValueError("its secrets must be in passphrase= or streamid=")
        return cls(open_part, secrets)

    @property
    def preset(self) -> str:
        """The secrets as a file for ``-fpre``, FFmpeg's option for outputs."""
        return "".join(f"{name}={text}\n" for name, text in self.secrets.items())

    @property
    def script(self) -> str:
        """The whole address as a file for FFmpeg's concat, for inputs."""
        lines = ["ffconcat version 1.0", f"file {_quoted(self.open_part)}"]
        lines += [
            f"option {name} {_quoted(text)}" for name, text in self.secrets.items()
        ]
        return "\n".join([*lines, ""])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _split(address: str) -> tuple[str, dict[str, str]]:
    start, mark, query = address.partition("?")
    kept: list[str] = []
    secrets: dict[str, str] = {}
    for parameter in query.split("&") if mark else ():
        name, _, value = parameter.partition("=")
        if name.lower() in _SECRETS:
            text = unquote_plus(value, errors="surrogateescape")
            if "\n" in text or "\0" in text:
                raise ValueError("its secrets contain a line end")
            secrets[_SECRETS[name.lower()]] = text
        else:
            kept.append(parameter)
    return start + ("?" + "&".join(kept) if kept else ""), secrets
