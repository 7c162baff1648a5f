"""Runs every fault of cameras, lines, viewers and disks against every kind of output.

    python -m tests.faults.matrix [FAULT ...]

prints how soon each output had frames again after each fault, and how many it lost.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from streamdenoise.console.table import markdown_table
from tests.faults.proxy import FaultProxy
from tests.faults.rig import (
    RATE,
    RECOVERY_S,
    TIMEOUT_S,
    Numbers,
    Rig,
    Usage,
    Verdict,
    Window,
    judge,
    lost_outside,
)
from tests.support.disks import can_mount
from tests.support.fake_clock import LIBRARY

SINKS = ("file", "segments", "rtsp")
LANES = 3
"""Number of rigs that run at the same time."""

USUAL = ("--keep", "7d")


@dataclass(frozen=True)
class Fault:
    """Something goes wrong, and works again when `happen` returns."""

    name: str
    happen: Callable[[Rig], None]
    spoils: bool = False
    """Frames may come twice: sent twice, or by a decoder that conceals damage."""
    tears: bool = False
    """The line may end in the middle of a frame, which the decoder then completes."""
    of: str = "camera"
    """What fails: `camera`, `viewer`, `machine`, or the `disk` of the segments."""
    tls: bool = False
    """Whether camera and viewer use TLS, where the proxy cannot tell packets apart."""
    recovery_s: float = RECOVERY_S
    options: tuple[str, ...] = USUAL
    """Options of the job; other than the usual ones need a job of their own."""


def frozen_camera(rig: Rig) -> None:
    rig.camera.freeze()
    time.sleep(TIMEOUT_S + 1)
    rig.camera.resume()


def killed_camera(rig: Rig) -> None:
    rig.camera.kill()
    time.sleep(1)
    rig.camera.restart()


def restarted_camera(rig: Rig) -> None:
    rig.camera.restart()


def moved_camera(rig: Rig) -> None:
    with rig.spare:
        rig.line.retarget(rig.spare.port)
        rig.line.cut()
        rig.recovered()
        rig.line.retarget(rig.camera.port)
    time.sleep(0.1)


def dropped_clients(rig: Rig) -> None:
    rig.camera.command("drop-clients")


def silent_camera(rig: Rig) -> None:
    rig.camera.command("mute on")
    time.sleep(TIMEOUT_S + 1)
    rig.camera.command("mute off")


def no_key_frames(rig: Rig) -> None:
    rig.camera.command("key-frames off")
    rig.camera.command("drop-clients")
    time.sleep(TIMEOUT_S)
    rig.camera.command("key-frames on")


def another_size(rig: Rig) -> None:
    rig.camera.command("size 480x270")
    time.sleep(1)
    rig.camera.command("size 320x180")


def another_size_on_reconnect(rig: Rig) -> None:
    rig.camera.command("size 240x136")
    rig.camera.command("drop-clients")
    rig.recovered()
    rig.camera.command("size 320x180")
    rig.camera.command("drop-clients")


def another_codec(rig: Rig) -> None:
    rig.camera.command("codec h265")
    time.sleep(TIMEOUT_S)
    rig.camera.command("codec h264")


def another_certificate(rig: Rig) -> None:
    assert rig.certificates is not None
    rig.camera.certificate = rig.certificates.renewed
    rig.camera.restart()
    rig.wait(lambda: "fingerprint" in rig.job_status()["source_error"], 20)
    rig.camera.certificate = rig.certificates.good
    rig.camera.restart()


def refused_password(rig: Rig) -> None:
    good = rig.camera.password
    rig.camera.password = "another"
    rig.camera.restart()
    rig.wait(lambda: "user name or password" in rig.job_status()["source_error"], 20)
    rig.camera.password = good
    rig.camera.restart()


def line(seconds: float, **faults: float) -> Callable[[Rig], None]:
    return lambda rig: disturb(rig.line, seconds, faults)


def viewer_line(seconds: float, **faults: float) -> Callable[[Rig], None]:
    return lambda rig: disturb(rig.out_line, seconds, faults)


def disturb(proxy: FaultProxy, seconds: float, faults: dict[str, float]) -> None:
    proxy.set(**faults)
    time.sleep(seconds)
    proxy.clear()


def cut_line(rig: Rig) -> None:
    rig.line.cut()


def refused_line(rig: Rig) -> None:
    rig.line.set(refuse=True)
    rig.line.cut()
    time.sleep(2)
    rig.line.clear()


def clock(seconds: float) -> Callable[[Rig], None]:
    return lambda rig: rig.line.jump_clock(seconds)


def killed_viewer(rig: Rig) -> None:
    rig.viewer.kill()
    time.sleep(1)
    rig.viewer.restart()


def frozen_viewer(rig: Rig) -> None:
    rig.viewer.freeze()
    time.sleep(2)
    rig.viewer.resume()


def cut_viewer(rig: Rig) -> None:
    rig.out_line.cut()


def hung_disk(rig: Rig) -> None:
    rig.disk.freeze()
    time.sleep(TIMEOUT_S + 1)
    rig.disk.thaw()


def full_disk(rig: Rig) -> None:
    rig.disk.fill()
    time.sleep(TIMEOUT_S + 1)
    rig.disk.free()


def full_disk_of_recordings(rig: Rig) -> None:
    # There has to be something to delete.
    rig.wait(lambda: len(list(rig.clips.iterdir())) > 2, 60)
    full_disk(rig)


def clock_of_the_machine(*offsets: str) -> Callable[[Rig], None]:
    def happen(rig: Rig) -> None:
        assert rig.clock is not None
        for offset in offsets:
            rig.clock.step(offset)
            time.sleep(0.5)

    return happen


MACHINE_FAULTS = (
    Fault(
        "time set 1 s ahead and back", clock_of_the_machine("+1", "+0"), of="machine"
    ),
    Fault("time set back 1 h", clock_of_the_machine("-1h"), of="machine"),
    Fault("time set ahead 1 month", clock_of_the_machine("+31d"), of="machine"),
    Fault("time set back 1 year", clock_of_the_machine("-1y"), of="machine"),
)
"""Steps of the machine's own clock; they need libfaketime."""

