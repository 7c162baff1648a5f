"""A status server with a manual clock."""

from collections.abc import Iterator

import pytest

from streamdenoise.service.status_server import StatusServer
from tests.service.status import SECRET
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Iterator[StatusServer]:
    source = f"rtsp://admin:{SECRET}@camera/1"
    with StatusServer("127.0.0.1:0", source, stall_s=10.0, clock=clock) as server:
        yield server
