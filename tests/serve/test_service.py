"""The whole command: signals, the changed file, systemd, and its end."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import psutil
import pytest

from tests.serve.running import SMALL
from tests.support.command import command, environment
from tests.support.waiting import wait_until

ONE = f"""
[server]
address = "127.0.0.1:0"
[defaults]
source = "{SMALL}"
model = "pico"
overwrite = true
"""


class Service:
    """`streamdenoise serve`, with its log and what it tells systemd."""

    def __init__(self, folder: Path, text: str) -> None:
        self.file = folder / "cameras.toml"
        self.file.write_text(text)
        self._log = folder / "log"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self._socket.setblocking(False)
        self.said: list[str] = []
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                command("-v", "serve", self.file),
                env=environment(
                    NOTIFY_SOCKET=str(folder / "notify"), WATCHDOG_USEC="400000"
                ),
                stderr=log,
                stdout=subprocess.DEVNULL,
            )

    def log(self) -> str:
        return self._log.read_text()

    def has_said(self, text: str) -> bool:
        while True:
            try:
                self.said.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return any(text in each for each in self.said)

    def wait_log(self, text: str, times: int = 1) -> None:
        wait_until(lambda: self.log().count(text) >= times, 60)

    def workers(self) -> list[psutil.Process]:
        found = psutil.Process(self.process.pid).children()
        return [each for each in found if "workers.worker" in " ".join(each.cmdline())]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._socket.close()


@contextmanager
def serving(folder: Path, text: str) -> Iterator[Service]:
    service = Service(folder, text)
    try:
        yield service
    finally:
        service.close()


def frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_it_reloads_and_stops_with_complete_outputs(tmp_path: Path) -> None:
    camera = '[cameras.{0}]\noutput = "{1}/{0}.mp4"\n'
    a, b = (camera.format(name, tmp_path) for name in "ab")
    with serving(tmp_path, ONE + a + "[cameras.off]\nenabled = false\n") as service:
        service.wait_log("camera a: live")
        assert service.has_said("READY=1")
        (worker,) = service.workers()
        # A changed file is read without being asked.
        service.file.write_text(ONE + a + b)
        service.wait_log("1 cameras changed, 1 removed")
        service.wait_log("camera b: live")
        assert service.has_said("RELOADING=1")
        # One with a mistake changes nothing.
        service.file.write_text(ONE + a + "[cameras.b]\nmodle = 3\n")
        service.wait_log("the configuration stays as it was")
        line = (ONE + a).count("\n") + 2
        assert f"{service.file}:{line}: cameras.b: modle is not a known key" in (
            service.log()
        )
        service.file.write_text(ONE + a + b + "strength = 0.5\n")
        service.process.send_signal(signal.SIGHUP)
        service.wait_log("camera b: live", 2)
        assert service.workers() == [worker]
        assert service.log().count("camera a: live") == 1
        assert service.log().count("was read again") == 2
        assert service.has_said("WATCHDOG=1")
        assert service.has_said("cameras live")
        service.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert service.process.wait(40) == 128 + signal.SIGTERM
        assert time.monotonic() - began < 20
        assert service.has_said("STOPPING=1")
    assert not psutil.pid_exists(worker.pid)
    for name in "ab":
        assert frames(tmp_path / f"{name}.mp4") > 0
    assert not list(tmp_path.glob("*part*"))


def test_workers_end_with_the_supervisor(tmp_path: Path) -> None:
    text = ONE + f'[cameras.a]\noutput = "{tmp_path}/a.mp4"\n'
    with serving(tmp_path, text) as service:
        service.wait_log("camera a: live")
        (worker,) = service.workers()
        os.kill(service.process.pid, signal.SIGKILL)
        service.process.wait()
        wait_until(lambda: not worker.is_running(), 30)
    assert frames(tmp_path / "a.mp4") > 0


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "nowhere"])
def test_a_wrong_address_is_an_error(tmp_path: Path, address: str) -> None:
    pytest.importorskip("streamdenoise.serve.web.server")
    file = tmp_path / "cameras.toml"
    file.write_text(f'[server]\naddress = "{address}"\n[cameras.a]\nsource = "{SMALL}"')
    ended = subprocess.run(
        command("serve", file), env=environment(), capture_output=True, timeout=60
    )
    assert ended.returncode == 1
    assert address.encode() in ended.stderr
