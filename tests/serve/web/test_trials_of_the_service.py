"""Trials behind the rules of the service."""

import time
from concurrent.futures import ThreadPoolExecutor
from http.client import RemoteDisconnected
from pathlib import Path

import psutil

from streamdenoise.serve.config.server import ServerConfig
from streamdenoise.serve.web.app import create_app
from tests.serve.web.made_cameras import MadeCameras
from tests.serve.web.running import VIEW_TOKEN, Client, Running
from tests.serve.web.test_try_it import PNG, form
from tests.support.pictures import picture, saved
from tests.support.waiting import wait_until


def send(client: Client, data: bytes) -> int:
    kind = "multipart/form-data; boundary=xyz"
    body = form("a.png", data, {"noise": "gaussian", "level": "25", "model": "pico"})
    try:
        return client.ask("/api/try", "POST", body, Content_Type=kind).code
    except (RemoteDisconnected, ConnectionResetError):
        return 0


def trials() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if any("trial_process" in word for word in child.cmdline())
    ]


def test_trials_need_the_right_to_control_and_a_csrf_token(
    cameras: MadeCameras, users: ServerConfig, tmp_path: Path
):
    with Running(create_app(cameras, users, trials=tmp_path), users) as running:
        assert send(running.client(), PNG) == 401
        viewer = running.client(Authorization=f"Bearer {VIEW_TOKEN}")
        assert send(viewer, PNG) == 403
        client = running.client()
        client.log_in()
        token = client.headers.pop("X-CSRF-Token")
        assert send(client, PNG) == 403
        assert not trials()
        client.headers["X-CSRF-Token"] = token
        # More than other requests may have.
        assert send(client, PNG + bytes(100_000)) == 200
        page = client.ask("/", Accept="text/html").text
        assert 'href="/try"' in page


def test_the_service_ends_while_something_is_tried(
    cameras: MadeCameras, users: ServerConfig, tmp_path: Path
):
    data = saved(picture(8, 3, 3000, 2000), "png")
    with ThreadPoolExecutor(1) as pool:
        with Running(create_app(cameras, users, trials=tmp_path), users) as running:
            client = running.client()
            client.log_in()
            trial = pool.submit(send, client, data)
            wait_until(lambda: bool(trials()))
            start = time.monotonic()
        assert time.monotonic() - start < 10
        assert trial.result() == 0
    assert not trials()
