"""Runs the service with many cameras under random faults, and looks for leaks.

    python -m tests.serve.soak --minutes 10 --seed 1

Cameras come from two RTSP servers and are recorded; every frame shows its number. The
command `streamdenoise serve` runs as users run it, and is controlled through its API
and its file. Prints one line per fault. Fails if a camera that no fault has hit lacks
frames beyond those that it counted as dropped, if a camera does not come back, if a
recording cannot be read, or if memory, descriptors or threads of the main process
certainly grow.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.faults.rig import RATE, Window, lost_outside, numbers_in
from tests.faults.servers import GstServer, free_port
from tests.faults.soak import MOST, Slope, slope
from tests.support.command import environment

CALM_S = 2.0
BACK_S = 90.0
"""Within this time every camera is live again, whatever the fault was."""
HANG_S = 12.0
"""A worker that hangs is replaced in this time."""
SEGMENT_S = 30

LEAKS_SHOW_MINUTES = 10.0
"""In less time the first use of each part looks like a leak."""


@dataclass
class Account:
    """What happened to one camera."""

    windows: list[Window] = field(default_factory=list[Window])
    """When a fault hit it."""
    dropped: int = 0
    """Frames that it counted as dropped."""
    last: int = 0
    """The count at the last look; it starts over with each job."""

    def look(self, count: int) -> None:
        self.dropped += count - self.last if count >= self.last else count
        self.last = count


class Service:
    """Servers, the service and its API; entering the context starts all of it."""

    def __init__(self, folder: Path, cameras: int) -> None:
        self.folder = folder
        self.names = [f"camera-{number}" for number in range(cameras)]
        self.accounts = {name: Account() for name in self.names}
        self.strength = dict.fromkeys(self.names, 1.0)
        self._stack = ExitStack()
        self.servers = [
            GstServer(auth="digest", rate=RATE, key_interval=RATE, size=(320, 180))
        ]
        self.servers += [
            GstServer(
                auth="digest",
                rate=RATE,
                key_interval=RATE,
                size=(320, 180),
                epoch=self.servers[0].epoch,
            )
        ]
        self.address = f"127.0.0.1:{free_port()}"
        self.config = folder / "cameras.toml"

    def server_of(self, name: str) -> GstServer:
        return self.servers[self.names.index(name) % len(self.servers)]

    def __enter__(self) -> Self:
        enter = self._stack.enter_context
        for server in self.servers:
            enter(server)
        self.write_config()
        log = enter((self.folder / "log").open("w"))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "streamdenoise", "serve", str(self.config)],
            stderr=log,
            env=environment(),
        )
        self._stack.callback(self._kill)
        self.back(self.names, 120)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def write_config(self, wrong: str = "") -> None:
        tables = [
            f"[cameras.{name}]\n"
            f'source = "{self.server_of(name).url()}"\n'
            f"strength = {self.strength[name]}\n"
            for name in self.names
        ]
        text = (
            f'[server]\naddress = "{self.address}"\n'
            "[workers]\ncount = 3\n"
            '[defaults]\nmodel = "pico"\ntimeout = 2\non-loss = "gap"\n'
            f'output = "{self.folder}/clips/{{camera}}/%Y-%m-%d_%H-%M-%S.mkv"\n'
            f'segment = "{SEGMENT_S}s"\npreset = "ultrafast"\n' + "".join(tables)
        )
        # As editors do it: a service must not read half a file.
        part = self.config.with_suffix(".part")
        part.write_text(text + wrong)
        part.replace(self.config)

    def ask(self, path: str, method: str = "GET", body: object = None) -> Any:
        request = urllib.request.Request(
            f"http://{self.address}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=15) as answer:
            return json.load(answer)

    def frame(self, name: str) -> bytes:
        """A JPEG of the camera, before and after."""
        path = f"/api/cameras/{name}/frame.jpg?side=split"
        with urllib.request.urlopen(
            f"http://{self.address}{path}", timeout=15
        ) as answer:
            return answer.read()

    def states(self) -> dict[str, Any]:
        """All cameras by name; what they have dropped is added up."""
        states = {state["name"]: state for state in self.ask("/api/cameras")}
        for name, state in states.items():
            self.accounts[name].look(state["dropped"])
        return states

    def now(self) -> float:
        """The current time as a frame number."""
        return (time.monotonic() - self.servers[0].epoch) * RATE

    def back(self, names: list[str], timeout_s: float = BACK_S) -> None:
        """Wait until cameras are live and their frames go on."""
        deadline = time.monotonic() + timeout_s
        before: dict[str, int] = {}
        while True:
            if self.process.poll() is not None:
                raise AssertionError(f"the service has ended:\n{self.log}")
            try:
                states = self.states()
            except OSError:
                states = {}
            well = [
                name
                for name in names
                if name in states and states[name]["status"] == "live"
            ]
            for name in set(names) - set(well):
                before.pop(name, None)
            for name in well:
                before.setdefault(name, states[name]["frames_out"])
            if len(well) == len(names) and all(
                states[name]["frames_out"] > before[name] + RATE // 2 for name in names
            ):
                return
            if time.monotonic() > deadline:
                bad = {name: states.get(name) for name in set(names) - set(well)}
                raise AssertionError(f"not back in {timeout_s:g} s: {bad}\n{self.log}")
            time.sleep(0.2)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()[-5000:]

    def usage(self) -> tuple[float, int, int]:
        """Megabytes, descriptors and threads of the main process.

        Workers come and go with the faults: each is watched by the service itself.
        """
        process = psutil.Process(self.process.pid)
        return (
            process.memory_info().rss / 1e6,
            process.num_fds(),
            process.num_threads(),
        )

    def workers_mb(self) -> float:
        """Megabytes of all workers."""
        total = 0.0
        for worker in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                total += worker.memory_info().rss / 1e6
        return total

    def stop(self) -> float:
        """End the service as a service manager would; returns the seconds it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        assert code in (0, -signal.SIGTERM, 128 + signal.SIGTERM), (code, self.log)
        return time.monotonic() - began


