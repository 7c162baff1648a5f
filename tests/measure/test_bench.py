"""The benchmark: a real run on a small clip, and its errors."""

import json
import sys
from pathlib import Path

import pytest

from streamdenoise.errors import ConfigError
from streamdenoise.measure.config import BenchConfig
from streamdenoise.measure.peers.ffmpeg import FFMPEG_PEERS
from streamdenoise.measure.speed import bench as bench_module
from streamdenoise.measure.speed.bench import bench
from streamdenoise.measure.speed.bench_report import BenchReport, Result
from streamdenoise.measure.speed.job import run
from tests.measure.waves import textured, write


@pytest.fixture(scope="module")
def clean_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "waves.mkv"
    write(path, [textured(n, 96, 64) for n in range(6)])
    return path


def test_bench_measures_backends_and_peers_and_writes_its_figures(
    clean_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_module, "usual_backends", lambda: ["openvino"])
    peers = {peer.name: peer for peer in FFMPEG_PEERS}
    two = (peers["hqdn3d"], peers["atadenoise"])
    monkeypatch.setattr(bench_module, "PEERS", two)
    messages: list[str] = []
    report = bench(
        BenchConfig(clip=clean_file, quick=True, threads=1), on_progress=messages.append
    )
    names = [result.name for result in report.results]
    assert names == ["none", "streamdenoise openvino", "hqdn3d", "atadenoise"]
    by_name = {result.name: result for result in report.results}
    assert by_name["streamdenoise openvino"].psnr_y > by_name["none"].psnr_y + 3
    for result in report.results:
        assert result.size == "360p"
        assert len(result.step_fps) == len(result.job_fps) == 1
        assert min(*result.step_fps, *result.job_fps) > 0
    assert any("hqdn3d" in line for line in messages)

    report.write(tmp_path / "bench")
    table = (tmp_path / "bench" / "bench.md").read_text()
    assert table.count("| 360p |") == len(names)
    figures = json.loads((tmp_path / "bench" / "bench.json").read_text())
    assert figures["sigma"] == 30
    png = (tmp_path / "bench" / "bench.png").read_bytes()
    assert png.startswith(b"\x89PNG")


def test_bench_says_why_a_backend_is_left_out(
    clean_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_module, "usual_backends", lambda: ["onnxruntime"])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(
        sys.modules, "streamdenoise.inference.backends.onnxruntime", raising=False
    )
    report = bench(BenchConfig(clip=clean_file, quick=True, peers=False))
    assert [result.name for result in report.results] == ["none"]
    assert "streamdenoise[onnx]" in report.left_out[0]
    assert f"- not measured: {report.left_out[0]}" in report.markdown()


@pytest.mark.parametrize("package", ["imageio_ffmpeg", "matplotlib.figure"])
def test_missing_packages_are_named(
    clean_file: Path, tmp_path: Path, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r"pip install 'streamdenoise\[bench\]'"):
        bench(BenchConfig(clip=clean_file, output=tmp_path, quick=True))


def test_a_missing_clip_or_a_bad_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.mp4 does not exist; .*--clip"):
        bench(BenchConfig(clip=tmp_path / "no.mp4", quick=True))
    (tmp_path / "taken").write_text("")
    none = Result("none", "360p", 20.0, 4)
    report = BenchReport((none,), {}, "a.mp4", 30, 1, ())
    with pytest.raises(ConfigError, match="choose another -o"):
        report.write(tmp_path / "taken")


def test_a_job_that_fails_is_an_error_not_a_figure() -> None:
    failing = [sys.executable, "-c", "raise SystemExit('error: no such thing')"]
    with pytest.raises(ConfigError, match="error: no such thing"):
        run((failing, None))
