"""The stages of jobs: a real run on small clips, what it says, and its errors."""

import json
from pathlib import Path

import numpy as np
import pytest

from streamdenoise.errors import ConfigError
from streamdenoise.frame import Frame
from streamdenoise.io.open import open_source
from streamdenoise.measure.clips import hand_held_frames
from streamdenoise.measure.config import BenchConfig
from streamdenoise.measure.speed.stage_advice import advice
from streamdenoise.measure.speed.stage_report import THREADS, StageReport
from streamdenoise.measure.speed.stages import bench_stages, make_clips
from streamdenoise.stage_times import JobTimes, StageTime, Work
from tests.measure.waves import BT709, TICK, textured, write


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[StageReport, Path]:
    folder = tmp_path_factory.mktemp("bench")
    config = BenchConfig(stages=True, quick=True, sizes=("96x64",), output=folder)
    report = bench_stages(config)
    report.write(folder)
    return report, folder


def test_all_stages_of_both_clips_are_measured_and_add_up(
    measured: tuple[StageReport, Path],
) -> None:
    report, folder = measured
    figures = json.loads((folder / "bench.json").read_text())
    assert figures["model"] == "nano"
    assert figures["sigma"] == 8
    motions = [case["clip"].partition(",")[0] for case in figures["cases"]]
    assert motions == ["still", "hand-held"]
    wanted = [(name, work) for name, works in THREADS.items() for work in works]
    for case in figures["cases"]:
        stages = {(each["thread"], each["stage"]): each for each in case["stages"]}
        assert list(stages) == wanted
        assert case["frames"] > 5
        assert case["peer_fps"] > 0
        cpu = sum(each["cpu_ms"] for each in stages.values())
        assert cpu <= 1.05 * case["cpu_ms"]  # clocks are read one after the other
        assert case["other_cpu_ms"] == pytest.approx(case["cpu_ms"] - cpu)
        for name, works in THREADS.items():
            wall = sum(stages[name, work]["wall_ms"] for work in works)
            assert 0 < wall <= case["wall_ms"] + 1e-6
        for work in (Work.DECODE, Work.ESTIMATE, Work.FLOW, Work.STEP, Work.ENCODE):
            (thread,) = (name for name, works in THREADS.items() if work in works)
            assert stages[thread, work]["cpu_ms"] > 0
    assert report.cases[1].time("denoise", Work.WARP).cpu_ms > 0


def test_table_plot_and_clips_are_written(measured: tuple[StageReport, Path]) -> None:
    _, folder = measured
    table = (folder / "bench.md").read_text()
    for work in Work:
        assert f"| {work.value} |" in table
    assert "| other |" in table
    assert (folder / "bench.png").read_bytes().startswith(b"\x89PNG")
    clips = sorted((folder / "clips").iterdir())
    assert [clip.name.split("-")[1] for clip in clips] == ["hand", "still"]
    with open_source(str(clips[0])) as source:
        assert (source.info.codec, source.info.frame_rate) == ("h264", 25)
        assert (source.info.width, source.info.height) == (96, 64)


def test_clips_have_the_bit_rate_of_their_name(tmp_path: Path) -> None:
    paths = {
        (motion, rate): tmp_path / f"{motion}{rate}.mp4"
        for motion in ("still", "hand-held")
        for rate in (0.2, 0.8)
    }
    make_clips([textured(0, 128, 96)], (128, 96), 75, 40, paths)
    for (_, mbit_per_s), path in paths.items():
        assert path.stat().st_size * 8 / 3e6 == pytest.approx(mbit_per_s, rel=0.3)


def test_a_hand_moves_the_frame_and_nothing_else() -> None:
    rows, columns = np.indices((220, 360), np.float32)
    slope = (0.4 * rows + 0.3 * columns).astype(np.uint8)
    gray = np.full((110, 180), 128, np.uint8)
    still = Frame((slope, gray, gray), "yuv420p", BT709, 0, TICK, 0, 0.0)
    first, *others = hand_held_frames([still], 320, 180, 25)
    shifts = []
    for frame in others:
        assert frame.planes[0].shape == (180, 320)
        difference = frame.planes[0].astype(float) - first.planes[0]
        assert difference.std() < 0.8
        assert (frame.planes[1] == 128).all()
        shifts.append(difference.mean())
    assert np.ptp(shifts) > 1
    assert np.abs(np.diff(shifts)).max() < 1


def times(cpu_ms: float, wall_ms: float, *stages: tuple[str, Work, float]) -> JobTimes:
    return JobTimes(
        100,
        cpu_ms,
        wall_ms,
        tuple(StageTime(a, b.value, ms, ms) for a, b, ms in stages),
    )


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (Work.DECODE, "Decoding is your limit (50% of the CPU time): use --hwaccel"),
        (Work.ENCODE, "Encoding is your limit (50% of the CPU time): use a faster --p"),
        (Work.ESTIMATE, "--noise-profile"),
        (
            Work.STEP,
            "The network is your limit (50% of the CPU time): use the smallest model",
        ),
    ],
)
def test_a_stage_that_takes_the_cores_is_named_with_what_to_do(
    stage: Work, words: str
) -> None:
    job = times(100, 50, ("a", stage, 50), ("b", Work.FLOW, 40), ("a", Work.WAIT, 0))
    assert words in advice(job, cores=2)


def test_with_idle_cores_the_thread_that_never_waits_is_the_limit() -> None:
    job = times(
        *(60, 50),
        *(("decode", Work.DECODE, 5), ("decode", Work.WAIT, 45)),
        *(("denoise", Work.STEP, 20), ("denoise", Work.WAIT, 30)),
        *(("write-0", Work.MUX, 40), ("write-0", Work.ENCODE, 10)),
    )
    assert advice(job, cores=8) == (
        "Writing the output is your limit (80% of the time of a frame): write it to a "
        "faster disk."
    )


def test_nothing_is_said_if_no_stage_stands_out_or_nothing_can_be_done() -> None:
    even = [("a", work, 100 / 6) for work in list(Work)[:6]]
    assert advice(times(100, 50, *even), cores=2) == ""
    flow = times(100, 50, ("a", Work.FLOW, 90), ("a", Work.STEP, 10))
    assert advice(flow, cores=2) == ""
    assert advice(JobTimes(0), cores=2) == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sizes": ("65x48",)}, "--size 65x48 .* even width and height"),
        ({"sizes": ("tiny",)}, "'tiny' is not a size"),
        ({"backends": ("all",)}, "give one --backend"),
        ({"backends": ("none",)}, "none"),
        ({"clip": Path("no.mp4")}, "no.mp4 does not exist"),
        ({"clip": Path("a.mp4"), "sizes": ("720p",)}, "leave out --size"),
        ({"clip": Path("a.mp4"), "sigma": 9.0}, "leave out --sigma"),
    ],
)
def test_bad_options_are_named(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        bench_stages(BenchConfig(stages=True, quick=True, **options))  # type: ignore


def test_other_systems_and_a_missing_package_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ConfigError, match=r"pip install 'streamdenoise\[bench\]'"):
        bench_stages(BenchConfig(stages=True, output=tmp_path))
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(ConfigError, match="on Linux only"):
        bench_stages(BenchConfig(stages=True))


def test_a_video_that_is_too_short_is_named(tmp_path: Path) -> None:
    path = tmp_path / "short.mkv"
    write(path, [textured(n, 96, 64) for n in range(3)])
    with pytest.raises(ConfigError, match=r"short.mkv is too short .* 8 frames"):
        bench_stages(BenchConfig(stages=True, quick=True, clip=path))