DISK_FAULTS = (
    Fault("disk hangs", hung_disk, of="disk"),
    Fault("disk full", full_disk, of="disk", options=()),
    Fault(
        "disk full, --keep",
        full_disk_of_recordings,
        of="disk",
        options=("--keep", "1GB"),
    ),
)
"""Faults of the disk of the segments; they need root."""

FAULTS = (
    Fault("camera frozen", frozen_camera, tears=True, tls=True),
    Fault("camera killed, back after 1 s", killed_camera, tears=True, tls=True),
    Fault("camera restarted", restarted_camera, tears=True),
    # The two cameras are not synchronized: one may repeat frames of the other.
    Fault("camera moved", moved_camera, spoils=True),
    Fault("camera drops us", dropped_clients, tears=True, tls=True),
    Fault("camera silent", silent_camera),
    Fault("no key frames", no_key_frames, spoils=True),
    Fault("another size", another_size),
    Fault("another size on reconnect", another_size_on_reconnect, tears=True),
    Fault("another codec", another_codec, spoils=True),
    Fault("clock back 1 h", clock(-3600)),
    Fault("clock ahead 1 h", clock(3600)),
    # FFmpeg damages a frame if the clock continues while it probes a new stream.
    Fault("clock stuck", line(TIMEOUT_S + 1, stick_clock=True), spoils=True),
    Fault("flood of repeated frames", line(TIMEOUT_S + 1, flood=9), spoils=True),
    Fault("line delayed 0.5 s", line(2, delay_ms=500), tls=True),
    Fault("another certificate", another_certificate, tears=True, tls=True),
    # The next attempt comes 150 to 300 s later, or the camera locks the account.
    Fault("password refused", refused_password, tears=True, recovery_s=330),
    Fault("line stalled 1 s", line(1, stall=True)),
    Fault(
        "line stalled for long", line(TIMEOUT_S + 1.5, stall=True), tears=True, tls=True
    ),
    Fault("line cut", cut_line, tears=True, tls=True),
    Fault("line refused", refused_line, tears=True),
    Fault("line too narrow", line(2, throttle_kbps=60), tls=True),
    Fault("packets lost", line(2, drop=0.05), spoils=True),
    Fault("packets corrupt", line(2, corrupt=0.05), spoils=True),
    Fault("packets swapped", line(2, reorder=0.05), spoils=True),
    Fault("bytes corrupt", line(2, raw_corrupt=0.02), spoils=True),
    Fault("viewer killed, back after 1 s", killed_viewer, of="viewer", tls=True),
    Fault("viewer frozen", frozen_viewer, of="viewer"),
    Fault("line to viewer cut", cut_viewer, of="viewer"),
    Fault("line to viewer stalled", viewer_line(2, stall=True), of="viewer", tls=True),
    *(MACHINE_FAULTS if LIBRARY else ()),
    *(DISK_FAULTS if can_mount() else ()),
)


@dataclass
class Row:
    """The effects of one fault."""

    fault: Fault
    window: Window
    before: Usage
    after: Usage
    verdicts: dict[str, Verdict] = field(default_factory=dict)


@dataclass
class Lane:
    """A run with several consecutive faults."""

    rows: list[Row]
    problems: list[str]
    stop_s: float
    stalls: list[Window]
    """Times when the camera itself stood still, with or without a fault."""


