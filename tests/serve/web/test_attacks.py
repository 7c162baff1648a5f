"""What attackers try: other sites, other users, huge and slow requests."""

import asyncio
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from streamdenoise.errors import ConfigError
from streamdenoise.serve.config.server import Account, ServerConfig
from streamdenoise.serve.states import Event
from streamdenoise.serve.web import access, server
from streamdenoise.serve.web.app import create_app
from streamdenoise.service import http_server
from tests.serve.web.made_cameras import MadeCameras
from tests.serve.web.running import (
    CONTROL_TOKEN,
    PASSWORD,
    VIEW_TOKEN,
    Running,
    next_fragments,
    server_config,
)
from tests.support.waiting import wait_until

CHANGE = {"strength": 0.0}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# Other sites


@pytest.mark.parametrize("token", ["", "guess"])
def test_a_cookie_alone_changes_nothing(
    guarded: Running, cameras: MadeCameras, token: str
):
    client = guarded.client()
    client.log_in()
    client.headers["X-CSRF-Token"] = token
    for method, path, body in (
        ("PATCH", "/api/cameras/yard", CHANGE),
        ("DELETE", "/api/cameras/yard/recordings/a.mp4", None),
        ("DELETE", "/api/session", None),
    ):
        answer = client.ask(path, method, body)
        assert answer.code == 403
        assert "X-CSRF-Token" in answer.json["detail"]
    assert cameras.state("yard").strength == 1.0


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://127.0.0.1.evil.example"},
        {"Origin": "file://"},
        {"Origin": "http://[::1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["opened", "guarded"])
def test_pages_of_other_sites_change_and_see_nothing(
    request: pytest.FixtureRequest,
    cameras: MadeCameras,
    kind: str,
    headers: dict[str, str],
):
    running: Running = request.getfixturevalue(kind)
    client = running.client()
    if kind == "guarded":
        client.log_in()
    assert client.ask("/api/cameras/yard", "PATCH", CHANGE, **headers).code == 403
    assert client.ask("/api/session", "POST", {}, **headers).code == 403
    assert cameras.state("yard").strength == 1.0
    with pytest.raises(InvalidStatus) as caught, client.video(**headers):
        pass
    assert caught.value.response.status_code == 403
    own = {
        "Origin": f"http://127.0.0.1:{running.port}",
        "Sec_Fetch_Site": "same-origin",
    }
    assert client.ask("/api/cameras/yard", "PATCH", CHANGE, **own).code == 200
    with client.video(**own) as watched:
        next_fragments(watched, 1)


def test_images_are_not_for_pages_of_other_sites(opened: Running):
    frame = "/api/cameras/yard/frame.jpg"
    assert opened.client().ask(frame, Sec_Fetch_Site="cross-site").code == 403
    answer = opened.client().ask(frame)
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/", "/api/cameras", "/healthz", "/static/api.js"])
def test_names_that_are_not_this_servers_are_refused(opened: Running, path: str):
    for host, code in (
        ("evil.example", 421),
        (f"evil.example:{opened.port}", 421),
        (f"localhost:{opened.port}", 200),
        (f"127.0.0.1:{opened.port}", 200),
    ):
        assert opened.client().ask(path, Host=host).code == code, host


def test_other_names_are_allowed_by_the_configuration(cameras: MadeCameras):
    config = server_config(hosts=("nvr.local",))
    with Running(create_app(cameras, config), config) as running:
        client = running.client(Host="nvr.local", Origin="https://nvr.local")
        assert client.ask("/api/cameras/yard", "PATCH", CHANGE).code == 200


@pytest.mark.parametrize(
    "path", ["/", "/login", "/api/cameras", "/nothing", "/static/api.js", "/healthz"]
)
def test_every_answer_tells_the_browser_what_not_to_do(guarded: Running, path: str):
    for accept in ("text/html", "*/*"):
        headers = guarded.client().ask(path, Accept=accept).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


def test_unexpected_errors_say_nothing_and_keep_the_headers(
    opened: Running, cameras: MadeCameras, monkeypatch: pytest.MonkeyPatch
):
    def fail() -> None:
        raise RuntimeError("the key is 4711")

    monkeypatch.setattr(cameras, "states", fail)
    logging.getLogger("uvicorn.error").disabled = True
    try:
        answer = opened.client().ask("/api/cameras")
    finally:
        logging.getLogger("uvicorn.error").disabled = False
    assert answer.code == 500
    assert "4711" not in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_names_and_texts_are_escaped(opened: Running, cameras: MadeCameras):
    attack = '"><script>alert(1)</script>'
    cameras.set("yard", title=attack)
    cameras.given = [Event(time=1, camera="yard", kind="lost", text=attack)]
    client = opened.client(Accept="text/html")
    for path in ("/cameras/yard", "/", f"/cameras/{quote(attack)}", "/api/events"):
        answer = client.ask(path)
        is_json = answer.headers["Content-Type"] == "application/json"
        assert is_json or "<script>alert" not in answer.text, path
    pages = (Path(server.__file__).parent / "templates").glob("*.html")
    for page in pages:
        text = page.read_text()
        assert "|safe" not in text.replace(" ", ""), page
        assert "style=" not in text, page
        for script in text.split("<script")[1:]:
            assert script.startswith(' type="module" src="/static/'), page


# Rights


def test_viewers_change_nothing(guarded: Running, cameras: MadeCameras):
    bob = guarded.client()
    bob.log_in("bob")
    for client in (bob, guarded.client(**bearer(VIEW_TOKEN))):
        assert client.ask("/api/cameras/yard").code == 200
        for method, path in (
            ("PATCH", "/api/cameras/yard"),
            ("DELETE", "/api/cameras/yard/recordings/a.mp4"),
            ("POST", "/api/anything"),
        ):
            assert client.ask(path, method, CHANGE).code == 403
        with client.video() as watched:
            next_fragments(watched, 1)
    assert cameras.state("yard").strength == 1.0
    assert bob.ask("/api/session", "DELETE").code == 204


def test_tokens_control_without_cookies(guarded: Running, cameras: MadeCameras):
    client = guarded.client(**bearer(CONTROL_TOKEN))
    assert client.ask("/api/cameras/yard", "PATCH", CHANGE).code == 200
    assert cameras.state("yard").strength == 0.0
    with client.video() as watched:
        next_fragments(watched, 1)


@pytest.mark.parametrize("token", ["", "guess", VIEW_TOKEN + "x", VIEW_TOKEN.upper()])
def test_unknown_tokens_get_nothing_even_with_a_cookie(guarded: Running, token: str):
    client = guarded.client()
    client.log_in()
    answer = client.ask("/api/cameras", **bearer(token))
    assert answer.code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_all_paths_but_a_few_need_a_login(guarded: Running):
    client = guarded.client()
    paths = client.ask("/api/openapi.json", **bearer(VIEW_TOKEN)).json["paths"]
    assert len(paths) > 10
    for path, methods in paths.items():
        for method in methods:
            filled = path.replace("{name}", "yard").replace("{recording_id}", "a.mp4")
            code = client.ask(filled, method.upper(), {}).code
            allowed = (path, method) in {("/healthz", "get"), ("/api/session", "post")}
            assert (code != 401) == allowed, (method, path)
    for path in ("/", "/cameras/yard", "/docs", "/api/openapi.json", "/nothing"):
        assert client.ask(path).code == 401, path
    with pytest.raises(InvalidStatus) as caught, client.video():
        pass
    assert caught.value.response.status_code == 401


def test_why_the_service_is_unhealthy_is_for_those_who_may_look(
    cameras: MadeCameras, users: ServerConfig
):
    app = create_app(
        cameras, users, why_unhealthy=lambda: "yard: rtsp://a:b@c/ is lost"
    )
    with Running(app, users) as running:
        assert running.client().ask("/healthz").text == "unhealthy\n"
        answer = running.client(**bearer(VIEW_TOKEN)).ask("/healthz")
        assert (answer.code, answer.text) == (503, "yard: rtsp://***@c/ is lost\n")


def test_a_video_ends_with_the_login(guarded: Running, cameras: MadeCameras):
    client = guarded.client()
    client.log_in()
    with client.video() as watched:
        next_fragments(watched, 1)
        client.ask("/api/session", "DELETE")
        assert why_closed(watched) == 4001
    wait_until(lambda: cameras.watchers == 0)


# Files


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(
    "path",
    [
        "../secret.mp4",
        "..%2fsecret.mp4",
        "%2e%2e/secret.mp4",
        "%2e%2e%2fsecret.mp4",
        "a/../../secret.mp4",
        "a/%2e%2e/%2e%2e/secret.mp4",
        "..%5csecret.mp4",
        "%00../secret.mp4",
        "a.mp4%00",
        "/{root}/secret.mp4",
        "%2f{root}/secret.mp4",
        "",
        ".",
    ],
)
def test_no_path_leads_out_of_the_recordings(
    opened: Running, cameras: MadeCameras, path: str, method: str
):
    (cameras.folder / "yard").mkdir(parents=True)
    secret = cameras.folder / "secret.mp4"
    secret.write_bytes(b"secret")
    path = path.replace("{root}", quote(str(cameras.folder)[1:], safe=""))
    for base in ("/api/cameras/yard/recordings/", "/static/"):
        answer = opened.client().ask(f"{base}{path}", method)
        assert answer.code in (404, 405), path
        assert b"secret" not in answer.body.replace(b"secret.mp4", b"")
    assert secret.exists()


def test_a_slow_disk_delays_no_other_request(
    opened: Running, cameras: MadeCameras, monkeypatch: pytest.MonkeyPatch
):
    asked, goes_on = threading.Event(), threading.Event()

    async def slow(name: str, recording_id: str) -> Path:
        asked.set()
        await asyncio.to_thread(goes_on.wait, 20)
        return cameras.folder / name / recording_id

    monkeypatch.setattr(cameras, "recording_path", slow)
    path = "/api/cameras/yard/recordings/a.mp4"
    with ThreadPoolExecutor(1) as browser:
        answer = browser.submit(opened.client().ask, path)
        try:
            assert asked.wait(20)
            assert opened.client().ask("/healthz").code == 200
            assert not answer.done(), "it was waited for"
        finally:
            goes_on.set()
        assert answer.result(20).code == 404


def test_recordings_are_never_run(opened: Running, cameras: MadeCameras):
    page = cameras.folder / "yard" / "page.html"
    page.parent.mkdir(parents=True)
    page.write_text("<script>alert(1)</script>")
    answer = opened.client().ask("/api/cameras/yard/recordings/page.html")
    assert answer.headers["Content-Type"] == "application/octet-stream"


# Huge and slow requests


def test_huge_bodies_are_refused_before_they_arrive(opened: Running):
    answer = opened.client().ask(
        "/api/cameras/yard", "PATCH", b"{", Content_Length=str(10**9)
    )
    assert answer.code == 413
    assert answer.headers["Connection"] == "close"


def test_a_body_without_a_length_is_cut_off(opened: Running):
    with raw(opened) as sock:
        sock.sendall(
            b"PATCH /api/cameras/yard HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        try:
            for _ in range(4):
                sock.sendall(b"8000\r\n" + b" " * 0x8000 + b"\r\n")
        except ConnectionError:
            return
        assert sock.recv(20).startswith(b"HTTP/1.1 413")


def test_a_huge_head_is_refused(opened: Running):
    with raw(opened) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000)
        assert read_all(sock).startswith(b"HTTP/1.1 400")


def test_slow_heads_and_bodies_are_cut_off(
    opened: Running, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "HEAD_S", 0.3)
    monkeypatch.setattr(access, "BODY_S", 0.3)
    with raw(opened) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        assert is_closed(sock)
    with raw(opened) as sock:  # also after a first request
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        sock.sendall(b"GET / HTTP/1.1\r\n")
        assert read_all(sock).endswith(b"\r\n\r\nok\n")
    with raw(opened) as sock:
        sock.sendall(
            b"PATCH /api/cameras/yard HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{"
        )
        assert sock.recv(20).startswith(b"HTTP/1.1 408")


def test_bodies_that_never_come_disconnect_nobody(
    guarded: Running, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(http_server, "MAX_CONNECTIONS_OF_ADDRESS", 4)
    client = guarded.client(**bearer(VIEW_TOKEN))
    with client.video() as watched, ExitStack() as clients:
        next_fragments(watched, 1)
        for _ in range(8):
            sock = clients.enter_context(raw(guarded))
            sock.sendall(
                b"POST /api/session HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Length: 20\r\nExpect: 100-continue\r\n\r\n"
            )
            assert sock.recv(20).startswith(b"HTTP/1.1 100")
        assert client.ask("/api/cameras").code == 200
        for _ in range(20):
            assert watched.recv(timeout=20)


def test_a_client_that_reads_nothing_holds_no_memory(
    opened: Running, cameras: MadeCameras, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(server, "STALL_S", 0.3)
    (cameras.folder / "yard").mkdir(parents=True)
    (cameras.folder / "yard" / "a.mp4").write_bytes(bytes(30_000_000))
    with raw(opened) as sock:
        sock.sendall(
            b"GET /api/cameras/yard/recordings/a.mp4 HTTP/1.1\r\n"
            b"Host: localhost\r\n\r\n"
        )
        time.sleep(1.5)
        # The system has kept a few megabytes; the server has given up.
        assert len(read_all(sock)) < 29_000_000


def test_shutdown_waits_for_no_client(cameras: MadeCameras):
    config = server_config()
    with ExitStack() as clients:
        with Running(create_app(cameras, config), config) as running:
            watched = clients.enter_context(running.client().video())
            next_fragments(watched, 1)
            half = clients.enter_context(raw(running))
            half.sendall(b"GET / HTTP/1.1\r\n")
            start = time.monotonic()
        assert time.monotonic() - start < 5
        assert why_closed(watched) == 1012
    assert cameras.watchers == 0


# Secrets


def test_no_secret_is_in_any_log_or_answer(
    guarded: Running, users: ServerConfig, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    client = guarded.client()
    client.log_in("ann", "hunter2 is wrong")
    client.log_in("my secret typed as name", "x")
    client.ask("/api/session", "POST", {"name": 1, "password": ["hunter2"]})
    client.log_in()
    texts = [
        client.ask(path, Accept="text/html").text
        for path in ("/", "/cameras/yard", "/docs", "/api/cameras", "/api/session")
    ]
    guarded.client(**bearer(CONTROL_TOKEN + "x")).ask("/api/cameras")
    guarded.client(**bearer(CONTROL_TOKEN)).ask("/api/cameras")
    seen = "\n".join([caplog.text, *texts, repr(users)])
    secrets = [
        PASSWORD,
        "hunter2",
        "my secret",
        CONTROL_TOKEN,
        client.cookies["session"],
        *(each.secret.get_secret_value() for each in users.users.values()),
        *(each.secret.get_secret_value() for each in users.tokens.values()),
    ]
    assert "ann logged in from 127.0.0.1" in seen
    assert [each for each in secrets if each in seen] == []


@pytest.mark.parametrize("kind", ["users", "tokens"])
def test_secrets_that_are_no_hashes_are_refused_and_not_shown(
    cameras: MadeCameras, kind: str
):
    account = Account(secret=SecretStr("hunter2"))
    with pytest.raises(ConfigError, match="is no hash of a") as caught:
        create_app(cameras, server_config(**{kind: {"ann": account}}))
    assert "hunter2" not in str(caught.value)


def raw(running: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), timeout=20)


def is_closed(sock: socket.socket) -> bool:
    """Wait until the server closes the connection, without an answer."""
    return read_all(sock) == b""


def read_all(sock: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    data = bytearray()
    try:
        while part := sock.recv(2**16):
            data += part
    except ConnectionResetError:
        pass
    return bytes(data)


def why_closed(watched: ClientConnection) -> int | None:
    """Read until a WebSocket is closed; returns the code."""
    try:
        while True:
            watched.recv(timeout=20)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None
