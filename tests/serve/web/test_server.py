"""Where the page is served: addresses, encryption, and what is refused."""

import logging
import select
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from streamdenoise.errors import ConfigError
from streamdenoise.serve.config.server import ServerConfig
from streamdenoise.serve.web import server
from streamdenoise.serve.web.app import create_app
from streamdenoise.serve.web.server import PageServer
from tests.serve.web.made_cameras import MadeCameras
from tests.serve.web.running import Running
from tests.support.certificates import make_certificates
from tests.support.waiting import wait_until


def test_other_machines_get_in_only_with_users(
    cameras: MadeCameras, users: ServerConfig, caplog: pytest.LogCaptureFixture
):
    for address in ("0.0.0.0:0", "[::]:0"):
        config = ServerConfig(address=address)
        with pytest.raises(ConfigError, match="there are no users; add one"):
            PageServer(create_app(cameras, config), config)
        config = users.model_copy(update={"address": address})
        caplog.clear()
        with Running(create_app(cameras, config), config) as running:
            assert running.client().ask("/healthz").code == 200
        (warning,) = [r for r in caplog.records if r.levelno == logging.WARNING]
        assert "not encrypted" in warning.message


def test_https(
    cameras: MadeCameras,
    users: ServerConfig,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    good = make_certificates(tmp_path).good
    config = users.model_copy(
        update={"address": "0.0.0.0:0", "certificate": good, "key": good}
    )
    with Running(create_app(cameras, config), config) as running:
        assert running.page.url.startswith("https://0.0.0.0:")
        client = running.client()
        client.log_in()
        assert "__Host-session" in client.cookies
        assert all("; secure" in each.lower() for each in client.set_cookies)
        assert client.ask("/api/cameras").code == 200
        own = f"127.0.0.1:{running.port}"
        for origin, code in ((f"https://{own}", 200), (f"http://{own}", 403)):
            answer = client.ask("/api/cameras/yard", "PATCH", {}, Origin=origin)
            assert answer.code == code
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_clients_that_say_nothing_take_up_few_connections(
    cameras: MadeCameras,
    users: ServerConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    # Before the handshake of TLS, there is no connection of HTTP to be counted.
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 8)
    good = make_certificates(tmp_path).good
    config = users.model_copy(update={"certificate": good, "key": good})
    with (
        Running(create_app(cameras, config), config) as running,
        ExitStack() as clients,
    ):
        silent = [
            clients.enter_context(
                socket.create_connection(("127.0.0.1", running.port), timeout=20)
            )
            for _ in range(20)
        ]
        wait_until(lambda: len(select.select(silent, [], [], 0)[0]) == 12)
        assert running.client().ask("/healthz").code == 200
        monkeypatch.setattr(server, "HEAD_S", 0.3)
        late = clients.enter_context(
            socket.create_connection(("127.0.0.1", running.port), timeout=20)
        )
        assert late.recv(1) == b""


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"address": "127.0.0.1"}, "server.address '127.0.0.1' is not a valid address"),
        ({"address": "no.such.host.invalid:0"}, "cannot be used: "),
        ({"address": "192.0.2.1:0"}, "cannot be used: "),
        ({"certificate": Path("a.pem")}, "belong together"),
        ({"certificate": Path("a.pem"), "key": Path("a.pem")}, "No such file"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(
    cameras: MadeCameras, fields: dict[str, object], why: str
):
    config = ServerConfig.model_validate({"address": "127.0.0.1:0", **fields})
    with pytest.raises(ConfigError, match=why):
        PageServer(create_app(cameras, config), config)


def test_a_key_of_another_certificate_is_refused(cameras: MadeCameras, tmp_path: Path):
    made = make_certificates(tmp_path)
    config = ServerConfig(
        address="127.0.0.1:0", certificate=made.good, key=made.renewed
    )
    with pytest.raises(ConfigError, match="PEM files that belong together"):
        PageServer(create_app(cameras, config), config)


def test_a_taken_port_is_one_sentence(cameras: MadeCameras):
    config = ServerConfig(address="127.0.0.1:0")
    with Running(create_app(cameras, config), config) as running:
        taken = ServerConfig(address=running.page.address)
        with pytest.raises(ConfigError, match="in use; choose an address"):
            PageServer(create_app(cameras, taken), taken)