def run_lane(faults: list[Fault], folder: Path) -> Lane:
    """Let `faults` of equal options happen to one job, and examine its outputs."""
    change_codec = any(fault.happen is another_codec for fault in faults)
    sets_clock = any(fault.of == "machine" for fault in faults)
    rows, stalls = [], []
    with Rig(
        folder,
        options=("--on-loss", "gap", *faults[0].options),
        change_codec=change_codec,
        sets_clock=sets_clock,
        tls=faults[0].tls,
    ) as rig:
        for fault in faults:
            before = rows[-1].after if rows else rig.usage()
            begin = rig.now()
            fault.happen(rig)
            window = Window(begin, rig.now())
            rig.recovered(fault.recovery_s)
            # This takes a second, in which late frames still arrive.
            rows.append(Row(fault, window, before, rig.usage()))
            # Now, as the next fault may kill it.
            stalls += [Window(*stall) for stall in rig.camera.stalls]
        drops = sum(rig.job_status()["drops"].values())
        stop_s = rig.stop()
        outputs = rig.outputs()
        log = rig.log
        code = rig.job.returncode
    problems = [] if code == 128 + 15 else [f"ended with code {code}:\n{log}"]
    for sink, numbers in outputs.items():
        problems += [f"{sink}: {text}" for text in disorder(numbers, rows)]
        # A machine that pauses for seconds stops the camera: nothing was there to lose.
        windows = [*(row.window for row in rows), *stalls]
        gaps = lost_outside(numbers, windows)
        if sum(gaps.values()) > drops:
            where = "; ".join(f"{n} {_last_fault(a, rows)}" for a, n in gaps.items())
            problems.append(
                f"{sink}: frames lost without a fault, {drops} drops: {where}\n{log}"
            )
        for row in rows:
            row.verdicts[sink] = judge(numbers, row.window)
    return Lane(rows, problems, stop_s, stalls)


def disorder(numbers: Numbers, rows: list[Row]) -> list[str]:
    """Problems: timestamps that do not increase, and frames that come twice."""
    problems = []
    times = [moment for moment, _ in numbers]
    if any(b <= a for a, b in itertools.pairwise(times)):
        problems.append("timestamps do not increase")
    known = [number for _, number in numbers if number is not None]
    for place, (a, b) in enumerate(itertools.pairwise(known)):
        if b > a:
            continue
        # A damaged frame may show any number: its neighbors give the time.
        when = median(known[max(0, place - RATE) : place + RATE])
        if not any(_excuses(row, when) for row in rows):
            problems.append(f"frame {b} comes after {a}, {_last_fault(when, rows)}")
    if not known:
        problems.append("there are no frames")
    return problems


def _excuses(row: Row, when: float) -> bool:
    """Whether a frame around number `when` may show another frame's number."""
    begin, end = row.window.begin - RATE, row.window.end + 4 * RATE
    is_torn = row.fault.tears and begin < when < row.window.begin + RATE
    return is_torn or (row.fault.spoils and begin < when < end)


def _last_fault(when: float, rows: list[Row]) -> str:
    """The last fault before or at frame `when`, for messages."""
    earlier = [row for row in rows if row.window.begin <= when]
    if not earlier:
        return "before any fault"
    row = earlier[-1]
    since_s = (when - row.window.begin) / RATE
    lasted_s = (row.window.end - row.window.begin) / RATE
    return f"{since_s:.1f} s after '{row.fault.name}' of {lasted_s:.1f} s began"


def run_matrix(faults: list[Fault], folder: Path) -> list[Lane]:
    """Run all faults, spread over a few jobs."""
    plain = [fault for fault in faults if not fault.tls and fault.options == USUAL]
    slow = [fault for fault in plain if fault.recovery_s > RECOVERY_S]
    plain = [fault for fault in plain if fault not in slow]
    lanes = [slow, [fault for fault in faults if fault.tls]]
    lanes += [plain[n :: LANES - 1] for n in range(LANES - 1)]
    lanes += [[fault] for fault in faults if fault.options != USUAL]
    lanes = [lane for lane in lanes if lane]
    with ThreadPoolExecutor(LANES) as pool:
        folders = [folder / f"lane{n}" for n in range(len(lanes))]
        return list(pool.map(run_lane, lanes, folders))


def table(lanes: list[Lane]) -> str:
    """The matrix as Markdown."""
    table_rows = []
    rows = sorted((row for lane in lanes for row in lane.rows), key=_place)
    for row in rows:
        cells = [
            f"{row.verdicts[sink].back_s:.1f} s, {row.verdicts[sink].lost} lost"
            for sink in SINKS
        ]
        lasted = (row.window.end - row.window.begin) / RATE
        grown = (
            f"{row.after.threads - row.before.threads:+d}, "
            f"{row.after.descriptors - row.before.descriptors:+d}, "
            f"{row.after.rss_mb - row.before.rss_mb:+.0f}"
        )
        table_rows.append([row.fault.name, f"{lasted:.1f} s", *cells, grown])
    header = ("fault", "lasted", *SINKS, "threads, descriptors, MB")
    return "\n".join(markdown_table(header, table_rows))


def _place(row: Row) -> int:
    return FAULTS.index(row.fault)


def main(names: list[str]) -> int:
    faults = [fault for fault in FAULTS if not names or fault.name in names]
    with tempfile.TemporaryDirectory() as folder:
        lanes = run_matrix(faults, Path(folder))
    problems = [problem for lane in lanes for problem in lane.problems]
    print(table(lanes))
    print(f"{len(faults) * len(SINKS)} cells, {len(problems)} problems")
    print("\n".join(problems))
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