Happen = Callable[[Service, random.Random], list[str]]
"""Makes a fault happen; returns the names of the cameras that it hits."""


def _workers(service: Service) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for name, state in service.states().items():
        if state["worker"]:
            found.setdefault(state["worker"], []).append(name)
    return found


def kill_worker(service: Service, rng: random.Random) -> list[str]:
    pid, names = rng.choice(sorted(_workers(service).items()))
    os.kill(pid, signal.SIGKILL)
    return names


def crash_worker(service: Service, rng: random.Random) -> list[str]:
    pid, names = rng.choice(sorted(_workers(service).items()))
    os.kill(pid, signal.SIGSEGV)
    return names


def hang_worker(service: Service, rng: random.Random) -> list[str]:
    pid, names = rng.choice(sorted(_workers(service).items()))
    os.kill(pid, signal.SIGSTOP)
    time.sleep(HANG_S)
    return names


def lose_cameras(service: Service, rng: random.Random) -> list[str]:
    server = rng.choice(service.servers)
    server.kill()
    time.sleep(rng.uniform(0.5, 6))
    server.restart()
    return [name for name in service.names if service.server_of(name) is server]


def freeze_cameras(service: Service, rng: random.Random) -> list[str]:
    server = rng.choice(service.servers)
    server.freeze()
    time.sleep(rng.uniform(0.5, 5))
    server.resume()
    return [name for name in service.names if service.server_of(name) is server]


def reload_one(service: Service, rng: random.Random) -> list[str]:
    name = rng.choice(service.names)
    service.strength[name] = round(rng.uniform(0.5, 1.5), 2)
    service.write_config()
    time.sleep(4)
    return [name]


def reload_by_signal(service: Service, rng: random.Random) -> list[str]:
    name = rng.choice(service.names)
    service.strength[name] = round(rng.uniform(0.5, 1.5), 2)
    service.write_config()
    service.process.send_signal(signal.SIGHUP)
    time.sleep(2)
    return [name]


def break_config(service: Service, rng: random.Random) -> list[str]:
    service.write_config(rng.choice(("[cameras.x]\n", "strenght = 1\n", "\0", "[[[")))
    time.sleep(4)
    service.write_config()
    time.sleep(4)
    return []


def switch(service: Service, rng: random.Random) -> list[str]:
    name = rng.choice(service.names)
    path = f"/api/cameras/{name}"
    service.ask(path, "PATCH", {"enabled": False})
    time.sleep(2)
    service.ask(path, "PATCH", {"enabled": True})
    return [name]


def change_settings(service: Service, rng: random.Random) -> list[str]:
    for name in rng.sample(service.names, 3):
        wish = rng.choice(
            (
                {"strength": round(rng.uniform(0, 2), 2)},
                {"sigma": rng.choice(("auto", "5", "20"))},
                {"model": rng.choice(("pico", "nano"))},
            )
        )
        service.ask(f"/api/cameras/{name}", "PATCH", wish)
    time.sleep(3)
    return []


