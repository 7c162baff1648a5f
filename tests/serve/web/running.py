"""The page, served by a thread, and programs that use it."""

import asyncio
import http.client
import json
import ssl
import threading
from dataclasses import dataclass, field
from typing import Any, Self

from fastapi import FastAPI
from pydantic import SecretStr
from websockets.sync.client import ClientConnection, connect

from streamdenoise.security.passwords import Cost, hash_password, hash_token
from streamdenoise.serve.config.server import Account, Rights, ServerConfig
from streamdenoise.serve.web.server import PageServer

PASSWORD = "correct horse"
VIEW_TOKEN, CONTROL_TOKEN = "view-" + "v" * 40, "control-" + "c" * 40


def server_config(**fields: Any) -> ServerConfig:
    """On any free port of the loopback interface; without users if not given."""
    return ServerConfig(address="127.0.0.1:0", **fields)


def with_users() -> ServerConfig:
    """`ann` has control, `bob` may look; both have one password. Two tokens."""
    secret = SecretStr(hash_password(PASSWORD, Cost(n=2**10, p=1)))
    return server_config(
        users={
            "ann": Account(secret=secret),
            "bob": Account(secret=secret, rights=Rights.VIEW),
        },
        tokens={
            "grafana": Account(
                secret=SecretStr(hash_token(VIEW_TOKEN)), rights=Rights.VIEW
            ),
            "script": Account(secret=SecretStr(hash_token(CONTROL_TOKEN))),
        },
    )


class Running:
    """Serves an application from its own thread and loop."""

    def __init__(self, app: FastAPI, config: ServerConfig) -> None:
        self.page = PageServer(app, config)
        self.port = int(self.page.address.rpartition(":")[2])
        self._is_encrypted = config.certificate is not None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self.page.serve())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self.page.stop)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def client(self, **headers: str) -> "Client":
        return Client(self, headers)

    def connection(self) -> http.client.HTTPConnection:
        if not self._is_encrypted:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=20, context=context
        )


@dataclass
class Answer:
    code: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Client:
    """A program, or a browser as far as cookies go."""

    running: Running
    headers: dict[str, str]
    cookies: dict[str, str] = field(default_factory=dict)
    set_cookies: list[str] = field(default_factory=list)

    def ask(
        self, path: str, method: str = "GET", body: Any = None, **headers: str
    ) -> Answer:
        """Send a request; underscores in the names of headers stand for hyphens."""
        sent = {**self.headers, **headers}
        sent = {name.replace("_", "-"): value for name, value in sent.items()}
        if self.cookies and "Cookie" not in sent:
            sent["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        data = body
        if body is not None and not isinstance(body, bytes):
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = self.running.connection()
        try:
            connection.request(method, path, data, sent)
            response = connection.getresponse()
            for each in response.headers.get_all("Set-Cookie", []):
                self.set_cookies.append(each)
                name, _, value = each.partition(";")[0].partition("=")
                self.cookies[name] = value.strip('"')
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def log_in(self, name: str = "ann", password: str = PASSWORD) -> Answer:
        """Log in, and send the CSRF token from then on."""
        answer = self.ask("/api/session", "POST", {"name": name, "password": password})
        if answer.code == 200:
            self.headers["X-CSRF-Token"] = answer.json["csrf_token"]
        return answer

    def video(self, name: str = "yard", side: str = "after", **more: Any):
        """Open a WebSocket; `more` are headers."""
        headers = {k.replace("_", "-"): v for k, v in {**self.headers, **more}.items()}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        uri = f"ws://127.0.0.1:{self.running.port}/api/cameras/{name}/video?side={side}"
        return connect(
            uri,
            additional_headers=headers,
            compression=None,
            proxy=None,
            open_timeout=20,
        )


def next_fragments(socket: ClientConnection, count: int) -> tuple[str, bytes]:
    """Type and data of a stream: its header and `count` fragments."""
    mime = socket.recv(timeout=20)
    assert isinstance(mime, str)
    data = [socket.recv(timeout=20) for _ in range(1 + count)]
    assert all(isinstance(each, bytes) for each in data)
    return mime, b"".join(each for each in data if isinstance(each, bytes))
