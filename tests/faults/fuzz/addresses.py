"""Addresses with passwords, and every way in which they can be shown."""

import base64
import io
import json
import logging
import os
import random
import shlex
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import av
import av.error

from streamdenoise.console import logs
from streamdenoise.errors import ConfigError, SourceOpenError
from streamdenoise.io.ffmpeg.errors import reason
from streamdenoise.io.url import Credentials, StreamURL
from streamdenoise.pipeline.stats import OutputStats
from streamdenoise.security import masking
from streamdenoise.security.masking import mask_address, mask_exception

SCHEMES = ("rtsp", "rtsps", "RTSP", "http", "https", "rtmp", "rtmps", "srt", "udp")
HOSTS = ("cam", "cam.example.org", "10.0.0.7", "[::1]", "[fe80::1%25eth0]", "")
ALPHABET = (
    "@:/%#?[]{}()<>|\\^`~!$&*+,;=-_. '\"\t\n\r\0"
    "aZ09äßéñ€日本語\u202e\u200b\xa0😀%20%40%2F%%3A://@@//***"
)


class Hostile:
    """An address whose user and password contain words that occur nowhere else."""

    def __init__(self, rng: random.Random) -> None:
        def word(mark: str) -> str:
            length = rng.choice((0, 0, 1, 3, 8, 20, rng.randrange(100)))
            before = "".join(rng.choices(ALPHABET, k=length))
            return before + mark + "".join(rng.choices(ALPHABET, k=rng.randrange(9)))

        self.scheme = rng.choice(SCHEMES)
        self.mark = f"Zq{rng.randrange(10**6):06}W"
        self.user_mark = f"Yx{rng.randrange(10**6):06}V"
        self.user = rng.choice(("", "admin", word(self.user_mark)))
        self.password = word(self.mark)
        host = rng.choice(HOSTS) + rng.choice(("", ":554", ":65535"))
        path = rng.choice(("", "/", "/s", "/live/ch@1", "/a b/ü", "/live/x/y?a=b@c"))
        query = rng.choice(("", "?channel=1", "?mail=a@b&x=%40", "?a=1#b"))
        self.tail = f"{host}{path}{query}"
        self.variables = {
            "STREAMDENOISE_USER": self.user,
            "STREAMDENOISE_PASSWORD": self.password,
        }
        encoded = [quote(each, safe="") for each in (self.user, self.password)]
        partly = [
            "".join(quote(c, safe="") if rng.random() < 0.5 else c for c in each)
            for each in (self.user, self.password)
        ]
        logins = (
            f"{self.user}:{self.password}",
            ":".join(partly),
            ":".join(encoded),
            "{STREAMDENOISE_USER}:{STREAMDENOISE_PASSWORD}"
            if self.user
            else ":{STREAMDENOISE_PASSWORD}",
            encoded[1],
        )
        form = rng.randrange(len(logins))
        self.login = logins[form]
        self.text = f"{self.scheme}://{self.login}@{self.tail}"
        kind = rng.randrange(10)
        secret = rng.choice((encoded[1], "{STREAMDENOISE_PASSWORD}"))
        if kind == 0:
            name = rng.choice(("token", "PASSWORD", "x-key", "streamid", "auth"))
            self.text = f"{self.scheme}://{host or 'h'}/s?a=1&{name}={secret}"
        elif kind == 1:
            self.text = f"rtmp://h/app/{secret}"

        pair = f"{self.user}:{self.password}".encode()
        self.header = f"Basic {base64.b64encode(pair).decode()}"
        # Unencoded parts may be parsed differently.
        self.beyond_addresses: tuple[str, ...] = ()
        if form in (2, 3) and kind > 1:
            self.beyond_addresses = (self.password, encoded[1], self.header)

    def addresses(self) -> tuple[list[str], list[StreamURL]]:
        """Texts that users may type and FFmpeg may print, and the parsed address."""
        try:
            url = StreamURL.parse(self.text, Credentials({}))
        except ConfigError as exc:
            return [self.text, str(exc), *traceback.format_exception(exc)], []
        return [self.text, url.reveal()], [url]

    def check(self, where: str, shown: str) -> None:
        for secret in (self.mark, self.user_mark, self.password, self.header):
            if secret in shown:
                raise AssertionError(
                    f"{where}: {secret!r} of {self.text!r} shows in {shown!r}"
                )


class Paths:
    """Every way in which an address can be shown."""

    def __init__(self) -> None:
        self._stream = io.StringIO()
        self._handler = logging.StreamHandler(self._stream)
        self._formatters = (logs.TextFormatter(), logs.JSONFormatter())
        self._log = logging.Logger("fuzz")
        self._log.addHandler(self._handler)

    def messages(self, hostile: Hostile) -> Iterator[tuple[str, str]]:
        texts, urls = hostile.addresses()
        for url in urls:
            yield "str", f"{url} {url!r} {url:s} {[url]} {json.dumps(str(url))}"
            yield "stats", repr(OutputStats(name=str(url), error=f"{url}: lost"))
        first, last = texts[0], texts[-1]
        yield "title", shlex.join(map(mask_address, (*texts, f"--output={first}")))
        for text in texts:
            error = SourceOpenError(f"{text} cannot be opened; check {text!r}")
            yield "error", f"{error} {error!r} {json.dumps(str(error))}"
        yield from self._log_lines(first, last, hostile.beyond_addresses * len(urls))
        error = self._chain(first, last)
        mask_exception(error)
        yield "masked", "".join(traceback.format_exception(error))
        yield "reason", reason(self._chain(first, last).__cause__ or error)

    def _chain(self, first: str, last: str) -> Exception:
        # Never raised: the lines of code in a traceback are the same for all.
        error = SourceOpenError(f"{first} is away")
        cause = av.error.ConnectionRefusedError(111, "refused", last)
        error.__cause__, cause.__context__ = cause, OSError(2, "none", first, 0, last)
        return error

    def _log_lines(
        self, text: str, last: str, beyond: tuple[str, ...]
    ) -> Iterator[tuple[str, str]]:
        extra = {"url": text, "nested": {text: [text, {"a": text}]}}
        for formatter in self._formatters:
            self._stream.seek(0)
            self._stream.truncate()
            self._handler.setFormatter(formatter)
            error = self._chain(text, last)
            self._log.warning("%s: %r", text, text, exc_info=error, extra=extra)
            self._log.warning("%d cannot be %s", text, {"a": text})
            self._log.warning("rejected: %s", beyond)
            with uncaught_goes_to(self._handler):
                sys.excepthook(type(error), error, None)
            shown = self._stream.getvalue()
            yield "log", shown
            if isinstance(formatter, logs.JSONFormatter):
                yield "parsed", repr(list(map(json.loads, shown.splitlines())))


@contextmanager
def uncaught_goes_to(handler: logging.Handler) -> Iterator[None]:
    logs.log.addHandler(handler)
    try:
        yield
    finally:
        logs.log.removeHandler(handler)


def send_through(hostile: Hostile, paths: Paths) -> int:
    """Fail if a secret shows; returns the number of texts that were checked."""
    masking._known = ()
    for name, value in hostile.variables.items():
        os.environ.pop(name, None)
        if "\0" not in value:
            os.environ[name] = value
    count = 0
    for where, shown in paths.messages(hostile):
        hostile.check(where, shown)
        count += 1
    return count