def watch(service: Service, rng: random.Random) -> list[str]:
    name, side = rng.choice(service.names), rng.choice(("after", "split"))
    address = f"ws://{service.address}/api/cameras/{name}/video?side={side}"
    with connect(address, max_size=None) as socket:
        end = time.monotonic() + 5
        while time.monotonic() < end:
            try:
                socket.recv(timeout=1)
            except (TimeoutError, ConnectionClosed):
                break
        time.sleep(rng.choice((0, 4)))  # some stop reading
    assert service.frame(name)[:2] == b"\xff\xd8"
    return []


def ask_nonsense(service: Service, rng: random.Random) -> list[str]:
    for path, body in (
        ("/api/cameras/nobody", {"strength": 1}),
        (f"/api/cameras/{service.names[0]}", {"strength": 99}),
        (f"/api/cameras/{service.names[0]}", {"model": "../../etc/passwd"}),
    ):
        with pytest.raises(urllib.error.HTTPError) as refused:
            service.ask(path, "PATCH", body)
        assert 400 <= refused.value.code < 500, refused.value
    return []


FAULTS: tuple[Happen, ...] = (
    *(kill_worker, crash_worker, hang_worker, lose_cameras, freeze_cameras),
    *(reload_one, reload_by_signal, break_config, switch, change_settings),
    *(watch, ask_nonsense),
)


def unexplained(service: Service, name: str) -> tuple[int, int, int]:
    """Frames of a camera: recorded, missing outside its faults, counted as dropped."""
    numbers = [
        pair
        for path in sorted((service.folder / "clips" / name).glob("*.mkv"))
        for pair in numbers_in(path)
    ]
    account = service.accounts[name]
    gaps = lost_outside(numbers, account.windows)
    return len(numbers), sum(gaps.values()), account.dropped


def soak(minutes: float, seed: int, cameras: int, folder: Path) -> int:
    """Run, and print the results; return the number of problems."""
    rng = random.Random(seed)
    samples: list[tuple[float, ...]] = []
    happened: Counter[str] = Counter()
    with Service(folder, cameras) as service:
        began = time.monotonic()
        # The first round tries each fault.
        waiting = rng.sample(FAULTS, len(FAULTS))
        while (now := time.monotonic() - began) < minutes * 60:
            time.sleep(CALM_S)
            usage = service.usage()
            samples.append((now / 3600, *usage))
            fault = waiting.pop() if waiting else rng.choice(FAULTS)
            begin = service.now()
            hit = fault(service, rng)
            service.back(service.names)
            window = Window(begin, service.now())
            for name in hit:
                service.accounts[name].windows.append(window)
            happened[fault.__name__] += 1
            print(
                f"{now / 60:6.1f} min  {fault.__name__:18} hit {len(hit)}  "
                f"{usage[0]:5.0f} MB  {usage[1]} descriptors  {usage[2]} threads, "
                f"workers {service.workers_mb():.0f} MB",
                flush=True,
            )
        service.states()
        stop_s = service.stop()
        problems: list[str] = []
        print(f"\n{happened.total()} faults; stopped in {stop_s:.1f} s")
        warm_h = 0.25 * minutes / 60
        columns = np.array([sample for sample in samples if sample[0] >= warm_h]).T
        kinds = ("memory, MB", "descriptors", "threads")
        for name, values in zip(kinds, columns[1:], strict=True):
            found = slope(columns[0], values)
            print(f"{name}: {found.per_hour:+.1f} ± {found.half_width:.1f} per hour")
            if minutes >= LEAKS_SHOW_MINUTES and _grows(
                found, float(np.ptp(columns[0])), *MOST[name]
            ):
                problems.append(f"{name} grows")
        for name in service.names:
            frames, lost, dropped = unexplained(service, name)
            print(
                f"{name}: {frames} frames, {lost} lost outside faults, "
                f"{dropped} dropped"
            )
            if lost > dropped:
                problems.append(f"{name}: {lost - dropped} frames lost without a cause")
    print(f"{len(problems)} problems")
    print("\n".join(problems))
    return len(problems)


def _grows(found: Slope, hours: float, per_hour: float, in_all: float) -> bool:
    certain = not math.isinf(found.half_width)
    steep = found.per_hour - found.half_width > per_hour
    return certain and steep and found.per_hour * hours > in_all


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cameras", type=int, default=8)
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.minutes:g} minutes, {RATE} frames a second")
    with tempfile.TemporaryDirectory() as folder:
        found = soak(options.minutes, options.seed, options.cameras, Path(folder))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
