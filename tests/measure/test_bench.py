"""The benchmark and its peers: real runs on small clips, and their arithmetic."""

import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamdenoise.errors import ConfigError
from streamdenoise.frame import ColorInfo, Frame, StreamInfo, plane_shapes
from streamdenoise.imaging.metrics import psnr_y
from streamdenoise.imaging.noise import add_gaussian_noise
from streamdenoise.io.open import open_sink
from streamdenoise.io.options import EncoderConfig
from streamdenoise.measure.clips import find_clips, fit
from streamdenoise.measure.config import BenchConfig
from streamdenoise.measure.peers.ffmpeg import FFMPEG_PEERS, FFmpegPeer, run_filter
from streamdenoise.measure.peers.opencv import OpenCVNonLocalMeans
from streamdenoise.measure.peers.peer import Options, Peer, StoredClip, store
from streamdenoise.measure.peers.registry import find_peers
from streamdenoise.measure.peers.search import search
from streamdenoise.measure.plots import figure_type, name_points
from streamdenoise.measure.speed import bench as bench_module
from streamdenoise.measure.speed.bench import bench
from streamdenoise.measure.speed.bench_report import BenchReport, Result

TICK = Fraction(1, 25)
BT709 = ColorInfo(1, 1, 1, 1)


def moving_gradient(frames: int, width: int = 96, height: int = 64) -> list[Frame]:
    clip = []
    for index in range(frames):
        planes = tuple(
            (
                np.add.outer(np.arange(h), np.arange(w) + 2 * index) * 96 // w % 96 + 80
            ).astype(np.uint8)
            for h, w in plane_shapes("yuv420p", width, height)
        )
        clip.append(Frame(planes, "yuv420p", BT709, index, TICK, index, 0.0))
    return clip


@pytest.fixture(scope="module")
def clean_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "gradient.mkv"
    info = StreamInfo(96, 64, "yuv420p", Fraction(25), TICK, color=BT709)
    with open_sink(str(path), info, encoder=EncoderConfig("ffv1")) as sink:
        for frame in moving_gradient(6):
            sink.write(frame)
    return path


@pytest.fixture
def noisy_clip(tmp_path: Path) -> tuple[list[Frame], StoredClip]:
    clean = moving_gradient(4)
    rng = np.random.default_rng(0)
    noisy = [add_gaussian_noise(frame, 20, rng) for frame in clean]
    return clean, store(noisy, tmp_path / "noisy.yuv")


@pytest.mark.parametrize(
    "peer", [*FFMPEG_PEERS, OpenCVNonLocalMeans()], ids=lambda peer: peer.name
)
def test_each_peer_runs_and_gains(
    peer: Peer, noisy_clip: tuple[list[Frame], StoredClip]
) -> None:
    clean, noisy = noisy_clip
    options = {key: values[0] for key, values in peer.axes(13.0).items()}
    filtered = peer.run(options, noisy, threads=1)
    assert [f.pts for f in filtered.frames] == [f.pts for f in noisy.frames]
    assert psnr_y(clean, filtered.frames) > psnr_y(clean, noisy.frames) + 0.3
    assert filtered.seconds >= 0


