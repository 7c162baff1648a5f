"""The page with made cameras, with users and without."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamdenoise.serve.config.server import ServerConfig
from streamdenoise.serve.web.app import create_app
from tests.serve.web.made_cameras import MadeCameras
from tests.serve.web.running import Running, server_config, with_users


@pytest.fixture
def cameras(tmp_path: Path) -> MadeCameras:
    return MadeCameras(tmp_path / "recordings")


@pytest.fixture
def opened(cameras: MadeCameras) -> Iterator[Running]:
    """The page without users."""
    config = server_config()
    with Running(create_app(cameras, config), config) as running:
        yield running


@pytest.fixture(scope="session")
def users() -> ServerConfig:
    return with_users()


@pytest.fixture
def guarded(cameras: MadeCameras, users: ServerConfig) -> Iterator[Running]:
    """The page with users."""
    with Running(create_app(cameras, users), users) as running:
        yield running
