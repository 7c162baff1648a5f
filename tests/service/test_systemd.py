"""Notifications to systemd, received on a real socket."""

import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamdenoise.jobs.live import while_building
from streamdenoise.pipeline.stats import OutputStats, Stats
from streamdenoise.service.health import is_alive
from streamdenoise.service.systemd import MAX_STATUS, Notifier
from tests.support.clock import Clock


class Manager:
    """A service manager: a bound datagram socket and its messages."""

    def __init__(self, address: str | bytes) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def received(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                return messages


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "notify ü")


@pytest.fixture
def manager(path: str) -> Iterator[Manager]:
    manager = Manager(path)
    yield manager
    manager.socket.close()


def test_a_service_reports_ready_status_and_stopping(manager: Manager, path: str):
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": path})
    notifier.ready()
    notifier.ready()
    notifier.status("25 fps")
    notifier.status("25 fps")
    notifier.status("24 fps")
    notifier.watchdog()  # the service has no watchdog
    notifier.stopping()
    assert manager.received() == [
        "READY=1",
        "STATUS=25 fps",
        "STATUS=24 fps",
        "STOPPING=1",
    ]


def test_an_abstract_socket():
    name = f"streamdenoise-{uuid.uuid4()}"
    manager = Manager(f"\0{name}")
    Notifier.from_environment({"NOTIFY_SOCKET": f"@{name}"}).ready()
    assert manager.received() == ["READY=1"]
    manager.socket.close()


def test_the_watchdog_is_notified_twice_a_period(manager: Manager, path: str):
    clock = Clock(0.0)
    environ = {
        "NOTIFY_SOCKET": path,
        "WATCHDOG_USEC": "10000000",
        "WATCHDOG_PID": str(os.getpid()),
    }
    notifier = Notifier.from_environment(environ, clock=clock)
    notified_at = []
    for tick in range(80):
        clock.now = tick / 4
        notifier.watchdog()
        if manager.received() == ["WATCHDOG=1"]:
            notified_at.append(clock.now)
    assert notified_at == [0.0, 5.0, 10.0, 15.0]


@pytest.mark.parametrize(
    "environ",
    [
        {"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": str(os.getpid() + 1)},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "often"},
        {"WATCHDOG_USEC": ""},
        {},
    ],
)
def test_no_watchdog_or_that_of_another_process_is_not_notified(
    manager: Manager, path: str, environ: dict[str, str]
):
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": path, **environ})
    notifier.watchdog()
    assert manager.received() == []


def test_the_watchdog_is_notified_while_an_engine_is_built(manager: Manager, path: str):
    moments = iter(range(0, 1000, 10))
    notifier = Notifier(path, watchdog_s=30.0, clock=lambda: float(next(moments)))
    steps_seen: list[tuple[str, int, int]] = []

    def stop_at_five(phase: str, step: int, steps: int) -> bool:
        steps_seen.append((phase, step, steps))
        return step < 5

    build = while_building(stop_at_five, notifier)
    answers = [build("tactics", step, 9) for step in range(6)]  # a minute
    assert answers == [True] * 5 + [False]
    assert steps_seen[-1] == ("tactics", 5, 9)
    assert manager.received() == ["WATCHDOG=1"] * 3
    assert while_building(None, notifier)("tactics", 0, 9)


@pytest.mark.parametrize(
    ("hangs", "denoiser_error", "source_error", "is_fed"),
    [
        ((False, False), "", "", True),
        ((True, False), "", "", True),  # a restart would interrupt the other one
        ((True, True), "", "", False),
        ((False, False), "no progress for 12 s", "", False),
        ((False, False), "", "no route to host", True),
        ((), "", "", True),  # nothing is open yet
    ],
)
def test_the_watchdog_is_notified_unless_a_restart_could_help(
    hangs: tuple[bool, ...], denoiser_error: str, source_error: str, is_fed: bool
):
    outputs = tuple(OutputStats("a.mkv", hangs=each) for each in hangs)
    stats = Stats(
        outputs=outputs, denoiser_error=denoiser_error, source_error=source_error
    )
    assert is_alive(stats) == is_fed


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    for notifier in (
        Notifier(),
        Notifier.from_environment(),
        Notifier.from_environment({"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "1000000"}),
    ):
        send_everything(notifier)


def send_everything(notifier: Notifier) -> None:
    notifier.ready()
    notifier.status("fine")
    notifier.watchdog()
    notifier.stopping()


@pytest.mark.parametrize(
    "address",
    ["/nowhere/at/all", "relative", "@nobody listens", "/" + "x" * 300, "vsock:2:1"],
)
def test_a_missing_socket_raises_nothing(address: str):
    send_everything(Notifier(address, watchdog_s=1.0))


def test_lost_messages_are_sent_again(path: str):
    clock = Clock(0.0)
    notifier = Notifier(path, watchdog_s=10.0, clock=clock)
    send_everything(notifier)
    manager = Manager(path)
    send_everything(notifier)
    assert manager.received() == ["READY=1", "STATUS=fine", "WATCHDOG=1", "STOPPING=1"]
    manager.socket.close()


def test_a_manager_that_does_not_read_does_not_block(manager: Manager, path: str):
    notifier = Notifier(path)
    for number in range(10_000):  # more than fits into the socket
        notifier.status(str(number))
    assert 0 < len(manager.received()) < 10_000


def test_a_status_is_one_short_line_without_secrets(manager: Manager, path: str):
    notifier = Notifier(path)
    notifier.status("lost rtsp://me:hunter2@camera/1:\nMAINPID=1\r\tgone")
    notifier.status("é" * 10_000)
    first, second = manager.received()
    assert first == "STATUS=lost rtsp://***@camera/1: MAINPID=1 gone"
    assert second == "STATUS=" + "é" * MAX_STATUS
    assert len(second.encode()) < 4096
    notifier.status("half a \udc80 character")
    assert manager.received() == ["STATUS=half a ? character"]


def test_descriptors_are_closed(manager: Manager, path: str):
    notifier = Notifier(path)
    numbers = set()
    for number in range(50):
        notifier.status(str(number))
        with socket.socket() as probe:
            numbers.add(probe.fileno())
    assert len(numbers) == 1