def test_a_filter_that_does_nothing_returns_the_same_planes(
    noisy_clip: tuple[list[Frame], StoredClip],
) -> None:
    _, noisy = noisy_clip
    after = run_filter("null", noisy.first(3), 1).frames
    for before, frame in zip(noisy.frames[:3], after, strict=True):
        for a, b in zip(before.planes, frame.planes, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_graph_that_ffmpeg_refuses_is_named(
    noisy_clip: tuple[list[Frame], StoredClip],
) -> None:
    with pytest.raises(ConfigError, match=r"0 of 4 frames for .*nosuchfilter"):
        run_filter("nosuchfilter=1", noisy_clip[1], 1)


def test_the_search_finds_the_best_options() -> None:
    peer = FFmpegPeer("x", {"s": (1.0, 0.5, 2.0)}, {"m": ("a", "b")}, limits=(0, 15))
    assert peer.axes(10) == {"s": (10.0, 5.0, 15), "m": ("a", "b")}
    calls: list[Options] = []

    def score(options: Options) -> float:
        calls.append(options)
        return -abs(float(options["s"]) - 14) + (options["m"] == "b")

    best, value = search(peer, 10, score)
    assert best == {"s": 15, "m": "b"}
    assert value == 0
    assert len(calls) == len({tuple(c.values()) for c in calls})


def ffmpeg_peer(name: str) -> FFmpegPeer:
    return next(peer for peer in FFMPEG_PEERS if peer.name == name)


def test_filter_text_fills_every_placeholder() -> None:
    atadenoise = ffmpeg_peer("atadenoise")
    text = atadenoise.filter({"0a": 0.1, "0b": 0.3, "s": 9, "a": "p"})
    assert text == "atadenoise=0a=0.1:0b=0.3:s=9:a=p:1a=0.1:1b=0.3:2a=0.1:2b=0.3"
    text = ffmpeg_peer("hqdn3d").filter({"luma_spatial": 4})
    assert text == "hqdn3d=luma_spatial=4"


def test_peers_are_found_by_name() -> None:
    found, _ = find_peers(["nlmeans", "hqdn3d", "nlmeans"])
    assert [peer.name for peer in found] == ["nlmeans", "hqdn3d"]
    every = [peer.name for peer in find_peers(["all"])[0]]
    assert every == [*(peer.name for peer in FFMPEG_PEERS), "opencv-nlmeans"]
    with pytest.raises(ConfigError, match="choose from all, hqdn3d"):
        find_peers(["magic"])


def test_fit_mirrors_small_frames_and_crops_large_ones() -> None:
    frame = moving_gradient(1)[0]
    tiled = fit(frame, 256, 160)
    assert tiled.planes[0].shape == (160, 256)
    np.testing.assert_array_equal(tiled.planes[0][:64, :96], frame.planes[0])
    np.testing.assert_array_equal(
        tiled.planes[0][:64, 96:192], frame.planes[0][:, ::-1]
    )
    np.testing.assert_array_equal(tiled.planes[1][32:64, :48], frame.planes[1][::-1])
    cropped = fit(frame, 64, 32)
    np.testing.assert_array_equal(cropped.planes[0], frame.planes[0][16:48, 16:80])
    np.testing.assert_array_equal(cropped.planes[1], frame.planes[1][8:24, 8:40])


def test_bench_measures_backends_and_peers_and_writes_its_figures(
    clean_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_module, "usual_backends", lambda: ["openvino"])
    peers = (ffmpeg_peer("hqdn3d"), ffmpeg_peer("atadenoise"))
    monkeypatch.setattr(bench_module, "PEERS", peers)
    told: list[str] = []
    report = bench(
        BenchConfig(clean_file, quick=True, threads=1), on_progress=told.append
    )
    names = [result.name for result in report.results]
    assert names == ["none", "streamdenoise openvino", "hqdn3d", "atadenoise"]
    by_name = {result.name: result for result in report.results}
    assert by_name["streamdenoise openvino"].psnr_y > by_name["none"].psnr_y + 3
    for result in report.results:
        assert result.size == "360p"
        assert len(result.step_fps) == len(result.job_fps) == 1
        assert min(*result.step_fps, *result.job_fps) > 0
    assert any("hqdn3d" in line for line in told)

    report.write(tmp_path / "bench")
    table = (tmp_path / "bench" / "bench.md").read_text()
    assert table.count("| 360p |") == len(names)
    figures = json.loads((tmp_path / "bench" / "bench.json").read_text())
    assert figures["sigma"] == 30
    picture = (tmp_path / "bench" / "bench.png").read_bytes()
    assert picture.startswith(b"\x89PNG")


def test_bench_says_why_a_backend_is_left_out(
    clean_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_module, "usual_backends", lambda: ["onnxruntime"])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(
        sys.modules, "streamdenoise.inference.backends.onnxruntime", raising=False
    )
    report = bench(BenchConfig(clean_file, quick=True, peers=False))
    assert [result.name for result in report.results] == ["none"]
    assert "streamdenoise[onnx]" in report.left_out[0]
    assert f"- not measured: {report.left_out[0]}" in report.markdown()


@pytest.mark.parametrize("package", ["imageio_ffmpeg", "matplotlib.figure"])
def test_missing_packages_are_named(
    clean_file: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r"pip install 'streamdenoise\[bench\]'"):
        bench(BenchConfig(clean_file, quick=True))


def test_bench_without_its_clip_or_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.mp4 is not there; .*--clip"):
        bench(BenchConfig(tmp_path / "no.mp4", quick=True))
    (tmp_path / "taken").write_text("")
    none = Result("none", "360p", 20.0, 4)
    report = BenchReport((none,), {}, "a.mp4", 30, 1, ())
    with pytest.raises(ConfigError, match="choose another -o"):
        report.write(tmp_path / "taken")


def test_a_job_that_fails_is_an_error_not_a_figure() -> None:
    failing = [sys.executable, "-c", "raise SystemExit('error: no such thing')"]
    with pytest.raises(ConfigError, match="error: no such thing"):
        bench_module._timed(failing, 10)


def test_a_folder_without_clips_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no clip")
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigError, match="holds no clean clips"):
            find_clips(path)


def test_names_in_the_plot_do_not_cover_each_other() -> None:
    axes = figure_type()(dpi=100).add_subplot()
    points = {"a": (10.0, 30.0), "b": (10.0, 30.0), "c": (11.0, 30.1), "d": (10, 39)}
    axes.plot(*zip(*points.values(), strict=True), "o")
    name_points(axes, points)
    axes.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 4
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
